"""Data sets: what is loaded, how it is split, and what is said when it cannot be."""

import io
import json
import logging
import os
import pickle
import sys
import tarfile
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from cnn_cifar10.datasets import (
    DATASETS,
    Dataset,
    DatasetError,
    ImageFiles,
    Split,
    cifar10,
    imagenet,
    listing,
    load_dataset,
)
from cnn_cifar10.datasets.dataset import stratified_split

BATCHES = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
CIFAR10_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip


@pytest.fixture(autouse=True)
def cache_home(tmp_path_factory, monkeypatch):
    """Keeps the memory of checked folders, and a CIFAR-10 of the user, out of the tests."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    monkeypatch.delenv("CNN_CIFAR10_DATA", raising=False)
    return folder


def refusal(*args, **options):
    """The message of the one-line error that loading ends in."""
    with pytest.raises(DatasetError) as caught:
        load_dataset(*args, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def assert_partition(dataset, count):
    """The splits share no example and leave none out."""
    ids = np.concatenate([dataset.train.ids, dataset.validation.ids, dataset.test.ids])
    assert len(ids) == len(set(ids.tolist())) == count


# Splitting


@given(
    st.lists(st.integers(3, 60), min_size=2, max_size=6),
    st.sampled_from([(8, 1, 1), (0.7, 0.1, 0.2), (9, 1), (1,)]),
    st.integers(0, 2**32 - 1),
)
@example([3, 8], (0.7, 0.1, 0.2), 0)
@settings(max_examples=60, deadline=None)
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


def test_digits_are_upscaled_scikit_learn_digits(digits):
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
    assert len(bytes.fromhex(digits.fingerprint)) == 32


def test_the_fingerprint_tells_seeds_apart(digits):
    assert load_dataset("digits", split_seed=1).fingerprint != digits.fingerprint


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
        assert not source.description.endswith(".")


@pytest.mark.parametrize(
    ("args", "options", "parts"),
    [
        (["mnist"], {}, ["mnist", "digits"]),
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
def test_bad_arguments_are_named(args, options, parts):
    message = refusal(*args, **options)
    assert all(part in message for part in parts)


def test_image_size_32_is_what_digits_have_anyway(digits):
    assert load_dataset("digits", image_size=32).fingerprint == digits.fingerprint


# CIFAR-10


def test_cifar10_copy(cifar10_dir, monkeypatch):
    monkeypatch.setenv("CNN_CIFAR10_DATA", str(cifar10_dir))
    dataset = load_dataset("cifar10")
    assert dataset.title.startswith("CIFAR-10")
    assert dataset.class_names == CIFAR10_CLASSES
    for split, count in ((dataset.train, 4500), (dataset.validation, 500), (dataset.test, 1000)):
        assert split.images.shape == (10 * count, 32, 32, 3)
        assert (np.bincount(split.labels) == count).all()
    ids = np.concatenate([dataset.train.ids, dataset.validation.ids])
    np.testing.assert_array_equal(np.sort(ids), np.arange(50_000))
    # The first official training image is a frog, the first of the test set a cat.
    labels = dict(zip(ids, [*dataset.train.labels, *dataset.validation.labels], strict=True))
    assert [dataset.class_names[labels[i]] for i in range(3)] == ["frog", "truck", "truck"]
    assert dataset.class_names[dataset.test.labels[0]] == "cat"


class Python2Pickler(pickle._Pickler):
    """Writes the pickles of Python 2, as the official batches are: text and bytes are one type."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def save_string(self, text):
        content = text.encode("latin-1") if isinstance(text, str) else text
        self.write(pickle.BINSTRING + len(content).to_bytes(4, "little") + content)

    dispatch[bytes] = dispatch[str] = save_string


def python2_pickle(value):
    file = io.BytesIO()
    Python2Pickler(file, protocol=2).dump(value)
    content = file.getvalue().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    assert content.count(b"u1\x89\x88\x87") == 1
    # NumPy of that time passed 0 and 1, not False and True, to dtype().
    return content.replace(b"u1\x89\x88\x87", b"u1K\x00K\x01\x87")


