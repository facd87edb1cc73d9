"""Exported models on disk: the files that `cnn-cifar10 export` adds to a run's folder.

model.onnx     the model as ONNX, with further outputs, `embedding` and `class_activation`,
               where the model allows them: see `evaluation.with_class_activation`
               other formats stand beside it: see `exporting.FORMATS`
artifact.json  class names, what goes in (with how an image becomes a square) and comes
               out, metrics, and how each format compares with model.keras
README.md      the model card
SHA256SUMS     the checksum of these and of the run's files, for
               `sha256sum --check SHA256SUMS`

Importing this loads neither NumPy nor Keras.
"""

import json
from pathlib import Path
from typing import Any

from cnn_cifar10.utils import InputError, printable, read_checked

DESCRIPTION, MODEL_FILE = "artifact.json", "model.onnx"
"""Files of an exported model that `Classifier` reads."""

_PACKAGE = Path(__file__).parents[1]
SHIPPED: tuple[Path, Path] = (_PACKAGE / "shipped_model", _PACKAGE.parent / "models" / "custom_cnn")
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
        ArtifactError: If the folder holds no exported model, or its files were changed.
    """
    folder, name = Path(folder), printable(folder)
    if not folder.is_dir():
        raise ArtifactError(f"{name}: no such folder; name that of an exported model")
    if not (folder / DESCRIPTION).exists():
        raise ArtifactError(f"{name}: not exported yet; run `cnn-cifar10 export {name}`")
    return json.loads(read_checked(folder, DESCRIPTION, ArtifactError))
