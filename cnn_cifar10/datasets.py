"""Data sets: CIFAR-10, digits, image folders and ImageNet as one `Dataset` object."""

import codecs
import csv
import functools
import hashlib
import io
import json
import logging
import os
import pickle
import tarfile
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cnn_cifar10.errors import InputError
from cnn_cifar10.images import IMAGE_FORMATS, ImageFiles, find_damaged

logger = logging.getLogger(__name__)

DATASETS: dict[str, str] = {
    "cifar10": "CIFAR-10: 60,000 colour images of 10 classes, 32x32; downloaded, or read from disk",
    "digits": "scikit-learn's 1,797 handwritten digits, shown at 32x32; needs no download",
    "folder": "your own images: one sub-folder per class, or train/, val/ and test/ of such",
    "imagenet": "ImageNet (ILSVRC 2012), or some of its classes, in Kaggle's or a plain layout",
}
"""What `load_dataset` can load: name -> one line about it."""


class DatasetError(InputError):
    """A data set that cannot be loaded; the message says what was found and what would work."""


@dataclass(frozen=True, eq=False)
class Split:
    """Labelled images that are used for one purpose.

    Args:
        images: `uint8` RGB of shape `(n, height, width, 3)`, values 0 to 255:
            an array, or files that are read when indexed.
        labels: `int64` array of shape `(n,)`, values 0 to `num_classes - 1`.
        ids: Shape `(n,)`, which examples these are: positions in the published
            order, or file paths relative to the data folder. `None` counts
            from 0.
    """

    images: np.ndarray | ImageFiles
    labels: np.ndarray
    ids: np.ndarray | None = None

    def __post_init__(self):
        if self.ids is None:
            object.__setattr__(self, "ids", np.arange(len(self.labels)))

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"Split({len(self):,} images)"


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images of known classes in three splits that share no example.

    Args:
        name: A key of `DATASETS`.
        title: What a figure's caption calls the data: "CIFAR-10 (JPEG copy)".
        class_names: The name of each label, in the order of the labels.
        train: What a model is fitted to.
        validation: What chooses between epochs, settings and models.
        test: What the final figure is measured on, and nothing else.
    """

    name: str
    title: str
    class_names: tuple[str, ...]
    train: Split
    validation: Split
    test: Split

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return len(self.class_names)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """`(height, width, 3)` in pixels."""
        return tuple(self.train.images.shape[1:])

    @functools.cached_property
    def fingerprint(self) -> str:
        """Hexadecimal SHA-256 of the classes and of every split's examples and labels.

        It is the same in every process, on every machine and wherever the data
        lie. Pixels are not part of it.
        """
        # A folder's title is its name on disk, which may change while the data stay the same.
        source = self.name if isinstance(self.train.images, ImageFiles) else self.title
        splits = (self.train, self.validation, self.test)
        parts = [(split.ids.tolist(), split.labels.tolist()) for split in splits]
        return hashlib.sha256(json.dumps([source, self.class_names, parts]).encode()).hexdigest()


def list_datasets() -> list[str]:
    """Return the names that `load_dataset` knows, the keys of `DATASETS`."""
    return list(DATASETS)


def load_dataset(
    name: str,
    data_dir: str | os.PathLike | None = None,
    *,
    image_size: int | None = None,
    split_seed: int = 0,
    skip_damaged: bool = False,
) -> Dataset:
    """Load a data set in three splits: train, validation and test.

    - `cifar10`: 45,000, 5,000 and 10,000 images; validation is taken from the
      official training images. Keras downloads them, unless `data_dir` or the
      environment variable `CNN_CIFAR10_DATA` says where they are. The title
      tells the official pixels from copies.
    - `digits`: about 70, 10 and 20 %, enlarged from 8x8 pixels.
    - `folder`: class folders, split 80, 10 and 10 %; or `train/` and `test/`
      of such and optionally `val/`, which is else taken from 10 % of train.
    - `imagenet`: the official validation images are the *test* split, as the
      labels of the official test images are unpublished; validation is 10 % of
      train. The classes are those found in `train/`. One official image,
      `n02105855_2933.JPEG`, is a PNG and thus reported: rename or skip it.

    What is split here is split at random class by class, with at least one
    image of each class in each split.

    The images of the last two stay on disk until they are indexed. Before, all
    are decoded once to find damaged ones, which is remembered in
    `~/.cache/cnn-cifar10` (or under `XDG_CACHE_HOME`) until a file changes.

    Args:
        name: One of `list_datasets()`.
        data_dir: For `cifar10` the archive `cifar-10-python.tar.gz`, the folder
            `cifar-10-batches-py` or the one around it. For `imagenet` the
            folder of `LOC_synset_mapping.txt`, which also holds
            `ILSVRC/Data/CLS-LOC/` or `train/` and `val/`, and, if `val/` has no
            synset folders, `LOC_val_solution.csv`.
        image_size: Height and width in pixels to which files are scaled and
            cropped, by default 64 for `folder` and 224 for `imagenet`.
            `cifar10` and `digits` are always 32.
        split_seed: Seed of the random split, 0 to 2**32 - 1.
        skip_damaged: Whether files that cannot be read are left out, and listed
            in a warning of this module's logger, rather than an error.

    Returns:
        A `Dataset`.

    Raises:
        DatasetError: If the data are missing, damaged or laid out otherwise, or
            an argument is out of its range.
    """
    if name not in DATASETS:
        raise DatasetError(f"name: no data set {name!r}; choose from {', '.join(DATASETS)}")
    if not 0 <= split_seed < 2**32:
        raise DatasetError(f"split_seed: {split_seed} is not within 0 to 2**32 - 1")
    if name in ("cifar10", "digits"):
        if image_size not in (None, 32):
            raise DatasetError(
                f"image_size: {name} is 32, not {image_size}; leave it out, models resize inside"
            )
        if name == "cifar10":
            return _load_cifar10(data_dir or os.environ.get("CNN_CIFAR10_DATA"), split_seed)
        if data_dir is not None:
            raise DatasetError(f"data_dir: digits come with scikit-learn, not from {data_dir}")
        return _load_digits(split_seed)
    if image_size is not None and image_size < 1:
        raise DatasetError(f"image_size: {image_size} is not a number of pixels, 1 or more")
    if data_dir is None or not (root := Path(data_dir).expanduser()).is_dir():
        raise DatasetError(f"data_dir: {data_dir} is no folder; {name} needs that of the images")
    if name == "folder":
        names, files = {}, _list_folder(root)
        title = root.resolve().name
    else:
        names, files = _list_imagenet(root)
        title = "ImageNet (ILSVRC 2012)"
        if len(files["train"]) != 1000:
            title += f", {len(files['train']):,} classes"
    files = _without_damaged(root, files, skip_damaged)
    splits = _split_files(root, files, image_size or (64 if name == "folder" else 224), split_seed)
    class_names = tuple(names.get(key, key) for key in sorted(files["train"]))
    return Dataset(name, title, class_names, **splits)


def _stratified_split(labels: np.ndarray, weights: Sequence[float], seed: int) -> list[np.ndarray]:
    """Sorted positions of each part of a random split that holds the shares of the classes."""
    rng = np.random.RandomState(seed)  # whose stream NumPy promises never to change
    bounds = np.cumsum(weights) / np.sum(weights)
    parts = [[] for _ in weights]
    for members in np.split(np.argsort(labels, kind="stable"), np.cumsum(np.bincount(labels))[:-1]):
        cuts = np.round(bounds * len(members)).astype(int)
        least = np.arange(1, len(weights) + 1)  # one for every part
        spare = np.clip(cuts - least, 0, len(members) - len(weights))
        cuts = least + np.maximum.accumulate(spare)
        for part, indices in zip(parts, np.split(rng.permutation(members), cuts[:-1]), strict=True):
            part.append(indices)
    return [np.sort(np.concatenate(part)) for part in parts]


def _load_digits(seed: int) -> Dataset:
    from PIL import Image
    from sklearn.datasets import load_digits

    small, labels = load_digits(return_X_y=True)
    small = np.round(small.reshape(-1, 8, 8) * (255 / 16)).astype("uint8")
    images = np.stack([Image.fromarray(digit).resize((32, 32)).convert("RGB") for digit in small])
    parts = _stratified_split(labels, (0.7, 0.1, 0.2), seed)
    splits = [Split(images[part], labels[part].astype("int64"), part) for part in parts]
    return Dataset("digits", "digits (scikit-learn)", tuple("0123456789"), *splits)


_CIFAR10_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
_CIFAR10_MD5 = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
_CIFAR10_WANTED = (
    "data_dir or CNN_CIFAR10_DATA must name cifar-10-python.tar.gz or the folder "
    "cifar-10-batches-py unpacked from it (https://www.cs.toronto.edu/~kriz/cifar.html)"
)


def _load_cifar10(data_dir: str | os.PathLike | None, seed: int) -> Dataset:
    if data_dir:
        title, images, labels = _read_cifar10(Path(data_dir).expanduser())
    else:
        title, images, labels = "CIFAR-10", *_download_cifar10()
    parts = _stratified_split(labels[:50_000], (0.9, 0.1), seed)
    splits = [Split(images[part], labels[part], part) for part in parts]
    test = Split(images[50_000:], labels[50_000:])
    return Dataset("cifar10", title, _CIFAR10_CLASSES, *splits, test)


def _download_cifar10() -> tuple[np.ndarray, np.ndarray]:
    import keras

    try:
        (x_train, y_train), (x_test, y_test) = keras.datasets.cifar10.load_data()
    except Exception as error:  # the type that Keras itself raises when a download fails
        raise DatasetError(f"CIFAR-10 was not downloaded ({error}); {_CIFAR10_WANTED}") from error
    images = np.concatenate([x_train, x_test])
    if keras.config.image_data_format() == "channels_first":
        images = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
    return images, np.concatenate([y_train, y_test]).ravel().astype("int64")


def _read_cifar10(path: Path) -> tuple[str, np.ndarray, np.ndarray]:
    """Title, images and labels of the six batches, train before test."""
    if not path.exists():
        raise DatasetError(f"{path}: no such file or folder; {_CIFAR10_WANTED}")
    files = _read_folder(path) if path.is_dir() else _read_archive(path)
    if missing := [name for name in _CIFAR10_MD5 if name not in files]:
        fault = f"lacks {', '.join(missing)}"
        if any(name.startswith("cifar-100") or name == "meta" for name in files):
            fault = "holds CIFAR-100"
        elif any(name.endswith((".bin", ".mat", "-bin", "-mat")) for name in files):
            fault = "holds the binary or MATLAB version, not the Python version"
        raise DatasetError(f"{path}: {fault}; {_CIFAR10_WANTED}")
    batches = [_read_batch(path, name, files[name]) for name in _CIFAR10_MD5]
    images, labels, filenames = map(np.concatenate, zip(*batches, strict=True))
    title = "CIFAR-10 (modified copy)"
    if all(os.fsencode(name).endswith(b".jpg") for name in filenames):
        title = "CIFAR-10 (JPEG copy)"
    elif all(_md5(files[name]) == md5 for name, md5 in _CIFAR10_MD5.items()):
        title = "CIFAR-10"
    images = images.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return title, np.ascontiguousarray(images), labels.astype("int64")


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _read_folder(path: Path) -> dict[str, bytes]:
    """Each name in a folder, or in the batches' folder inside it -> the content if a batch."""
    if (inner := path / "cifar-10-batches-py").is_dir():
        path = inner
    elif (archive := path / "cifar-10-python.tar.gz").is_file():
        return _read_archive(archive)
    return {
        file.name: file.read_bytes() if file.name in _CIFAR10_MD5 else b""
        for file in path.iterdir()
    }


