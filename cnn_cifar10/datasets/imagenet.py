"""ImageNet (ILSVRC 2012) in Kaggle's or a plain layout."""

import csv
import dataclasses
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from cnn_cifar10.datasets.dataset import Dataset, DatasetError
from cnn_cifar10.datasets.folders import list_rows
from cnn_cifar10.datasets.listing import few, list_entries
from cnn_cifar10.datasets.records import is_records, list_records
from cnn_cifar10.datasets.source import DataOptions, find_place
from cnn_cifar10.datasets.splits import Files, load_splits


def load(options: DataOptions) -> Dataset:
    """ImageNet (ILSVRC 2012), or some of its classes, in Kaggle's or a plain layout.

    The classes are those found in `train/`. Validation is 10 % of train. The official
    validation images are the *test* split, as the labels of the official test images
    are unpublished. Files are checked as those of `folder`.

    `data_dir` names the folder of `LOC_synset_mapping.txt`, which also holds
    `ILSVRC/Data/CLS-LOC/` or `train/` and `val/`, and `LOC_val_solution.csv` if `val/`
    has no synset folders. Images are 224 pixels wide and high by default.
    """
    title, files = list_files(options)
    return load_splits("imagenet", title, files, options.image_size or 224, options)


def list_files(options: DataOptions) -> tuple[str, Files]:
    """Return what captions call the data, and their files, none of which is read.

    Raises:
        DatasetError: If some are missing or unknown.
    """
    root = find_place("imagenet", options)
    if is_records(root):
        files = list_records(root)
    else:
        names, files = _list_imagenet(root)
        files = dataclasses.replace(files, class_names=tuple(names[s] for s in files.class_names))
    title = "ImageNet (ILSVRC 2012)"
    if len(files.class_names) != 1000:
        title += f", {len(files.class_names):,} classes"
    return title, files


def _list_imagenet(root: Path) -> tuple[dict[str, str], Files]:
    """Return the names of synsets, and the files; official validation images are for testing."""
    kaggle = "ILSVRC/Data/CLS-LOC/"
    prefix = kaggle if (root / kaggle).is_dir() else ""
    needed = [f"{prefix}train", f"{prefix}val", "LOC_synset_mapping.txt"]
    if missing := [name for name in needed if not (root / name).exists()]:
        raise DatasetError(f"{root}: lacks {few(missing)}; add what Kaggle's download holds")
    names = _synset_names((root / "LOC_synset_mapping.txt").read_text("utf-8-sig"))
    train = list_entries(root, prefix + "train")[0]
    synsets = {os.path.basename(folder) for folder in train}
    if unknown := sorted(synsets - names.keys()):
        raise DatasetError(f"{root}: {few(unknown)} in train/ but not in LOC_synset_mapping.txt")
    folders, images = list_entries(root, prefix + "val")
    test = [folder for folder in folders if os.path.basename(folder) in synsets]
    rows, notes = list_rows(root, {"train": train, "test": test})
    if not folders:
        solved = _list_solved(root, images)
        rows += [(path, synset, "test", "") for path, synset in solved if synset in synsets]
    return names, Files.collect(root, rows, notes)


def _list_solved(root: Path, images: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield images that lie in no synset folder with their synset, as Kaggle's table lists them."""
    table = root / "LOC_val_solution.csv"
    if not table.is_file():
        raise DatasetError(f"{table}: no such file; add it, or sort val/ into synset folders")
    with table.open(newline="", encoding="utf-8-sig") as file:
        # "ILSVRC2012_val_00048981,n03995372 85 1 499 272": a synset, then a box.
        rows = (row for row in csv.reader(file) if len(row) > 1 and row[1].strip())
        synsets = {row[0]: row[1].split()[0] for row in rows}
    for path in images:
        if (image := Path(path).stem) not in synsets:
            raise DatasetError(f"{table}: has no line for {path}; add it or remove the image")
        yield path, synsets[image]


def _synset_names(mapping: str) -> dict[str, str]:
    """Return a different name for each synset: a synonym, all synonyms, or these and the synset."""
    lines = (line.split(maxsplit=1) for line in mapping.splitlines() if line.strip())
    words = {synset: rest[0] if rest else synset for synset, *rest in lines}
    first = {synset: synonyms.split(",")[0].strip() for synset, synonyms in words.items()}
    count = Counter(first.values())
    names = {key: first[key] if count[first[key]] == 1 else words[key].strip() for key in words}
    count = Counter(names.values())
    return {key: name if count[name] == 1 else f"{name} ({key})" for key, name in names.items()}
