"""Runs side by side: what the page says, which runs it takes, counts by hand."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnn_cifar10.reporting import (
    FULL_EPOCHS,
    add_result,
    comparable_predictions,
    compare_predictions,
    format_summaries,
    format_table,
    name_runs,
    read_results,
    read_tables,
    summarize_results,
    summary_columns,
    write_comparison,
)
from cnn_cifar10.reporting.predictions import Predictions
from cnn_cifar10.utils import InputError

REPOSITORY = Path(__file__).parents[2]
NAMES = ("cat", "dog", "owl")
LABELS = [0, 0, 1, 1, 2, 2]
PREDICTED = {
    "pets-big-seed0": [0, 0, 1, 1, 2, 0],
    "pets-small-seed0": [0, 0, 1, 2, 0, 0],
    "pets-tiny-seed0": [0, 1, 1, 2, 1, 1],
}


def add_run(
    folder,
    run,
    *,
    accuracy=0.5,
    mflops=10.0,
    predicted=None,
    labels=LABELS,
    split="test",
    **values,
):
    """Add a run to the folder's table, with predictions if there are any."""
    row = {"run": run, "model": run.split("-")[1], "dataset": "three pets", "seed": 0}
    row |= {"accuracy": accuracy, "mflops": mflops, "hardware": "A Processor, 2 cores"}
    add_result(folder / "results.csv", {**row, **values})
    if predicted is not None:
        (folder / run).mkdir()
        np.savez_compressed(
            folder / run / "predictions.npz",
            split=split,
            labels=np.array(labels, "uint16"),
            predictions=np.array(predicted, "uint16"),
            confidences=np.full(len(labels), 0.5, "float16"),
            class_names=np.array(NAMES),
        )


def summaries_of(folder):
    return summarize_results(read_results(folder / "results.csv"))


@pytest.fixture
def reports(tmp_path):
    """Three runs of one seed, with predictions."""
    for run, predicted in PREDICTED.items():
        accuracy = float(np.mean(np.array(predicted) == LABELS))
        add_run(tmp_path, run, accuracy=accuracy, mflops=100 * accuracy**2, predicted=predicted)
    return tmp_path


def test_the_page_holds_the_table_the_figures_and_the_counts(reports):
    summaries = summaries_of(reports)
    write_comparison(reports / "new" / "page", summaries, reports)
    text = (reports / "new" / "page" / "comparison.md").read_text(encoding="utf-8")
    assert text.startswith("# Comparison on three pets\n")
    assert text.endswith(")\n")
    assert format_summaries(summaries) in text
    assert "Short trainings" not in text
    assert (
        "Of the 6 images of the test split, all 3 models classify 2 correctly, and no model "
        "classifies 1 correctly; on 3, some models are right and some are wrong."
    ) in text
    figures = ["accuracy.png", "pareto.png", "confusions.png", "agreement.png"]
    assert re.findall(r"!\[[^]]+\]\(([^)]+)\)", text) == figures
    written = {path.name for path in (reports / "new" / "page").iterdir()}
    assert written == {"comparison.md", *figures}
    for name in figures:
        with Image.open(reports / "new" / "page" / name) as image:
            assert image.format == "PNG"
            assert 300 <= image.width <= 1600
            assert 200 <= image.height <= 1600


def test_short_trainings_stand_apart_under_the_full_ones(tmp_path):
    add_run(tmp_path, "pets-quick-seed0", accuracy=0.9, epochs=FULL_EPOCHS - 1)
    add_run(tmp_path, "pets-slow-seed0", accuracy=0.7, epochs=FULL_EPOCHS, note="fell in epoch 2")
    summaries = summaries_of(tmp_path)
    write_comparison(tmp_path / "page", summaries, tmp_path)
    text = (tmp_path / "page" / "comparison.md").read_text(encoding="utf-8")
    full, short = summaries
    places = [
        text.index(part)
        for part in (
            "## Full trainings\n\nOf 8 epochs or more.",
            format_table([full], summary_columns()),
            "## Short trainings\n\nOf fewer than 8 epochs.",
            format_table([short], summary_columns()),
            "## Accuracy",
        )
    ]
    assert places == sorted(places)
    assert "fell in epoch 2" in text
    assert (full["run"], short["run"]) == ("pets-slow", "pets-quick")


@pytest.mark.parametrize("epochs", [1, 30])
def test_trainings_of_one_kind_are_one_table_and_notes_have_a_column_where_there_are_any(
    tmp_path, epochs
):
    add_run(tmp_path, "pets-a-seed0", epochs=epochs)
    summaries = summaries_of(tmp_path)
    columns = summary_columns()
    del columns["note"]
    assert format_summaries(summaries) == format_table(summaries, columns)


