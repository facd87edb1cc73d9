"""From a finished run to an artifact: the model in other formats, each checked against Keras."""

import importlib.util
import tempfile
import warnings
from pathlib import Path

import keras
import numpy as np

from cnn_cifar10.artifacts import (
    CARD,
    DESCRIPTION,
    FORMATS,
    ArtifactError,
    remove_export,
    write_checksums,
)
from cnn_cifar10.cards import model_card
from cnn_cifar10.errors import InputError
from cnn_cifar10.files import replacing, write_json
from cnn_cifar10.gradcam import grad_cam, with_class_activation
from cnn_cifar10.hardware import describe_hardware, usable_cores
from cnn_cifar10.inference import Classifier, open_session
from cnn_cifar10.profiling import measure_latency
from cnn_cifar10.reporting import format_hardware
from cnn_cifar10.runs import package_versions

LARGEST_DIFFERENCE = 1e-4  # of a probability, in the float formats
LARGEST_LOSS = 0.01  # of accuracy, in int8

_CALIBRATION_IMAGES = 500
_BATCH_SIZE = 32


def export_run(run, dataset, report, formats=tuple(FORMATS), *, images=1000, license=None):
    """Export a finished run's model and make its folder an artifact, as `artifacts.py` describes.

    Every format is loaded back and compared with the Keras model on the same
    images, taken at random from the split that the report is on. Nothing is
    kept unless all pass: a float format may differ by `LARGEST_DIFFERENCE` in
    any probability and in no most probable class; int8 may lose `LARGEST_LOSS`
    in accuracy. An earlier export is replaced.

    Args:
        run: `Run`.
        dataset: `Dataset` that the model was trained on; its training images
            calibrate int8, by post-training quantization.
        report: What `read_report` returns for this run.
        formats: Some of `FORMATS`.
        images: How many images to compare on, at most.
        license: Identifier of the model's license for its card, such as `"mit"`.

    Returns:
        The document in `artifact.json`.

    Raises:
        ArtifactError: If a format does not agree with the Keras model.
        InputError: If the data set or the report is not the run's, or a package
            is missing.
    """
    facts = run.facts()
    _check(run, facts, dataset, report, formats, images)
    split = getattr(dataset, report["split"])
    count = min(images, len(split))
    chosen = np.sort(np.random.default_rng(0).choice(len(split), count, replace=False))
    pictures, labels = split.images[chosen], split.labels[chosen]
    model, names, shape = run.load_model(), facts["class_names"], tuple(facts["input_shape"])
    reference = _predict(model.predict_on_batch, pictures)

    def row(name, path, predict, probabilities):
        return {
            "format": name,
            "bytes": _size(path),
            **_compare(probabilities, reference, labels),
            "milliseconds": measure_latency(predict, shape),
        }

    rows = [row("keras", run.model_path, model.predict_on_batch, reference)]
    with tempfile.TemporaryDirectory(dir=run.path) as folder:
        for name in formats:
            path = Path(folder) / FORMATS[name]
            predict = _EXPORTERS[name](model, path, names, dataset.train.images)
            rows.append(row(name, path, predict, _predict(predict, pictures)))
        if faults := [fault for row in rows if (fault := _fault(row, rows[0]))]:
            raise ArtifactError(f"{run.path}: not exported: {'; '.join(faults)}")
        remove_export(run.path)
        for name in formats:
            (Path(folder) / FORMATS[name]).rename(run.path / FORMATS[name])
    document = {
        "run": facts["run"],
        "class_names": names,
        "input": {
            "name": "pixels",
            "shape": [None, *shape],
            "dtype": "float32",
            "values": "RGB, 0 to 255",
        },
        "output": {"shape": [None, len(names)], "dtype": "float32", "values": "probabilities"},
        "metrics": report["metrics"],
        "comparison": {
            "split": report["split"],
            "images": count,
            "formats": rows,
            "hardware": format_hardware(describe_hardware()),
            "versions": package_versions("onnxruntime", "ai-edge-litert"),
        },
    }
    write_json(run.path / DESCRIPTION, document)
    with replacing(run.path / CARD) as part:
        part.write_text(model_card(document, report, license), encoding="utf-8", newline="\n")
    write_checksums(run.path)
    return document