class FakeCifar10:
    """A random CIFAR-10 of the true size."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.images = rng.integers(0, 256, (60_000, 32, 32, 3), dtype="uint8")
        self.labels = np.concatenate([rng.permutation(10_000) % 10 for _ in BATCHES])

    def batch(self, name, suffix="png", **changes):
        rows = slice(BATCHES.index(name) * 10_000, BATCHES.index(name) * 10_000 + 10_000)
        return {
            b"data": self.images[rows].transpose(0, 3, 1, 2).reshape(10_000, 3072),
            b"labels": self.labels[rows].tolist(),
            b"filenames": [f"image_{i}.{suffix}".encode() for i in range(10_000)],
        } | {key.encode(): value for key, value in changes.items()}

    def assert_equals(self, dataset):
        for split, start in ((dataset.train, 0), (dataset.validation, 0), (dataset.test, 50_000)):
            np.testing.assert_array_equal(split.labels, self.labels[start + split.ids])
            np.testing.assert_array_equal(split.images, self.images[start + split.ids])


@pytest.fixture(scope="module")
def fake():
    return FakeCifar10()


@pytest.fixture(scope="module")
def fake_dir(fake, tmp_path_factory):
    """Its folder, beside an archive of it; some batches are pickles of Python 2, some newer."""
    folder = tmp_path_factory.mktemp("cifar") / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "batches.meta").write_bytes(pickle.dumps({}))
    for protocol, name in enumerate(BATCHES):
        batch = fake.batch(name)
        data = pickle.dumps(batch, protocol) if protocol > 2 else python2_pickle(batch)
        (folder / name).write_bytes(data)
    archive = folder.parent / "archive" / "cifar-10-python.tar.gz"
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz", compresslevel=0) as file:
        file.add(folder, "cifar-10-batches-py")
    return folder


@pytest.fixture
def broken_dir(fake_dir, tmp_path):
    """A copy whose files are links, so that a test may replace one of them."""
    for file in fake_dir.iterdir():
        (tmp_path / file.name).symlink_to(file)

    def replace(name, content):
        (tmp_path / name).unlink()
        if content is not None:
            (tmp_path / name).write_bytes(content)
        return tmp_path

    return replace


def test_cifar10_is_read_from_the_folder_around_its_own_or_its_archive(fake, fake_dir):
    archive = fake_dir.parent / "archive" / "cifar-10-python.tar.gz"
    fingerprints = set()
    for place in (fake_dir.parent, archive.parent):
        dataset = load_dataset("cifar10", place)
        fingerprints.add(dataset.fingerprint)
        assert dataset.title == "CIFAR-10 (modified copy)"
    fake.assert_equals(dataset)
    assert len(fingerprints) == 1
    assert list(archive.parent.iterdir()) == [archive]


def test_cifar10_title_and_fingerprint_tell_copies_from_the_official_data(
    fake, broken_dir, monkeypatch
):
    def title_and_fingerprint(folder):
        dataset = load_dataset("cifar10", folder)
        return dataset.title, dataset.fingerprint

    folder = broken_dir("batches.meta", None)
    modified = title_and_fingerprint(folder)
    md5 = {name: cifar10._md5((folder / name).read_bytes()) for name in BATCHES}
    monkeypatch.setattr(cifar10, "_MD5", md5)
    official = title_and_fingerprint(folder)
    for name in BATCHES:
        broken_dir(name, pickle.dumps(fake.batch(name, suffix="jpg")))
    jpeg = title_and_fingerprint(folder)
    assert [title for title, _ in (modified, official, jpeg)] == [
        "CIFAR-10 (modified copy)",
        "CIFAR-10",
        "CIFAR-10 (JPEG copy)",
    ]
    assert len({fingerprint for _, fingerprint in (modified, official, jpeg)}) == 3


def test_the_official_checksums_are_those_published():
    assert cifar10._MD5["data_batch_1"] == "c99cafc152244af753f735de768cd75f"
    assert cifar10._MD5["test_batch"] == "40351d587109b95175f43aff81a1287e"


class Evil:
    def __reduce__(self):
        return os.system, ("touch evil",)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (lambda fake: None, "lacks data_batch_3"),
        (lambda fake: pickle.dumps(fake.batch("data_batch_3"))[:1000], "no CIFAR-10 batch"),
        (lambda fake: b"", "no CIFAR-10 batch"),
        (lambda fake: np.random.default_rng(0).bytes(1000), "no CIFAR-10 batch"),
        (lambda fake: pickle.dumps([1, 2]), "no CIFAR-10 batch"),
        (lambda fake: pickle.dumps({b"data": 1, b"fine_labels": []}), "no CIFAR-10 batch"),
        (lambda fake: pickle.dumps(Evil()), "asks for posix.system"),
        (lambda fake: fake.batch("data_batch_3", data=np.zeros((5, 3072), "u1")), "(5, 3072)"),
        (lambda fake: fake.batch("data_batch_3", data=np.zeros((10_000, 3072), "f4")), "float32"),
        (lambda fake: fake.batch("data_batch_3", labels=[1, 2]), "10,000 labels"),
        (lambda fake: fake.batch("data_batch_3", labels=[99] * 10_000), "labels other than 0 to 9"),
    ],
)
def test_a_bad_batch_is_named(fake, broken_dir, tmp_path, monkeypatch, content, fault):
    monkeypatch.chdir(tmp_path)
    content = content(fake)
    if isinstance(content, dict):
        content = pickle.dumps(content)
    message = refusal("cifar10", broken_dir("data_batch_3", content))
    assert str(tmp_path) in message
    assert "data_batch_3" in message
    assert fault in message
    assert "cifar-10-python.tar.gz" in message
    assert not Path("evil").exists()


@pytest.mark.parametrize(
    ("names", "fault"),
    [
        (["cifar-100-python/meta", "cifar-100-python/train"], "holds CIFAR-100"),
        (["cifar-10-batches-bin/data_batch_1.bin"], "binary or MATLAB"),
        (["cifar-10-batches-mat/data_batch_1.mat"], "binary or MATLAB"),
        (["something/else"], "lacks data_batch_1, data_batch_2"),
    ],
)
def test_another_version_is_told_in_a_folder_and_in_an_archive(tmp_path, names, fault):
    for name in names:
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).touch()
    archive = tmp_path / "archive.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        file.add(tmp_path / "data" / names[0].split("/")[0], names[0].split("/")[0])
    for place in (tmp_path / "data", tmp_path / "data" / names[0].split("/")[0], archive):
        message = refusal("cifar10", place)
        assert message.startswith(f"{place}: ")
        assert fault in message


def test_a_truncated_or_random_archive_and_a_missing_path_are_named(fake_dir, tmp_path):
    whole = (fake_dir.parent / "archive" / "cifar-10-python.tar.gz").read_bytes()
    cut = tmp_path / "cut.tar.gz"
    cut.write_bytes(whole[: len(whole) // 3])
    noise = tmp_path / "noise.tar.gz"
    noise.write_bytes(np.random.default_rng(0).bytes(5000))
    for archive in (cut, noise):
        message = refusal("cifar10", archive)
        assert message.startswith(f"{archive}: no whole tar archive")
    missing = refusal("cifar10", tmp_path / "gone")
    assert missing.startswith(f"{tmp_path / 'gone'}: no such file or folder")


def keras_cifar10(monkeypatch, load_data):
    import keras

    monkeypatch.setattr(keras.datasets.cifar10, "load_data", load_data)


def test_without_a_folder_keras_downloads_the_official_data(fake, monkeypatch):
    images, labels = fake.images, fake.labels.astype("uint8")[:, np.newaxis]
    train, test = slice(0, 50_000), slice(50_000, None)
    keras_cifar10(
        monkeypatch, lambda: ((images[train], labels[train]), (images[test], labels[test]))
    )
    dataset = load_dataset("cifar10")
    assert dataset.title == "CIFAR-10"
    assert dataset.train.labels.dtype == np.int64
    fake.assert_equals(dataset)


def test_a_failed_download_ends_in_one_line_with_the_ways_out(monkeypatch):
    def unreachable():
        # What Keras raises when the host is not found.
        raise Exception("URL fetch failure on https://host/file: None -- [Errno -2] unknown")

    keras_cifar10(monkeypatch, unreachable)
    message = refusal("cifar10")
    assert "URL fetch failure on https://host/file" in message
    assert "data_dir" in message
    assert "CNN_CIFAR10_DATA" in message
    assert "cifar-10-python.tar.gz" in message


def test_the_message_of_keras_itself_when_the_host_is_unreachable(monkeypatch, tmp_path):
    import urllib.error

    import keras

    def urlretrieve(*args):
        raise urllib.error.URLError("unreachable")

    # The module, behind the public name, that fetches files.
    fetcher = sys.modules[keras.utils.get_file.__module__]
    monkeypatch.setattr(fetcher, "urlretrieve", urlretrieve)
    monkeypatch.setattr(fetcher.config, "keras_home", lambda: str(tmp_path))
    assert "URL fetch failure" in refusal("cifar10")


# Folders


def make_images(root, **counts):
    """Write `counts[class]` images of a colour of its own for each class, named in order."""
    for colour, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            Image.new("RGB", (8, 6), (40 * colour, i, 0)).save(root / name / f"{i:03}.png")
    return root


def test_class_folders_are_split_and_streamed(tmp_path):
    make_images(tmp_path / "pets", dog=20, cat=40)
    (tmp_path / "pets" / "README.txt").write_text("not in a class folder")
    dataset = load_dataset("folder", tmp_path / "pets", image_size=16)
    assert (dataset.name, dataset.title) == ("folder", "pets")
    assert dataset.class_names == ("cat", "dog")
    assert dataset.image_shape == (16, 16, 3)
    assert_partition(dataset, 60)
    for split, counts in (
        (dataset.train, [32, 16]), (dataset.validation, [4, 2]), (dataset.test, [4, 2]),
    ):  # fmt: skip
        assert isinstance(split.images, ImageFiles)
        assert np.bincount(split.labels).tolist() == counts
        pixels = split.images[:]
        for pixel, label, name in zip(pixels[:, 3, 3], split.labels, split.ids, strict=True):
            folder, number = name.split("/")
            assert dataset.class_names[label] == folder
            assert pixel.tolist() == [40 * ["dog", "cat"].index(folder), int(number[:3]), 0]


def test_a_subset_of_a_folder_stays_on_disk(tmp_path):
    dataset = load_dataset("folder", make_images(tmp_path, cat=20, dog=10))
    part = dataset.subset(12)
    assert isinstance(part.train.images, ImageFiles)
    assert part.image_shape == dataset.image_shape
    np.testing.assert_array_equal(
        part.train.images[:], dataset.train.images[np.isin(dataset.train.ids, part.train.ids)]
    )
    assert np.bincount(part.train.labels).tolist() == [8, 4]
    assert isinstance(dataset.train[[3, 1]].images, ImageFiles)
    assert list(dataset.train[[3, 1]].ids) == list(dataset.train.ids[[3, 1]])


def test_default_image_size_of_folders_is_64(tmp_path):
    assert load_dataset("folder", make_images(tmp_path, a=3, b=3)).image_shape == (64, 64, 3)


def test_three_images_a_class_are_one_for_each_split(tmp_path):
    dataset = load_dataset("folder", make_images(tmp_path, a=3, b=3))
    for split in (dataset.train, dataset.validation, dataset.test):
        assert split.labels.tolist() == [0, 1]


@pytest.mark.parametrize("validation", ["val", "valid", "validation", "Val"])
def test_split_folders_are_kept_as_they_are(tmp_path, validation):
    for name, count in (("train", 5), (validation, 2), ("test", 3)):
        make_images(tmp_path / name, a=count, b=count)
    dataset = load_dataset("folder", tmp_path)
    assert [len(s) for s in (dataset.train, dataset.validation, dataset.test)] == [10, 4, 6]
    assert {name.split("/")[0] for name in dataset.train.ids} == {"train"}
    assert {name.split("/")[0] for name in dataset.validation.ids} == {validation}
    assert {name.split("/")[0] for name in dataset.test.ids} == {"test"}


def test_validation_is_taken_from_train_where_there_is_none(tmp_path):
    make_images(tmp_path / "train", a=20, b=40)
    make_images(tmp_path / "test", a=3, b=3)
    dataset = load_dataset("folder", tmp_path)
    assert np.bincount(dataset.train.labels).tolist() == [18, 36]
    assert np.bincount(dataset.validation.labels).tolist() == [2, 4]
    assert {name.split("/")[0] for name in dataset.validation.ids} == {"train"}
    assert {name.split("/")[0] for name in dataset.test.ids} == {"test"}
    assert_partition(dataset, 66)


def test_nested_folders_count_and_hidden_files_do_not(tmp_path):
    make_images(tmp_path, a=3, b=3)
    make_images(tmp_path / "a", deeper=2)
    for name in ("a/.DS_Store", "a/Thumbs.db", "b/desktop.ini", "b/._000.png", ".hidden"):
        (tmp_path / name).write_text("junk")
    make_images(tmp_path, **{".ipynb_checkpoints": 1})
    dataset = load_dataset("folder", tmp_path)
    assert dataset.class_names == ("a", "b")
    assert_partition(dataset, 8)
    assert sum("deeper" in name for s in (dataset.train, dataset.test) for name in s.ids) >= 1


def test_a_folder_of_trains_is_a_class(tmp_path):
    dataset = load_dataset("folder", make_images(tmp_path, train=3, bus=3))
    assert dataset.class_names == ("bus", "train")


def test_the_fingerprint_of_a_folder_is_independent_of_its_place(tmp_path):
    here = load_dataset("folder", make_images(tmp_path / "here", a=10, b=10))
    there = load_dataset("folder", make_images(tmp_path / "away" / "there", b=10, a=10))
    assert here.fingerprint == there.fingerprint
    more = load_dataset("folder", make_images(tmp_path / "more", a=10, b=11))
    other_seed = load_dataset("folder", tmp_path / "here", split_seed=1)
    assert len({here.fingerprint, more.fingerprint, other_seed.fingerprint}) == 3


def split_folders(*names):
    return lambda root: [make_images(root / name, a=4, b=4) for name in names]


@pytest.mark.parametrize(
    ("make", "parts"),
    [
        (lambda root: None, ["holds the folders (none)"]),
        (lambda root: make_images(root, cats=5), ["1 class folders (cats)"]),
        (lambda root: make_images(root, a=5, b=0), ["b (0)", "3 or more"]),
        (lambda root: make_images(root, a=5, b=2), ["b (2)", "3 or more"]),
        (split_folders("train"), ["holds the folders train"]),
        (split_folders("test", "val"), ["holds the folders test, val"]),
        (split_folders("train", "val", "valid", "test"), ["val, valid"]),
        (split_folders("train", "test", "extra"), ["extra"]),
        (split_folders("train", "val"), ["no test/", "rename val/ to test/"]),
        (
            lambda root: [make_images(root / "train", a=4, b=4), make_images(root / "test", a=2)],
            ["b", "not in both train/ and test/"],
        ),
        (
            lambda root: [
                make_images(root / "train", a=4, b=4), make_images(root / "test", a=2, b=0),
            ],
            ["test has too few images of b (0)"],
        ),
        (
            lambda root: [
                make_images(root / "train", a=4, b=1), make_images(root / "test", a=2, b=2),
            ],
            ["train has too few images of b (1); 2 or more"],
        ),
        (
            lambda root: make_images(root, a=4, b=4).joinpath("a/000.png").rename(root / "x.png"),
            ["x.png outside any class folder"],
        ),
        (
            lambda root: make_images(root / "train", a=4, b=4).joinpath("a/000.png")
            .rename(split_folders("test")(root)[0].parent / "x.png"),
            ["x.png outside any class folder"],
        ),
    ],
)  # fmt: skip
def test_a_folder_laid_out_otherwise_is_refused(tmp_path, make, parts):
    make(tmp_path)
    message = refusal("folder", tmp_path)
    assert message.startswith(f"{tmp_path}: ")
    assert all(part in message for part in parts)


@pytest.fixture
def damaged_folder(tmp_path):
    make_images(tmp_path, a=10, b=10)
    (tmp_path / "a" / "000.png").write_bytes(b"")
    (tmp_path / "a" / "001.png").rename(tmp_path / "a" / "001.jpg")
    whole = (tmp_path / "b" / "002.png").read_bytes()
    (tmp_path / "b" / "002.png").write_bytes(whole[:50])
    (tmp_path / "b" / "notes.txt").write_text("hello")
    (tmp_path / "b" / "link.png").symlink_to(tmp_path / "nowhere.png")
    return tmp_path


DAMAGED = ["a/000.png", "a/001.jpg", "b/002.png", "b/notes.txt", "b/link.png"]


def test_all_damaged_files_are_listed_at_once(damaged_folder):
    with pytest.raises(DatasetError) as caught:
        load_dataset("folder", damaged_folder)
    first, *lines = str(caught.value).splitlines()
    assert first.startswith(f"{damaged_folder}: 5 of 22 files cannot be used")
    assert sorted(line.strip().split(": ")[0] for line in lines) == sorted(DAMAGED)
    assert "  a/001.jpg: holds PNG data; rename it to 001.png" in lines


def test_a_long_list_of_damaged_files_is_cut_and_counted(tmp_path):
    make_images(tmp_path, a=30, b=3)
    for i in range(25):
        (tmp_path / "a" / f"{i:03}.png").write_bytes(b"")
    with pytest.raises(DatasetError) as caught:
        load_dataset("folder", tmp_path)
    lines = str(caught.value).splitlines()
    assert "25 of 33 files" in lines[0]
    assert len(lines) == 22
    assert lines[-1].strip() == "and 5 more"


def test_skip_damaged_leaves_them_out_and_says_so(damaged_folder, caplog):
    with caplog.at_level(logging.WARNING):
        dataset = load_dataset("folder", damaged_folder, skip_damaged=True)
    assert_partition(dataset, 17)
    for split in (dataset.train, dataset.validation, dataset.test):
        assert not set(DAMAGED) & set(split.ids)
        assert len(split.images[:]) == len(split)
    (record,) = caplog.records
    assert "5 of 22 files" in record.getMessage()
    assert all(name in record.getMessage() for name in DAMAGED)


def test_a_class_that_is_damaged_altogether_is_refused(tmp_path, caplog):
    make_images(tmp_path, a=5, b=3)
    for file in (tmp_path / "b").iterdir():
        file.write_bytes(b"")
    assert "b (0)" in refusal("folder", tmp_path, skip_damaged=True)


@pytest.fixture
def checks(monkeypatch):
    """The number of files that each check of a folder decoded."""
    counts, find_damaged = [], listing.find_damaged

    def count(paths):
        counts.append(len(paths))
        return find_damaged(paths)

    monkeypatch.setattr(listing, "find_damaged", count)
    return counts


def test_a_checked_folder_is_checked_again_only_once_it_changes(damaged_folder, checks, caplog):
    def load():
        return load_dataset("folder", damaged_folder, skip_damaged=True)

    first = load()
    assert load().fingerprint == first.fingerprint
    assert checks == [22]
    Image.new("RGB", (8, 8)).save(damaged_folder / "a" / "000.png")
    assert_partition(load(), 18)
    assert checks == [22, 22]


def test_the_memory_of_a_check_may_be_damaged_or_out_of_reach(
    tmp_path, cache_home, checks, caplog, monkeypatch
):
    make_images(tmp_path / "data", a=3, b=3)
    load_dataset("folder", tmp_path / "data")
    (memory,) = (cache_home / "cnn-cifar10").iterdir()
    assert json.loads(memory.read_text())["damaged"] == {}
    for content in ("", "[]", "{}", "\x00"):
        memory.write_text(content)
        load_dataset("folder", tmp_path / "data")
        assert f"{memory} cannot be used" in caplog.text
        caplog.clear()
    assert checks == [6] * 5
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    load_dataset("folder", tmp_path / "data")
    assert "cannot be written" in caplog.text


def test_local_data_need_no_keras(tmp_path, fake_dir, run_program):
    make_images(tmp_path, a=3, b=3)
    assert run_program("local_data.py", tmp_path, fake_dir).strip() == "[]"


# ImageNet

SYNSETS = {"n02012849": "crane", "n03126707": "crane", "n01440764": "tench, Tinca tinca"}
OTHERS = {"n03710637": "maillot", "n03710721": "maillot, tank suit", "n01443537": "goldfish"}


def make_imagenet(root, prefix="ILSVRC/Data/CLS-LOC", flat=True):
    """Three synsets of twenty training and two validation images in Kaggle's layout."""
    mapping = "".join(f"{synset} {words}\n" for synset, words in (SYNSETS | OTHERS).items())
    root.mkdir(exist_ok=True)
    (root / "LOC_synset_mapping.txt").write_text(mapping)
    make_images(root / prefix / "train", **dict.fromkeys(SYNSETS, 20))
    # Validation images of a synset that train/ lacks are left out.
    wanted = [*sorted(SYNSETS), "n01443537"]
    if not flat:
        make_images(root / prefix / "val", **dict.fromkeys(wanted, 2))
        return root
    lines = ["ImageId,PredictionString"]
    (root / prefix / "val").mkdir()
    for i in range(8):
        name = f"ILSVRC2012_val_{i + 1:08}"
        Image.new("RGB", (8, 8), (i, 0, 0)).save(root / prefix / "val" / f"{name}.JPEG")
        lines.append(f"{name},{wanted[i % 4]} 1 2 3 4 {wanted[i % 4]} 5 6 7 8 ")
    (root / "LOC_val_solution.csv").write_text("\n".join(lines) + "\n")
    return root


