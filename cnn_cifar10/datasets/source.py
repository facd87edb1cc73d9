"""Sources of data sets: the entries of `DATASETS`."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnn_cifar10.datasets.dataset import Dataset, DatasetError
from cnn_cifar10.utils import printable

Place = str | os.PathLike | None
"""Where the files of a data set are, if it has files."""


@dataclass(frozen=True)
class DataOptions:
    """What can be asked of a data set; `load_dataset` explains each."""

    data_dir: Place = None
    image_size: int | None = None
    fit: str = "crop"
    split_seed: int = 0
    skip_damaged: bool = False
    group_by: str | None = None
    name: str | None = None  # of a data set in a library of them


@dataclass(frozen=True)
class Source:
    """An entry of `DATASETS`: all that is special about one data set.

    Args:
        load: Function of `DataOptions` that returns the `Dataset`, and raises a
            `DatasetError` if an option does not fit. The first line of its docstring
            describes the data.
        hub_id: Identifier on the Hugging Face Hub, for model cards.
        image_size: Side in pixels of images from files where none is asked for; `None` where
            images have a size of their own.
        list_files: Function of `DataOptions` that returns what captions call the data, and their
            `Files`, none of which is read; `None` where it has none on disk.
        example: For a library of data sets, how one of them is named: `"hf:owner/name"`.
    """

    load: Callable[[DataOptions], Dataset]
    hub_id: str | None = None
    image_size: int | None = None
    example: str | None = None
    list_files: Callable[[DataOptions], tuple[str, Any]] | None = None

    @property
    def description(self) -> str:
        """One line for a list of data sets."""
        return (self.load.__doc__ or "").partition("\n")[0].rstrip(".")


def find_place(name: str, options: DataOptions) -> Path:
    """Return where the files of a data set are.

    Raises:
        DatasetError: If there is nothing, or the size of images is out of its range.
    """
    data_dir, image_size = options.data_dir, options.image_size
    if image_size is not None and image_size < 1:
        raise DatasetError(f"image_size: {image_size} is not a number of pixels, 1 or more")
    if data_dir is None:
        raise DatasetError(f"data_dir: {name} needs it: name the folder of the images")
    if not (place := Path(data_dir).expanduser()).exists():
        raise DatasetError(f"data_dir: {printable(place)}: no such file or folder; check the path")
    return place


def check_image_size(name: str, image_size: int | None, own: int) -> None:
    """Raise a `DatasetError` for another size of images than the data set's own."""
    if image_size not in (None, own):
        raise DatasetError(
            f"image_size: {name} is {own}, not {image_size}; leave it out, models resize inside"
        )
