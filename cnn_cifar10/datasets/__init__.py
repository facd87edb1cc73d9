"""Data sets: CIFAR, MNIST, digits, image folders and ImageNet as one `Dataset` object."""

from cnn_cifar10.datasets import (
    cifar10,
    cifar100,
    digits,
    fashion_mnist,
    folders,
    hubs,
    imagenet,
    mnist,
)
from cnn_cifar10.datasets.dataset import Dataset, DatasetError, Split
from cnn_cifar10.datasets.folders import list_files
from cnn_cifar10.datasets.images import (
    IMAGE_FORMATS,
    ImageError,
    ImageFiles,
    decode_image,
    load_image,
    read_image,
)
from cnn_cifar10.datasets.listing import find_images
from cnn_cifar10.datasets.records import write_records
from cnn_cifar10.datasets.scan import NOT_COMPARED, Scan
from cnn_cifar10.datasets.sizes import describe_sizes, measure_sizes
from cnn_cifar10.datasets.source import DataOptions, Place, Source
from cnn_cifar10.datasets.survey import Survey, survey_folder

__all__ = [
    "DATASETS", "IMAGE_FORMATS", "NOT_COMPARED", "DataOptions", "Dataset", "DatasetError",
    "ImageError", "ImageFiles", "Scan", "Source", "Split", "Survey", "decode_image",
    "describe_sizes", "find_images", "find_source", "list_files", "load_dataset", "load_image",
    "measure_sizes", "read_image", "survey_folder", "write_records",
]  # fmt: skip

DATASETS: dict[str, Source] = {
    "cifar10": Source(cifar10.load, hub_id="uoft-cs/cifar10"),
    "cifar100": Source(cifar100.load, hub_id="uoft-cs/cifar100"),
    "cifar100_coarse": Source(cifar100.load_coarse, hub_id="uoft-cs/cifar100"),
    "mnist": Source(mnist.load, hub_id="ylecun/mnist"),
    "fashion_mnist": Source(fashion_mnist.load, hub_id="zalando-datasets/fashion_mnist"),
    "digits": Source(digits.load),
    "folder": Source(folders.load, image_size=64, list_files=list_files),
    "imagenet": Source(imagenet.load, image_size=224, list_files=imagenet.list_files),
    "hf": Source(hubs.load_hugging_face, image_size=64, example="hf:owner/name"),
    "tfds": Source(hubs.load_tensorflow, image_size=64, example="tfds:name"),
}
"""The data sets by name. To add one, write a file beside this one and add one line here."""


def find_source(name: str) -> Source:
    """Return the entry of `DATASETS` of a data set, such as `"digits"` or `"hf:owner/name"`.

    Raises:
        DatasetError: If there is none.
    """
    kind, _, own = name.partition(":")
    source = DATASETS.get(kind)
    if source is None or (":" in name and not source.example):
        raise DatasetError(f"name: no data set {name!r}; choose from {', '.join(DATASETS)}")
    if source.example and not own:
        raise DatasetError(f"name: {name!r} is a library of data sets; write {source.example}")
    return source


def load_dataset(
    name: str,
    data_dir: Place = None,
    *,
    image_size: int | None = None,
    fit: str = "crop",
    split_seed: int = 0,
    skip_damaged: bool = False,
    group_by: str | None = None,
) -> Dataset:
    """Load a data set in three splits: train, validation and test.

    A data set that has no such splits is split at random, class by class, with at
    least one image of each class in each split. `help(DATASETS[name].load)` describes
    a data set, its splits and its files.

    Args:
        name: A key of `DATASETS`, or `"hf:owner/name"` or `"tfds:name"`.
        data_dir: Where the files are: a folder, an archive, or a table of `folder`.
        image_size: Height and width in pixels of images that are read from files, by
            default 224 for `imagenet` and 64 for `folder`, `hf` and `tfds`. Images of other
            data sets have a size of their own: 28 for `mnist` and `fashion_mnist`, else 32.
        fit: How an image file becomes a square, as for `read_image`: `"crop"`, `"pad"`
            or `"stretch"`.
        split_seed: Seed of the random split, 0 to 2**32 - 1.
        skip_damaged: Whether files that cannot be read are left out, and listed in a
            warning of the logger `cnn_cifar10.datasets`. By default they are an error.
        group_by: Which image files stay in one split: those for which the first group of
            this regular expression, or all that it matches, is the same in their paths.

    Returns:
        A `Dataset`.

    Raises:
        DatasetError: If the data are missing, damaged or laid out otherwise, or
            an argument is out of its range.
    """
    source = find_source(name)
    if not 0 <= split_seed < 2**32:
        raise DatasetError(f"split_seed: {split_seed} is not within 0 to 2**32 - 1")
    own = name.partition(":")[2] or None
    options = DataOptions(data_dir, image_size, fit, split_seed, skip_damaged, group_by, own)
    dataset = source.load(options)
    if group_by is not None and not isinstance(dataset.train.images, ImageFiles):
        raise DatasetError(f"group_by: {name} has no files to group by their paths; leave it out")
    return dataset