def _read_archive(path: Path) -> dict[str, bytes]:
    """Each name in an archive -> the content if a batch."""
    files = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = member.name.rpartition("/")[2]
                is_batch = name in _CIFAR10_MD5 and member.isfile()
                files[name] = archive.extractfile(member).read() if is_batch else b""
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        fault = str(error).partition(":")[0]  # the rest lists every compression tried
        raise DatasetError(f"{path}: no whole tar archive ({fault}); {_CIFAR10_WANTED}") from error
    return files


def _read_batch(path: Path, name: str, content: bytes) -> list[np.ndarray]:
    """Pixels of shape (10000, 3072), labels and file names."""
    place = f"{path}: {name}"
    try:
        batch = _BatchUnpickler(io.BytesIO(content), encoding="bytes").load()
        data, labels = np.asarray(batch[b"data"]), np.asarray(batch[b"labels"])
        filenames = np.asarray(batch[b"filenames"])
    except Exception as error:  # a damaged pickle raises nearly any type
        fault = f"{type(error).__name__}: {error}"
        raise DatasetError(f"{place} is no CIFAR-10 batch ({fault}); {_CIFAR10_WANTED}") from error
    if data.shape != (10_000, 3072) or data.dtype != np.uint8:
        fault = f"{data.dtype} data of shape {data.shape}"
        raise DatasetError(f"{place} holds {fault}, not uint8 (10000, 3072); {_CIFAR10_WANTED}")
    if not labels.shape == filenames.shape == (10_000,):
        raise DatasetError(f"{place} has not 10,000 labels and file names; {_CIFAR10_WANTED}")
    if not set(labels.tolist()) <= set(range(10)):
        raise DatasetError(f"{place} holds labels other than 0 to 9; {_CIFAR10_WANTED}")
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


