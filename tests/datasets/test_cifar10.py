"""CIFAR-10 from its folder, its archive or a download, and what is said of other files."""

import dataclasses
import hashlib
import io
import os
import pickle
import tarfile
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from cnn_cifar10.datasets import cifar, cifar10, load_dataset

BATCHES = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
CIFAR10_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip


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


@pytest.mark.slow
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


@pytest.mark.slow
def test_cifar10_title_tells_copies_from_the_official_data_and_the_fingerprint_their_pixels(
    fake, broken_dir, monkeypatch
):
    def title_and_fingerprint(folder):
        dataset = load_dataset("cifar10", folder)
        return dataset.title, dataset.fingerprint

    folder = broken_dir("batches.meta", None)
    modified = title_and_fingerprint(folder)
    md5 = {name: cifar._md5((folder / name).read_bytes()) for name in BATCHES}
    monkeypatch.setattr(cifar10, "FILES", dataclasses.replace(cifar10.FILES, md5=md5))
    official = title_and_fingerprint(folder)
    for name in BATCHES:
        broken_dir(name, pickle.dumps(fake.batch(name, suffix="jpg")))
    jpeg = title_and_fingerprint(folder)
    batch = fake.batch("test_batch", suffix="jpg")
    batch[b"data"] = batch[b"data"] ^ 1
    broken_dir("test_batch", pickle.dumps(batch))
    others = title_and_fingerprint(folder)
    assert [title for title, _ in (modified, official, jpeg)] == [
        "CIFAR-10 (modified copy)",
        "CIFAR-10",
        "CIFAR-10 (JPEG copy)",
    ]
    assert modified[1] == official[1] == jpeg[1] != others[1]
    assert others[0] == jpeg[0]


def test_the_official_checksums_are_those_published():
    assert cifar10.FILES.md5["data_batch_1"] == "c99cafc152244af753f735de768cd75f"
    assert cifar10.FILES.md5["test_batch"] == "40351d587109b95175f43aff81a1287e"
    archive = cifar10.FILES.archive
    assert archive.sha256 == "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
    assert archive.size == 170_498_071


class Evil:
    def __reduce__(self):
        return os.system, ("touch evil",)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (lambda fake: None, "lacks data_batch_3"),
        (lambda fake: pickle.dumps(fake.batch("data_batch_3"))[:1000], "no CIFAR batch"),
        (lambda fake: b"", "no CIFAR batch"),
        (lambda fake: np.random.default_rng(0).bytes(1000), "no CIFAR batch"),
        (lambda fake: pickle.dumps([1, 2]), "no CIFAR batch"),
        (lambda fake: pickle.dumps({b"data": 1, b"fine_labels": []}), "no CIFAR batch"),
        (lambda fake: pickle.dumps(Evil()), "asks for posix.system"),
        (lambda fake: fake.batch("data_batch_3", data=np.zeros((5, 3072), "u1")), "(5, 3072)"),
        (lambda fake: fake.batch("data_batch_3", data=np.zeros((10_000, 3072), "f4")), "float32"),
        (lambda fake: fake.batch("data_batch_3", labels=[1, 2]), "10,000 labels"),
        (lambda fake: fake.batch("data_batch_3", labels=[99] * 10_000), "labels other than 0 to 9"),
    ],
)
def test_a_bad_batch_is_named(refusal, fake, broken_dir, tmp_path, monkeypatch, content, fault):
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
def test_another_version_is_told_in_a_folder_and_in_an_archive(refusal, tmp_path, names, fault):
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


def test_a_truncated_or_random_archive_and_a_missing_path_are_named(refusal, fake_dir, tmp_path):
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


@pytest.fixture
def published(fake_dir, monkeypatch, tmp_path):
    """Makes the random CIFAR-10 the one that is published, in an archive that it returns."""
    archive = fake_dir.parent / "archive" / "cifar-10-python.tar.gz"
    with open(archive, "rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    known = {"size": archive.stat().st_size, "sha256": sha256, "urls": (UNREACHABLE,)}
    download = dataclasses.replace(cifar10.FILES.archive, **known)
    md5 = {name: cifar._md5((fake_dir / name).read_bytes()) for name in BATCHES}
    files = dataclasses.replace(cifar10.FILES, archive=download, md5=md5)
    monkeypatch.setattr(cifar10, "FILES", files)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return archive


UNREACHABLE = "http://no-such-host.invalid/cifar-10-python.tar.gz"


@pytest.mark.slow
def test_without_a_folder_the_official_archive_is_downloaded(fake, published, monkeypatch):
    monkeypatch.setenv("CNN_CIFAR10_MIRROR", str(published))
    dataset = load_dataset("cifar10")
    assert dataset.title == "CIFAR-10"
    fake.assert_equals(dataset)
    monkeypatch.delenv("CNN_CIFAR10_MIRROR")
    assert load_dataset("cifar10").fingerprint == dataset.fingerprint  # from Keras's cache


def test_a_failed_download_ends_in_one_line_with_the_ways_out(refusal, published):
    message = refusal("cifar10")
    assert message.startswith("CIFAR-10 was not downloaded: no-such-host.invalid fails")
    assert "data_dir" in message
    assert "CNN_CIFAR10_MIRROR" in message
    assert "cifar-10-python.tar.gz" in message


def test_local_data_need_no_keras(make_images, tmp_path, fake_dir, run_program):
    make_images(tmp_path, a=3, b=3)
    assert run_program("local_data.py", tmp_path, fake_dir).strip() == "[]"
