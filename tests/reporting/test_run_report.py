"""Reports: everything in them is there, true, and from the arguments alone."""

import csv
import dataclasses
import json
import re

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from cnn_cifar10.datasets import Dataset, ImageFiles, Split
from cnn_cifar10.evaluation import Evaluation
from cnn_cifar10.reporting import (
    check_report_place,
    find_report,
    format_metrics,
    read_report,
    read_results,
    report_run,
    result_columns,
)
from cnn_cifar10.reporting.predictions import read_predictions
from cnn_cifar10.reporting.run_report import result_row, write_report
from cnn_cifar10.training import Run
from cnn_cifar10.utils import InputError, printable

NAMES = ("cat", "dog|wolf", "aquarium_fish")
COSTS = {"mflops": 12.5, "megabytes": 0.25, "latency_ms": 3.5}
HISTORY = {
    "epoch": [1.0, 2.0],
    "loss": [1.0, 0.5],
    "val_loss": [1.1, 0.7],
    "accuracy": [0.5, 0.8],
    "val_accuracy": [0.4, 0.6],
    "seconds": [5.0, 9.5],
}


@pytest.fixture(scope="module")
def dataset():
    rng = np.random.default_rng(0)

    def split(count):
        pixels = rng.integers(0, 256, (count, 8, 8, 3), "uint8")
        return Split(pixels, np.arange(count) % 3)

    return Dataset("folder", "three pets", NAMES, split(30), split(9), split(12))


@pytest.fixture(scope="module")
def facts(dataset):
    return {
        "run": "folder-tiny-seed7",
        "model": "tiny",
        "dataset": dataset.title,
        "config": {"model": "tiny", "epochs": 2, "data_dir": "/home/somebody/pets"},
        "parameters": 1234,
        "epochs": 2,
        "best_epoch": 2,
        "seconds": 9.5,
        "images_per_second": 1500,
        "hardware": {"cpu": "A Processor", "cores": 2, "gpu": ""},
        "precision": "float32",
        "backend": "tensorflow",
        "versions": {"keras": "3.15.1"},
        "seed": 7,
        "commit": "abc123",
        "fingerprint": dataset.fingerprint,
    }


def evaluate(split, wrong=0):
    """An evaluation whose first `wrong` examples are taken for the next class."""
    predicted = (split.labels + (np.arange(len(split)) < wrong)) % 3
    return Evaluation(split.labels, 0.7 * np.eye(3)[predicted] + 0.1, NAMES)


@pytest.fixture(scope="module")
def evaluations(dataset):
    return {
        "test": evaluate(dataset.test, 3),
        "train": evaluate(Split(dataset.train.images[:20], dataset.train.labels[:20])),
        "validation": evaluate(dataset.validation, 1),
    }


@pytest.fixture(scope="module")
def report_dir(tmp_path_factory, dataset, facts, evaluations):
    path = tmp_path_factory.mktemp("reports") / "run"
    write_report(path, facts=facts, dataset=dataset, evaluations=evaluations, history=HISTORY)
    return path


def test_report_reads_from_top_to_bottom(report_dir, facts):
    text = (report_dir / "report.md").read_text()
    headline = text.splitlines()[2]
    assert headline.startswith(
        "tiny classifies 75.00% of the 12 images of the three pets test split correctly (macro F1 "
        "0.7500"
    )
    assert headline.endswith(
        "; trained with seed 7 for 2 epochs in 10 seconds on A Processor, 2 cores."
    )
    for name in ("cat", r"dog\|wolf", "aquarium_fish"):
        assert re.search(rf"^\| {re.escape(name)} +\| +[\d.]+ \|", text, re.MULTILINE)
    assert "Training accuracy is 11.1 points above validation accuracy (100.00% and 88.89%)" in text
    assert "not used" not in text
    assert "fingerprints differ" not in text
    for fact in (facts["fingerprint"], "keras 3.15.1", "abc123", "`epochs`"):
        assert fact in text
    assert "batch size, halved" not in text


