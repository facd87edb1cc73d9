"""Your own images, one folder per class; they stay on disk until a batch needs them."""

from pathlib import Path

from cnn_cifar10.datasets import listing
from cnn_cifar10.datasets.dataset import Dataset, DatasetError
from cnn_cifar10.datasets.source import DataOptions

_SPLIT_NAMES = {"val": "validation", "valid": "validation"}


def load(options: DataOptions) -> Dataset:
    """your own images: one sub-folder per class, or train/, val/ and test/ of such.

    Class folders are split 80, 10 and 10 %. Beside `train/` and `test/`, `val/` may be
    missing; validation is then 10 % of train. All files are decoded once to find
    damaged ones; the result is kept in `~/.cache/cnn-cifar10` (or under
    `XDG_CACHE_HOME`) until a file changes. Images are 64 pixels wide and high by default.
    """
    root = listing.open_folder("folder", options)
    files = _list_folder(root)
    splits = listing.load_splits(root, files, options.image_size or 64, options)
    return Dataset(
        "folder",
        root.resolve().name,
        tuple(sorted(files["train"])),
        splits["train"],
        splits["validation"],
        splits["test"],
    )


def _list_folder(root: Path) -> listing.Files:
    folders, files = listing.list_entries(root)
    splits = {name: _SPLIT_NAMES.get(name.lower(), name.lower()) for name in folders}
    others = [name for name in folders if splits[name] not in ("train", "validation", "test")]
    train = [name for name in folders if splits[name] == "train"]
    # A train/ that holds images itself, not class folders, is a class.
    if others and not (train and listing.list_entries(root, train[0])[0]):
        return {"train": listing.list_classes(root)}
    found = sorted(splits.values())
    if found == ["train", "validation"]:
        raise DatasetError(
            f"{root}: no test/; a figure on the split that chose the model is no test figure: "
            f"add test/, or rename {folders[1]}/ to test/ and validation is taken from train/"
        )
    if found not in (["test", "train"], ["test", "train", "validation"]):
        raise DatasetError(
            f"{root}: holds the folders {listing.few(folders) or '(none)'}; let it hold class "
            "folders, or train/, test/ and optionally val/ with class folders in each"
        )
    listing.refuse_loose(root, files)
    return {split: listing.list_classes(root, name) for name, split in splits.items()}