def _check(run, facts, dataset, report, formats, images):
    """Raise an `InputError` for what would fail later, or export another thing than is meant."""
    if keras.backend.backend() != "tensorflow":
        raise InputError("export needs Keras on TensorFlow; unset KERAS_BACKEND")
    for package in ("tf2onnx", "ai_edge_litert"):
        if importlib.util.find_spec(package) is None:
            raise InputError(f"export needs {package}: pip install 'cnn-cifar10[export]'")
    if unknown := [name for name in formats if name not in FORMATS]:
        raise InputError(f"formats: {unknown[0]!r} is not one of {', '.join(FORMATS)}")
    if images < 1:
        raise InputError(f"images must be 1 or more, received {images}")
    if facts["fingerprint"] != dataset.fingerprint:
        raise InputError(f"{run.path}: was trained on other data than {dataset.title}")
    if {**report["facts"], "config": facts["config"]} != facts:
        raise InputError(f"{run.path}: the report is of another run; evaluate this one")


def _export_onnx(model, path, class_names, calibration):
    with warnings.catch_warnings():
        # Keras's patch of tf2onnx touches a name that NumPy is about to reuse.
        warnings.simplefilter("ignore", FutureWarning)
        with_class_activation(model).export(
            path, format="onnx", verbose=False, input_signature=_signature(model)
        )
    session = open_session(path.read_bytes())
    classifier = Classifier(session, tuple(class_names), model.input_shape[1:])
    images = calibration[:_BATCH_SIZE]
    classes = classifier.probabilities(images).argmax(axis=1)
    maps = classifier.explain(images, classes)
    if maps is not None:
        difference = np.abs(maps - grad_cam(model, images, classes)).max()
        if difference > LARGEST_DIFFERENCE:
            raise ArtifactError(f"onnx: class activation differs from Grad-CAM by {difference:.2g}")
    return classifier.probabilities


def _export_litert(model, path, class_names, calibration, **options):
    from ai_edge_litert.interpreter import Interpreter

    model.export(path, format="litert", verbose=False, input_signature=_signature(model), **options)
    interpreter = Interpreter(str(path), num_threads=usable_cores())
    run = interpreter.get_signature_runner("serving_default")

    def predict(images):
        (probabilities,) = run(pixels=images).values()
        return probabilities

    return predict


def _export_litert_int8(model, path, class_names, calibration):
    import tensorflow as tf

    count = min(_CALIBRATION_IMAGES, len(calibration))
    chosen = np.sort(np.random.default_rng(0).choice(len(calibration), count, replace=False))
    images = calibration[chosen].astype("float32")
    return _export_litert(
        model,
        path,
        class_names,
        calibration,
        optimizations=[tf.lite.Optimize.DEFAULT],
        representative_dataset=lambda: ([images[i : i + 1]] for i in range(count)),
        target_spec={"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]},
    )


def _export_saved_model(model, path, class_names, calibration):
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec(model.input_shape, name="pixels")])
    def serve(pixels):
        probabilities = model(pixels, training=False)
        # TensorFlow Serving answers row by row, so each row has the names.
        names = tf.broadcast_to(tf.constant(class_names), tf.shape(probabilities))
        return {"probabilities": probabilities, "class_names": names}

    module = tf.Module()  # Keras's own archive holds every weight twice
    module.weights = [variable.value for variable in model.variables]
    version = str(path / "1")  # TensorFlow Serving wants a folder of numbered versions
    tf.saved_model.save(module, version, signatures={"serving_default": serve})
    run = tf.saved_model.load(version).signatures["serving_default"]
    return lambda images: run(pixels=tf.constant(images))["probabilities"].numpy()


_EXPORTERS = {
    "onnx": _export_onnx,
    "litert": _export_litert,
    "litert_int8": _export_litert_int8,
    "saved_model": _export_saved_model,
}
"""Functions that write a format and return its function from images to probabilities."""


def _signature(model):
    return [keras.InputSpec(shape=model.input_shape, dtype="float32", name="pixels")]


def _predict(predict, images):
    starts = range(0, len(images), _BATCH_SIZE)
    batches = (images[start : start + _BATCH_SIZE].astype("float32") for start in starts)
    return np.concatenate([predict(batch) for batch in batches])


def _compare(probabilities, reference, labels):
    classes = probabilities.argmax(axis=1)
    return {
        "largest_difference": float(np.abs(probabilities - reference).max()),
        "agreement": float((classes == reference.argmax(axis=1)).mean()),
        "accuracy": float((classes == labels).mean()),
    }


def _fault(row, reference):
    """Return what is wrong with a format, or `None`."""
    lost = reference["accuracy"] - row["accuracy"]
    if row["format"] == "litert_int8":
        if lost > LARGEST_LOSS + 1e-9:  # rounding
            return f"litert_int8 loses {100 * lost:.1f} points of accuracy; leave it out of formats"
    elif row["largest_difference"] > LARGEST_DIFFERENCE or row["agreement"] < 1:
        return (
            f"{row['format']} differs from Keras by up to {row['largest_difference']:.2g} in a "
            f"probability, and in {1 - row['agreement']:.2%} of the classes"
        )
    return None


def _size(path):
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
