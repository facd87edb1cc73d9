"""The Hugging Face Hub: what is uploaded, fetched, refused; a stand-in takes its place."""

import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from cnn_cifar10.cli import main
from cnn_cifar10.configs import make_config
from cnn_cifar10.exporting import check_hub_folder, push_folder, write_hub_folder
from cnn_cifar10.inference import Classifier
from cnn_cifar10.training import Run, build_model
from cnn_cifar10.training.build import set_weights_from
from cnn_cifar10.utils import InputError, fetch_from_hub, write_checksums

NAME = "hf://someone/digits"


@pytest.fixture(scope="module")
def folder(artifact, make_once):
    """The folder of `artifact` for the Hub; tests leave it as it is."""
    return make_once("hub", lambda place: write_hub_folder(Run(artifact), place))


@pytest.fixture
def uploaded(hub, folder, monkeypatch):
    """The name, with its commit, of the folder on the Hub."""
    monkeypatch.setenv("HF_TOKEN", hub.token)
    return f"{NAME}@{push_folder(folder, NAME)['commit']}"


def test_the_folder_is_what_keras_opens(folder, artifact, digits):
    names = {path.name for path in folder.iterdir()}
    assert {
        "config.json",
        "metadata.json",
        "model.weights.h5",
        "README.md",
        "artifact.json",
    } < names
    assert {"model.onnx", "run.json", "SHA256SUMS"} < names
    assert "cnn_cifar10" not in (folder / "config.json").read_text()
    assert json.loads((folder / "artifact.json").read_text())["class_names"] == list("0123456789")
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert 'keras.saving.load_model("hf://' in card
    images = digits.test.images[:20].astype("float32")
    expected = Run(artifact).load_model().predict(images, verbose=0)
    given = keras.saving.load_model(folder).predict(images, verbose=0)
    np.testing.assert_allclose(given, expected, atol=1e-5)


def test_what_lies_in_a_folder_is_kept(folder, artifact, tmp_path):
    place = tmp_path / "other"
    place.mkdir()
    (place / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="holds something else; name a new or empty folder"):
        check_hub_folder(place)
    with pytest.raises(InputError, match="holds something else"):
        check_hub_folder(artifact)  # a run
    again = Path(shutil.copytree(folder, tmp_path / "again"))
    (again / "notes.txt").write_text("mine")
    (again / "model.tflite").write_text("of before")
    check_hub_folder(again)
    write_hub_folder(Run(artifact), again)
    assert (again / "notes.txt").read_text() == "mine"
    assert (again / "model.tflite").read_bytes() == (folder / "model.tflite").read_bytes()


def test_without_a_token_nothing_is_uploaded(hub, folder, capsys):
    assert main(["push", str(folder), NAME]) == 0
    printed = capsys.readouterr().out
    assert "model.weights.h5: " in printed
    assert f"to {NAME}; log in first: hf auth login, or set HF_TOKEN" in printed
    assert not hub.repositories
    assert not hub.asked


def test_a_private_repository_is_made_so_and_a_public_one_is_not_taken_for_it(
    hub, folder, monkeypatch, capsys
):
    monkeypatch.setenv("HF_TOKEN", hub.token)
    assert main(["push", str(folder), NAME, "--private"]) == 0
    assert hub.private == {"someone/digits"}
    assert main(["push", str(folder), f"{NAME}-open"]) == 0
    assert hub.private == {"someone/digits"}
    uploaded = len(hub.repositories["someone/digits-open"])
    assert main(["push", str(folder), f"{NAME}-open", "--private"]) == 2
    assert "is there, and public; name a new one" in capsys.readouterr().err
    assert len(hub.repositories["someone/digits-open"]) == uploaded


