"""Exported models on disk: the files that `cnn-cifar10 export` adds to a run's folder.

model.onnx     the model as ONNX, with further outputs, `embedding` and `class_activation`,
               where the model allows them: see `evaluation.with_class_activation`
model_float16.onnx  the same with weights of two bytes; read where `model.onnx` is not
               other formats stand beside it: see `exporting.FORMATS`
artifact.json  class names, what goes in (with how an image becomes a square) and comes
               out, metrics, and how each format compares with model.keras
README.md      the model card
SHA256SUMS     the checksum of these and of the run's files, for
               `sha256sum --check SHA256SUMS`

Importing this loads neither NumPy nor Keras.
"""

import math
from pathlib import Path
from typing import Any

from cnn_cifar10.configs import FITS
from cnn_cifar10.utils import (
    JSON_BYTES,
    InputError,
    parse_object,
    printable,
    printable_document,
    read_checked,
    require,
)

DESCRIPTION = "artifact.json"
"""File that describes an exported model: its classes, its input, how to prepare an image."""

MODEL_FILES = ("model.onnx", "model_float16.onnx")
"""Files of an exported model, of which `Classifier` reads the first that is there."""

MAX_SIDE = 8192
"""Pixels on a side of the largest image that an exported model takes."""

_PACKAGE = Path(__file__).parents[1]
SHIPPED: tuple[Path, Path] = (
    _PACKAGE / "shipped_model",
    _PACKAGE.parent / "models" / "efficientnet_lite0",
)
"""Where the model that comes with the package is: installed, and in a clone."""


class ArtifactError(InputError):
    """An exported model that is missing, incomplete or damaged."""


def shipped_artifact() -> Path:
    """Return the folder of the model that comes with the package.

    Raises:
        ArtifactError: If it is not there.
    """
    for folder in SHIPPED:
        if folder.is_dir():
            return folder
    raise ArtifactError(f"{SHIPPED[-1]}: no such folder; name that of another exported model")


def read_description(folder: str | Path) -> dict[str, Any]:
    """Return what `artifact.json` holds.

    Raises:
        ArtifactError: If the folder holds no exported model, its files were changed, or what
            the file says cannot be.
    """
    folder, name = Path(folder), printable(folder)
    if not folder.is_dir():
        raise ArtifactError(f"{name}: no such folder; name that of an exported model")
    if not (folder / DESCRIPTION).exists():
        raise ArtifactError(f"{name}: not exported yet; run `cnn-cifar10 export {name}`")
    data, place = read_checked(folder, DESCRIPTION, ArtifactError, JSON_BYTES), folder / DESCRIPTION
    description = printable_document(parse_object(data, place, "description", ArtifactError))
    _check(description, f"{place}:")
    return description


def _check(description, place):
    """Raise an `ArtifactError` unless a classifier can work with what a description says."""

    def of_type(kind, document, key):
        found = document.get(key)
        require(
            isinstance(found, kind),
            ArtifactError,
            f"{place} {key} must be a {kind.__name__}",
            found,
        )
        return found

    names = of_type(list, description, "class_names")
    right = all(isinstance(name, str) and name for name in names)
    require(
        right and 1 < len(names) == len({*names}),
        ArtifactError,
        f"{place} class_names must be 2 or more names, each once",
        _few(names),
    )
    inputs = of_type(dict, description, "input")
    shape, fit = of_type(list, inputs, "shape"), inputs.get("fit", "crop")
    sizes = [size for size in shape[1:] if type(size) is int and 0 < size <= MAX_SIDE]
    right = len(sizes) == 3 and shape == [None, *sizes] and sizes[2] == 3
    expected = f"{place} input shape must be [null, height, width, 3], {MAX_SIDE:,} pixels at most"
    require(right, ArtifactError, expected, _few(shape))
    require(fit in FITS, ArtifactError, f"{place} fit must be one of {', '.join(FITS)}", fit)
    for split in of_type(dict, description, "metrics"):
        for name, value in of_type(dict, description["metrics"], split).items():
            right = isinstance(value, (int, float)) and math.isfinite(value)
            require(right, ArtifactError, f"{place} {split} {name} must be a number", value)


def _few(values):
    return values if len(values) <= 5 else [*values[:5], f"and {len(values) - 5:,} more"]