def test_seconds_of_compiling_stand_beside_those_of_training(tmp_path, dataset, facts, evaluations):
    given = {"dataset": dataset, "evaluations": evaluations, "history": HISTORY}
    facts = {**facts, "seconds": 1000.0, "compile_seconds": 14.94}
    report = write_report(tmp_path, facts=facts, **given)
    assert "in 1,000 seconds, 14.9 of them compiling, on A Processor" in report["headline"]
    text = (tmp_path / "report.md").read_text()
    assert re.search(r"\| seconds of training +\| 1,000\.0 ", text)
    assert re.search(r"\| seconds of compiling, among them +\| 14\.94 ", text)
    report = write_report(tmp_path, facts={**facts, "compile_seconds": 0.0}, **given)
    assert "in 1,000 seconds on A Processor" in report["headline"]


def test_a_training_that_fell_back_to_chance_says_so_first(tmp_path, dataset, facts, evaluations):
    fall = {"epoch": 4, "reason": "training fell back to chance in epoch 4"}
    given = {"dataset": dataset, "evaluations": evaluations, "history": HISTORY}
    report = write_report(tmp_path, facts={**facts, "fall": fall}, **given)
    said = (
        "It went on at half the learning rate after this: training fell back to chance in epoch 4."
    )
    assert said in report["headline"]
    assert said in (tmp_path / "report.md").read_text()


def test_every_image_of_the_report_exists_and_is_small(report_dir):
    links = re.findall(r"!\[[^]]+\]\(([^)]+)\)", (report_dir / "report.md").read_text())
    assert sorted(links) == [
        "confusion_matrix.png",
        "mistakes.png",
        "per_class.png",
        "training_curves.png",
    ]
    for link in links:
        content = (report_dir / link).read_bytes()
        assert content.startswith(b"\x89PNG")
        assert len(content) < 300_000


def test_report_leaves_nothing_unfinished_and_no_private_path(report_dir):
    assert sorted(path.name for path in report_dir.iterdir()) == [
        "confusion_matrix.csv",
        "confusion_matrix.png",
        "mistakes.csv",
        "mistakes.png",
        "per_class.csv",
        "per_class.png",
        "predictions.csv",
        "predictions.npz",
        "report.json",
        "report.md",
        "training_curves.png",
    ]
    for name in ("report.md", "report.json"):
        assert "somebody" not in (report_dir / name).read_text()


def test_report_json_holds_everything(report_dir, facts, evaluations):
    report = json.loads((report_dir / "report.json").read_text())
    assert report["split"] == "test"
    assert list(report["metrics"]) == ["train", "validation", "test"]
    assert report["metrics"]["test"] == pytest.approx(evaluations["test"].summary())
    assert report["facts"]["hardware"] == facts["hardware"]
    assert report["confusion_matrix"] == [[3, 1, 0], [0, 3, 1], [1, 0, 3]]
    assert report["history"] == HISTORY
    assert [mistake["index"] for mistake in report["mistakes"]] == [0, 1, 2]
    assert report["mistakes"][1] == {
        "index": 1,
        "true_class": "dog|wolf",
        "predicted_class": "aquarium_fish",
        "confidence": pytest.approx(0.8),
        "true_probability": pytest.approx(0.1),
    }
    assert report["majority_baseline"] == {"class": "cat", "accuracy": pytest.approx(1 / 3)}
    assert report["unequal"] is False


def test_report_tables_open_elsewhere(report_dir):
    with open(report_dir / "confusion_matrix.csv", newline="") as file:
        assert list(csv.reader(file)) == [
            ["true class", *NAMES],
            ["cat", "3", "1", "0"],
            ["dog|wolf", "0", "3", "1"],
            ["aquarium_fish", "1", "0", "3"],
        ]
    with open(report_dir / "per_class.csv", newline="") as file:
        first = next(csv.DictReader(file))
    assert first == {
        "class": "cat",
        "precision": "0.7500",
        "recall": "0.7500",
        "recall_low": "0.3006",
        "recall_high": "0.9544",
        "f1": "0.7500",
        "support": "4",
    }


def test_report_keeps_the_prediction_of_every_image(report_dir, evaluations):
    evaluation = evaluations["test"]
    kept = read_predictions(report_dir / "predictions.npz")
    np.testing.assert_array_equal(kept.labels, evaluation.labels)
    np.testing.assert_array_equal(kept.predictions, evaluation.predictions)
    np.testing.assert_allclose(kept.confidences, evaluation.confidences, rtol=1e-3)
    np.testing.assert_array_equal(kept.confusion_matrix, evaluation.confusion_matrix)
    assert kept.class_names == NAMES
    assert kept.split == "test"


