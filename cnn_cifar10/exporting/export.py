"""Export of a finished run: the model in other formats, each compared with Keras."""

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cnn_cifar10.datasets import Dataset
from cnn_cifar10.evaluation import measure_latency
from cnn_cifar10.exporting.formats import FORMATS
from cnn_cifar10.exporting.model_card import model_card
from cnn_cifar10.inference import DESCRIPTION, ArtifactError
from cnn_cifar10.reporting import is_report_of
from cnn_cifar10.utils import (
    InputError,
    clear_parts,
    describe_hardware,
    format_hardware,
    package_versions,
    require_package,
    working_in,
    write_checksums,
    write_json,
    write_page,
)

if TYPE_CHECKING:
    from cnn_cifar10.training import Run

_CARD = "README.md"
_BATCH_SIZE = 32


def export_run(
    run: "Run",
    dataset: Dataset,
    report: dict[str, Any],
    formats: Sequence[str] | None = None,
    *,
    images: int = 1000,
    license: str | None = None,
) -> dict[str, Any]:
    """Export a finished run's model into its folder, with its card and checksums.

    Every format is loaded back and compared with the Keras model on the same
    images, taken at random from the split that the report is on. Nothing is
    kept unless all pass: see `Format`. An earlier export is replaced.

    Args:
        run: The run.
        dataset: The data set that the model was trained on; its training images
            calibrate int8, by post-training quantization.
        report: What `read_report` returns for this run.
        formats: Some of `FORMATS`; `None` takes all.
        images: How many images to compare on, at most.
        license: Identifier of the model's license for its card, such as `"mit"`.

    Returns:
        The document in `artifact.json`.

    Raises:
        ArtifactError: If a format does not agree with the Keras model.
        InputError: If the data set or the report is not the run's, or a package
            is missing.
    """
    formats = list(dict.fromkeys(FORMATS if formats is None else formats))
    facts = run.facts()
    _check(run, facts, dataset, report, formats, images)
    split = dataset.split(report["split"])
    count = min(images, len(split))
    chosen = np.sort(np.random.default_rng(0).choice(len(split), count, replace=False))
    examples = split.images[chosen], split.labels[chosen]
    with working_in(run.path):
        clear_parts(run.path)
        run.mend()
        rows = _export_formats(run, facts, formats, dataset.train.images, *examples)
        return _describe_export(run, facts, report, formats, rows, count, license)


def _describe_export(run, facts, report, formats, rows, count, license):
    """Write `artifact.json`, the card and the checksums."""
    runtimes = dict.fromkeys(filter(None, (FORMATS[name].runtime for name in formats)))
    values, names = {"dtype": "float32", "values": "RGB, 0 to 255"}, facts["class_names"]
    shape, fit = [None, *facts["input_shape"]], facts.get("fit", "crop")
    document = {
        "run": facts["run"],
        "class_names": names,
        "input": {"name": "pixels", "shape": shape, "fit": fit, **values},
        "output": {"shape": [None, len(names)], "dtype": "float32", "values": "probabilities"},
        "metrics": report["metrics"],
        "comparison": {
            "split": report["split"],
            "images": count,
            "formats": rows,
            "hardware": format_hardware(describe_hardware()),
            "versions": package_versions(*runtimes),
        },
    }
    write_json(run.path / DESCRIPTION, document)
    write_page(run.path / _CARD, model_card(document, report, license))
    exported = [DESCRIPTION, _CARD, *(FORMATS[name].file for name in formats)]
    write_checksums(run.path, [*run.files, *(run.path / name for name in exported)])
    return document


def _check(run, facts, dataset, report, formats, images):
    """Raise an `InputError` for arguments that would fail later, or are of another run."""
    import keras

    if keras.backend.backend() != "tensorflow":
        raise InputError("export needs Keras on TensorFlow; unset KERAS_BACKEND")
    if unknown := [name for name in formats if name not in FORMATS]:
        raise InputError(f"formats: {unknown[0]!r} is not one of {', '.join(FORMATS)}")
    for package in (package for name in formats for package in FORMATS[name].packages):
        require_package(package, "export needs", "'cnn-cifar10[export]'")
    if images < 1:
        raise InputError(f"images must be 1 or more, received {images}")
    if facts["fingerprint"] not in dataset.fingerprints:
        raise InputError(f"{run.path}: was trained on other data than {dataset.title}")
    if not is_report_of(report, facts):
        raise InputError(f"{run.path}: the report is of another run; evaluate this one")


def _export_formats(run, facts, formats, calibration, images, labels):
    """Write the formats into the run's folder if all pass; return how each compares with Keras."""
    model = run.load_model()
    reference = _predict(model.predict_on_batch, images)

    def compare(name, path, predict, probabilities):
        classes = probabilities.argmax(axis=1)
        return {
            "format": name,
            "bytes": _size(path),
            "largest_difference": float(np.abs(probabilities - reference).max()),
            "agreement": float((classes == reference.argmax(axis=1)).mean()),
            "accuracy": float((classes == labels).mean()),
            "milliseconds": measure_latency(predict, tuple(facts["input_shape"])),
        }

    rows, faults = [compare("keras", run.model_path, model.predict_on_batch, reference)], []
    prefix = f".part{os.getpid()}."  # of what `clear_parts` deletes
    with tempfile.TemporaryDirectory(dir=run.path, prefix=prefix) as folder:
        for name in formats:
            path = Path(folder) / FORMATS[name].file
            predict = FORMATS[name].export(model, path, facts["class_names"], calibration)
            rows.append(compare(name, path, predict, _predict(predict, images)))
            if fault := FORMATS[name].fault(rows[-1], rows[0]):
                faults.append(fault)
        if faults:
            raise ArtifactError(f"{run.path}: not exported: {'; '.join(faults)}")
        write_checksums(run.path, run.files)
        _remove_export(run.path)
        for file in (FORMATS[name].file for name in formats):
            (Path(folder) / file).rename(run.path / file)
    return rows


def _predict(predict, images):
    starts = range(0, len(images), _BATCH_SIZE)
    batches = (images[start : start + _BATCH_SIZE].astype("float32") for start in starts)
    return np.concatenate([predict(batch) for batch in batches])


def _remove_export(folder):
    """Delete what an earlier export added to a run's folder."""
    for name in (DESCRIPTION, _CARD, *(each.file for each in FORMATS.values())):
        if (folder / name).is_dir() and not (folder / name).is_symlink():
            shutil.rmtree(folder / name)
        else:
            (folder / name).unlink(missing_ok=True)


def _size(path):
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
