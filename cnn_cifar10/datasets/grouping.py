"""Groups of images that file names suggest: bursts, frames of a video, views of a patient."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cnn_cifar10.utils import printable

# What names of one group have in common, from the largest groups to the smallest.
_PATTERNS = (
    r"([^/\d]*\d+)[^/]*$",  # P001 of P001_left.png, clip3 of clip3_frame_0012.jpg
    r"([^/]*\d)[^/\d]+\.\w+$",  # up to the last number: scan_01_7 of scan_01_7_left.png
    r"([^/]*\d[^/\d]+)\d+[^/\d]*$",  # before it: IMG_2020_BURST of IMG_2020_BURST007.jpg
)
_GROUPED = 0.5  # of all images at least are in groups of several
_LARGEST = 0.2  # of all images at most are in one group
_ALIKE = 0.7  # of the difference to other images of the class: that to the next of the group
_SHARED = 0.8  # of the images in groups have an ending that many groups have, each once
_NEW = 0.1  # of the pairs of a group at least are not known as copies
_PAIRS = 2000


@dataclass(frozen=True)
class Grouping:
    """Groups that file names suggest.

    Args:
        pattern: What `group_by` of `load_dataset` takes.
        images: Number of images in groups of several.
        groups: Number of these groups.
        example: Paths of two images of one group.
    """

    pattern: str
    images: int
    groups: int
    example: list[str]

    def __str__(self) -> str:
        first, second = (printable(os.path.basename(path)) for path in self.example)
        return (
            f"File names suggest {self.groups:,} groups of images, such as that of {first} and "
            f"{second}: --group-by '{self.pattern}'."
        )


def suggest_groups(
    paths: Sequence[str] | np.ndarray,
    labels: np.ndarray,
    splits: np.ndarray,
    copies: np.ndarray,
    thumbnails: np.ndarray,
) -> Grouping | None:
    """Return groups that the names of files suggest and that a random split would part.

    The images of a group either look more alike than others of their class, as those of a
    burst do, or have the same endings in each group, as left and right eyes have.

    Args:
        paths: Of each of n files, with "/" between.
        labels: Their classes, an integer array `(n,)`.
        splits: The names of their splits, an array `(n,)`.
        copies: What `Duplicates.groups` says of them.
        thumbnails: `uint8` array `(n, height, width, 3)`.
    """
    for pattern in _PATTERNS:
        matches = [re.search(pattern, path) for path in paths]
        keys = [match[1] if match else f"/{i}" for i, match in enumerate(matches)]
        _, groups, counts = np.unique(keys, return_inverse=True, return_counts=True)
        several = counts[groups] > 1
        number = np.count_nonzero(counts > 1)
        if (
            several.sum() < _GROUPED * len(keys)
            or counts.max(initial=0) > _LARGEST * len(keys)
            or number < max(1, 3 * len(np.unique(labels)))
        ):
            continue
        first, second = _neighbors(paths, groups)
        new = copies[first] != copies[second]
        if new.mean() < _NEW:
            continue
        first, second = first[new], second[new]
        endings = np.array([match.string[match.end(1) :] if match else "" for match in matches])
        parted = len(np.unique(splits)) == 1 or (splits[first] != splits[second]).any()
        alike = _look_alike(first, second, labels, groups, thumbnails)
        if parted and (alike or _share_endings(endings[several], groups[several])):
            example = [paths[first[0]], paths[second[0]]]
            return Grouping(pattern, int(several.sum()), int(number), example)
    return None


def _neighbors(paths, groups):
    """Return the positions of pairs of images whose names follow each other in a group."""
    order = np.lexsort((np.argsort(np.argsort(np.array(paths, dtype=object))), groups))
    same = np.flatnonzero(groups[order[1:]] == groups[order[:-1]])
    return order[same], order[same + 1]


def _look_alike(first, second, labels, groups, thumbnails):
    rng = np.random.default_rng(0)
    chosen = rng.permutation(len(first))[:_PAIRS]
    first, second = first[chosen], second[chosen]
    others = np.empty_like(first)
    for label in np.unique(labels[first]):
        mine = np.flatnonzero(labels[first] == label)
        others[mine] = rng.choice(np.flatnonzero(labels == label), len(mine))
    apart = groups[first] != groups[others]
    if not apart.any():
        return False
    inside = _difference(thumbnails[first], thumbnails[second])
    outside = _difference(thumbnails[first], thumbnails[others])[apart]
    return np.median(inside) <= _ALIKE * np.median(outside)


def _difference(left, right):
    return abs(left.astype(int) - right).mean((1, 2, 3))


def _share_endings(endings, groups):
    """Return whether many groups have the same few endings, each once."""
    _, kinds, counts = np.unique(endings, return_inverse=True, return_counts=True)
    common = counts >= max(3, len(np.unique(groups)) / 4)
    once = len(np.unique(np.stack([groups, kinds]), axis=1).T) / len(kinds)
    return common.sum() > 1 and min(common[kinds].mean(), once) >= _SHARED
