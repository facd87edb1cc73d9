"""Every format answers as the Keras model does, or the export fails."""

import dataclasses
import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

from cnn_cifar10.architectures import create_model
from cnn_cifar10.datasets import load_dataset
from cnn_cifar10.evaluation import grad_cam
from cnn_cifar10.exporting import FORMATS, export, export_run, formats
from cnn_cifar10.inference import (
    MODEL_FILES,
    ArtifactError,
    Classifier,
    open_session,
    read_description,
    shipped_artifact,
)
from cnn_cifar10.training import Run
from cnn_cifar10.utils import InputError, write_checksums, write_json


@pytest.fixture
def run(digits_run, tmp_path):
    """A copy of `digits_run`."""
    return Run(Path(shutil.copytree(digits_run.path, tmp_path / "run")))


@pytest.fixture
def quick(monkeypatch):
    """Exporters that write a word and predict with the Keras model, through a dict of flaws.

    Nothing is timed.
    """
    flaws = {}

    def exporter(name):
        def export(model, path, class_names, calibration):
            path.write_text(name)
            flaw = flaws.get(name, lambda probabilities: probabilities)
            return lambda images: flaw(model.predict_on_batch(images))

        return export

    for name, each in FORMATS.items():
        quick = dataclasses.replace(each, export=exporter(name))
        monkeypatch.setitem(FORMATS, name, quick)
    monkeypatch.setattr(export, "measure_latency", lambda predict, shape: 1.0)
    return flaws


def litert(path):
    from ai_edge_litert.interpreter import Interpreter

    run = Interpreter(str(path)).get_signature_runner("serving_default")

    def predict(images):
        (probabilities,) = run(pixels=images.astype("float32")).values()
        return probabilities

    return predict


def saved_model(path):
    import tensorflow as tf

    run = tf.saved_model.load(str(path / "1")).signatures["serving_default"]
    return lambda images: run(pixels=tf.constant(images, "float32"))["probabilities"].numpy()


def predict_formats(folder, images):
    """Return `{format: probabilities}`, each of what its file gives."""
    return {
        "keras": Run(folder).load_model().predict(images, verbose=0, batch_size=250),
        "onnx": Classifier.open(folder).probabilities(images),
        "litert": litert(folder / FORMATS["litert"].file)(images),
        "litert_int8": litert(folder / FORMATS["litert_int8"].file)(images),
        "saved_model": saved_model(folder / FORMATS["saved_model"].file)(images),
    }


def test_what_the_files_give_is_what_the_document_says(artifact, digits):
    chosen = np.sort(np.random.default_rng(0).choice(len(digits.test), 200, replace=False))
    images, labels = digits.test.images[chosen], digits.test.labels[chosen]
    probabilities = predict_formats(artifact, images)
    comparison = read_description(artifact)["comparison"]
    assert (comparison["split"], comparison["images"]) == ("test", 200)
    rows = {row["format"]: row for row in comparison["formats"]}
    assert set(rows) >= set(probabilities)
    for name, given in probabilities.items():
        row, classes = rows[name], given.argmax(axis=1)
        assert row["accuracy"] == pytest.approx((classes == labels).mean())
        difference = np.abs(given - probabilities["keras"]).max()
        assert row["largest_difference"] == pytest.approx(difference, abs=1e-5)
        if name != "litert_int8":
            assert difference < 1e-4
            assert row["agreement"] == 1
        assert row["milliseconds"] > 0
        path = artifact / (FORMATS[name].file if name in FORMATS else "model.keras")
        files = [p for p in path.rglob("*") if p.is_file()] or [path]
        assert row["bytes"] == sum(p.stat().st_size for p in files)
    assert rows["litert_int8"]["largest_difference"] > 0
    assert rows["litert_int8"]["bytes"] < rows["litert"]["bytes"]


def test_the_saved_model_says_the_class_names_row_by_row(artifact, digits):
    import tensorflow as tf

    serve = tf.saved_model.load(str(artifact / "saved_model" / "1")).signatures["serving_default"]
    (spec,) = serve.structured_input_signature[1].values()
    assert (spec.name, spec.shape.as_list(), spec.dtype) == ("pixels", [None, 32, 32, 3], "float32")
    answer = serve(pixels=tf.constant(digits.test.images[:3], "float32"))
    assert set(answer) == {"probabilities", "class_names"}
    names = [name.decode() for name in answer["class_names"].numpy()[2]]
    assert names == [str(digit) for digit in range(10)]
    assert answer["class_names"].shape == answer["probabilities"].shape == (3, 10)


