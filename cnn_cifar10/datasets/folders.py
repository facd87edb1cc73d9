"""Folders of pictures, which stay on disk until a batch needs them."""

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cnn_cifar10.datasets.dataset import Dataset, DatasetError, Split, stratified_split
from cnn_cifar10.datasets.images import IMAGE_FORMATS, ImageFiles, find_damaged
from cnn_cifar10.utils import cache_folder, replacing

logger = logging.getLogger(__name__)

# Split on disk -> class -> its files, as paths relative to the data folder with "/" between.
Files = dict[str, dict[str, list[str]]]

_SPLIT_NAMES = {"val": "validation", "valid": "validation"}


def load_folder(root: Path, image_size: int | None, seed: int, skip_damaged: bool) -> Dataset:
    """Load class folders; see `load_dataset`."""
    files = without_damaged(root, _list_folder(root), skip_damaged)
    splits = split_files(root, files, image_size or 64, seed)
    return Dataset("folder", root.resolve().name, tuple(sorted(files["train"])), **splits)


def _list_folder(root: Path) -> Files:
    folders, files = entries_of(root)
    splits = {name: _SPLIT_NAMES.get(name.lower(), name.lower()) for name in folders}
    others = [name for name in folders if splits[name] not in ("train", "validation", "test")]
    train = [name for name in folders if splits[name] == "train"]
    # A train/ that holds images itself, not class folders, is a class.
    if others and not (train and entries_of(root, train[0])[0]):
        return {"train": list_classes(root)}
    found = sorted(splits.values())
    if found == ["train", "validation"]:
        raise DatasetError(
            f"{root}: no test/; a figure on the split that chose the model is no test figure: "
            f"add test/, or rename {folders[1]}/ to test/ and validation is taken from train/"
        )
    if found not in (["test", "train"], ["test", "train", "validation"]):
        raise DatasetError(
            f"{root}: holds the folders {few(folders) or '(none)'}; let it hold class folders, or "
            "train/, test/ and optionally val/ with class folders in each"
        )
    _refuse_loose(root, files)
    return {split: list_classes(root, name) for name, split in splits.items()}


def entries_of(root: Path, place: str = "") -> tuple[list[str], list[str]]:
    """Folders and files in a folder, relative to `root`, without those that systems hide there."""
    folders, files = [], []
    with os.scandir(root / place) as entries:
        for entry in entries:
            if entry.name.startswith(".") or entry.name.lower() in ("thumbs.db", "desktop.ini"):
                continue
            name = f"{place}/{entry.name}" if place else entry.name
            (folders if entry.is_dir() else files).append(name)
    return sorted(folders), sorted(files)


def list_classes(root: Path, place: str = "") -> dict[str, list[str]]:
    folders, files = entries_of(root, place)
    _refuse_loose(root, files)
    return {folder.rpartition("/")[2]: _files_below(root, folder) for folder in folders}


def _refuse_loose(root: Path, files: Sequence[str]) -> None:
    if loose := [name for name in files if Path(name).suffix.lower() in IMAGE_FORMATS]:
        raise DatasetError(f"{root}: {few(loose)} outside any class folder; move or remove")


def _files_below(root: Path, place: str) -> list[str]:
    folders, files = entries_of(root, place)
    return files + [file for folder in folders for file in _files_below(root, folder)]


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


def without_damaged(root: Path, files: Files, skip: bool) -> Files:
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
    cache = (
        cache_folder()
        / f"checked-{hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]}.json"
    )
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
        with replacing(cache) as part:
            part.write_text(json.dumps({"files": key, "damaged": damaged}))
    except OSError as error:
        logger.warning("%s cannot be written, so the check will be repeated (%s)", cache, error)
    return damaged


def split_files(root: Path, files: Files, size: int, seed: int) -> dict[str, Split]:
    ids, labels = {}, {}
    for split, classes in files.items():
        members = [classes[name] for name in sorted(classes)]
        ids[split] = np.array([path for paths in members for path in paths], dtype=object)
        labels[split] = np.repeat(np.arange(len(members), dtype="int64"), list(map(len, members)))
    carved = [split for split in ("validation", "test") if split not in files]
    parts = stratified_split(labels["train"], [10 - len(carved), *[1 for _ in carved]], seed)
    pool = ids["train"], labels["train"]
    for split, part in zip(["train", *carved], parts, strict=True):
        ids[split], labels[split] = pool[0][part], pool[1][part]
    splits = {}
    for split in ("train", "validation", "test"):
        images = ImageFiles([root / path for path in ids[split]], (size, size))
        splits[split] = Split(images, labels[split], ids[split])
    return splits


def few(names: Sequence[str]) -> str:
    more = f" and {len(names) - 20:,} more" if len(names) > 20 else ""
    return ", ".join(names[:20]) + more
