"""ImageNet (ILSVRC 2012) in Kaggle's or a plain layout."""

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from cnn_cifar10.datasets import listing
from cnn_cifar10.datasets.dataset import Dataset, DatasetError
from cnn_cifar10.datasets.source import DataOptions


def load(options: DataOptions) -> Dataset:
    """ImageNet (ILSVRC 2012), or some of its classes, in Kaggle's or a plain layout.

    The classes are those found in `train/`. Validation is 10 % of train. The official
    validation images are the *test* split, as the labels of the official test images
    are unpublished. The official image `n02105855_2933.JPEG` is a PNG and thus reported
    as damaged: rename or skip it. Files are checked as those of `folder`.

    `data_dir` names the folder of `LOC_synset_mapping.txt`, which also holds
    `ILSVRC/Data/CLS-LOC/` or `train/` and `val/`, and `LOC_val_solution.csv` if `val/`
    has no synset folders. Images are 224 pixels wide and high by default.
    """
    root = listing.open_folder("imagenet", options)
    names, files = _list_imagenet(root)
    title = "ImageNet (ILSVRC 2012)"
    if len(files["train"]) != 1000:
        title += f", {len(files['train']):,} classes"
    class_names = tuple(names[synset] for synset in sorted(files["train"]))
    splits = listing.load_splits(root, files, options.image_size or 224, options)
    return Dataset(
        "imagenet", title, class_names, splits["train"], splits["validation"], splits["test"]
    )


def _list_imagenet(root: Path) -> tuple[dict[str, str], listing.Files]:
    """Return the names of synsets, and the files; official validation images are for testing."""
    kaggle = "ILSVRC/Data/CLS-LOC/"
    prefix = kaggle if (root / kaggle).is_dir() else ""
    needed = [f"{prefix}train", f"{prefix}val", "LOC_synset_mapping.txt"]
    if missing := [name for name in needed if not (root / name).exists()]:
        raise DatasetError(
            f"{root}: lacks {listing.few(missing)}; add what Kaggle's download holds"
        )
    names = _synset_names((root / "LOC_synset_mapping.txt").read_text("utf-8"))
    train = listing.list_classes(root, prefix + "train")
    if unknown := [synset for synset in train if synset not in names]:
        raise DatasetError(
            f"{root}: {listing.few(unknown)} in train/ but not in LOC_synset_mapping.txt"
        )
    folders, images = listing.list_entries(root, prefix + "val")
    test = listing.list_classes(root, prefix + "val") if folders else _list_solved(root, images)
    return names, {"train": train, "test": {synset: test.get(synset, []) for synset in train}}


def _list_solved(root: Path, images: Sequence[str]) -> dict[str, list[str]]:
    """Return images that lie in no synset folder by synset, as Kaggle's table lists them."""
    table = root / "LOC_val_solution.csv"
    if not table.is_file():
        raise DatasetError(f"{table}: no such file; add it, or sort val/ into synset folders")
    with table.open(newline="", encoding="utf-8") as file:
        # "ILSVRC2012_val_00048981,n03995372 85 1 499 272": a synset, then a box.
        synsets = {row[0]: row[1].split()[0] for row in csv.reader(file)}
    classes: dict[str, list[str]] = {}
    for path in images:
        if (image := Path(path).stem) not in synsets:
            raise DatasetError(f"{table}: has no line for {path}; add it or remove the image")
        classes.setdefault(synsets[image], []).append(path)
    return classes


def _synset_names(mapping: str) -> dict[str, str]:
    """Return a different name for each synset: a synonym, all synonyms, or these and the synset."""
    words = dict(line.split(maxsplit=1) for line in mapping.splitlines() if line.strip())
    first = {synset: synonyms.split(",")[0].strip() for synset, synonyms in words.items()}
    count = Counter(first.values())
    names = {key: first[key] if count[first[key]] == 1 else words[key].strip() for key in words}
    count = Counter(names.values())
    return {key: name if count[name] == 1 else f"{name} ({key})" for key, name in names.items()}