def test_batch_normalization_is_part_of_the_convolution_before_it(tmp_path):
    import onnx

    model = create_model("resnet20", width=4)  # each normalization follows a convolution
    pixels = np.zeros((1, 32, 32, 3))
    formats._export_onnx(model, tmp_path / "model.onnx", list("abcdefghij"), pixels)
    nodes = onnx.load(tmp_path / "model.onnx").graph.node
    operations = [node.op_type for node in nodes]
    convolutions = sum(isinstance(layer, keras.layers.Conv2D) for layer in model.layers)
    assert operations.count("Conv") == convolutions + 1  # the class activation
    assert "BatchNormalization" not in operations


@pytest.mark.parametrize("name", ["onnx", "litert", "saved_model"])
@pytest.mark.parametrize(
    "flaw",
    [
        lambda probabilities: probabilities + 2e-4 * np.eye(10)[0],
        lambda probabilities: probabilities[:, ::-1],
    ],
)
def test_a_format_that_differs_fails_and_nothing_is_kept(
    name, flaw, quick, run, digits, digits_report
):
    quick[name] = flaw
    before = sorted(run.path.iterdir())
    with pytest.raises(ArtifactError, match=f"not exported: {name} differs from Keras by up to"):
        export_run(run, digits, digits_report, images=50)
    assert sorted(run.path.iterdir()) == before


def test_the_files_that_are_exported_are_those_that_are_read():
    assert tuple(FORMATS[name].file for name in ("onnx", "onnx_float16")) == MODEL_FILES


def test_weights_in_float16_halve_the_file_and_hardly_change_the_answers(artifact, digits):
    rows = {row["format"]: row for row in read_description(artifact)["comparison"]["formats"]}
    assert rows["onnx_float16"]["bytes"] < 0.75 * rows["onnx"]["bytes"]  # a small network's
    assert 0 < rows["onnx_float16"]["largest_difference"] < 0.01
    assert rows["onnx_float16"]["accuracy"] >= rows["keras"]["accuracy"] - 0.001
    images = digits.test.images[:50]
    session = open_session((artifact / FORMATS["onnx_float16"].file).read_bytes())
    names = [*map(str, range(10))]
    halved = Classifier(session, tuple(names), (32, 32, 3), embed=True)
    whole = Classifier.open(artifact, embed=True)
    np.testing.assert_allclose(halved.probabilities(images), whole.probabilities(images), atol=0.01)
    maps = (each.explain(images, digits.test.labels[:50]) for each in (halved, whole))
    np.testing.assert_allclose(*maps, atol=0.02)


def test_weights_too_large_for_float16_are_refused(tmp_path, digits):
    model = create_model("custom_cnn", width=16, depth=1)
    kernel = next(each for each in model.weights if np.prod(each.shape) > formats._FEW_WEIGHTS)
    kernel.assign(keras.ops.full(kernel.shape, 1e5))
    images, names = digits.train.images[:4], tuple("0123456789")
    with pytest.raises(ArtifactError, match="probabilities that do not add up to 1"):
        formats._export_onnx_float16(model, tmp_path / "model.onnx", names, images)


def test_an_export_without_float32_is_read_in_float16(run, digits, digits_report):
    export_run(run, digits, digits_report, ["onnx_float16"], images=10)
    assert not (run.path / "model.onnx").exists()
    expected = run.load_model().predict(digits.test.images[:20].astype("float32"), verbose=0)
    found = Classifier.open(run.path).probabilities(digits.test.images[:20])
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_a_class_activation_that_differs_fails(run, digits, digits_report, monkeypatch):
    monkeypatch.setattr("cnn_cifar10.evaluation.grad_cam", lambda *given: grad_cam(*given) + 2e-4)
    with pytest.raises(ArtifactError, match="class activation differs from Grad-CAM"):
        export_run(run, digits, digits_report, ["onnx"], images=10)
    assert not (run.path / FORMATS["onnx"].file).exists()


