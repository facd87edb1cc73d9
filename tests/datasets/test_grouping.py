"""Groups that file names suggest."""

import re

import numpy as np
import pytest

from cnn_cifar10.datasets.grouping import suggest_groups

LEFT_RIGHT = ("left", "right")


def suggest(name, *, alike, size=6, classes="ab", splits=None, copies=None):
    """Suggest groups for 20 groups of each class, whose images look alike or not."""
    rng = np.random.default_rng(0)
    paths, thumbnails = [], []
    for group in range(20 * len(classes)):
        first = rng.integers(0, 256, (16, 16, 3))
        for number in range(size):
            paths.append(f"{classes[group // 20]}/{name(group, number)}")
            own = first + rng.integers(-20, 20, first.shape)
            thumbnails.append(own if alike else rng.integers(0, 256, first.shape))
    count = len(paths)
    labels = np.array([classes.index(path[0]) for path in paths])
    splits = np.full(count, "train") if splits is None else np.array(splits(count))
    copies = np.arange(count) if copies is None else copies(count)
    thumbnails = np.clip(thumbnails, 0, 255).astype("uint8")
    return suggest_groups(paths, labels, splits, copies, thumbnails), paths


def frame(group, number):
    return f"clip{group}_frame_{5 * number:04d}.jpg"


@pytest.mark.parametrize(
    ("name", "alike", "size"),
    [
        (frame, True, 6),
        (lambda group, i: f"IMG_20200101_{120000 + 37 * group}_BURST{i:03d}.jpg", True, 6),
        (lambda group, i: f"scan {group} ({i}).png", True, 3),
        (lambda group, i: f"{7919 * group + 4096:08d}-{i}.jpg", True, 4),
        (lambda group, i: f"P{group:03d}_{LEFT_RIGHT[i]}.png", False, 2),
        (lambda group, i: f"P{group:03d}_{LEFT_RIGHT[i % 2]}_{i // 2}.png", False, 4),
        (lambda group, i: f"case-{group:02d}-{('t1', 't2', 'flair')[i]}.tif", False, 3),
    ],
)
def test_bursts_frames_and_views_are_groups(name, alike, size):
    grouping, paths = suggest(name, alike=alike, size=size)
    keys = [re.search(grouping.pattern, path)[1] for path in paths]
    assert (grouping.groups, grouping.images) == (40, len(paths))
    assert all(len(set(keys[start : start + size])) == 1 for start in range(0, len(keys), size))
    assert f"--group-by '{grouping.pattern}'" in str(grouping)


@pytest.mark.parametrize(
    "name",
    [
        lambda group, i: f"{6 * group + i:05d}.jpg",
        lambda group, i: f"cat_{6 * group + i}.jpg",
        lambda group, i: f"n0144{group % 2}_{6 * group + i}.JPEG",
        lambda group, i: f"IMG_2020{group % 12:02d}{i + 10}_{(7919 * group * i) % 90000}.jpg",
        lambda group, i: f"{(7919 * (6 * group + i)) % 2**20:05x}.jpg",
        lambda group, i: f"{i}.png" if group % 20 else f"{group} {i}.png",
    ],
)
def test_running_numbers_dates_and_hashes_are_none(name):
    assert suggest(name, alike=False)[0] is None


def test_splits_on_disk_that_keep_groups_together_need_no_suggestion():
    def kept(count):
        return ["train" if i // 6 % 5 else "test" for i in range(count)]

    def parted(count):
        return ["train" if i % 6 else "test" for i in range(count)]

    assert suggest(frame, alike=True, splits=kept)[0] is None
    assert suggest(frame, alike=True, splits=parted)[0] is not None


def test_copies_that_are_found_anyway_need_no_suggestion():
    assert suggest(frame, alike=True, copies=lambda count: np.arange(count) // 6)[0] is None
