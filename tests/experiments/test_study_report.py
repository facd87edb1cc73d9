"""From rows to an answer: figures by hand, plain words, a page that says how."""

import json
from pathlib import Path

import numpy as np
import pytest

from cnn_cifar10.configs import find_study, list_studies
from cnn_cifar10.experiments import (
    compare_with_reference,
    read_runs,
    summarize_study,
    write_findings,
    write_study,
)
from cnn_cifar10.utils import InputError

T_OF_2 = 4.30265273
REPORTS = Path(__file__).parents[2] / "reports"


@pytest.fixture
def summaries(sizes, measured, rows_of):
    return {row["variant"]: row for row in summarize_study(sizes, rows_of(sizes, measured))}


def test_variants_are_measured_by_hand_and_sorted_by_their_mean(summaries):
    assert list(summaries) == ["width 64", "width 32", "width 16", "width 8"]
    row = summaries["width 16"]
    assert row["values"] == [0.71, 0.72, 0.73]
    assert (row["mean"], row["std"]) == pytest.approx((0.72, 0.01))
    assert row["high"] - row["mean"] == pytest.approx(T_OF_2 * 0.01 / 3**0.5)
    assert (row["verdict"], row["difference"], row["p_value"]) == ("reference", None, None)
    assert (row["seconds"], row["parameters"], row["seeds"], row["failed"]) == (
        *(11.0, 1000, [0, 1, 2], 0),
    )


def test_differences_are_paired_by_seed_and_corrected_for_their_number(summaries, measured):
    better, worse = summaries["width 32"], summaries["width 8"]
    assert better["difference"] == pytest.approx(0.02)
    found = compare_with_reference(
        {label: measured[label] for label in ("width 8", "width 16", "width 32")}, "width 16"
    )
    for row in (better, worse):
        expected = found[row["variant"]]
        assert (row["difference"], row["difference_low"], row["difference_high"]) == expected[:3]
    # Two comparisons were made: the smaller p counts twice.
    assert better["p_value"] == 2 * found["width 32"][3]
    assert worse["p_value"] == found["width 8"][3]
    assert (better["verdict"], worse["verdict"]) == ("better", "no difference seen")


def test_failed_runs_are_counted_and_leave_too_little_to_tell(summaries):
    row = summaries["width 64"]
    assert (row["failed"], row["values"], row["seeds"]) == (2, [0.75], [1])
    assert row["difference"] == pytest.approx(0.03)
    assert (row["verdict"], row["p_value"]) == ("cannot be told", None)


def test_a_variant_of_which_all_runs_failed_comes_last(sizes, measured, rows_of):
    rows = rows_of(sizes, {**measured, "width 64": {0: None, 1: None}})
    last = summarize_study(sizes, rows)[-1]
    assert (last["variant"], last["verdict"], last["mean"]) == ("width 64", "training failed", None)
    assert last["seconds"] is None


def test_seeds_that_the_reference_lacks_are_not_compared(sizes, rows_of):
    rows = rows_of(sizes, {"width 8": {0: 0.1, 1: 0.2, 7: 0.9}, "width 16": {0: 0.2, 1: 0.4}})
    better, worse = summarize_study(sizes, rows)
    assert (better["variant"], worse["variant"]) == ("width 8", "width 16")
    assert better["difference"] == pytest.approx(-0.15)
    assert better["verdict"] == "cannot be told"


