"""Pages from templates."""

import re
import string
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnn_cifar10.utils import write_figure, write_page

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FIGURE = re.compile(r"\]\((\w+\.png)\)")


def fill_template(template: Path, figures: Iterable[str] | None = None, /, **values: Any) -> str:
    """Return a template of Markdown with its `{values}` filled in.

    A paragraph with a value that is `None` is left out, and so is a heading without paragraphs.

    Args:
        template: Path of the template.
        figures: Names of the figures that exist. Sections with other figures are left out; with
            `None`, no section is.
        **values: Values of the fields of the template.
    """
    text = template.read_text(encoding="utf-8").strip()
    sections = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    filled = []
    for section in sections:
        if figures is None or {*_FIGURE.findall(section)} <= {*figures}:
            heading, *paragraphs = section.strip().split("\n\n")
            kept = [each for each in (heading, *paragraphs) if _is_known(each, values)]
            if not heading.startswith("## ") or kept[1:]:
                filled += kept
    return "\n\n".join(filled).format(**values).strip()


def write_filled(
    path: Path, template: Path, figures: "dict[str, Figure]", /, **values: Any
) -> None:
    """Write a page, and its figures beside it.

    Args:
        path: Path of the page; its folder is created where missing.
        template: As for `fill_template`.
        figures: File names to figures.
        **values: As for `fill_template`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for name, figure in figures.items():
        write_figure(path.with_name(name), figure)
    write_page(path, fill_template(template, figures, **values))


def _is_known(paragraph, values):
    """Return whether no value of a paragraph is `None`."""
    fields = (field for _, field, _, _ in string.Formatter().parse(paragraph) if field)
    return all(values[re.split(r"[.[]", field)[0]] is not None for field in fields)