def test_a_model_with_hidden_layers_is_exported_without_class_activation(tmp_path, digits):
    model = create_model("custom_cnn", width=4, dense_units=(8,))
    images, names = digits.train.images[:4], tuple("0123456789")
    formats._export_onnx(model, tmp_path / "model.onnx", names, images)
    session = open_session((tmp_path / "model.onnx").read_bytes())
    classifier = Classifier(session, names, (32, 32, 3))
    assert classifier.explain(images, [0] * 4) is None
    expected = model(images.astype("float32"))
    np.testing.assert_allclose(classifier.probabilities(images), expected, atol=1e-5)


def test_exact_gelu_is_exported_to_onnx(tmp_path):  # in ConvNeXt, and in vision transformers
    model = create_model("custom_cnn", width=4, depth=1, activation="gelu")
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype="uint8")
    predict = formats._export_onnx(model, tmp_path / "model.onnx", tuple("0123456789"), images)
    np.testing.assert_allclose(predict(images), model(images.astype("float32")), atol=1e-5)


def test_embeddings_that_differ_fail(run, digits, digits_report, monkeypatch):
    classify = Classifier.classify

    def shifted(classifier, images):
        return [
            dataclasses.replace(each, embedding=each.embedding + 0.01)
            for each in classify(classifier, images)
        ]

    monkeypatch.setattr(Classifier, "classify", shifted)
    with pytest.raises(ArtifactError, match="embeddings differ from Keras's by"):
        export_run(run, digits, digits_report, ["onnx"], images=10)
    assert not (run.path / FORMATS["onnx"].file).exists()


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch", None])
def test_how_images_become_squares_is_part_of_the_model(fit, run, digits, digits_report):
    """Runs of before do not say it; they cropped."""
    facts = {key: value for key, value in run.facts().items() if key != "fit"}
    facts |= {"fit": fit} if fit else {}
    run.finish(facts)
    export_run(run, digits, {**digits_report, "facts": facts}, ["onnx"], images=10)
    assert read_description(run.path)["input"]["fit"] == (fit or "crop")
    assert Classifier.open(run.path).fit == (fit or "crop")


def test_a_model_that_was_exported_before_crops(artifact, tmp_path):
    copy = Path(shutil.copytree(artifact, tmp_path / "copy"))
    description = read_description(copy)
    del description["input"]["fit"]
    write_json(copy / "artifact.json", description)
    write_checksums(copy, [path for path in copy.iterdir() if path.name != "SHA256SUMS"])
    assert Classifier.open(copy).fit == "crop"


def test_int8_may_lose_a_point_of_accuracy_and_no_more(quick, run, digits, digits_report):
    def lose(count):
        """Change the class of so many of the images that were classified correctly."""
        left = [count]

        def flaw(probabilities):
            probabilities = probabilities.copy()
            for row in probabilities:
                if left[0] and row.argmax() == next(labels):
                    row[:] = np.roll(row, 1)
                    left[0] -= 1
            return probabilities

        return flaw

    chosen = np.sort(np.random.default_rng(0).choice(len(digits.test), 100, replace=False))
    for count in (1, 2):
        labels = iter(digits.test.labels[chosen])
        quick["litert_int8"] = lose(count)
        if count == 1:
            document = export_run(run, digits, digits_report, images=100)
    rows = {row["format"]: row["accuracy"] for row in document["comparison"]["formats"]}
    assert rows["keras"] - rows["litert_int8"] == pytest.approx(0.01)
    with pytest.raises(ArtifactError, match=r"litert_int8 loses 2\.0 points of accuracy; leave it"):
        export_run(run, digits, digits_report, images=100)


def test_an_export_replaces_the_one_before(quick, run, digits, digits_report):
    def there():
        return {name for name, each in FORMATS.items() if (run.path / each.file).exists()}

    export_run(run, digits, digits_report, images=10)
    assert there() == set(FORMATS)
    document = export_run(run, digits, digits_report, ["onnx"], images=10)
    assert [row["format"] for row in document["comparison"]["formats"]] == ["keras", "onnx"]
    assert there() == {"onnx"}
    assert json.loads((run.path / "artifact.json").read_text()) == document
    assert "model.tflite" not in (run.path / "SHA256SUMS").read_text()
    assert not [path for path in run.path.iterdir() if path.name.startswith(("tmp", ".part"))]


