"""Data sets: CIFAR-10, digits, image folders and ImageNet as one `Dataset` object."""

import os
from pathlib import Path

from cnn_cifar10.datasets.cifar10 import load_cifar10
from cnn_cifar10.datasets.dataset import Dataset, DatasetError, Split
from cnn_cifar10.datasets.digits import load_digits
from cnn_cifar10.datasets.folders import load_folder
from cnn_cifar10.datasets.imagenet import load_imagenet
from cnn_cifar10.datasets.images import (
    IMAGE_FORMATS,
    MAX_BYTES,
    ImageError,
    ImageFiles,
    decode_image,
    find_damaged,
    read_image,
)

__all__ = [
    "DATASETS",
    "IMAGE_FORMATS",
    "MAX_BYTES",
    "Dataset",
    "DatasetError",
    "ImageError",
    "ImageFiles",
    "Split",
    "decode_image",
    "find_damaged",
    "list_datasets",
    "load_dataset",
    "read_image",
]

DATASETS: dict[str, str] = {
    "cifar10": "CIFAR-10: 60,000 colour images of 10 classes, 32x32; downloaded, or read from disk",
    "digits": "scikit-learn's 1,797 handwritten digits, shown at 32x32; needs no download",
    "folder": "your own images: one sub-folder per class, or train/, val/ and test/ of such",
    "imagenet": "ImageNet (ILSVRC 2012), or some of its classes, in Kaggle's or a plain layout",
}
"""What `load_dataset` can load: name -> one line about it."""


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
            return load_cifar10(data_dir or os.environ.get("CNN_CIFAR10_DATA"), split_seed)
        if data_dir is not None:
            raise DatasetError(f"data_dir: digits come with scikit-learn, not from {data_dir}")
        return load_digits(split_seed)
    if image_size is not None and image_size < 1:
        raise DatasetError(f"image_size: {image_size} is not a number of pixels, 1 or more")
    if data_dir is None or not (root := Path(data_dir).expanduser()).is_dir():
        raise DatasetError(f"data_dir: {data_dir} is no folder; {name} needs that of the images")
    load = load_folder if name == "folder" else load_imagenet
    return load(root, image_size, split_seed, skip_damaged)
