"""A glance at data, before they are loaded: how many images, of which sizes."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cnn_cifar10.configs import TrainingConfig
from cnn_cifar10.datasets import DataOptions, Dataset, find_source

_SAMPLE = 64  # files that are read
_UNKNOWN = 64  # the side where none of them can be read


@dataclass(frozen=True)
class Look:
    """What a glance at the data shows.

    Args:
        counts: Images of each class.
        images: Images of the training, validation and test split.
        height: Median height in pixels.
        width: Median width in pixels.
        read_seconds: What it takes to read one of its files.
    """

    counts: Mapping[str, int]
    images: tuple[int, int, int]
    height: int
    width: int
    read_seconds: float = 0.0

    @property
    def side(self) -> int:
        """The shorter side in pixels."""
        return min(self.height, self.width)


def glance(config: TrainingConfig) -> Look:
    """Look at data that are image files: list them, and read some.

    Raises:
        DatasetError: If there are none, or they are laid out otherwise.
    """
    files = list_files(config)
    some = np.unique(np.linspace(0, len(files.paths) - 1, _SAMPLE).astype(int))
    names = (files.class_names[label] for label in files.labels)
    began = time.perf_counter()
    scan = files.scan(None, config.fit, False, some)
    seconds = (time.perf_counter() - began) / len(some)
    known = scan.heights > 0
    height, width = (
        int(np.median(side[known])) if known.any() else _UNKNOWN
        for side in (scan.heights, scan.widths)
    )
    images = Counter(dict(zip(*np.unique(files.splits, return_counts=True), strict=True)))
    tenth = images["train"] // 10
    missing = () if images["validation"] else ("validation", "test")
    for split in missing:  # which is taken from train then
        if not images[split]:
            images[split], images["train"] = tenth, images["train"] - tenth
    train = min(images["train"], config.train_images or images["train"])
    counts = (train, images["validation"], images["test"])
    return Look(Counter(names), counts, height, width, seconds)


def look_at(dataset: Dataset) -> Look:
    """Return what is known of data that are loaded."""
    counts = Counter(dataset.train.labels.tolist())
    images = (len(dataset.train), len(dataset.validation), len(dataset.test))
    return Look(counts, images, *dataset.image_shape[:2])


def list_files(config):
    """Return the image files of a config's data."""
    source = find_source(config.dataset)
    assert source.list_files is not None
    _, files = source.list_files(DataOptions(config.data_dir))
    return files