def test_the_tables_of_the_readme_are_those_of_the_results():
    tables = [REPOSITORY / "reports" / name for name in ("results.csv", "gpu/results.csv")]
    best = {}
    for row in summarize_results(read_tables(tables)):
        best.setdefault((row["full"], row["model"], row["mflops"]), row)
    keys = (
        *("run", "dataset", "mean", "std", "note", "seeds", "epochs", "seconds"),
        *("compile_seconds", "parameters", "hardware"),
    )
    columns = {key: summary_columns()[key] for key in keys}
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    for full in (True, False):
        rows = [row for row in best.values() if row["full"] == full]
        assert format_table(rows, columns) in readme


def test_runs_are_named_shortly_where_they_stay_distinct():
    def short(*runs):
        return [row["run"] for row in name_runs([{"run": r, "model": m} for r, m in runs])]

    assert short(("c10-resnet20", "resnet20"), ("gpu/c10-resnet20-h100", "resnet20")) == [
        "resnet20",
        "gpu/resnet20-h100",
    ]
    assert short(("mine", "resnet20"), ("great-a", "a"), ("x-ab", "a")) == ["mine", "a", "x-ab"]
    assert short(("a-m", "m"), ("b-m", "m")) == ["a-m", "b-m"]
    assert short(("a-m", "m"), ("a-m", "m")) == ["m", "m"]
    assert short(("a-b.py:f", "b.py:f")) == ["b.py:f"]


def test_a_page_replaces_the_one_before(reports):
    write_comparison(reports / "page", summaries_of(reports), reports)
    before = {path.name: path.read_bytes() for path in (reports / "page").iterdir()}
    (reports / "page" / "comparison.md").write_text("old")
    write_comparison(reports / "page", summaries_of(reports), reports)
    assert {path.name: path.read_bytes() for path in (reports / "page").iterdir()} == before


def test_a_page_keeps_no_figure_of_the_one_before(reports):
    write_comparison(reports / "page", summaries_of(reports), reports)
    (reports / "page" / "own.png").write_bytes(b"a figure of somebody else")
    without_operations = [{**row, "mflops": None} for row in summaries_of(reports)[:1]]
    write_comparison(reports / "page", without_operations, reports)
    text = (reports / "page" / "comparison.md").read_text(encoding="utf-8")
    assert re.findall(r"!\[[^]]+\]\(([^)]+)\)", text) == ["accuracy.png"]
    assert "cheaper" not in text
    written = {path.name for path in (reports / "page").iterdir()}
    assert written == {"comparison.md", "accuracy.png", "own.png"}


@pytest.mark.parametrize("given", [0, 1])
def test_a_page_without_two_runs_to_hold_against_each_other(tmp_path, given):
    for run, predicted in list(PREDICTED.items())[:2]:
        add_run(tmp_path, run, predicted=predicted if given and "big" in run else None)
    write_comparison(tmp_path / "page", summaries_of(tmp_path), tmp_path)
    text = (tmp_path / "page" / "comparison.md").read_text(encoding="utf-8")
    assert "## Confusions" not in text
    assert "## Agreement" not in text
    written = {path.name for path in (tmp_path / "page").iterdir()}
    assert written == {"comparison.md", "accuracy.png", "pareto.png"}


def test_runs_on_several_data_sets_or_none_are_refused(reports):
    add_run(reports, "digits-small-seed0", dataset="digits (scikit-learn)")
    several = r"one data set, received \['digits \(scikit-learn\)', 'three pets'\]"
    with pytest.raises(InputError, match=several):
        write_comparison(reports / "page", summaries_of(reports), reports)
    with pytest.raises(InputError, match="one data set, received none"):
        write_comparison(reports / "page", [], reports)
    assert not (reports / "page").exists()


def test_runs_without_predictions_or_of_other_images_are_left_out(reports):
    add_run(reports, "pets-new-seed0", accuracy=0.6)
    add_run(reports, "pets-swapped-seed0", labels=LABELS[::-1], predicted=LABELS)
    add_run(reports, "pets-short-seed0", labels=LABELS[:5], predicted=LABELS[:5])
    found = comparable_predictions(summaries_of(reports), reports)
    assert list(found) == ["pets-big", "pets-small", "pets-tiny"]
    for name, predictions in found.items():
        assert predictions.predictions.tolist() == PREDICTED[f"{name}-seed0"]
        assert predictions.labels.tolist() == LABELS
        assert predictions.class_names == NAMES


def test_runs_on_other_data_of_the_same_title_are_not_held_against_each_other(tmp_path):
    for run, data in (("pets-a-seed0", "1" * 12), ("pets-b-seed0", "2" * 12)):
        add_run(tmp_path, run, predicted=LABELS, fingerprint=data)
    add_run(tmp_path, "pets-c-seed0", accuracy=0.4, predicted=LABELS, fingerprint="1" * 12)
    found = comparable_predictions(summaries_of(tmp_path), tmp_path)
    assert list(found) == ["pets-a", "pets-c"]


