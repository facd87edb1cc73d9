"""Files of an artifact: where they are, and whether they are those that were measured."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from cnn_cifar10.exporting import FORMATS
from cnn_cifar10.exporting.export import _remove_export
from cnn_cifar10.inference import ArtifactError, Classifier, read_description, shipped_artifact
from cnn_cifar10.inference import artifact as artifacts
from cnn_cifar10.utils import read_checked


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs coreutils")
def test_sha256sum_checks_an_artifact(artifact):
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"],
        cwd=artifact,
        capture_output=True,
        text=True,
        check=True,
    )
    checked = {line.removesuffix(": OK") for line in done.stdout.splitlines()}
    there = {str(p.relative_to(artifact)) for p in artifact.rglob("*") if p.is_file()}
    assert checked == there - {"SHA256SUMS", "id", ".lock"}
    assert {"model.keras", "run.json", "README.md", "model.onnx"} <= checked


def test_a_folder_without_an_artifact_says_what_to_do(digits_run, tmp_path):
    with pytest.raises(ArtifactError, match="no such folder; name that of an exported model"):
        read_description(tmp_path / "absent")
    path = digits_run.path
    with pytest.raises(ArtifactError, match=f"not exported yet; run `cnn-cifar10 export {path}`"):
        read_description(path)


def test_removing_an_export_leaves_the_run(artifact, digits_run, tmp_path):
    copy = Path(shutil.copytree(artifact, tmp_path / "copy"))
    _remove_export(copy)
    assert {p.name for p in copy.iterdir()} == {p.name for p in digits_run.path.iterdir()}
    _remove_export(copy)  # nothing is there to remove


@pytest.mark.slow
def test_training_anew_removes_what_would_serve_the_old_model(artifact, digits, tmp_path):
    from cnn_cifar10.configs import make_config
    from cnn_cifar10.training import train

    copy = shutil.copytree(artifact, tmp_path / "copy")
    config = make_config(dataset="digits", epochs=1, model_options={"width": 4, "depth": 1})
    train(config, copy, dataset=digits, overwrite=True, verbose=0)
    with pytest.raises(ArtifactError, match="not exported yet"):
        read_description(copy)
    assert not any((copy / each.file).exists() for each in FORMATS.values())


FOLDER = Path(__file__).parents[2] / "models"
MODELS = ("efficientnet_lite0", "custom_cnn")


@pytest.mark.parametrize("name", MODELS)
def test_exported_models_stand_in_the_repository(name):
    folder = FOLDER / name
    description = read_description(folder)
    assert description["run"].startswith("cifar10-")
    assert len(description["class_names"]) == 10
    assert description["input"]["shape"] == [None, 32, 32, 3]
    assert Classifier.open(folder, embed=True).fit == "crop"
    ours = {"onnx_float16"} if name == MODELS[0] else {*FORMATS} - {"onnx_float16"}
    formats = {row["format"] for row in description["comparison"]["formats"]}
    assert formats == {"keras", *ours}
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    for line in lines:
        read_checked(folder, line.partition("  ")[2])
    assert all((folder / FORMATS[each].file).exists() for each in ours)
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 8e6


def test_the_model_that_comes_with_the_package_is_the_better_one():
    better, other = (read_description(FOLDER / name) for name in MODELS)
    assert shipped_artifact() == FOLDER / MODELS[0]
    accuracy = better["metrics"]["test"]["accuracy"]
    assert accuracy > max(0.905, other["metrics"]["test"]["accuracy"])


def test_what_the_shipped_card_says_is_what_was_measured():
    folder = shipped_artifact()
    run = json.loads((folder / "run.json").read_text())
    description = read_description(folder)
    card = (folder / "README.md").read_text(encoding="utf-8")
    (index,) = yaml.safe_load(card.split("---\n")[1])["model-index"]
    figures = {each["type"]: each["value"] for each in index["results"][0]["metrics"]}
    assert figures["accuracy"] == pytest.approx(description["metrics"]["test"]["accuracy"])
    assert run["dataset"] in card
    assert run["fingerprint"] in card


def test_a_missing_shipped_model_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(artifacts, "SHIPPED", (tmp_path / "a", tmp_path / "some_model"))
    with pytest.raises(ArtifactError, match=r"some_model: no such folder; name that of another"):
        shipped_artifact()