def test_exports_of_the_model_before_do_not_stay(hub, folder, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_TOKEN", hub.token)
    others = {"model.tflite": b"old", "saved_model/fingerprint.pb": b"old", "notes.txt": b"mine"}
    hub.commit("someone/digits", others)
    smaller = Path(shutil.copytree(folder, tmp_path / "smaller"))
    (smaller / "model.tflite").unlink()
    shutil.rmtree(smaller / "saved_model")
    write_checksums(smaller, [path for path in smaller.iterdir() if path.name != "SHA256SUMS"])
    push_folder(smaller, NAME)
    held = hub.repositories["someone/digits"][-1][1]
    assert held["notes.txt"] == b"mine"
    kept = {path.relative_to(smaller).as_posix() for path in smaller.rglob("*") if path.is_file()}
    assert set(held) == kept | {"notes.txt"}


def test_a_card_that_was_edited_is_uploaded_and_not_lost(
    hub, folder, uploaded, artifact, monkeypatch, tmp_path
):
    mine = Path(shutil.copytree(folder, tmp_path / "mine"))
    (mine / "README.md").write_text("# My own words\n")
    with pytest.raises(InputError, match=r"README\.md: was edited, and would be lost; move it"):
        write_hub_folder(Run(artifact), mine)
    push_folder(mine, NAME)
    held = hub.repositories["someone/digits"][-1][1]
    assert held["README.md"] == b"# My own words\n"
    listed = dict(reversed(line.split()) for line in held["SHA256SUMS"].decode().splitlines())
    assert listed["README.md"] == hashlib.sha256(held["README.md"]).hexdigest()
    assert (mine / "README.md").read_text() == "# My own words\n"


def test_what_is_uploaded_is_what_is_fetched(hub, folder, monkeypatch, capsys):
    monkeypatch.setenv("HF_TOKEN", hub.token)
    assert main(["push", str(folder), NAME, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    ((commit, files),) = hub.repositories["someone/digits"]
    assert document["commit"] == commit
    assert files == {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert document["files"] == {name: len(data) for name, data in files.items()}
    fetched = fetch_from_hub(NAME, ["run.json"])
    assert fetched.name == commit
    assert (fetched / "run.json").read_bytes() == files["run.json"]
    assert not (fetched / "model.onnx").exists()  # which nobody asked for


def test_an_uploaded_model_predicts(uploaded, artifact, digits, tmp_path, capsys):
    from PIL import Image

    images = digits.test.images[:5]
    expected = Classifier.open(artifact).probabilities(images)
    np.testing.assert_array_equal(Classifier.open(uploaded).probabilities(images), expected)
    Image.fromarray(images[0]).save(tmp_path / "digit.png")
    assert main(["predict", "--model", NAME, str(tmp_path / "digit.png")]) == 0
    assert f"digit.png: {expected[0].argmax()} " in capsys.readouterr().out


def test_a_training_starts_from_an_uploaded_model(uploaded, digits, digits_run):
    config = dataclasses.replace(digits_run.config(), start=uploaded, seed=5)
    model = build_model(config, digits, "float32")
    set_weights_from(config.start, model)
    for weight, other in zip(model.weights, digits_run.load_model().weights, strict=True):
        np.testing.assert_array_equal(weight, other)


def test_a_training_names_the_commit(capsys):
    for revision in ("", "@main", "@12ab"):
        with pytest.raises(InputError, match="start must be hf://owner/name@COMMIT, so that it"):
            make_config(start=f"{NAME}{revision}")
    assert make_config(start=f"{NAME}@{'0a' * 20}").start
    assert main(["train", "--dataset", "digits", "--start", NAME]) == 2
    assert "start must be hf://owner/name@COMMIT" in capsys.readouterr().err


def test_a_commit_stays_what_it_was(hub, uploaded, folder):
    before = (fetch_from_hub(uploaded, ["run.json"]) / "run.json").read_bytes()
    hub.commit("someone/digits", {"run.json": b"{}"})
    assert (fetch_from_hub(uploaded, ["run.json"]) / "run.json").read_bytes() == before
    with pytest.raises(InputError, match=r"run\.json: not the file that SHA256SUMS lists"):
        fetch_from_hub(NAME, ["run.json"])  # its newest


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hf://digits", "no model of the Hub: write hf://owner/name@revision"),
        ("hf://a/b/c", "no model of the Hub"),
        ("hf://no/body", "hf://no/body: cannot be fetched: .*; check the name"),
        (f"{NAME}@nowhere", "cannot be fetched"),
    ],
)
def test_what_is_not_there_is_one_line(uploaded, name, message):
    with pytest.raises(InputError, match=message) as caught:
        fetch_from_hub(name, ["run.json"])
    assert "\n" not in str(caught.value)


def test_a_model_of_others_lacks_files(hub):
    hub.commit("someone/else", {"config.json": b"{}"})
    with pytest.raises(
        InputError, match=r"has no artifact\.json: upload what `export --hub` writes"
    ):
        Classifier.open("hf://someone/else")


def test_what_cannot_be_uploaded_is_one_line(hub, folder, artifact, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "another")
    with pytest.raises(InputError, match=r"cannot be uploaded: .*check the name, and that the tok"):
        push_folder(folder, NAME)
    with pytest.raises(InputError, match="not for the Hub; make it with"):
        push_folder(artifact, NAME)
    with pytest.raises(InputError, match="an upload makes a new revision; leave out @main"):
        push_folder(folder, f"{NAME}@main")
    changed = Path(shutil.copytree(folder, tmp_path / "changed"))
    (changed / "run.json").write_text("{}")
    with pytest.raises(InputError, match=r"run\.json: not the file that SHA256SUMS lists"):
        push_folder(changed, NAME)
    assert not hub.repositories


def test_without_the_library_its_extra_is_named(folder, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda package: None)
    for call in (lambda: fetch_from_hub(NAME, []), lambda: push_folder(folder, NAME)):
        with pytest.raises(InputError, match=r"huggingface_hub: pip install 'cnn-cifar10\[hub\]'"):
            call()


def test_code_of_ones_own_stays_off_the_hub(artifact, tmp_path):
    @keras.saving.register_keras_serializable("mine")
    class Doubled(keras.layers.Layer):
        def call(self, inputs):
            return 2 * inputs

    class Own(Run):
        def load_model(self):
            inputs = keras.Input((32, 32, 3))
            return keras.Model(inputs, Doubled()(inputs))

    with pytest.raises(InputError, match="its mine>Doubled is code of your own"):
        write_hub_folder(Own(artifact), tmp_path / "hub")
    assert not (tmp_path / "hub").exists()


@pytest.mark.slow
def test_keras_alone_opens_it_from_the_hub(uploaded, artifact, digits, tmp_path):
    """In a process that has no cnn_cifar10, by the name that people type."""
    program = Path(__file__).parents[1] / "training" / "programs" / "opens_alone.py"
    np.save(tmp_path / "images.npy", digits.test.images[:20].astype("float32"))
    done = subprocess.run(
        [sys.executable, program, NAME, tmp_path / "images.npy"],
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout.splitlines()[-1])["answers"]
    images = digits.test.images[:20]
    expected = Run(artifact).load_model().predict(images, verbose=0)
    np.testing.assert_allclose(answers, expected, atol=1e-5)