def read_csv(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_prediction_and_every_mistake_is_in_a_table(report_dir):
    rows = read_csv(report_dir / "predictions.csv")
    assert len(rows) == 12
    probabilities = {"p(cat)": "0.1", "p(dog|wolf)": "0.1", "p(aquarium_fish)": "0.8"}
    assert rows[1] == {
        **{"index": "1", "true_class": "dog|wolf", "predicted_class": "aquarium_fish"},
        **{"confidence": "0.8", **probabilities},
    }
    mistakes = read_csv(report_dir / "mistakes.csv")
    assert [row["index"] for row in mistakes] == ["0", "1", "2"]
    assert mistakes[1] == {
        **{key: rows[1][key] for key in ("index", "true_class", "predicted_class", "confidence")},
        "true_probability": "0.1",
    }


def own_images(folder, names, counts, **more):
    """A data set of files in class folders, some of them with names of any kind."""
    splits, paths = {}, {}
    for split, count in counts.items():
        ids, labels = [], []
        for label, (name, images) in enumerate(zip(names, count, strict=True)):
            for index in range(images):
                ids.append(f"{name}/{split} $_{index}$.png")
                labels.append(label)
        paths[split] = [str(folder / f"{split}{index}.png") for index in range(len(ids))]
        for path in paths[split]:
            Image.new("RGB", (20, 10), (200, 10, 10)).save(path)
        files = ImageFiles(paths[split], (8, 8), "pad")
        splits[split] = Split(files, np.array(labels, "int64"), np.array(ids, dtype=object))
    return Dataset("folder", "my $images$", tuple(names), **splits, **more)


UNEQUAL = {"train": (30, 10, 5), "validation": (8, 4, 2), "test": (12, 4, 2)}
ANY_NAMES = ("$1_$5", "*cat*", "caf\udce9")


@pytest.fixture
def own(tmp_path):
    (tmp_path / "images").mkdir()
    notes = ("2 files could not be read: a_b*.png.", "4 exact copies stay in one split.")
    return own_images(tmp_path / "images", [*map(printable, ANY_NAMES)], UNEQUAL, notes=notes)


def write(path, dataset, facts, evaluations, **more):
    facts = {**facts, "dataset": dataset.title, "fingerprint": dataset.fingerprint}
    return write_report(
        path, facts=facts, dataset=dataset, evaluations=evaluations, history=HISTORY, **more
    )


def evaluate_own(dataset, split, wrong):
    labels, classes = dataset.split(split).labels, dataset.num_classes
    predicted = labels.copy()
    predicted[-wrong:] = 0
    probabilities = 0.7 * np.eye(classes)[predicted] + 0.3 / classes
    return Evaluation(labels, probabilities, dataset.class_names)


def test_results_name_the_files_and_the_page_the_data(tmp_path, own, facts):
    report = write(tmp_path / "r", own, facts, {"test": evaluate_own(own, "test", 3)})
    files = [f"{printable(ANY_NAMES[2])}/test $_{i}$.png" for i in (0, 1)]
    assert [row["file"] for row in report["mistakes"]] == ["*cat*/test $_3$.png", *files]
    mistakes = read_csv(tmp_path / "r" / "mistakes.csv")
    assert [row["file"] for row in mistakes] == [row["file"] for row in report["mistakes"]]
    assert read_csv(tmp_path / "r" / "predictions.csv")[0]["file"] == "$1_$5/test $_0$.png"
    text = (tmp_path / "r" / "report.md").read_text(encoding="utf-8")
    assert "3 classes of 5 to 30 training images; in all 45 train, 14 validation, 18 test" in text
    assert "Files are read at 8 x 8 pixels (`fit`: pad)." in text
    assert "\n- 2 files could not be read: a_b\\*.png.\n" in text
    assert report["data"]["notes"] == list(own.notes)
    assert re.search(r"^\| \\\$1\\_\\\$5 +\|", text, re.MULTILINE)
    assert r"my \$images\$ test split" in text


def test_of_unequal_classes_the_report_leads_with_the_balanced_accuracy(tmp_path, own, facts):
    report = write(tmp_path / "r", own, facts, {"test": evaluate_own(own, "test", 3)})
    assert report["unequal"] is True
    assert report["headline"].startswith(
        "tiny reaches a balanced accuracy of 58.33% (macro F1 0.5820) on the 18 images of the my "
        "$images$ test split, whose classes are unequal: it classifies 83.33% correctly, where "
        "always answering $1_$5, the largest class, would classify 66.67%; trained"
    )
    text = (tmp_path / "r" / "report.md").read_text(encoding="utf-8")
    assert "The 95% interval of the accuracy on the test split is 60.78% to 94.16%." in text
    small = r"Too few images to judge: \*cat\* (4), caf\\xe9 (2)."
    assert small in text
    rows = read_csv(tmp_path / "r" / "per_class.csv")
    assert [(row["recall_low"], row["recall_high"]) for row in rows] == [
        ("0.7575", "1.0000"),
        ("0.3006", "0.9544"),
        ("0.0000", "0.6576"),
    ]


@pytest.mark.parametrize(("counts", "unequal"), [((3, 2), True), ((4, 3), False), ((4, 0), True)])
def test_classes_are_unequal_from_half_as_many_again(tmp_path, facts, counts, unequal):
    labels = np.repeat([0, 1], counts)
    split = Split(np.zeros((len(labels), 8, 8, 3), "uint8"), labels)
    both = Split(np.zeros((2, 8, 8, 3), "uint8"), np.arange(2))
    dataset = Dataset("folder", "two", ("a", "b"), both, both, split)
    evaluation = Evaluation(labels, np.eye(2)[labels], "ab")
    assert write(tmp_path, dataset, facts, {"test": evaluation})["unequal"] is unequal


def test_without_a_test_split_every_figure_is_said_to_be_of_validation(tmp_path, own, facts):
    untested = dataclasses.replace(own, test=own.test[:0])
    evaluations = {"validation": evaluate_own(own, "validation", 2)}
    report = write(tmp_path / "r", untested, facts, evaluations)
    assert report["split"] == untested.judged == "validation"
    said = "The data have no test split: figures are of the validation split, which chose"
    assert said in report["headline"]
    assert "my $images$ validation split" in report["headline"]
    assert "test split was not used" not in report["headline"]
    assert said in format_metrics(report)
    text = (tmp_path / "r" / "report.md").read_text(encoding="utf-8")
    assert text.count(said) == 2
    assert all("/validation " in row["file"] for row in read_csv(tmp_path / "r" / "mistakes.csv"))
    trained = write(tmp_path / "t", untested, facts, {"train": evaluate_own(own, "train", 2)})
    assert trained["headline"].endswith("have no test split: these are images of the training.")
    row = result_row(facts, report["metrics"], COSTS)
    assert row["accuracy"] is row["balanced_accuracy"] is None
    assert row["validation_accuracy"] == report["metrics"]["validation"]["accuracy"]


def test_report_run_leaves_empty_splits_out(digits, digits_run, tmp_path):
    untested = dataclasses.replace(digits, test=digits.test[:0])
    report = report_run(digits_run, untested, tmp_path / "report", tmp_path / "results.csv")
    assert list(report["metrics"]) == ["train", "validation"]
    assert "The data have no test split" in report["headline"]
    assert not (tmp_path / "results.csv").exists()  # since these are other splits


def test_report_keeps_nothing_of_the_one_before(tmp_path, dataset, facts, evaluations):
    issues = [{"index": 0, "true_class": "cat", "predicted_class": "dog", "true_probability": 0.1}]
    figures = {"labels.png": Figure(), "calibration.png": Figure()}
    found = {"calibration_error": 0.1, "corruptions": [], "corrupted_images": 0, "label_errors": []}
    write(tmp_path, dataset, facts, evaluations, diagnostics=(found, figures, issues))
    assert read_csv(tmp_path / "label_issues.csv") == [
        {"index": "0", "label": "cat", "suggested": "dog", "score": "0.1"}
    ]
    assert (tmp_path / "labels.png").exists()
    perfect = {"validation": evaluate(dataset.validation)}
    write(tmp_path, dataset, facts, perfect)
    left = {path.name for path in tmp_path.iterdir()}
    assert not left & {"mistakes.png", "labels.png", "calibration.png", "label_issues.csv"}
    assert read_csv(tmp_path / "mistakes.csv") == []
    assert len(read_csv(tmp_path / "predictions.csv")) == len(dataset.validation)


@pytest.mark.parametrize("classes", [60, 150])
def test_report_of_very_many_classes_is_short_and_whole_in_tables(tmp_path, facts, classes):
    labels = np.repeat(np.arange(classes), 2)
    split = Split(np.zeros((len(labels), 8, 8, 3), "uint8"), labels)
    names = tuple(f"species {i}" for i in range(classes))
    dataset = Dataset("folder", "many", names, split, split, split)
    predicted = np.where(np.arange(len(labels)) % 10, labels, 0)
    probabilities = 0.5 * np.eye(classes)[predicted] + 0.5 / classes
    evaluation = Evaluation(labels, probabilities, names)
    report = write(tmp_path, dataset, facts, {"test": evaluation})
    assert ("confusion_matrix" in report) == (classes <= 100)
    assert len(read_csv(tmp_path / "per_class.csv")) == classes
    matrix = read_csv(tmp_path / "confusion_matrix.csv")
    assert [int(row["species 0"]) for row in matrix] == evaluation.confusion_matrix[:, 0].tolist()
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert f"The 50 of {classes} classes with the lowest F1; all are in per_class.csv." in text
    assert len(re.findall(r"^\| species \d+ +\| +[01]\.", text, re.MULTILINE)) == 50
    assert len(text) < 15_000
    first = read_csv(tmp_path / "predictions.csv")[10]
    assert list(first)[:4] == ["index", "true_class", "predicted_class", "confidence"]
    assert (first["true_class"], first["class_2"]) == ("species 5", "species 1")
    assert len(first) == 4 + 2 * 4
    with Image.open(tmp_path / "confusion_matrix.png") as image:
        assert max(image.size) < 2300


def test_the_report_and_the_row_of_another_run_are_refused_before_anything(
    digits, digits_run, tmp_path, monkeypatch
):
    report, table = tmp_path / "report", tmp_path / "results.csv"
    report_run(digits_run, digits, report, table, ("validation",))
    before = {path: path.read_bytes() for path in (*report.iterdir(), table)}
    facts = digits_run.facts()
    other = {**facts, "seed": 5, "id": "0123456789ab"}
    monkeypatch.setattr(Run, "facts", lambda self: other)
    monkeypatch.setattr(Run, "load_model", lambda self: pytest.fail("loads the model"))
    name = facts["run"]
    for places, what in (
        ((report, tmp_path / "new.csv"), f"{report}: the report"),
        ((tmp_path / "new", table), f"{table}: the row"),
    ):
        with pytest.raises(InputError) as error:
            report_run(digits_run, digits, *places)
        assert str(error.value).startswith(f"{what} is of another run, {name} (custom_cnn on ")
        assert f", than {name} (custom_cnn on {digits.title}, seed 5, id 012" in str(error.value)
        with pytest.raises(InputError, match="of another run"):
            check_report_place(other, *places)
    assert not (tmp_path / "new").exists()
    assert {path: path.read_bytes() for path in before} == before
    check_report_place(facts, report, table)
    check_report_place(other, tmp_path / "new" / "deep", tmp_path / "new" / "results.csv")


def test_a_report_is_found_by_all_that_is_known_of_its_run(digits, digits_run, tmp_path):
    places, facts = (tmp_path / "report", tmp_path / "results.csv"), digits_run.facts()
    report_run(digits_run, digits, *places, ("validation",))
    found = find_report(facts, *places, ("validation",))
    assert found["facts"]["id"] == facts["id"]
    assert find_report({**facts, "seconds": 1e6}, *places, ("validation",)) is None
    assert find_report({**facts, "id": "0123456789ab"}, *places, ("validation",)) is None
    moved = {**facts, "config": {**facts["config"], "data_dir": "/elsewhere"}}
    assert find_report(moved, *places, ("validation",)) == found


def test_places_that_cannot_be_written_are_refused(facts, tmp_path):
    (tmp_path / "file").write_text("a file, where a folder is wanted")
    for places in (
        (tmp_path / "file" / "report", tmp_path / "results.csv"),
        (tmp_path / "report", tmp_path / "file" / "results.csv"),
    ):
        with pytest.raises(InputError, match=r"file.*: cannot be written; name another"):
            check_report_place(facts, *places)
    (tmp_path / "results.csv").write_text("no table")
    with pytest.raises(InputError, match="first line must name columns"):
        check_report_place(facts, tmp_path / "report", tmp_path / "results.csv")


def overwrite_first_array(path):
    """Leave the archive's directory as it is, but not what it leads to."""
    content = bytearray(path.read_bytes())
    content[60:100] = b"\xff" * 40
    path.write_bytes(content)


def forget_the_split(path):
    with np.load(path) as file:
        arrays = {key: file[key] for key in file if key != "split"}
    np.savez(path, **arrays)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"no archive"),
        lambda path: path.write_bytes(path.read_bytes()[:300]),
        overwrite_first_array,
        lambda path: np.savez(path, labels=np.zeros(3)),
        forget_the_split,
    ],
    ids=["missing", "empty", "no archive", "half", "overwritten", "incomplete", "of no split"],
)
def test_predictions_that_cannot_be_read_are_named(report_dir, tmp_path, damage):
    path = tmp_path / "predictions.npz"
    path.write_bytes((report_dir / "predictions.npz").read_bytes())
    damage(path)
    with pytest.raises(
        InputError, match=r"predictions\.npz: holds no predictions .*evaluate again"
    ):
        read_predictions(path)


