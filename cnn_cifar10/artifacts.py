"""A run made ready for use: what `cnn-cifar10 export` adds to its folder.

model.onnx, model.tflite, model_int8.tflite, saved_model/   the model, in other formats;
               model.onnx with a second output, `class_activation`, where the
               model allows it: see `gradcam.with_class_activation`
artifact.json  class names, what goes in and comes out, metrics, and how each
               format compares with model.keras
README.md      the model card
SHA256SUMS     of every file, for `sha256sum --check SHA256SUMS`

Importing this loads neither NumPy nor Keras.
"""

import hashlib
import json
import shutil
from pathlib import Path

from cnn_cifar10.errors import InputError
from cnn_cifar10.files import replacing

FORMATS = {
    "onnx": "model.onnx",
    "litert": "model.tflite",
    "litert_int8": "model_int8.tflite",
    "saved_model": "saved_model",
}
"""What a model can be exported to: name -> file or folder in the artifact."""

DESCRIPTION, CARD, CHECKSUMS = "artifact.json", "README.md", "SHA256SUMS"

_PACKAGE = Path(__file__).parent
SHIPPED = (_PACKAGE / "shipped_model", _PACKAGE.parent / "models" / "custom_cnn")
"""Where the model that comes with the package is: installed, and in a clone."""


class ArtifactError(InputError):
    """An artifact that is missing, incomplete or damaged."""


def shipped_artifact():
    """Return the folder of the model that comes with the package.

    Raises:
        ArtifactError: If it is not there.
    """
    for folder in SHIPPED:
        if folder.is_dir():
            return folder
    raise ArtifactError(f"{SHIPPED[-1]}: no such folder; name that of another exported model")


def read_description(folder):
    """Return what `artifact.json` holds.

    Raises:
        ArtifactError: If the folder holds no artifact, or another than was exported.
        RunError: If it does not even hold a finished run.
    """
    folder = Path(folder)
    if not (folder / DESCRIPTION).exists():
        from cnn_cifar10.runs import open_run

        open_run(folder)
        raise ArtifactError(f"{folder}: not exported yet; run `cnn-cifar10 export {folder}`")
    return json.loads(read_checked(folder, DESCRIPTION))


def read_checked(folder, name):
    """Return the bytes of an artifact's file, if they are those that were exported.

    Raises:
        ArtifactError: If the file is missing or its checksum is not the one in
            `SHA256SUMS`.
    """
    path, sums = Path(folder) / name, Path(folder) / CHECKSUMS
    try:
        data, lines = path.read_bytes(), sums.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise ArtifactError(f"{error.filename}: no such file; export the model again") from error
    if f"{hashlib.sha256(data).hexdigest()}  {name}" not in lines:
        raise ArtifactError(f"{path}: not the file that {sums.name} lists; export the model again")
    return data


def write_checksums(folder):
    """Write `SHA256SUMS` of every file in a folder and the folders in it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != CHECKSUMS)
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder).as_posix()}\n"
        for path in files
    ]
    with replacing(folder / CHECKSUMS) as part:
        part.write_text("".join(lines), encoding="utf-8", newline="\n")


def remove_export(folder):
    """Delete what an export added to a run's folder."""
    for name in (DESCRIPTION, CHECKSUMS, CARD, *FORMATS.values()):
        if (folder / name).is_dir():
            shutil.rmtree(folder / name)
        else:
            (folder / name).unlink(missing_ok=True)
