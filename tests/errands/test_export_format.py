"""A new export format is one entry: it is offered, exported, compared, listed and described."""

import json
import shutil
from pathlib import Path

import pytest

from cnn_cifar10.cli import main
from cnn_cifar10.exporting import FORMATS, Format
from cnn_cifar10.training import Run
from cnn_cifar10.utils import write_json


def export_weights(model, path, class_names, images):
    """Write the weights as Keras does, and load them into the same network."""
    import keras

    model.save_weights(path)
    other = keras.models.clone_model(model)
    other.load_weights(path)
    return other.predict_on_batch


@pytest.fixture(autouse=True)
def declared(monkeypatch):
    weights = Format(
        "model.weights.h5",
        export_weights,
        packages=("h5py",),
        runtime="h5py",
        tag="weights",
        use="`model.load_weights` reads model.weights.h5.\n\n",
    )
    monkeypatch.setitem(FORMATS, "weights", weights)


@pytest.fixture
def export(digits_run, digits_report, tmp_path):
    """A function that exports a copy of `digits_run` from the command line, and its folder."""
    folder = Path(shutil.copytree(digits_run.path, tmp_path / "run"))
    write_json(tmp_path / "report.json", digits_report)

    def export(*options):
        return main(["export", str(folder), "--report", str(tmp_path), "--images", "50", *options])

    return export, folder


def test_it_is_offered(capsys):
    with pytest.raises(SystemExit):
        main(["export", "--help"])
    assert "saved_model, weights" in " ".join(capsys.readouterr().out.split())


def test_it_is_exported_compared_and_described(export, capsys):
    export, folder = export
    assert export("--formats", "weights") == 0
    assert "| weights " in capsys.readouterr().out
    comparison = json.loads((folder / "artifact.json").read_text())["comparison"]
    keras, weights = comparison["formats"]
    assert weights["format"] == "weights"
    assert weights["bytes"] == (folder / "model.weights.h5").stat().st_size
    assert weights["agreement"] == 1
    assert weights["accuracy"] == keras["accuracy"]
    assert "h5py" in comparison["versions"]
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "`model.load_weights` reads model.weights.h5." in card
    assert 'tags: ["image-classification", "custom_cnn", "weights"]' in card
    assert "  model.weights.h5\n" in (folder / "SHA256SUMS").read_text()
    Run(folder).clear()
    assert not (folder / "model.weights.h5").exists()


def test_it_is_refused_if_it_differs(export, monkeypatch, capsys):
    def export_differently(model, path, class_names, images):
        predict = export_weights(model, path, class_names, images)
        return lambda images: predict(images)[:, ::-1]

    export, folder = export
    monkeypatch.setitem(FORMATS, "weights", Format("model.weights.h5", export_differently))
    before = sorted(folder.iterdir())
    assert export("--formats", "weights") == 2
    assert "not exported: weights differs from Keras by up to" in capsys.readouterr().err
    assert sorted(folder.iterdir()) == before


def test_what_it_needs_is_named(export, monkeypatch, capsys):
    export, _ = export
    missing = Format("model.weights.h5", export_weights, packages=("no_such_package",))
    monkeypatch.setitem(FORMATS, "weights", missing)
    assert export("--formats", "weights") == 2
    assert "export needs no_such_package: pip install" in capsys.readouterr().err