# Split on disk -> class -> its files, as paths relative to the data folder with "/" between.
_Files = dict[str, dict[str, list[str]]]

_SPLIT_NAMES = {"val": "validation", "valid": "validation"}


def _list_folder(root: Path) -> _Files:
    folders, files = _entries(root)
    splits = {name: _SPLIT_NAMES.get(name.lower(), name.lower()) for name in folders}
    others = [name for name in folders if splits[name] not in ("train", "validation", "test")]
    train = [name for name in folders if splits[name] == "train"]
    # A train/ that holds images itself, not class folders, is a class.
    if others and not (train and _entries(root, train[0])[0]):
        return {"train": _list_classes(root)}
    found = sorted(splits.values())
    if found == ["train", "validation"]:
        raise DatasetError(
            f"{root}: no test/; a figure on the split that chose the model is no test figure: "
            f"add test/, or rename {folders[1]}/ to test/ and validation is taken from train/"
        )
    if found not in (["test", "train"], ["test", "train", "validation"]):
        raise DatasetError(
            f"{root}: holds the folders {_few(folders) or '(none)'}; let it hold class folders, or "
            "train/, test/ and optionally val/ with class folders in each"
        )
    _refuse_loose(root, files)
    return {split: _list_classes(root, name) for name, split in splits.items()}


