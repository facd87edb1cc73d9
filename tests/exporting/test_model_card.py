"""The model card: what it says is what the run and its report hold."""

import json
import re

import numpy as np
import pytest
import yaml
from PIL import Image

from cnn_cifar10.datasets import read_image
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
    report["facts"]["dataset"] = "CIFAR-100 (modified copy), coarse classes"
    report["facts"]["config"]["dataset"] = "cifar100_coarse"
    assert "(modified copy), coarse classes does not have" in model_card(description, report)


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        ("pets copy", "pets copy"),
        ("pets (JPEG copy)", "pets (JPEG copy)"),
        ("*pets*", r"\*pets\*"),
    ],
)
def test_a_folder_may_have_any_name(description, digits_report, title, shown):
    report = json.loads(json.dumps(digits_report))
    report["facts"] |= {"dataset": title}
    report["facts"]["config"]["dataset"] = "folder"
    card = model_card(description, report)
    assert "pixels that were published" not in card
    assert f"\n{shown}: 1,258 images to train on" in card
    assert metadata(card)["model-index"][0]["results"][0]["dataset"]["name"] == title


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("size", [(90, 40), (40, 90), (20, 31)])
def test_what_it_says_of_fitting_an_image_is_what_is_done(
    fit, size, description, digits_report, tmp_path, monkeypatch
):
    pixels = np.random.default_rng(0).integers(0, 255, (*size, 3), dtype="uint8")
    Image.fromarray(pixels).save(tmp_path / "photo.jpg", format="PNG")
    monkeypatch.chdir(tmp_path)
    description = {**description, "input": {**description["input"], "fit": fit}}
    card = model_card(description, digits_report)
    (program,) = (p for p in re.findall("```python\n(.*?)```", card, re.DOTALL) if "pixels" in p)
    exec(program, values := {})
    assert values["pixels"].dtype == np.float32
    expected = read_image("photo.jpg", (32, 32), fit)
    np.testing.assert_array_equal(values["pixels"], expected[None])


def test_a_model_without_a_test_split_says_what_its_figures_are_of(description, digits_report):
    report = json.loads(json.dumps(digits_report))
    report["facts"]["examples"]["test"] = 0
    report["data"]["images"]["test"] = 0
    report["split"] = "validation"
    card = model_card(description, report)
    assert "to choose the epoch, 0 to test" in card
    assert "figures are of the validation split, which chose the epoch" in card
    assert "By class, on the validation split:" in card
    (index,) = metadata(card)["model-index"]
    assert index["results"][0]["dataset"]["split"] == "validation"
    figures = {metric["type"]: metric["value"] for metric in index["results"][0]["metrics"]}
    assert figures["accuracy"] == round(report["metrics"]["validation"]["accuracy"], 4)


def test_what_was_found_in_the_data_stands_with_them(description, digits_report):
    report = json.loads(json.dumps(digits_report))
    report["facts"]["notes"] = ["3 exact copies are left out.", "2 files of `a_b` are damaged."]
    card = model_card(description, report)
    data = card.split("## Data")[1].split("## Figures")[0]
    assert "- 3 exact copies are left out.\n- 2 files of \\`a_b\\` are damaged.\n" in data


def test_unequal_classes_are_judged_by_balanced_accuracy_first(description, digits_report):
    report = {**digits_report, "unequal": True}
    figures = metadata(model_card(description, report))["model-index"][0]["results"][0]["metrics"]
    assert [figure["type"] for figure in figures] == ["balanced_accuracy", "accuracy", "f1"]


@pytest.mark.parametrize("name", ["a|b", "_x_ $y$", "<b>猫</b>", "[a](b)"])
def test_names_that_mean_something_to_markdown_are_shown(name, description, digits_report):
    report = json.loads(json.dumps(digits_report))
    report["per_class"][0] |= {"class": name, "recall": 0.0}
    card = model_card({**description, "class_names": [name, *"123456789"]}, report)
    shown = re.sub(r"\\(.)", r"\1", card)
    assert f"The output is the probabilities of {name}, 1, 2, " in shown
    assert f"Weakest class: {name}, with 0.0%" in shown
    assert f"| {name} " in shown
    assert name not in card


def test_of_two_thousand_classes_the_card_has_a_page(description, digits_report):
    names = [f"class {i}" for i in range(2000)]
    report = json.loads(json.dumps(digits_report))
    report["per_class"] = [{**report["per_class"][0], "class": name} for name in names]
    card = model_card({**description, "class_names": names}, report)
    assert "the 2,000 classes that `artifact.json` lists" in card
    assert len(card) < 20_000


def test_names_that_mean_something_to_yaml_are_quoted(description, digits_report):
    report = json.loads(json.dumps(digits_report))
    report["facts"]["dataset"] = report["facts"]["run"] = 'pets: "cats" & [dogs] #1'
    (index,) = metadata(model_card(description, report))["model-index"]
    assert index["name"] == index["results"][0]["dataset"]["name"] == 'pets: "cats" & [dogs] #1'


def test_a_folder_whose_name_is_no_utf_8_is_named(description, digits_report):
    report = json.loads(json.dumps(digits_report))
    report["facts"]["run"] = "caf\udce9"
    card = model_card(description, report)
    assert metadata(card)["model-index"][0]["name"] == r"caf\xe9"
    assert "# caf\\\\xe9" in card.encode().decode()


def test_the_card_says_what_weights_were_trained_on_before(description, digits_report):
    def card(model="custom_cnn", **config):
        facts = digits_report["facts"]
        facts = {**facts, "model": model, "config": {**facts["config"], **config}}
        return model_card(description, {**digits_report, "facts": facts})

    assert "ImageNet" not in card()
    said = "Before that its backbone, {}, was trained on ImageNet."
    assert said.format("efficientnet_lite0") in card("transfer", model_options={})
    assert said.format("resnet50") in card("transfer", model_options={"backbone": "resnet50"})
    assert "ImageNet" not in card("transfer", model_options={"weights": None})
    preset = card("transfer", model_options={"backbone": "kerashub:vit"})
    assert "Its backbone began with the weights of kerashub:vit." in preset
    assert "ImageNet" not in preset
    own = card("my_net.py:build", model_options={"weights": "imagenet"})
    assert "Training began with weights of ImageNet." in own
    began = card("transfer", start="models/first", model_options={})
    assert "Training began with the weights of models/first." in began


def test_the_card_says_that_validation_images_were_trained_on(description, digits_report):
    facts = digits_report["facts"]
    facts = {**facts, "examples": {"train": 1438, "validation": 0, "test": 359}}
    card = model_card(description, {**digits_report, "facts": facts})
    assert "1,438 images to train on, those for validation among them, so that the last" in card