def test_report_depends_on_its_arguments_alone(report_dir, tmp_path, dataset, facts, evaluations):
    write_report(tmp_path, facts=facts, dataset=dataset, evaluations=evaluations, history=HISTORY)
    for path in report_dir.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name


def test_report_without_the_test_split_says_so(tmp_path, dataset, facts, evaluations):
    chosen = {"validation": evaluations["validation"]}
    report = write_report(tmp_path, facts=facts, dataset=dataset, evaluations=chosen, history={})
    assert report["headline"].endswith("The test split was not used.")
    text = (tmp_path / "report.md").read_text()
    assert report["headline"] in text
    assert "three pets validation split" in text
    assert read_predictions(tmp_path / "predictions.npz").split == "validation"
    assert "training_curves.png" not in text
    assert not (tmp_path / "training_curves.png").exists()


def test_report_of_a_sample_of_train_shows_no_images(tmp_path, dataset, facts):
    sample = evaluate(Split(dataset.train.images[3:20], dataset.train.labels[3:20]), wrong=2)
    report = write_report(
        tmp_path, facts=facts, dataset=dataset, evaluations={"train": sample}, history=HISTORY
    )
    assert report["mistakes"] == []
    assert "mistakes.png" not in (tmp_path / "report.md").read_text()


def test_report_without_a_mistake(tmp_path, dataset, facts):
    perfect = {"test": evaluate(dataset.test)}
    write_report(tmp_path, facts=facts, dataset=dataset, evaluations=perfect, history=HISTORY)
    text = (tmp_path / "report.md").read_text()
    assert "No image is classified wrongly." in text
    assert "mistakes.png" not in text
    assert "## How it was trained" in text


