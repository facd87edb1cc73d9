"""Data sets and their splits: class names, labelled images, random splits, fingerprint."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cnn_cifar10.datasets.images import ImageFiles
from cnn_cifar10.utils import InputError


class DatasetError(InputError):
    """A data set that cannot be loaded; the message says what was found and what would work."""


@dataclass(frozen=True, eq=False)
class Split:
    """Labelled images of one split, and which examples they are.

    Args:
        images: `uint8` RGB of shape `(n, height, width, 3)`, values 0 to 255:
            an array, or files that are read when indexed.
        labels: `int64` array of shape `(n,)`, values 0 to `num_classes - 1`.
        ids: Shape `(n,)`, which examples these are: positions in the published
            order, or file paths relative to the data folder. `None` counts
            from 0.
    """

    images: np.ndarray | ImageFiles
    labels: np.ndarray
    ids: np.ndarray = None  # type: ignore[assignment]

    def __post_init__(self):
        if self.ids is None:
            object.__setattr__(self, "ids", np.arange(len(self.labels)))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index) -> "Split":
        images = self.images
        if isinstance(images, ImageFiles):  # which stay on disk
            images = ImageFiles(images.paths[index], images.size, images.fit)
        else:
            images = images[index]
        return Split(images, self.labels[index], self.ids[index])

    def __add__(self, other) -> "Split":
        if isinstance(self.images, ImageFiles):
            images = self.images + other.images
        else:
            images = np.concatenate([self.images, other.images])
        labels = np.concatenate([self.labels, other.labels])
        return Split(images, labels, np.concatenate([self.ids, other.ids]))

    def __repr__(self) -> str:
        return f"Split({len(self):,} images)"


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images of known classes in three splits that share no example.

    Args:
        name: A key of `DATASETS`.
        title: What a figure's caption calls the data: "CIFAR-10 (JPEG copy)".
        class_names: The name of each label, in the order of the labels.
        train: What a model is fitted to.
        validation: What chooses between epochs, settings and models.
        test: What the final figure is measured on, and nothing else. It is empty where there
            is no such split; `judged` says what figures are of then.
        notes: Sentences on what was found in the data and done about it, for reports.
    """

    name: str
    title: str
    class_names: tuple[str, ...]
    train: Split
    validation: Split
    test: Split
    notes: tuple[str, ...] = dataclasses.field(default=(), kw_only=True)

    @property
    def judged(self) -> str:
        """The split whose figures are reported: `"test"`, or `"validation"` without one."""
        return "test" if len(self.test) else "validation"

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return len(self.class_names)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """`(height, width, 3)` in pixels."""
        return tuple(self.train.images.shape[1:])

    def split(self, name: str) -> Split:
        """Return the split of this name: `"train"`, `"validation"` or `"test"`.

        Raises:
            DatasetError: If there is no such split.
        """
        splits = {"train": self.train, "validation": self.validation, "test": self.test}
        if name not in splits:
            raise DatasetError(f"no split is named {name!r}: choose from {', '.join(splits)}")
        return splits[name]

    def with_validation_in_train(self) -> "Dataset":
        """Return the data set with its validation images moved to the training split."""
        return dataclasses.replace(
            self, train=self.train + self.validation, validation=self.validation[:0]
        )

    @functools.cached_property
    def fingerprint(self) -> str:
        """Hexadecimal SHA-256 of the classes and of every split's examples and labels.

        It is the same in every process, on every machine and wherever the data
        lie. Pixels are not part of it.
        """
        # A folder's title is its name on disk, which may change while the data stay the same.
        source = self.name if isinstance(self.train.images, ImageFiles) else self.title
        splits = (self.train, self.validation, self.test)
        parts = [(split.ids.tolist(), split.labels.tolist()) for split in splits]
        return hashlib.sha256(json.dumps([source, self.class_names, parts]).encode()).hexdigest()

    def subset(self, train_images: int, seed: int = 0) -> "Dataset":
        """Return the data set with a random part of its training images.

        The part holds the shares of the classes, and at least one image of each;
        smaller parts of the same seed lie within larger ones.

        Args:
            train_images: How many at most, no fewer than there are classes.
            seed: Seed of the choice, 0 to 2**32 - 1.

        Raises:
            DatasetError: If there are more classes than images asked for.
        """
        if train_images < self.num_classes:
            raise DatasetError(
                f"train_images: {train_images} cannot hold one of each of the {self.num_classes} "
                f"classes of {self.title}"
            )
        if train_images >= len(self.train):
            return self
        labels = self.train.labels
        order = np.random.RandomState(seed).permutation(len(labels))
        place = np.empty(len(labels))  # of an example in its class, from 0 to 1
        for label in range(self.num_classes):
            members = order[labels[order] == label]
            place[members] = np.arange(len(members)) / len(members)
        chosen = np.sort(order[np.argsort(place[order], kind="stable")[:train_images]])
        return dataclasses.replace(self, train=self.train[chosen])


def stratified_split(labels: np.ndarray, weights: Sequence[float], seed: int) -> list[np.ndarray]:
    """Return the sorted positions of each part of a random split, stratified by class."""
    rng = np.random.RandomState(seed)  # whose stream NumPy promises never to change
    bounds = np.cumsum(weights) / np.sum(weights)
    parts: list[list[np.ndarray]] = [[] for _ in weights]
    for members in np.split(np.argsort(labels, kind="stable"), np.cumsum(np.bincount(labels))[:-1]):
        cuts = np.round(bounds * len(members)).astype(int)
        least = np.arange(1, len(weights) + 1)  # one for every part
        spare = np.clip(cuts - least, 0, len(members) - len(weights))
        cuts = least + np.maximum.accumulate(spare)
        for part, indices in zip(parts, np.split(rng.permutation(members), cuts[:-1]), strict=True):
            part.append(indices)
    return [np.sort(np.concatenate(part)) for part in parts]