@pytest.mark.parametrize("prefix", ["ILSVRC/Data/CLS-LOC", ""])
@pytest.mark.parametrize("flat", [True, False])
def test_imagenet_tests_on_the_official_validation_images(tmp_path, prefix, flat):
    dataset = load_dataset("imagenet", make_imagenet(tmp_path, prefix, flat))
    assert dataset.title == "ImageNet (ILSVRC 2012), 3 classes"
    assert dataset.class_names == ("tench", "crane (n02012849)", "crane (n03126707)")
    assert dataset.image_shape == (224, 224, 3)
    assert np.bincount(dataset.train.labels).tolist() == [18] * 3
    assert np.bincount(dataset.validation.labels).tolist() == [2] * 3
    assert np.bincount(dataset.test.labels).tolist() == [2] * 3
    assert all("val/" in name for name in dataset.test.ids)
    assert not any("val/" in name for name in [*dataset.train.ids, *dataset.validation.ids])
    if flat:
        images = {Path(name).stem[-1]: label for name, label in
                  zip(dataset.test.ids, dataset.test.labels, strict=True)}  # fmt: skip
        assert images == {"1": 0, "5": 0, "2": 1, "6": 1, "3": 2, "7": 2}


def test_imagenet_names_are_first_synonyms_made_distinct():
    mapping = "".join(f"{synset} {words}\n" for synset, words in (SYNSETS | OTHERS).items())
    names = imagenet._synset_names(mapping)
    assert list(names.values()) == [
        "crane (n02012849)",
        "crane (n03126707)",
        "tench",
        "maillot",
        "maillot, tank suit",
        "goldfish",
    ]


