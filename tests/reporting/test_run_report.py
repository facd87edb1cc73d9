"""Reports: everything in them is there, true, and from the arguments alone."""

import csv
import json
import re

import numpy as np
import pytest

from cnn_cifar10.datasets import Dataset, Split
from cnn_cifar10.evaluation import Evaluation
from cnn_cifar10.reporting import (
    format_metrics,
    read_report,
    read_results,
    report_run,
    result_columns,
)
from cnn_cifar10.reporting.run_report import read_predictions, result_row, write_report
from cnn_cifar10.utils import InputError

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
        "mistakes.png",
        "per_class.csv",
        "per_class.png",
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
    }


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
    report = json.loads((report_dir / "report.json").read_text())
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
