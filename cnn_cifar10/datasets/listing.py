"""Image files on disk: listed by class folder, checked for damage, and split."""

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from cnn_cifar10.datasets import images
from cnn_cifar10.datasets.dataset import DatasetError, Split, stratified_split
from cnn_cifar10.datasets.images import IMAGE_FORMATS, ImageFiles, find_damaged
from cnn_cifar10.datasets.source import DataOptions
from cnn_cifar10.utils import cache_folder, printable, write_json

logger = logging.getLogger(__name__)

Files = dict[str, dict[str, list[str]]]
"""Split on disk -> class -> its files, as paths relative to the data folder with "/" between."""


def open_folder(name: str, options: DataOptions) -> Path:
    """Return the folder of a data set.

    Raises:
        DatasetError: If there is none, or the size of images is out of its range.
    """
    data_dir, image_size = options.data_dir, options.image_size
    if image_size is not None and image_size < 1:
        raise DatasetError(f"image_size: {image_size} is not a number of pixels, 1 or more")
    if data_dir is None:
        raise DatasetError(f"data_dir: {name} needs it: name the folder of the images")
    if not (root := Path(data_dir).expanduser()).is_dir():
        raise DatasetError(f"data_dir: {data_dir} is no folder; {name} needs that of the images")
    return root


def is_hidden(name: str) -> bool:
    """Return whether a file or folder of this name is left behind by a system, not by people."""
    return name.startswith(".") or name.casefold() in _LEFT_BEHIND


_LEFT_BEHIND = {
    *("__macosx", "icon\r"),  # macOS, besides .DS_Store and ._*
    *("thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information"),
    *("@eadir", "@recycle", "@__thumb", "#recycle", "#snapshot", "lost+found", "__pycache__"),
}


def find_images(root: str | os.PathLike) -> Iterator[Path]:
    """Yield the image files in a folder and the folders below it, sorted in each.

    Files are told by suffix, or else by their first bytes. Hidden files are left out.
    Links are followed, but no folder is entered twice.

    Raises:
        DatasetError: If a folder cannot be listed.
    """
    return (Path(root, name) for name in files_below(root) if is_image(os.path.join(root, name)))


def is_image(path: str) -> bool:
    """Return whether a file is meant as an image, by its suffix or its first bytes."""
    suffix = os.path.splitext(path)[1].lower()
    return suffix in IMAGE_FORMATS or (os.path.isfile(path) and _looks_like_image(path))


_looks_like_image = getattr(images, "looks_like_image", lambda path: False)


def files_below(root: str | os.PathLike, place: str = "") -> Iterator[str]:
    """Yield all files below a folder, relative to `root`, without hidden ones."""
    path = os.path.abspath(os.path.join(root, place))
    entered = {_identity(parent) for parent in Path(path).parents}  # which a link may lead to
    folders = [place]
    while folders:
        place = folders.pop()
        if (identity := _identity(os.path.join(root, place))) not in entered:
            entered.add(identity)
            inside, files = list_entries(root, place)
            yield from files
            folders += reversed(inside)


def _identity(folder):
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def list_entries(root: str | os.PathLike, place: str = "") -> tuple[list[str], list[str]]:
    """Return folders and files in a folder, sorted, relative to `root`, without hidden ones.

    Raises:
        DatasetError: If the folder cannot be listed.
    """
    folders: list[str] = []
    files: list[str] = []
    folder = os.path.join(root, place)
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not is_hidden(entry.name):
                    name = f"{place}/{entry.name}" if place else entry.name
                    # A link that leads to itself is no folder, and no error.
                    is_folder = os.path.isdir(entry) if entry.is_symlink() else entry.is_dir()
                    (folders if is_folder else files).append(name)
    except OSError as error:
        raise DatasetError(
            f"{printable(folder)}: cannot be listed ({error.strerror}); allow it or move the folder"
        ) from error
    return sorted(folders), sorted(files)


def list_classes(root: Path, place: str = "") -> dict[str, list[str]]:
    """Return the files of each class folder in a folder, with those in folders inside it.

    Raises:
        DatasetError: If images lie beside the class folders.
    """
    folders, files = list_entries(root, place)
    refuse_loose(root, files)
    return {folder.rpartition("/")[2]: list(files_below(root, folder)) for folder in folders}


def refuse_loose(root: Path, files: Sequence[str]) -> None:
    """Raise a `DatasetError` if images are among these files outside any class folder."""
    if loose := [name for name in files if Path(name).suffix.lower() in IMAGE_FORMATS]:
        raise DatasetError(f"{root}: {few(loose)} outside any class folder; move or remove")


def few(names: Sequence[str]) -> str:
    """Return the first twenty names, and how many more there are."""
    more = f" and {len(names) - 20:,} more" if len(names) > 20 else ""
    return ", ".join(names[:20]) + more


def load_splits(root: Path, files: Files, size: int, options: DataOptions) -> dict[str, Split]:
    """Return train, validation and test, whose images stay on disk until they are indexed.

    Args:
        root: Folder that the paths of the files are relative to.
        files: The files. A missing validation or test split is taken from train,
            10 % for each.
        size: Height and width of the images in pixels.
        options: What is asked of the data set.

    Raises:
        DatasetError: If there are too few classes or images, or files are damaged.
    """
    files = _without_damaged(root, files, options.skip_damaged)
    splits = {}
    for name, classes in files.items():
        members = [classes[each] for each in sorted(classes)]
        ids = np.array([path for paths in members for path in paths], dtype=object)
        labels = np.repeat(np.arange(len(members), dtype="int64"), list(map(len, members)))
        splits[name] = Split(
            ImageFiles(map(root.joinpath, ids), (size, size), options.fit), labels, ids
        )
    missing = [name for name in ("validation", "test") if name not in files]
    train, weights = splits["train"], [10 - len(missing), *(1 for _ in missing)]
    parts = stratified_split(train.labels, weights, options.split_seed)
    return splits | {
        name: train[part] for name, part in zip(["train", *missing], parts, strict=True)
    }


def _check_classes(root: Path, files: Files) -> None:
    train = files["train"]
    if len(train) < 2:
        raise DatasetError(f"{root}: {len(train)} class folders ({few(list(train))}), 2 needed")
    for split, classes in files.items():
        if differing := sorted(classes.keys() ^ train.keys()):
            raise DatasetError(f"{root}: {few(differing)} not in both train/ and {split}/")
        needed = 4 - len(files) if split == "train" else 1
        if short := [f"{name} ({len(paths)})" for name, paths in classes.items()
                     if len(paths) < needed]:  # fmt: skip
            raise DatasetError(
                f"{root}: {split} has too few images of {few(short)}; {needed} or more of each "
                "class are needed"
            )


def _without_damaged(root: Path, files: Files, skip: bool) -> Files:
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
    """Return what `find_damaged` found, kept until the path, size or time of a file changes."""
    from PIL import __version__

    digest = hashlib.sha256(__version__.encode())
    for path in paths:
        status = (root / path).stat() if (root / path).exists() else None
        digest.update(repr((path, status and (status.st_size, status.st_mtime_ns))).encode())
    place = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]
    cache, key = cache_folder() / f"checked-{place}.json", digest.hexdigest()
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
        write_json(cache, {"files": key, "damaged": damaged})
    except OSError as error:
        logger.warning("%s cannot be written, so the check will be repeated (%s)", cache, error)
    return damaged
