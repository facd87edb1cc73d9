"""Evaluation on the data of a run and on others; comparison of runs, some of them untested."""

import dataclasses
import json
import shutil

import pytest

from cnn_cifar10.cli import main
from cnn_cifar10.reporting import add_result, read_report, read_results
from cnn_cifar10.training import Run


@pytest.fixture
def run(digits_run, tmp_path, monkeypatch):
    """A copy of the run in a folder of its own, with its report."""
    monkeypatch.chdir(tmp_path)
    path = shutil.copytree(digits_run.path, tmp_path / "models" / "digits")
    assert main(["evaluate", str(path)]) == 0
    return path


def test_a_run_is_evaluated_again_into_the_same_report(run, capsys):
    capsys.readouterr()
    assert main(["evaluate", str(run)]) == 0
    first, _, last = capsys.readouterr().out.splitlines()
    assert first == f"Evaluating {run}; report: reports/digits"
    assert last.endswith("report: reports/digits/report.md   row: reports/results.csv")
    assert len(read_results("reports/results.csv")) == 1


def test_other_data_get_a_report_of_their_own_and_no_row(run, digits, monkeypatch, capsys):
    own, table = read_report("reports/digits"), read_results("reports/results.csv")
    other = dataclasses.replace(digits, test=digits.test[:100])
    monkeypatch.setattr("cnn_cifar10.training.load_data", lambda config: other)
    capsys.readouterr()
    assert main(["evaluate", str(run)]) == 2
    error = capsys.readouterr().err
    assert "trained with other splits than those of digits" in error
    assert "fingerprints differ" in error
    assert "--report" in error
    assert main(["evaluate", str(run), "--report", "reports/other", "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["metrics"]["test"]["examples"] == 100
    assert "row:" not in printed.err
    assert "their fingerprints differ" in read_report("reports/other")["headline"]
    assert read_report("reports/digits") == own
    assert read_results("reports/results.csv") == table


def test_the_report_of_another_run_is_refused(run, capsys):
    facts = json.loads((run / "run.json").read_text())
    other = run.parents[1] / "more" / "digits"
    shutil.copytree(run, other)
    Run(other).finish({**facts, "id": "0123456789ab", "seed": 5})
    capsys.readouterr()
    assert main(["evaluate", str(other)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "reports/digits: the report is of another run" in error
    assert "id 0123456789ab" in error


def test_runs_without_a_figure_are_named_and_not_compared(tmp_path, capsys):
    table = str(tmp_path / "results.csv")
    for run, figures in (
        ("pets-a-seed0", {"accuracy": 0.5, "validation_accuracy": 0.6}),
        ("pets-b-seed0", {"validation_accuracy": 0.7}),
    ):
        add_result(table, {"run": run, "model": "m", "dataset": "pets", **figures})
    assert main(["compare", "--results", table]) == 0
    printed = capsys.readouterr().out
    assert "Without a figure for accuracy, and left out: pets-b-seed0\n" in printed
    assert main(["compare", "--results", table, "--metric", "validation_accuracy"]) == 0
    assert "left out" not in capsys.readouterr().out
    (tmp_path / "results.csv").unlink()
    add_result(table, {"run": "pets-b-seed0", "validation_accuracy": 0.7})
    assert main(["compare", "--results", table]) == 2
    assert "without a test split are compared by --metric" in capsys.readouterr().err


@pytest.mark.slow
def test_overwrite_replaces_the_report_and_the_row_of_a_run_that_is_gone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train = [*("train", "--dataset", "digits", "--train-images", "100", "--epochs", "1", "--quiet")]
    train += ["--model-options", "width=4", "depth=1", "--output", "models/d"]
    assert main([*train]) == 0
    before = read_report("reports/d")["facts"]["id"]
    shutil.rmtree("models/d")
    assert main([*train, "--seed", "5"]) == 2
    assert main([*train, "--seed", "5", "--overwrite"]) == 0
    assert read_report("reports/d")["facts"]["id"] != before
    (row,) = read_results("reports/results.csv")
    assert row["seed"] == 5