def _list_imagenet(root: Path) -> tuple[dict[str, str], _Files]:
    """Human names of the synsets, and the files: the official validation images as test."""
    kaggle = "ILSVRC/Data/CLS-LOC/"
    prefix = kaggle if (root / kaggle).is_dir() else ""
    needed = [f"{prefix}train", f"{prefix}val", "LOC_synset_mapping.txt"]
    if missing := [name for name in needed if not (root / name).exists()]:
        raise DatasetError(f"{root}: lacks {_few(missing)}; add what Kaggle's download holds")
    names = _synset_names((root / "LOC_synset_mapping.txt").read_text("utf-8"))
    train = _list_classes(root, prefix + "train")
    if unknown := [synset for synset in train if synset not in names]:
        raise DatasetError(f"{root}: {_few(unknown)} in train/ but not in LOC_synset_mapping.txt")
    folders, images = _entries(root, prefix + "val")
    test = _list_classes(root, prefix + "val") if folders else _list_solved(root, images)
    return names, {"train": train, "test": {synset: test.get(synset, []) for synset in train}}


def _list_solved(root: Path, images: Sequence[str]) -> dict[str, list[str]]:
    """Images of no synset folder by the synset that Kaggle's table gives."""
    table = root / "LOC_val_solution.csv"
    if not table.is_file():
        raise DatasetError(f"{table}: no such file; add it, or sort val/ into synset folders")
    with table.open(newline="", encoding="utf-8") as file:
        # "ILSVRC2012_val_00048981,n03995372 85 1 499 272": a synset, then a box.
        synsets = {row[0]: row[1].split()[0] for row in csv.reader(file)}
    classes = {}
    for path in images:
        if (image := Path(path).stem) not in synsets:
            raise DatasetError(f"{table}: has no line for {path}; add it or remove the image")
        classes.setdefault(synsets[image], []).append(path)
    return classes


def _synset_names(mapping: str) -> dict[str, str]:
    """Synset -> its first synonym; where two would agree, all synonyms, or the synset too."""
    words = dict(line.split(maxsplit=1) for line in mapping.splitlines() if line.strip())
    first = {synset: synonyms.split(",")[0].strip() for synset, synonyms in words.items()}
    count = Counter(first.values())
    names = {key: first[key] if count[first[key]] == 1 else words[key].strip() for key in words}
    count = Counter(names.values())
    return {key: name if count[name] == 1 else f"{name} ({key})" for key, name in names.items()}


def _entries(root: Path, place: str = "") -> tuple[list[str], list[str]]:
    """Folders and files in a folder, relative to `root`, without those that systems hide there."""
    folders, files = [], []
    with os.scandir(root / place) as entries:
        for entry in entries:
            if entry.name.startswith(".") or entry.name.lower() in ("thumbs.db", "desktop.ini"):
                continue
            name = f"{place}/{entry.name}" if place else entry.name
            (folders if entry.is_dir() else files).append(name)
    return sorted(folders), sorted(files)