def test_report_warns_of_other_splits(tmp_path, dataset, facts, evaluations):
    facts = {**facts, "fingerprint": "another"}
    write_report(tmp_path, facts=facts, dataset=dataset, evaluations=evaluations, history=HISTORY)
    assert "trained with other splits than these" in (tmp_path / "report.md").read_text()


def test_report_refuses_what_does_not_belong_together(tmp_path, dataset, facts, evaluations):
    def write(evaluations):
        write_report(
            tmp_path / "r", facts=facts, dataset=dataset, evaluations=evaluations, history=HISTORY
        )

    with pytest.raises(InputError, match="received \\[\\]"):
        write({})
    with pytest.raises(InputError, match="'dev'"):
        write({"dev": evaluations["test"]})
    with pytest.raises(InputError, match="12 labels of three pets's test split"):
        write({"test": evaluations["validation"]})
    with pytest.raises(InputError, match="other class names"):
        write({"test": Evaluation(dataset.test.labels, np.eye(3)[dataset.test.labels], "abc")})
    assert not (tmp_path / "r").exists()


def test_accuracy_of_record_is_of_the_test_split(facts, evaluations):
    metrics = {split: evaluation.summary() for split, evaluation in evaluations.items()}
    metrics["test"]["tta_accuracy"] = 0.8
    full = result_row(facts, metrics, COSTS)
    assert set(full) == set(result_columns())
    assert full["accuracy"] == pytest.approx(0.75)
    assert full["tta_accuracy"] == 0.8
    assert full["validation_accuracy"] == pytest.approx(8 / 9)
    assert full["train_accuracy"] == 1.0
    assert {key: full[key] for key in COSTS} == COSTS
    assert full["hardware"] == "A Processor, 2 cores"
    untested = result_row(facts, {"validation": metrics["validation"]}, COSTS)
    assert untested["accuracy"] is None
    assert untested["macro_f1"] is None
    assert untested["validation_accuracy"] == pytest.approx(8 / 9)


