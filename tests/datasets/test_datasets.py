"""Data sets: what is loaded, how it is split, and what is said when it cannot be."""

import dataclasses

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cnn_cifar10.datasets import DATASETS, Dataset, DatasetError, Split, load_dataset
from cnn_cifar10.datasets.dataset import stratified_split

# Splitting


@given(
    st.lists(st.integers(3, 60), min_size=2, max_size=6),
    st.sampled_from([(8, 1, 1), (0.7, 0.1, 0.2), (9, 1), (1,)]),
    st.integers(0, 2**32 - 1),
)
@example([3, 8], (0.7, 0.1, 0.2), 0)
@settings(max_examples=60)
def test_a_split_holds_each_class_by_its_share(counts, weights, seed):
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    parts = stratified_split(labels, weights, seed)
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(len(labels)))
    for part, weight in zip(parts, weights, strict=True):
        held = np.bincount(labels[part], minlength=len(counts))
        assert held.min() >= 1
        wanted = np.array(counts) * weight / sum(weights)
        assert (np.abs(held - wanted) <= 2).all()
    for part, again in zip(parts, stratified_split(labels, weights, seed), strict=True):
        np.testing.assert_array_equal(part, again)


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(0, 4)), min_size=20, max_size=80),
    st.sampled_from([(8, 1, 1), (9, 1), (1, 1)]),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=60)
def test_a_group_is_never_split(sizes, weights, seed):
    groups = np.repeat(np.arange(len(sizes)), [size for size, _ in sizes])
    labels = np.repeat([label for _, label in sizes], [size for size, _ in sizes])
    parts = stratified_split(labels, weights, seed, groups * 7 - 50)
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(len(labels)))
    for part, again in zip(parts, stratified_split(labels, weights, seed, groups), strict=True):
        np.testing.assert_array_equal(part, again)
    assert sum(len(np.unique(groups[part])) for part in parts) == len(sizes)
    for label in np.unique(labels):  # of which there are enough groups for each part to have one
        if len(np.unique(groups[labels == label])) >= len(weights):
            assert all((labels[part] == label).any() for part in parts)


def test_groups_are_split_by_the_shares_of_the_classes_as_far_as_they_allow():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 5_000, 20_000)
    labels = (groups % 10 + (rng.random(20_000) < 0.1)) % 10  # most groups are of one class
    for part, share in zip(
        stratified_split(labels, (8, 1, 1), 0, groups), (0.8, 0.1, 0.1), strict=True
    ):
        counts = np.bincount(labels[part]) / np.bincount(labels)
        np.testing.assert_allclose(counts, share, atol=0.02)


def test_images_alone_in_their_groups_are_split_as_if_there_were_none():
    labels = np.random.default_rng(0).integers(0, 5, 500)
    alone = np.random.default_rng(1).permutation(500)
    for part, other in zip(
        stratified_split(labels, (8, 1, 1), 3),
        stratified_split(labels, (8, 1, 1), 3, alone),
        strict=True,
    ):
        np.testing.assert_array_equal(part, other)


def test_another_seed_splits_otherwise():
    labels = np.repeat([0, 1], 50)
    first, second = (stratified_split(labels, (8, 1, 1), seed)[0] for seed in (0, 1))
    assert not np.array_equal(first, second)


def test_a_split_counts_its_examples_unless_told_which_they_are():
    split = Split(np.zeros((3, 2, 2, 3), "uint8"), np.array([0, 1, 0]))
    assert split.ids.tolist() == [0, 1, 2]
    assert len(split) == 3


# digits


def test_a_data_set_gives_its_splits_by_name(digits):
    for name in ("train", "validation", "test"):
        assert digits.split(name) is getattr(digits, name)
    with pytest.raises(DatasetError, match="'name': choose from train, validation, test"):
        digits.split("name")


def test_digits_are_upscaled_scikit_learn_digits(digits, assert_partition):
    from sklearn.datasets import load_digits

    assert digits.title == "digits (scikit-learn)"
    assert digits.class_names == tuple("0123456789")
    assert digits.num_classes == 10
    assert digits.image_shape == (32, 32, 3)
    assert_partition(digits, 1797)
    small, labels = load_digits(return_X_y=True)
    for split in (digits.train, digits.validation, digits.test):
        assert split.images.dtype == np.uint8
        assert split.labels.dtype == np.int64
        np.testing.assert_array_equal(split.labels, labels[split.ids])
        # Averaging 4x4 blocks takes an enlarged digit back to its 8x8 pixels, roughly.
        blocks = split.images[..., 0].reshape(-1, 8, 4, 8, 4).mean((2, 4)) * 16 / 255
        assert np.abs(blocks - small[split.ids].reshape(-1, 8, 8)).mean() < 0.8