def _list_classes(root: Path, place: str = "") -> dict[str, list[str]]:
    folders, files = _entries(root, place)
    _refuse_loose(root, files)
    return {folder.rpartition("/")[2]: _files_below(root, folder) for folder in folders}


def _refuse_loose(root: Path, files: Sequence[str]) -> None:
    if loose := [name for name in files if Path(name).suffix.lower() in IMAGE_FORMATS]:
        raise DatasetError(f"{root}: {_few(loose)} outside any class folder; move or remove")


def _files_below(root: Path, place: str) -> list[str]:
    folders, files = _entries(root, place)
    return files + [file for folder in folders for file in _files_below(root, folder)]


def _check_classes(root: Path, files: _Files) -> None:
    train = files["train"]
    if len(train) < 2:
        raise DatasetError(f"{root}: {len(train)} class folders ({_few(list(train))}), 2 needed")
    for split, classes in files.items():
        if differing := sorted(classes.keys() ^ train.keys()):
            raise DatasetError(f"{root}: {_few(differing)} not in both train/ and {split}/")
        needed = 4 - len(files) if split == "train" else 1
        if short := [f"{name} ({len(paths)})" for name, paths in classes.items()
                     if len(paths) < needed]:  # fmt: skip
            raise DatasetError(
                f"{root}: {split} has too few images of {_few(short)}; {needed} or more of each "
                "class are needed"
            )


def _without_damaged(root: Path, files: _Files, skip: bool) -> _Files:
    _check_classes(root, files)
    paths = [path for classes in files.values() for members in classes.values() for path in members]
    damaged = _recall_damaged(root, paths)
    if not damaged:
        return files
    lines = [f"\n  {path}: {reason}" for path, reason in damaged.items()]
    listing = "".join(lines[:20]) + f"\n  and {len(lines) - 20:,} more" * (len(lines) > 20)
    count = f"{root}: {len(damaged):,} of {len(paths):,} files cannot be used"
    if not skip:
        raise DatasetError(f"{count}; repair them or leave them out with skip_damaged:{listing}")
    logger.warning("%s and are left out:%s", count, listing)
    kept = {
        split: {name: [p for p in paths if p not in damaged] for name, paths in classes.items()}
        for split, classes in files.items()
    }
    _check_classes(root, kept)
    return kept


def _recall_damaged(root: Path, paths: Sequence[str]) -> dict[str, str]:
    """`find_damaged`, remembered until the path, size or modification time of a file changes."""
    from PIL import __version__

    digest = hashlib.sha256(__version__.encode())
    for path in paths:
        status = (root / path).stat() if (root / path).exists() else None
        digest.update(repr((path, status and (status.st_size, status.st_mtime_ns))).encode())
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cnn-cifar10"
    cache /= f"checked-{hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]}.json"
    key = digest.hexdigest()
    if cache.is_file():
        try:
            known = json.loads(cache.read_text())
            if known["files"] == key:
                return known["damaged"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.warning("%s cannot be used, so all images are checked (%s)", cache, error)
    found = find_damaged([root / path for path in paths])
    damaged = {path: found[str(root / path)] for path in paths if str(root / path) in found}
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        part = cache.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps({"files": key, "damaged": damaged}))
        part.replace(cache)
    except OSError as error:
        logger.warning("%s cannot be written, so the check will be repeated (%s)", cache, error)
    return damaged


def _split_files(root: Path, files: _Files, size: int, seed: int) -> dict[str, Split]:
    ids, labels = {}, {}
    for split, classes in files.items():
        members = [classes[name] for name in sorted(classes)]
        ids[split] = np.array([path for paths in members for path in paths], dtype=object)
        labels[split] = np.repeat(np.arange(len(members), dtype="int64"), list(map(len, members)))
    carved = [split for split in ("validation", "test") if split not in files]
    parts = _stratified_split(labels["train"], [10 - len(carved), *[1 for _ in carved]], seed)
    pool = ids["train"], labels["train"]
    for split, part in zip(["train", *carved], parts, strict=True):
        ids[split], labels[split] = pool[0][part], pool[1][part]
    splits = {}
    for split in ("train", "validation", "test"):
        images = ImageFiles([root / path for path in ids[split]], (size, size))
        splits[split] = Split(images, labels[split], ids[split])
    return splits


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - 20:,} more" if len(names) > 20 else ""
    return ", ".join(names[:20]) + more
