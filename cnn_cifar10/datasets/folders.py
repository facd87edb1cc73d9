"""Your own images: class folders, splits of them, a table, or an archive of these."""

import dataclasses
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from cnn_cifar10.datasets import archives, tables
from cnn_cifar10.datasets.dataset import Dataset, DatasetError
from cnn_cifar10.datasets.listing import (
    few,
    files_below,
    find_images,
    is_image,
    list_entries,
    split_of,
    suffix_of,
)
from cnn_cifar10.datasets.records import is_records, list_records
from cnn_cifar10.datasets.source import DataOptions, find_place
from cnn_cifar10.datasets.splits import Files, Row, load_splits
from cnn_cifar10.utils import printable


def load(options: DataOptions) -> Dataset:
    """your own images: class folders, train/, val/ and test/ of them, a table, or an archive.

    - Folders: one for each class, with images in it or in folders below it. They may lie in
      folders of splits, whose names are understood in the usual spellings, such as `Training`,
      `seg_test` or `valid`. Class folders without splits are split 80, 10 and 10 %. Beside
      train and test, validation is 10 % of train. Beside train and validation, there is no
      test split, and figures are of validation.
    - A table: a CSV with the columns `file` and `label`, and optionally `split` and `group`.
      Images of one group stay in one split.
    - A zip or tar file of either, which is unpacked once into the cache.
    - Records that `cnn-cifar10 convert` made of these.

    What systems leave behind, such as hidden files, is ignored. Each file is read once, to
    find what cannot be used, and copies, which stay in one split. The lists of both are kept
    in `~/.cache/cnn-cifar10` (or under `XDG_CACHE_HOME`). `group_by` is a regular expression
    that is searched in the path of each image, relative to the folder: images for which its
    first group, or all that it matches, is the same stay in one split. Images are 64 pixels
    wide and high by default.
    """
    title, files = list_files(options)
    return load_splits("folder", title, files, options.image_size or 64, options)


def list_files(options: DataOptions) -> tuple[str, Files]:
    """Return what captions call the data, and their files, none of which is read.

    Raises:
        DatasetError: If there are none, or they are laid out otherwise.
    """
    title, place = open_place(options)
    if is_records(place):
        return title, list_records(place)
    return title, list_folder(place) if place.is_dir() else tables.read_table(place)


def open_place(options: DataOptions) -> tuple[str, Path]:
    """Return what captions call the data, and their folder or table; an archive is unpacked."""
    place = find_place("folder", options)
    title = place.resolve().name
    if not place.is_dir() and not (tables.is_named_table(place) and place.is_file()):
        if not place.is_file() or not archives.is_archive(place):
            found = "is no folder, CSV or TSV, nor whole zip or tar file"
            raise DatasetError(f"{printable(place)}: {found}; check it")
        title = re.sub(r"(?i)(\.tar)?\.(zip|tar|[gx]z|bz2|t[gx]z|tbz2?)$", "", title)
        place = archives.unpack(place)
    return printable(title), place


def list_folder(root: Path) -> Files:
    """Return the files of class folders, of splits of them, or of the table in a folder.

    Raises:
        DatasetError: If the folder holds none of these, or several tables.
    """
    place = _enter(root, "", lambda folder: not _splits([folder]))
    found = [path for name in list_entries(root, place)[1] if tables.is_table(path := root / name)]
    try:
        files = _list_classes(root, place)
    except DatasetError as error:
        if len(found) == 1:
            note = f"Files and labels are those of {printable(found[0].name)}."
            return tables.read_table(found[0], [note])
        hint = f"; or name one of its tables: {few([path.name for path in found])}" if found else ""
        raise DatasetError(f"{error}{hint}") from error
    if not found:
        return files
    unused = few([printable(path.name) for path in found])
    note = f"Classes are the folders; to take the labels of {unused}, name that file instead."
    return dataclasses.replace(files, notes=(*files.notes, note))


def _enter(root: Path, place: str, may_enter: Callable[[str], bool]) -> str:
    """Return a folder, or the only one in it, that holds more than a folder."""
    while True:
        folders, files = list_entries(root, place)
        if len(folders) != 1 or not may_enter(folders[0]) or _hold_images(root, files):
            return place
        inside, below = list_entries(root, folders[0])
        if not inside or _hold_images(root, below) or any(tables.is_table(root / f) for f in files):
            return place
        place = folders[0]


def _hold_images(root: Path, files: Sequence[str]) -> bool:
    return any(is_image(os.path.join(root, name)) for name in files)


