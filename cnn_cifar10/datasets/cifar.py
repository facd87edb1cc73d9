"""What CIFAR-10 and CIFAR-100 share: pickled batches in a folder or an archive, checked."""

import codecs
import hashlib
import io
import os
import pickle
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cnn_cifar10.datasets.dataset import Dataset, DatasetError, Split, stratified_split
from cnn_cifar10.datasets.downloads import Download, fetch
from cnn_cifar10.datasets.source import DataOptions, check_image_size


@dataclass(frozen=True)
class Files:
    """The published files of CIFAR-10 or CIFAR-100.

    Args:
        archive: Their archive, whose title is that of the data.
        folder: The folder in it.
        md5: MD5 of each pickled batch: those of training images, then that of test images.
        counts: How many images each holds.
        variable: The environment variable that names them where `data_dir` does not.
    """

    archive: Download
    folder: str
    md5: dict[str, str]
    counts: tuple[int, ...]
    variable: str

    @property
    def wanted(self) -> str:
        """What to do about missing or other files."""
        return (
            f"data_dir or {self.variable} must name {self.archive.name} or the folder "
            f"{self.folder} unpacked from it; without them it is downloaded"
        )


def load_cifar(
    name: str,
    files: Files,
    class_names: tuple[str, ...],
    options: DataOptions,
    *,
    labels: str = "labels",
    kind: str = "",
) -> Dataset:
    """Return a data set of 45,000, 5,000 and 10,000 images, the last of them the official test's.

    Args:
        name: A key of `DATASETS`.
        files: Where the images are.
        class_names: The name of each label.
        options: What is asked of the data set.
        labels: Which labels of the batches are taken.
        kind: What follows the title, for labels that are not the usual ones.

    Raises:
        DatasetError: If the files are missing, damaged or others.
    """
    check_image_size(name, options.image_size, 32)
    given = options.data_dir or os.environ.get(files.variable)
    place = Path(given).expanduser() if given else fetch(files.archive)
    title, images, found = _read(place, files, labels, len(class_names))
    train = sum(files.counts[:-1])
    parts = stratified_split(found[:train], (0.9, 0.1), options.split_seed)
    fit, validation = (Split(images[part], found[part], part) for part in parts)
    test = Split(images[train:], found[train:])
    return Dataset(name, title + kind, class_names, fit, validation, test)


def _read(path: Path, files: Files, key: str, classes: int) -> tuple[str, np.ndarray, np.ndarray]:
    """Return title, images and labels of the batches, train before test."""
    if not path.exists():
        raise DatasetError(f"{path}: no such file or folder; {files.wanted}")
    found = _read_folder(path, files) if path.is_dir() else _read_archive(path, files)
    if missing := [name for name in files.md5 if name not in found]:
        raise DatasetError(f"{path}: {_other(found, files, missing)}; {files.wanted}")
    batches = []
    for (name, count), content in zip(
        zip(files.md5, files.counts, strict=True), map(found.__getitem__, files.md5), strict=True
    ):
        try:
            batches.append(_read_batch(content, key, count, classes))
        except DatasetError as error:
            raise DatasetError(f"{path}: {name} {error}; {files.wanted}") from error
    data, labels, filenames = zip(*batches, strict=True)
    images = np.empty((sum(files.counts), 32, 32, 3), "uint8")
    np.concatenate([b.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1) for b in data], out=images)
    title = f"{files.archive.title} (modified copy)"
    if all(os.fsencode(name).endswith(b".jpg") for name in np.concatenate(filenames)):
        title = f"{files.archive.title} (JPEG copy)"
    elif all(_md5(found[name]) == md5 for name, md5 in files.md5.items()):
        title = files.archive.title
    return title, images, np.concatenate(labels).astype("int64")


def _other(found: dict[str, bytes], files: Files, missing: list[str]) -> str:
    """Return what files are that are not those wanted."""
    hundred = any(name.startswith("cifar-100") or name == "meta" for name in found)
    ten = any(name.startswith(("cifar-10-", "data_batch_", "batches.meta")) for name in found)
    other = "CIFAR-10" if files.archive.title == "CIFAR-100" else "CIFAR-100"
    if any(name.endswith((".bin", ".mat", "-bin", "-mat", "-binary", "-matlab")) for name in found):
        return "holds the binary or MATLAB version, not the Python version"
    if hundred != ten and (hundred == (other == "CIFAR-100")):
        return f"holds {other}"
    return f"lacks {', '.join(missing)}"


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _read_folder(path: Path, files: Files) -> dict[str, bytes]:
    """Return the files of a folder, or of the folder of batches in it: contents of batches only."""
    if (inner := path / files.folder).is_dir():
        path = inner
    elif (archive := path / files.archive.name).is_file():
        return _read_archive(archive, files)
    return {
        file.name: file.read_bytes() if file.name in files.md5 and file.is_file() else b""
        for file in path.iterdir()
    }


def _read_archive(path: Path, files: Files) -> dict[str, bytes]:
    """Return the files of an archive by name: contents of batches only."""
    found = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = member.name.rpartition("/")[2]
                wanted = name in files.md5 and member.isfile()
                batch = archive.extractfile(member) if wanted else None
                found[name] = batch.read() if batch else b""
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        fault = str(error).partition(":")[0]  # the rest lists every compression tried
        raise DatasetError(f"{path}: no whole tar archive ({fault}); {files.wanted}") from error
    return found


def _read_batch(content: bytes, key: str, count: int, classes: int) -> list[np.ndarray]:
    """Return pixels of shape (count, 3072), labels and file names."""
    try:
        batch = _BatchUnpickler(io.BytesIO(content), encoding="bytes").load()
        data, labels = np.asarray(batch[b"data"]), np.asarray(batch[key.encode()])
        filenames = np.asarray(batch[b"filenames"])
    except Exception as error:  # a damaged pickle raises nearly any type
        raise DatasetError(f"is no CIFAR batch ({type(error).__name__}: {error})") from error
    if data.shape != (count, 3072) or data.dtype != np.uint8:
        fault = f"{data.dtype} data of shape {data.shape}"
        raise DatasetError(f"holds {fault}, not uint8 ({count}, 3072)")
    if not labels.shape == filenames.shape == (count,):
        raise DatasetError(f"has not {count:,} labels and file names")
    if not set(labels.tolist()) <= set(range(classes)):
        raise DatasetError(f"holds labels other than 0 to {classes - 1}")
    return [data, labels, filenames]


# Under whatever module a version of NumPy keeps them; any other name could run code of its own.
_PICKLED = {
    "_reconstruct": np.empty(0).__reduce__()[0],
    "_frombuffer": np.empty(1).__reduce_ex__(5)[0],
    "ndarray": np.ndarray,
    "dtype": np.dtype,
    "encode": codecs.encode,
}


class _BatchUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str):
        if module.partition(".")[0] in ("numpy", "_codecs") and name in _PICKLED:
            return _PICKLED[name]
        raise pickle.UnpicklingError(f"asks for {module}.{name}")
