"""ImageNet (ILSVRC 2012) in Kaggle's or a plain layout."""

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from cnn_cifar10.datasets.dataset import Dataset, DatasetError
from cnn_cifar10.datasets.folders import (
    Files,
    entries_of,
    few,
    list_classes,
    split_files,
    without_damaged,
)


def load_imagenet(root: Path, image_size: int | None, seed: int, skip_damaged: bool) -> Dataset:
    """Load ImageNet's layout; see `load_dataset`."""
    names, files = _list_imagenet(root)
    title = "ImageNet (ILSVRC 2012)"
    if len(files["train"]) != 1000:
        title += f", {len(files['train']):,} classes"
    files = without_damaged(root, files, skip_damaged)
    splits = split_files(root, files, image_size or 224, seed)
    class_names = tuple(names[synset] for synset in sorted(files["train"]))
    return Dataset("imagenet", title, class_names, **splits)


def _list_imagenet(root: Path) -> tuple[dict[str, str], Files]:
    """Human names of the synsets, and the files: the official validation images as test."""
    kaggle = "ILSVRC/Data/CLS-LOC/"
    prefix = kaggle if (root / kaggle).is_dir() else ""
    needed = [f"{prefix}train", f"{prefix}val", "LOC_synset_mapping.txt"]
    if missing := [name for name in needed if not (root / name).exists()]:
        raise DatasetError(f"{root}: lacks {few(missing)}; add what Kaggle's download holds")
    names = _synset_names((root / "LOC_synset_mapping.txt").read_text("utf-8"))
    train = list_classes(root, prefix + "train")
    if unknown := [synset for synset in train if synset not in names]:
        raise DatasetError(f"{root}: {few(unknown)} in train/ but not in LOC_synset_mapping.txt")
    folders, images = entries_of(root, prefix + "val")
    test = list_classes(root, prefix + "val") if folders else _list_solved(root, images)
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