def test_metrics_with_test_time_augmentation_stand_beside_the_others(
    tmp_path, dataset, facts, evaluations
):
    report = write_report(
        tmp_path,
        facts=facts,
        dataset=dataset,
        evaluations=evaluations,
        history=HISTORY,
        augmented={"test": evaluate(dataset.test)},
    )
    assert report["metrics"]["test"]["accuracy"] == pytest.approx(0.75)
    assert report["metrics"]["test"]["tta_accuracy"] == 1.0
    assert "tta_accuracy" not in report["metrics"]["validation"]
    heading, *_, last = format_metrics(report).split("\n\n")[0].splitlines()
    assert heading.endswith("| accuracy over six views |")
    assert last.endswith(" 1.0000 |")
    assert report["headline"].count("macro F1") == 1


def test_a_report_of_an_older_version_is_read(report_dir, tmp_path):
    report = read_report(report_dir)  # without the checksum, which older ones do not have
    report["closer"] = {"corruptions": [{"corruption": "jpeg", "strength": 0, "accuracy": 1.0}]}
    del report["metrics"]["test"]["macro_f1"]
    report["metrics"]["test"]["skill"] = 1.0
    (tmp_path / "report.json").write_text(json.dumps(report))
    assert read_report(tmp_path) == report
    heading = format_metrics(report).splitlines()[0]
    assert "skill" not in heading
    assert "accuracy" in heading
    with pytest.raises(InputError, match=r"report\.json: no report .*cnn-cifar10 evaluate"):
        read_report(tmp_path / "none")


