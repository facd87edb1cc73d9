"""Filling in templates, and what is left out."""

import pytest

from cnn_cifar10.reporting import fill_template, write_filled

TEMPLATE = """\
# {name}

## Costs

{costs[total]:.1f} seconds, {costs[each]:,} each.

More of {costs}.

## Drawn

![A figure]({figures}) beside ![another](other.png)

## Told

{told}

```
{{"kept": "as it is"}}

{name}
```
"""


@pytest.fixture
def template(tmp_path):
    path = tmp_path / "template.md"
    path.write_text(TEMPLATE)
    return path


KNOWN = {"name": "page", "costs": {"total": 1, "each": 2000}, "figures": "one.png", "told": ""}


def test_every_field_is_filled_in_and_nothing_else_changes(template):
    text = fill_template(template, **KNOWN)
    assert "1.0 seconds, 2,000 each.\n\nMore of {'total'" in text
    assert text.endswith('## Told\n\n\n\n```\n{"kept": "as it is"}\n\npage\n```')


def test_paragraphs_without_a_value_go_and_headings_without_paragraphs(template):
    text = fill_template(template, **{**KNOWN, "costs": None, "told": None})
    assert text.split("\n\n", 2)[:2] == ["# page", "## Drawn"]
    assert "## Told" in text  # it has the lines of code
    assert "None" not in text


def test_sections_with_figures_that_do_not_exist_go(template):
    assert "## Drawn" not in fill_template(template, [], **KNOWN)
    assert "## Drawn" in fill_template(template, ["other.png"], **KNOWN)


def test_a_page_that_is_written_has_its_figures_beside_it(tmp_path, template):
    from matplotlib.figure import Figure

    path = tmp_path / "new/page.md"
    write_filled(path, template, {"other.png": Figure()}, **KNOWN)
    assert path.read_text() == fill_template(template, ["other.png"], **KNOWN) + "\n"
    assert path.with_name("other.png").read_bytes().startswith(b"\x89PNG")


def test_a_value_that_is_not_given_is_an_error(template):
    with pytest.raises(KeyError, match="told"):
        fill_template(template, name="page", costs={"total": 1, "each": 2}, figures="")
