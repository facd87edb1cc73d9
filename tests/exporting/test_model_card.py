"""The model card: what it says is what the run and its report hold."""

import json

import pytest
import yaml

from cnn_cifar10.exporting.model_card import model_card
from cnn_cifar10.inference import read_description


@pytest.fixture(scope="module")
def description(artifact):
    return read_description(artifact)


def metadata(card):
    _, front, _ = card.split("---\n", 2)
    return yaml.safe_load(front)


def test_the_card_of_an_artifact_is_of_its_run(artifact, digits_report):
    card = (artifact / "README.md").read_text(encoding="utf-8")
    data = metadata(card)
    assert data["license"] == "mit"
    assert data["library_name"] == "keras"
    assert data["pipeline_tag"] == "image-classification"
    (index,) = data["model-index"]
    assert index["name"] == "digits-custom_cnn-seed0"
    (result,) = index["results"]
    assert result["task"]["type"] == "image-classification"
    assert result["dataset"] == {
        "type": "digits",
        "name": "digits (scikit-learn)",
        "split": "test",
    }
    figures = {metric["type"]: metric["value"] for metric in result["metrics"]}
    metrics = digits_report["metrics"]["test"]
    assert figures["accuracy"] == pytest.approx(metrics["accuracy"], abs=1e-4)
    assert figures["f1"] == pytest.approx(metrics["macro_f1"], abs=1e-4)
    assert digits_report["headline"] in card
    assert digits_report["facts"]["fingerprint"] in card
    for row in digits_report["per_class"]:
        assert f"| {row['class']}  " in card


def test_what_is_not_known_is_left_out(description, digits_report):
    data = metadata(model_card(description, digits_report))
    assert "license" not in data
    assert "datasets" not in data  # digits are not on the Hub


def test_a_card_names_no_format_that_was_not_exported(description, digits_report):
    tags = metadata(model_card(description, digits_report))["tags"]
    assert tags[2:4] == ["onnx", "litert"]
    description = json.loads(json.dumps(description))
    rows = description["comparison"]["formats"]
    rows[:] = [row for row in rows if row["format"] in ("keras", "litert_int8")]
    card = model_card(description, digits_report)
    assert metadata(card)["tags"][2:] == ["litert"]
    assert "Classifier.open" not in card


def test_every_format_is_in_the_card_with_its_figures(description, digits_report):
    lines = model_card(description, digits_report).splitlines()
    for row in description["comparison"]["formats"]:
        (line,) = (each for each in lines if each.startswith(f"| {row['format']} "))
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert cells[1] == f"{row['bytes']:,}"
        assert cells[3:5] == [f"{row['agreement']:.2%}", f"{row['accuracy']:.4f}"]


def test_the_weakest_class_and_a_copys_pixels_are_limits(description, digits_report):
    weakest = min(digits_report["per_class"], key=lambda row: row["recall"])
    card = model_card(description, digits_report)
    assert f"Weakest class: {weakest['class']}, " in card
    assert "pixels that were published" not in card
    report = json.loads(json.dumps(digits_report))
    report["facts"]["dataset"] = "CIFAR-10 (JPEG copy)"
    report["facts"]["config"]["dataset"] = "cifar10"
    card = model_card(description, report)
    assert "CIFAR-10 (JPEG copy) does not have the pixels that were published" in card
    assert metadata(card)["datasets"] == ["uoft-cs/cifar10"]


def test_names_that_mean_something_to_yaml_are_quoted(description, digits_report):
    report = json.loads(json.dumps(digits_report))
    report["facts"]["dataset"] = report["facts"]["run"] = 'pets: "cats" & [dogs] #1'
    (index,) = metadata(model_card(description, report))["model-index"]
    assert index["name"] == index["results"][0]["dataset"]["name"] == 'pets: "cats" & [dogs] #1'
