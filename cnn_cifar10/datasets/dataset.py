"""Data sets and their splits: class names, labelled images, random splits, fingerprint."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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
        files = isinstance(self.images, ImageFiles)  # which stay on disk
        images = self.images.take(index) if files else self.images[index]
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
        sizes: What `measure_sizes` says of image files on disk.
    """

    name: str
    title: str
    class_names: tuple[str, ...]
    train: Split
    validation: Split
    test: Split
    notes: tuple[str, ...] = dataclasses.field(default=(), kw_only=True)
    sizes: dict[str, Any] | None = dataclasses.field(default=None, kw_only=True)

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
        """Return the data set with its validation images moved to the training split.

        Raises:
            DatasetError: If it has no test split, so that nothing would be left to judge by.
        """
        if not len(self.test):
            raise DatasetError(f"{self.title} has no test split; keep its validation split")
        return dataclasses.replace(
            self, train=self.train + self.validation, validation=self.validation[:0]
        )

    @functools.cached_property
    def fingerprint(self) -> str:
        """Hexadecimal SHA-256 of the classes and of every split's images and labels.

        It is the same in every process, on every machine, wherever the data lie and whatever
        their title. Files that were read count by their content, in order, whatever their
        names and the size they are scaled to; arrays count by their pixels.
        """
        return self._hash(self.name, _content)

    @functools.cached_property
    def fingerprints(self) -> tuple[str, ...]:
        """The fingerprint, and the one that older runs of the same data have instead.

        Of arrays, that one held the title and the positions of the images, not the pixels.
        """
        if isinstance(self.train.images, ImageFiles):
            return (self.fingerprint,)
        return self.fingerprint, self._hash(self.title, lambda split: split.ids.tolist())

    def _hash(self, source, examples):
        splits = (self.train, self.validation, self.test)
        parts = [(examples(split), split.labels.tolist()) for split in splits]
        digest = hashlib.sha256()
        for text in json.JSONEncoder().iterencode([source, self.class_names, parts]):
            digest.update(text.encode())  # and not of the whole, of millions of files
        return digest.hexdigest()

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


def _content(split):
    """Return what the images of a split are: a digest of an array, or digests of the files."""
    images = split.images
    if not isinstance(images, ImageFiles):
        pixels = np.ascontiguousarray(images)
        return [str(pixels.dtype), *pixels.shape, hashlib.sha256(pixels).hexdigest()]
    if (images.digests != b"").all():
        return [digest.hex() for digest in images.digests.tolist()]
    return split.ids.tolist()


def stratified_split(
    labels: np.ndarray,
    weights: Sequence[float],
    seed: int,
    groups: np.ndarray | None = None,
) -> list[np.ndarray]:
    """Return the sorted positions of each part of a random split, stratified by class.

    Args:
        labels: Class of each image.
        weights: Share of each part, of any sum.
        seed: Seed of the split, 0 to 2**32 - 1.
        groups: A number for each image; images of one number stay in one part. Shares are
            then as close as whole groups allow in ten drawings.
    """
    rng = np.random.RandomState(seed)  # whose stream NumPy promises never to change
    count = len(weights)
    if groups is None or len(np.unique(groups)) == len(labels):
        return _parts(_draw(rng, labels, np.ones(len(labels)), weights), count)
    _, groups = np.unique(groups, return_inverse=True)
    # A group counts as its rarest class, so that each part gets images of that,
    rarity = np.lexsort((labels, np.bincount(labels)[labels], groups))
    classes = labels[rarity[np.unique(groups[rarity], return_index=True)[1]]]
    sizes = np.bincount(groups, labels == classes[groups])
    # or as a class of those that count as one of too few groups.
    lone = np.bincount(classes)[classes] < count
    sizes[lone], classes[lone] = np.bincount(groups)[lone], labels.max() + 1
    drawn = [_draw(rng, classes, sizes, weights) for _ in range(10)]
    if lone.sum() < count:
        for each in drawn:
            each[lone] = np.argmax(weights)
    nearest = min(
        (each[groups] for each in drawn), key=lambda each: _distance(each, labels, weights)
    )
    return _parts(nearest, count)


def _parts(drawn, count):
    return [np.flatnonzero(drawn == part) for part in range(count)]


def _draw(rng, labels, sizes, weights):
    """Return the part of each group, drawn class by class."""
    drawn = np.empty(len(labels), int)
    bounds = np.cumsum(weights) / np.sum(weights)
    for members in np.split(np.argsort(labels, kind="stable"), np.cumsum(np.bincount(labels))[:-1]):
        members = rng.permutation(members)
        ends = np.cumsum([0, *sizes[members]])
        cuts = np.round(np.interp(bounds * ends[-1], ends, np.arange(len(ends)))).astype(int)
        least = np.arange(1, len(weights) + 1)  # one for every part
        spare = np.clip(cuts - least, 0, len(members) - len(weights))
        cuts = least + np.maximum.accumulate(spare)
        drawn[members] = np.searchsorted(cuts, np.arange(len(members)), side="right")
    return drawn


def _distance(parts, labels, weights):
    """Return how far a drawing is from the shares of the classes; a part without one is far."""
    counts = np.zeros((len(weights), labels.max() + 1))
    np.add.at(counts, (parts, labels), 1)
    wanted = counts.sum(0) * np.reshape(weights, (-1, 1)) / np.sum(weights)
    return np.abs(counts - wanted).sum() + len(labels) * (counts[:, counts.any(0)] == 0).sum()