@pytest.mark.parametrize(
    ("spoil", "parts"),
    [
        (lambda root: (root / "LOC_synset_mapping.txt").unlink(), ["LOC_synset_mapping.txt"]),
        (lambda root: (root / "LOC_val_solution.csv").unlink(), ["LOC_val_solution.csv"]),
        (lambda root: (root / "train").rename(root / "training"), ["lacks train"]),
        (lambda root: (root / "val").rename(root / "valid"), ["lacks val"]),
        (lambda root: (root / "train" / "n0").mkdir(), ["n0", "not in LOC_synset_mapping.txt"]),
        (lambda root: make_images(root / "train", n03710637=3), ["test has too few", "n03710637"]),
        (
            lambda root: (root / "LOC_val_solution.csv").write_text("ImageId,PredictionString\n"),
            ["LOC_val_solution.csv", "has no line for val/ILSVRC2012_val_00000001.JPEG"],
        ),
    ],
)
def test_an_incomplete_imagenet_is_refused(tmp_path, spoil, parts):
    spoil(make_imagenet(tmp_path, prefix=""))
    message = refusal("imagenet", tmp_path)
    assert str(tmp_path) in message
    assert all(part in message for part in parts)


def test_damaged_imagenet_files_are_listed(tmp_path):
    make_imagenet(tmp_path)
    for file in list(tmp_path.rglob("*.JPEG"))[:1] + list(tmp_path.rglob("*.png"))[:1]:
        file.write_bytes(b"")
    with pytest.raises(DatasetError, match="2 of 66 files"):
        load_dataset("imagenet", tmp_path)
