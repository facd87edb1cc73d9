"""CIFAR-10 from the official archive, a copy in its layout, or Keras's download."""

import codecs
import hashlib
import io
import os
import pickle
import tarfile
import zlib
from pathlib import Path

import numpy as np

from cnn_cifar10.datasets.dataset import Dataset, DatasetError, Split, stratified_split
from cnn_cifar10.datasets.source import DataOptions, check_image_size

_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
_MD5 = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
_WANTED = (
    "data_dir or CNN_CIFAR10_DATA must name cifar-10-python.tar.gz or the folder "
    "cifar-10-batches-py unpacked from it (https://www.cs.toronto.edu/~kriz/cifar.html)"
)


def load(options: DataOptions) -> Dataset:
    """CIFAR-10: 60,000 colour images of 10 classes, 32x32; downloaded, or read from disk.

    Train, validation and test have 45,000, 5,000 and 10,000 images; validation is taken
    from the official training images. The title says whether the pixels are the
    official ones.

    `data_dir` names the archive `cifar-10-python.tar.gz`, the folder `cifar-10-batches-py`
    or the folder that holds one of them. `None` takes the environment variable
    `CNN_CIFAR10_DATA`; without it, Keras downloads the data.
    """
    check_image_size("cifar10", options.image_size, 32)
    if data_dir := options.data_dir or os.environ.get("CNN_CIFAR10_DATA"):
        title, images, labels = _read(Path(data_dir).expanduser())
    else:
        title, images, labels = "CIFAR-10", *_download()
    parts = stratified_split(labels[:50_000], (0.9, 0.1), options.split_seed)
    train, validation = (Split(images[part], labels[part], part) for part in parts)
    test = Split(images[50_000:], labels[50_000:])
    return Dataset("cifar10", title, _CLASSES, train, validation, test)


def _download() -> tuple[np.ndarray, np.ndarray]:
    import keras

    try:
        (x_train, y_train), (x_test, y_test) = keras.datasets.cifar10.load_data()
    except Exception as error:  # the type that Keras itself raises when a download fails
        raise DatasetError(f"CIFAR-10 was not downloaded ({error}); {_WANTED}") from error
    images = np.concatenate([x_train, x_test])
    if keras.config.image_data_format() == "channels_first":
        images = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
    return images, np.concatenate([y_train, y_test]).ravel().astype("int64")


def _read(path: Path) -> tuple[str, np.ndarray, np.ndarray]:
    """Return title, images and labels of the six batches, train before test."""
    if not path.exists():
        raise DatasetError(f"{path}: no such file or folder; {_WANTED}")
    files = _read_folder(path) if path.is_dir() else _read_archive(path)
    if missing := [name for name in _MD5 if name not in files]:
        fault = f"lacks {', '.join(missing)}"
        if any(name.startswith("cifar-100") or name == "meta" for name in files):
            fault = "holds CIFAR-100"
        elif any(name.endswith((".bin", ".mat", "-bin", "-mat")) for name in files):
            fault = "holds the binary or MATLAB version, not the Python version"
        raise DatasetError(f"{path}: {fault}; {_WANTED}")
    batches = [_read_batch(path, name, files[name]) for name in _MD5]
    images, labels, filenames = map(np.concatenate, zip(*batches, strict=True))
    title = "CIFAR-10 (modified copy)"
    if all(os.fsencode(name).endswith(b".jpg") for name in filenames):
        title = "CIFAR-10 (JPEG copy)"
    elif all(_md5(files[name]) == md5 for name, md5 in _MD5.items()):
        title = "CIFAR-10"
    images = images.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return title, np.ascontiguousarray(images), labels.astype("int64")


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _read_folder(path: Path) -> dict[str, bytes]:
    """Return the files of a folder, or of the folder of batches in it: contents of batches only."""
    if (inner := path / "cifar-10-batches-py").is_dir():
        path = inner
    elif (archive := path / "cifar-10-python.tar.gz").is_file():
        return _read_archive(archive)
    return {file.name: file.read_bytes() if file.name in _MD5 else b"" for file in path.iterdir()}


def _read_archive(path: Path) -> dict[str, bytes]:
    """Return the files of an archive by name: contents of batches only."""
    files = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = member.name.rpartition("/")[2]
                batch = archive.extractfile(member) if name in _MD5 and member.isfile() else None
                files[name] = batch.read() if batch else b""
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        fault = str(error).partition(":")[0]  # the rest lists every compression tried
        raise DatasetError(f"{path}: no whole tar archive ({fault}); {_WANTED}") from error
    return files


def _read_batch(path: Path, name: str, content: bytes) -> list[np.ndarray]:
    """Return pixels of shape (10000, 3072), labels and file names."""
    place = f"{path}: {name}"
    try:
        batch = _BatchUnpickler(io.BytesIO(content), encoding="bytes").load()
        data, labels = np.asarray(batch[b"data"]), np.asarray(batch[b"labels"])
        filenames = np.asarray(batch[b"filenames"])
    except Exception as error:  # a damaged pickle raises nearly any type
        fault = f"{type(error).__name__}: {error}"
        raise DatasetError(f"{place} is no CIFAR-10 batch ({fault}); {_WANTED}") from error
    if data.shape != (10_000, 3072) or data.dtype != np.uint8:
        fault = f"{data.dtype} data of shape {data.shape}"
        raise DatasetError(f"{place} holds {fault}, not uint8 (10000, 3072); {_WANTED}")
    if not labels.shape == filenames.shape == (10_000,):
        raise DatasetError(f"{place} has not 10,000 labels and file names; {_WANTED}")
    if not set(labels.tolist()) <= set(range(10)):
        raise DatasetError(f"{place} holds labels other than 0 to 9; {_WANTED}")
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