def test_names_of_any_kind_stand_in_the_page_as_they_are(tmp_path):
    for seed, run in enumerate(("$1$-seed0", "*b*-seed0")):
        add_run(tmp_path, run, model="m", dataset="my $_images_$", accuracy=0.1 * seed)
    write_comparison(tmp_path / "page", summaries_of(tmp_path), tmp_path)
    text = (tmp_path / "page" / "comparison.md").read_text(encoding="utf-8")
    assert text.startswith("# Comparison on my \\$\\_images\\_\\$\n")
    assert "| \\$1\\$ " in text
    assert "| \\*b\\* " in text


def test_predictions_are_of_the_first_seed_that_has_any(tmp_path):
    add_run(tmp_path, "pets-big-seed0")
    add_run(tmp_path, "pets-big-seed1", seed=1, predicted=[0] * 6)
    add_run(tmp_path, "pets-big-seed2", seed=2, predicted=[1] * 6)
    found = comparable_predictions(summaries_of(tmp_path), tmp_path)
    assert {name: each.predictions.tolist() for name, each in found.items()} == {
        "pets-big": [0] * 6
    }


def test_of_a_run_on_two_machines_the_more_accurate_is_shown(tmp_path):
    add_run(tmp_path, "pets-big-seed0", hardware="slow", accuracy=0.6, predicted=[0] * 6)
    add_run(tmp_path, "pets-big-seed1", hardware="fast", accuracy=0.7, predicted=[1] * 6)
    (found,) = comparable_predictions(summaries_of(tmp_path), tmp_path).values()
    assert found.predictions.tolist() == [1] * 6


def test_predictions_are_of_one_split(tmp_path):
    add_run(tmp_path, "pets-a-seed0", predicted=[0] * 6, split="validation")
    add_run(tmp_path, "pets-a-seed1", seed=1, predicted=[1] * 6)
    add_run(tmp_path, "pets-b-seed0", predicted=[2] * 6, split="validation")
    for split, expected in (("test", {"pets-a": 1}), ("validation", {"pets-a": 0, "pets-b": 2})):
        found = comparable_predictions(summaries_of(tmp_path), tmp_path, split)
        assert {name: each.predictions[0] for name, each in found.items()} == expected


@pytest.mark.parametrize("split", ["test", "validation"])
def test_a_page_to_choose_by_holds_nothing_of_the_test_split(tmp_path, split):
    for run, predicted in PREDICTED.items():
        add_run(tmp_path, run, predicted=predicted, split=split, validation_accuracy=0.5)
    summaries = summarize_results(read_results(tmp_path / "results.csv"), "validation_accuracy")
    write_comparison(tmp_path / "page", summaries, tmp_path, "validation_accuracy")
    text = (tmp_path / "page" / "comparison.md").read_text(encoding="utf-8")
    assert format_summaries(summaries, "validation_accuracy") in text
    assert ("Of the 6 images of the validation split, all" in text) == (split == "validation")
    for figure in ("confusions.png", "agreement.png"):
        assert (tmp_path / "page" / figure).exists() == (split == "validation")


def test_no_more_models_than_fit_are_compared_and_the_most_accurate_first(tmp_path):
    for number in range(10):
        add_run(tmp_path, f"pets-m{number}-seed0", accuracy=number / 10, predicted=LABELS)
    summaries = summaries_of(tmp_path)
    assert list(comparable_predictions(summaries, tmp_path)) == [
        f"pets-m{n}" for n in range(9, 1, -1)
    ]
    assert list(comparable_predictions(summaries, tmp_path, limit=2)) == ["pets-m9", "pets-m8"]


def test_damaged_predictions_are_named(reports):
    file = reports / "pets-small-seed0" / "predictions.npz"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(
        InputError, match=r"pets-small-seed0/predictions\.npz: holds no predictions"
    ):
        write_comparison(reports / "page", summaries_of(reports), reports)
    assert not (reports / "page").exists()


def test_agreement_by_hand():
    predictions = {
        name: Predictions("test", np.array(LABELS), np.array(predicted), np.full(6, 0.5), NAMES)
        for name, predicted in PREDICTED.items()
    }
    agreement = compare_predictions(predictions)
    # big and small differ in images 3 and 4; tiny differs from both in 1 and 5, and in 4,
    # and from big in 3.
    np.testing.assert_allclose(agreement.pop("matrix") * 6, [[6, 4, 2], [4, 6, 3], [2, 3, 6]])
    assert agreement == {"images": 6, "all_right": 2, "all_wrong": 1, "disputed": 3}


def test_agreement_of_models_that_are_never_wrong():
    right = Predictions("test", np.array(LABELS), np.array(LABELS), np.ones(6), NAMES)
    agreement = compare_predictions({"a": right, "b": right})
    assert agreement.pop("matrix").tolist() == [[1.0, 1.0], [1.0, 1.0]]
    assert agreement == {"images": 6, "all_right": 6, "all_wrong": 0, "disputed": 0}
