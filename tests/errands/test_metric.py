"""A new metric is one entry in `METRICS`: reports, tables and comparisons then have it."""

import json

import pytest
import yaml

from cnn_cifar10.cli import main
from cnn_cifar10.evaluation import METRICS, Metric
from cnn_cifar10.reporting import (
    add_result,
    read_results,
    report_run,
    result_columns,
    summarize_results,
)

NAME, HEADING = "kappa", "Cohen's kappa"


def kappa(evaluation):
    from sklearn.metrics import cohen_kappa_score

    return cohen_kappa_score(evaluation.labels, evaluation.predictions)


@pytest.fixture(scope="module")
def written(digits, digits_run, tmp_path_factory):
    """The folder of a table from before the metric, to which a report of after it is added."""
    folder = tmp_path_factory.mktemp("reports")
    table = folder / "results.csv"
    row = {"dataset": digits.title, "model": "older", "seed": 0, "accuracy": 0.0625}
    add_result(table, {"run": "digits-older-seed0", **row})
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(METRICS, NAME, Metric(kappa, HEADING, format=".3f"))
        report_run(digits_run, digits, folder / digits_run.path.name, table, ("validation", "test"))
    return folder


@pytest.fixture(autouse=True)
def declared(monkeypatch):
    """All that a contributor writes."""
    monkeypatch.setitem(METRICS, NAME, Metric(kappa, HEADING, format=".3f"))


@pytest.fixture
def report(written, digits_run):
    return json.loads((written / digits_run.path.name / "report.json").read_text())


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def shown_in(table, run):
    """What a table of runs in Markdown shows of the metric, the mean over seeds."""
    headings, _, *rows = (cells(line) for line in table.splitlines() if line.startswith("|"))
    return next(dict(zip(headings, row, strict=True)) for row in rows if row[0] == run)[HEADING]


def test_the_report_has_it_for_every_split(written, digits_run, report):
    page = (written / digits_run.path.name / "report.md").read_text(encoding="utf-8")
    headings = next(line for line in page.splitlines() if line.startswith("| split"))
    for split in ("validation", "test"):
        assert -1 <= report["metrics"][split][NAME] <= 1
        line = next(line for line in page.splitlines() if line.startswith(f"| {split}"))
        shown = dict(zip(cells(headings), cells(line), strict=True))
        assert shown[HEADING] == f"{report['metrics'][split][NAME]:.3f}"
    assert f"{HEADING} {report['metrics']['test'][NAME]:.3f}" in report["headline"]


def test_it_is_computed_of_the_predictions(digits, digits_run, report):
    from sklearn.metrics import cohen_kappa_score

    predicted = digits_run.load_model().predict(digits.test.images, verbose=0).argmax(axis=1)
    expected = cohen_kappa_score(digits.test.labels, predicted)
    assert report["metrics"]["test"][NAME] == pytest.approx(expected)


def test_a_table_from_before_it_is_read_and_gets_the_column(written, digits_run, report):
    header, *lines = (written / "results.csv").read_text().splitlines()
    assert header.split(",").count(NAME) == 1
    assert len(lines) == 2
    rows = {row["run"]: row for row in read_results(written / "results.csv")}
    assert rows["digits-older-seed0"][NAME] is None
    assert rows["digits-older-seed0"]["accuracy"] == 0.0625
    expected = report["metrics"]["test"][NAME]
    assert rows[digits_run.path.name][NAME] == pytest.approx(expected, abs=0.0006)


def test_a_new_table_has_it_among_the_metrics(tmp_path):
    add_result(tmp_path / "results.csv", {"run": "a", NAME: 0.12345})
    (row,) = read_results(tmp_path / "results.csv")
    assert tuple(row) == result_columns()
    assert row[NAME] == 0.123


def test_comparisons_show_its_mean(written, digits_run, report, tmp_path, capsys):
    table = written / "results.csv"
    value = f"{report['metrics']['test'][NAME]:.3f}"
    summaries = {row["run"]: row for row in summarize_results(read_results(table))}
    name = digits_run.path.name.removesuffix("-seed0")
    assert f"{summaries[name][NAME]:.3f}" == value
    assert summaries["digits-older"][NAME] is None
    assert main(["compare", "--results", str(table), "--output", str(tmp_path)]) == 0
    for text in (capsys.readouterr().out, (tmp_path / "comparison.md").read_text("utf-8")):
        assert shown_in(text, name) == value
        assert shown_in(text, "digits-older") == ""


def test_a_model_card_lists_it(report):
    from cnn_cifar10.exporting.model_card import model_card

    description = {
        "class_names": report["facts"]["class_names"],
        "input": {"shape": [None, 32, 32, 3], "fit": "crop"},
        "comparison": {
            "formats": [{"format": "keras"}],
            "versions": {},
            "images": 1,
            "split": "test",
            "hardware": "",
        },
    }
    card = model_card(description, report)
    (model,) = yaml.safe_load(card.split("---\n")[1])["model-index"]
    figures = {figure["name"]: figure for figure in model["results"][0]["metrics"]}
    assert figures[HEADING]["type"] == NAME
    assert figures[HEADING]["value"] == pytest.approx(report["metrics"]["test"][NAME], abs=1e-4)
    assert f"| {HEADING} |" in card


def test_without_it_the_column_is_kept_as_it_is(written, digits_run, tmp_path, monkeypatch):
    monkeypatch.delitem(METRICS, NAME)  # another version of the library
    path = tmp_path / "results.csv"
    path.write_bytes((written / "results.csv").read_bytes())
    before = {row["run"]: row[NAME] for row in read_results(path)}
    assert before["digits-older-seed0"] == ""
    add_result(path, {"run": "digits-new-seed0", "dataset": "a"})
    after = {row["run"]: row[NAME] for row in read_results(path)}
    assert after == {**before, "digits-new-seed0": ""}
    assert float(after[digits_run.path.name]) <= 1