def test_the_page_answers_in_words_and_says_how_it_was_measured(tmp_path, sizes, measured, rows_of):
    rows = rows_of(sizes, measured)
    for row in rows:
        settings = json.loads(row["settings"])
        options = {**settings["model_options"], "depth": 1}
        row["settings"] = json.dumps({**settings, "model_options": options})
    document = write_study(sizes, rows, tmp_path / "study")
    assert document["answer"] == (
        "Compared with width 16 (72.00%): Better: width 32 (+2.00 points). No difference seen: "
        "width 8 (-0.60 points). Cannot be told: width 64 (+3.00 points)."
    )
    page = (tmp_path / "study/report.md").read_text(encoding="utf-8")
    lines = page.splitlines()
    assert lines[0] == "# sizes: Which width is best?"
    assert lines[2] == document["answer"]
    cells = {line.split(" | ")[0].strip("| "): line for line in lines if line.startswith("| w")}
    assert [cell.strip(" |") for cell in cells["width 32"].split(" | ")] == [
        *("width 32", "0.7400", "0.0095", "0.7163 to 0.7637", "+2.00", "+1.25 to +2.75"),
        *("0.0036", "better", "3", "1000", "11.0"),
    ]
    assert "| 1 of 3 |" in cells["width 64"]
    assert "on digits (scikit-learn), of models trained on 1,258 images; seeds 0, 1, 2;" in page
    assert "training on a CPU, 2 cores (float32, tensorflow). The test split was not used." in page
    assert (
        'share, besides the defaults of `TrainingConfig`: `dataset="digits"`, `epochs=3`, ' in page
    )
    assert "`epochs=3`, `learning_rate=0.2`, `depth=1`.\n" in page
    assert "for the number of comparisons, 2;" in page
    assert (tmp_path / "study/accuracy.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads(json.dumps(document)) == document
    assert document["runs"] == rows


def test_two_seeds_tell_nothing(tmp_path, sizes, measured, rows_of):
    few = {label: {0: values[0], 1: values[1]} for label, values in measured.items()}
    answer = write_study(sizes, rows_of(sizes, few), tmp_path)["answer"]
    assert "Better" not in answer
    assert "Cannot be told: width 64 (+3.00 points); width 32 (+2.05 points)" in answer


def test_without_its_reference_a_study_says_so(tmp_path, sizes, measured, rows_of):
    rows = rows_of(sizes, {**measured, "width 16": {0: None}})
    answer = write_study(sizes, rows, tmp_path)["answer"]
    assert answer == "The reference, width 16, has no accuracy to compare with."
    with pytest.raises(InputError, match="study 'sizes' has no runs yet"):
        write_study(sizes, [], tmp_path)


def test_seed_variance_says_what_chance_alone_does(tmp_path, rows_of):
    study = find_study("seed_variance")
    values = dict(enumerate((0.70, 0.72, 0.71, 0.74, 0.73)))
    document = write_study(study, rows_of(study, {"same config": values}), tmp_path)
    assert document["answer"] == (
        "Runs that differ only in the seed reach 72.00% with a standard deviation of 1.58 "
        "points (5 seeds, 70.00% to 74.00%). So two single runs are more than 6.21 points apart "
        "one time in twenty by chance alone."
    )
    assert "paired" not in (tmp_path / "report.md").read_text()
    one = write_study(study, rows_of(study, {"same config": {0: 0.7}}), tmp_path)
    assert one["answer"] == "Fewer than two runs do not show how far apart runs are."


@pytest.mark.parametrize("name", list_studies())
def test_every_named_study_gets_its_page_whatever_failed(name, tmp_path, rows_of):
    study = find_study(name)
    rng = np.random.default_rng(0)
    accuracies = {
        label: {seed: round(rng.uniform(0.6, 0.8), 4) for seed in study.seeds}
        for label in study.variants
    }
    others = [label for label in study.variants if label != study.reference]
    for label in others[-1:]:
        accuracies[label] = dict.fromkeys(study.seeds)
    document = write_study(study, rows_of(study, accuracies), tmp_path)
    assert {row["variant"] for row in document["variants"]} == set(study.variants)
    for row in document["variants"]:
        assert len(row["place"]) == len(study.axes)
    for label in others[-1:]:
        assert document["answer"].endswith(f" Training failed: {label}.")


def test_pages_of_the_repository_are_those_of_their_runs(tmp_path):
    folders = {name: f"studies/cifar10-{name}" for name in list_studies()}
    studies = [
        (study, read_runs(study, REPORTS / folders[study.name] / "runs.csv"))
        for study in map(find_study, folders)
    ]
    for study, rows in studies:
        write_study(study, rows, tmp_path / folders[study.name])
    write_findings(studies, tmp_path / "findings.md", folders)
    for page in ("findings.md", *(f"{folder}/report.md" for folder in folders.values())):
        assert (tmp_path / page).read_text() == (REPORTS / page).read_text(), page