def _list_classes(root: Path, place: str) -> Files:
    folders = _class_folders(root, place)
    meant = _splits(folders)
    # A folder named as a split that holds images itself, or has no train/ beside it, is a class.
    splits = {folder: split for folder, split in meant.items() if list_entries(root, folder)[0]}
    if "train" not in splits.values() and len(meant) < len(folders):
        splits = {}
    notes: list[str] = []
    classes = {"train": folders}
    if splits:
        notes += _check_splits(root, folders, meant, splits)
        classes = {
            split: _class_folders(root, _enter_split(root, folder))
            for folder, split in splits.items()
        }
    elif len(folders) < 2 or len(meant) == len(folders) or {"train"} < set(meant.values()):
        raise DatasetError(
            f"{printable(root / place)}: holds the folders {few(folders) or '(none)'}; let it "
            "hold one for each class, or train/, test/ and optionally val/ with class folders in "
            "each, or a table"
        )
    rows, more = list_rows(root, classes)
    return Files.collect(root, rows, notes + more)


def _class_folders(root: Path, place: str) -> list[str]:
    folders, files = list_entries(root, place)
    if loose := [name for name in files if is_image(os.path.join(root, name))]:
        raise DatasetError(
            f"{printable(root)}: {few(loose)} outside any class folder; move or remove"
        )
    return folders


def list_rows(root: Path, classes: dict[str, list[str]]) -> tuple[list[Row], list[str]]:
    """Return the images in the class folders of each split, and notes on what is left out.

    Args:
        root: The data folder.
        classes: Class folders of each split, relative to `root`.

    Raises:
        DatasetError: If a class folder holds no images, or splits.
    """
    rows: list[Row] = []
    others: Counter[str] = Counter()
    empty = []
    for split, folders in classes.items():
        for folder in folders:
            before, name = len(rows), os.path.basename(folder)
            if {"train"} < set(_splits(list_entries(root, folder)[0]).values()):
                raise DatasetError(
                    f"{printable(root / folder)}: holds splits inside a class; let train/ and "
                    "test/ hold class folders"
                )
            for path in files_below(root, folder):
                if is_image(os.path.join(root, path)):
                    rows.append((path, name, split, ""))
                else:
                    others[suffix_of(path) or "without suffix"] += 1
            if len(rows) == before:
                empty.append(folder)
    if empty:
        raise DatasetError(f"{printable(root)}: no images in {few(empty)}; add some or remove")
    if not others:
        return rows, []
    kinds = few([f"{count:,} {suffix}" for suffix, count in others.most_common()])
    return rows, [f"{others.total():,} files are no images and are left out: {kinds}."]


def _splits(folders: Sequence[str]) -> dict[str, str]:
    """Return the split of each folder that is named as one.

    What a name says besides, such as that of flowers_test, must stand in that of a folder
    for training too.
    """
    found = {folder: split_of(os.path.basename(folder)) for folder in folders}
    known = {rest for split, rest in found.values() if split == "train"}
    several = Counter(rest for split, rest in found.values() if split)
    return {
        folder: split
        for folder, (split, rest) in found.items()
        if split and (not rest or (rest in known and several[rest] > 1))
    }


def _check_splits(
    root: Path, folders: Sequence[str], meant: dict[str, str], splits: dict[str, str]
) -> list[str]:
    """Return notes on what is left out beside splits, or raise an error if that is not clear."""
    shown = f"{printable(root)}: {few([*splits])} hold class folders as splits do"
    if "train" not in splits.values():
        raise DatasetError(f"{shown}, but there is no train/; add it or rename one")
    if len(set(splits.values())) < len(splits):
        raise DatasetError(f"{shown}, but some stand for the same one; rename or move one")
    notes = []
    for folder in sorted({*folders} - {*splits}):
        images = sum(1 for _ in find_images(root / folder))
        if images and folder not in meant and split_of(os.path.basename(folder))[1] not in _UNKNOWN:
            raise DatasetError(
                f"{shown}, but {printable(folder)} is not named as one; rename or move it"
            )
        notes.append(
            f"{printable(folder)}/ is left out with {images:,} images: it has no class folders."
        )
    if len(splits) == 1:
        notes.append("There is only a train split: 10 % of it each become validation and test.")
    return notes


_UNKNOWN = {"pred", "predict", "prediction", "predictions", "unlabeled", "unlabelled", "unknown"}


def _enter_split(root: Path, place: str) -> str:
    """Return where the class folders of a split are: also in `train/train` or `train/images`."""
    own = split_of(os.path.basename(place))

    def may_enter(folder):
        split, rest = split_of(os.path.basename(folder))
        return split in (None, own[0]) and rest in ("", own[1])

    return _enter(root, place, may_enter)