def test_a_users_own_file_is_neither_listed_nor_deleted(quick, run, digits, digits_report):
    notes = [run.path / "notes.txt", run.path / "saved_model_notes" / "notes.txt"]
    notes[1].parent.mkdir()
    for path in notes:
        path.write_text("mine")
    export_run(run, digits, digits_report, images=10)
    listed = {
        line.partition("  ")[2] for line in (run.path / "SHA256SUMS").read_text().splitlines()
    }
    own = {"config.json", "run.json", "history.csv", "model.keras"}
    files = {each.file for each in FORMATS.values()}
    assert listed == own | files | {"artifact.json", "README.md"}
    run.clear()
    left = {path for path in run.path.rglob("*") if path.is_file()}
    assert left - {run.path / ".lock"} == set(notes)


def test_a_format_that_is_named_twice_is_exported_once(quick, run, digits, digits_report):
    formats = ["onnx", "litert", "onnx"]
    document = export_run(run, digits, digits_report, formats, images=10)
    rows = document["comparison"]["formats"]
    assert [row["format"] for row in rows] == ["keras", "onnx", "litert"]
    assert (run.path / FORMATS["onnx"].file).read_text() == "onnx"


def test_the_versions_are_those_of_what_runs_the_formats(quick, run, digits, digits_report):
    def versions(*formats):
        return export_run(run, digits, digits_report, formats, images=10)["comparison"]["versions"]

    assert {"onnxruntime", "ai-edge-litert"} <= set(versions(*FORMATS))
    assert "ai-edge-litert" not in versions("onnx")


def test_a_run_reported_on_validation_leaves_the_test_split_alone(
    quick, run, digits, digits_report
):
    report = {**digits_report, "split": "validation"}
    unread = dataclasses.replace(digits)
    object.__setattr__(unread, "fingerprints", digits.fingerprints)
    object.__setattr__(unread, "test", None)
    document = export_run(run, unread, report, ["onnx"], images=10_000)
    assert document["comparison"]["split"] == "validation"
    assert document["comparison"]["images"] == len(digits.validation)


def test_what_cannot_be_exported_is_said_before_anything_is(
    quick, run, digits, digits_report, monkeypatch
):
    def refused(message, dataset=digits, report=digits_report, **options):
        with pytest.raises(InputError, match=message):
            export_run(run, dataset, report, **options)

    refused("formats: 'tflite' is not one of onnx, onnx_float16", formats=["onnx", "tflite"])
    refused("images must be 1 or more, received 0", images=0)
    refused("was trained on other data than digits", load_dataset("digits", split_seed=1))
    facts = digits_report["facts"]
    other = {**digits_report, "facts": {**facts, "seconds": facts["seconds"] + 1}}
    refused("the report is of another run; evaluate this one", report=other)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    refused(r"export needs tf2onnx: pip install 'cnn-cifar10\[export\]'")
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    refused("export needs Keras on TensorFlow; unset KERAS_BACKEND")


@pytest.mark.slow
def test_the_files_of_the_repository_agree_on_cifar10(cifar10_dir):
    """1,000 test images in every format, and 2,000 in int8 and float."""
    folder = Path(__file__).parents[2] / "models" / "custom_cnn"
    test = load_dataset("cifar10", cifar10_dir).test[:2000]
    probabilities = predict_formats(folder, test.images[:1000])
    reference = probabilities["keras"]
    for name in ("onnx", "litert", "saved_model"):
        assert np.abs(probabilities[name] - reference).max() < 1e-4
        np.testing.assert_array_equal(probabilities[name].argmax(1), reference.argmax(1))

    starts = range(0, len(test), 250)
    int8 = litert(folder / FORMATS["litert_int8"].file)
    given = {
        "float": Classifier.open(folder).probabilities(test.images),
        "int8": np.concatenate([int8(test.images[i : i + 250]) for i in starts]),
    }
    accuracy = {name: (rows.argmax(1) == test.labels).mean() for name, rows in given.items()}
    assert accuracy["float"] > 0.85
    assert accuracy["float"] - accuracy["int8"] <= 0.01
    sizes = {
        name: (folder / FORMATS[name].file).stat().st_size for name in ("litert", "litert_int8")
    }
    assert sizes["litert_int8"] < 0.35 * sizes["litert"]


@pytest.mark.slow
def test_the_shipped_model_is_as_good_as_it_says(cifar10_dir):
    folder = shipped_artifact()
    test = load_dataset("cifar10", cifar10_dir).test[:1000]
    found = Classifier.open(folder).probabilities(test.images).argmax(1)
    said = read_description(folder)["metrics"]["test"]["accuracy"]
    assert (found == test.labels).mean() == pytest.approx(said, abs=0.03)  # 3 sigma of 1,000