def test_report_of_a_trained_run(digits, digits_run, tmp_path):
    report = report_run(digits_run, digits, tmp_path / "report", tmp_path / "results.csv")
    kept = digits_run.facts()["best_epoch"]
    trained = digits_run.history()["val_accuracy"][kept - 1]
    assert report["metrics"]["validation"]["accuracy"] == pytest.approx(trained, abs=0.03)
    (result,) = read_results(tmp_path / "results.csv")
    assert result["run"] == digits_run.path.name
    assert result["accuracy"] == pytest.approx(report["metrics"]["test"]["accuracy"], abs=1e-4)
    assert result["fingerprint"] == digits.fingerprint[:12]
    assert result["mflops"] > 0
    megabytes = digits_run.model_path.stat().st_size / 1e6
    assert result["megabytes"] == pytest.approx(megabytes, abs=0.051)
    assert result["latency_ms"] > 0
    kept = read_predictions(tmp_path / "report" / "predictions.npz")
    np.testing.assert_array_equal(kept.labels, digits.test.labels)
    assert kept.confusion_matrix.tolist() == report["confusion_matrix"]
    assert (tmp_path / "report" / "report.md").exists()


def test_run_of_other_classes_is_refused(digits_run, dataset, tmp_path):
    with pytest.raises(InputError, match="has other classes than three pets"):
        report_run(digits_run, dataset, tmp_path / "report", tmp_path / "results.csv")


def test_images_that_were_trained_on_are_counted_so(tmp_path, dataset, facts, evaluations):
    own = {**facts, "config": {**facts["config"], "use_validation": True}}
    given = {"dataset": dataset, "history": HISTORY}
    given["evaluations"] = {name: evaluations[name] for name in ("train", "test")}
    data = write_report(tmp_path / "own", facts=own, **given)["data"]
    counts = {name: len(dataset.split(name)) for name in ("train", "validation", "test")}
    trained = {**counts, "train": counts["train"] + counts["validation"], "validation": 0}
    assert data["images"] == trained
    assert data["smallest"] * 3 <= trained["train"] <= data["largest"] * 3
    assert "Trained on the validation images too" in (tmp_path / "own/report.md").read_text()
    # Of other data none were.
    other = write_report(tmp_path / "other", facts={**own, "fingerprint": "f" * 64}, **given)
    assert other["data"]["images"] == counts