def test_digits_splits_are_stratified(digits):
    sizes = [len(split) for split in (digits.train, digits.validation, digits.test)]
    assert sizes == [1258, 180, 359]
    for split in (digits.train, digits.validation, digits.test):
        share = np.bincount(split.labels) / len(split)
        np.testing.assert_allclose(share, 0.1, atol=0.01)


def test_the_fingerprint_is_the_same_in_another_process(digits, run_program):
    assert run_program("fingerprint.py", PYTHONHASHSEED="7").strip() == digits.fingerprint
    # Runs that are older than its present form are still known.
    assert [each[:16] for each in digits.fingerprints] == [
        digits.fingerprint[:16],
        "ac3cf16abd82aa82",
    ]


def test_the_fingerprint_tells_seeds_pixels_and_labels_apart_but_not_titles(digits):
    assert load_dataset("digits", split_seed=1).fingerprint != digits.fingerprint
    assert dataclasses.replace(digits, title="other").fingerprint == digits.fingerprint
    pixels, labels = digits.test.images.copy(), digits.test.labels.copy()
    pixels[3, 4, 5, 0] ^= 1
    labels[0] ^= 1
    for test in (Split(pixels, digits.test.labels), Split(digits.test.images, labels)):
        assert dataclasses.replace(digits, test=test).fingerprint != digits.fingerprint


# Arguments


@given(
    counts=st.lists(st.integers(1, 40), min_size=2, max_size=6),
    sizes=st.tuples(st.integers(0, 150), st.integers(0, 150)).map(sorted),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_subset_holds_the_shares_of_the_classes_and_lies_within_larger_ones(counts, sizes, seed):
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    split = Split(np.zeros((len(labels), 1, 1, 3), "uint8"), labels, ids=np.arange(len(labels)) + 7)
    whole = Dataset("digits", "some", tuple("abcdef"[: len(counts)]), split, split, split)
    small, large = (whole.subset(len(counts) + size, seed).train for size in sizes)
    assert set(small.ids) <= set(large.ids) <= set(split.ids)
    for part, size in zip((small, large), sizes, strict=True):
        assert len(part) == len(set(part.ids)) == min(len(counts) + size, len(labels))
        np.testing.assert_array_equal(part.labels, labels[part.ids - 7])
        found = np.bincount(part.labels, minlength=len(counts))
        assert found.min() >= 1
        share = np.array(counts) * len(part) / len(labels)
        assert np.abs(found - share).max() <= len(counts)


def test_a_subset_is_of_the_training_images_alone_and_its_fingerprint_says_so(digits):
    part = digits.subset(200)
    assert np.ptp(np.bincount(part.train.labels)) <= 1  # digits are nearly balanced
    np.testing.assert_array_equal(
        part.train.images, digits.train.images[np.isin(digits.train.ids, part.train.ids)]
    )
    assert part.validation is digits.validation
    assert part.test is digits.test
    assert part.fingerprint == digits.subset(200).fingerprint
    prints = {
        each.fingerprint for each in (digits, part, digits.subset(201), digits.subset(200, 1))
    }
    assert len(prints) == 4
    assert digits.subset(len(digits.train)) is digits.subset(99_999) is digits
    with pytest.raises(DatasetError, match="train_images: 9 cannot hold one of each of the 10"):
        digits.subset(9)


def test_every_data_set_is_listed_with_a_line_about_it():
    assert set(DATASETS) >= {"cifar10", "digits", "folder", "imagenet"}
    for source in DATASETS.values():
        assert 0 < len(source.description) < 90


@pytest.mark.parametrize(
    ("args", "options", "parts"),
    [
        (["emnist"], {}, ["emnist", "digits"]),
        (["digits"], {"split_seed": -1}, ["split_seed", "-1"]),
        (["digits"], {"image_size": 64}, ["image_size", "64", "resize inside"]),
        (["cifar10"], {"image_size": 64}, ["image_size", "64", "resize inside"]),
        (["digits", "somewhere"], {}, ["data_dir", "somewhere", "scikit-learn"]),
        (["folder"], {}, ["data_dir", "folder"]),
        (["folder", "/no/such"], {}, ["data_dir", "/no/such"]),
        (["imagenet", "/no/such"], {}, ["data_dir", "/no/such"]),
        (["folder", "/no/such"], {"image_size": 0}, ["image_size", "0"]),
    ],
)
def test_bad_arguments_are_named(refusal, args, options, parts):
    message = refusal(*args, **options)
    assert all(part in message for part in parts)


def test_image_size_32_is_what_digits_have_anyway(digits):
    assert load_dataset("digits", image_size=32).fingerprint == digits.fingerprint
