"""CIFAR-100 by its fine and its coarse classes, from its archive, its folder or a download."""

import dataclasses
import hashlib
import pickle
import tarfile

import numpy as np
import pytest

from cnn_cifar10.datasets import cifar100, load_dataset


@pytest.fixture(scope="module")
def fake():
    rng = np.random.default_rng(0)

    def batch(count):
        fine = np.arange(count) % 100
        return {
            b"data": rng.integers(0, 256, (count, 3072), dtype="uint8"),
            b"fine_labels": fine.tolist(),
            b"coarse_labels": (fine // 5).tolist(),  # some rule: the names are those published
            b"filenames": [f"image_{i}.png".encode() for i in range(count)],
        }

    return {"train": batch(1000), "test": batch(200)}


@pytest.fixture
def published(fake, tmp_path, monkeypatch):
    """Makes a small CIFAR-100 the one that is published, and returns its folder and archive."""
    folder = tmp_path / "data" / "cifar-100-python"
    folder.mkdir(parents=True)
    (folder / "meta").write_bytes(pickle.dumps({}))
    for name, batch in fake.items():
        (folder / name).write_bytes(pickle.dumps(batch))
    archive = tmp_path / "mirror" / "cifar-100-python.tar.gz"
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as file:
        file.add(folder, folder.name)
    content = archive.read_bytes()
    known = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest(), "urls": ()}
    download = dataclasses.replace(cifar100.FILES.archive, **known)
    md5 = {name: hashlib.md5((folder / name).read_bytes()).hexdigest() for name in fake}
    files = dataclasses.replace(cifar100.FILES, archive=download, md5=md5, counts=(1000, 200))
    monkeypatch.setattr(cifar100, "FILES", files)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return folder, archive


def assert_equals(dataset, fake, key):
    for split, name in ((dataset.train, "train"), (dataset.test, "test")):
        pixels = split.images.transpose(0, 3, 1, 2).reshape(-1, 3072)
        np.testing.assert_array_equal(pixels, fake[name][b"data"][split.ids])
        np.testing.assert_array_equal(split.labels, np.array(fake[name][key])[split.ids])


@pytest.mark.parametrize("place", ["folder", "folder around it", "archive", "mirror"])
def test_both_kinds_of_labels_are_read_from_everywhere(fake, published, monkeypatch, place):
    folder, archive = published
    monkeypatch.setenv("CNN_CIFAR10_MIRROR", str(archive.parent))
    places = {"folder": folder, "folder around it": folder.parent, "archive": archive}
    fine, coarse = (load_dataset(n, places.get(place)) for n in ("cifar100", "cifar100_coarse"))
    assert (fine.title, coarse.title) == ("CIFAR-100", "CIFAR-100, coarse classes")
    assert (len(fine.train), len(fine.validation), len(fine.test)) == (900, 100, 200)
    assert_equals(fine, fake, b"fine_labels")
    assert_equals(coarse, fake, b"coarse_labels")
    assert fine.fingerprint != coarse.fingerprint


def test_the_classes_are_those_published_and_told_apart():
    fine, coarse = cifar100._CLASSES, cifar100._COARSE_CLASSES
    assert (len(fine), len(coarse)) == (100, 20)
    assert len({*fine}) == 100
    # The labels are those of the names in alphabetical order.
    assert list(fine) == sorted(fine)
    assert list(coarse) == sorted(coarse)


def test_the_checksums_are_those_published():
    archive = cifar100.FILES.archive
    assert archive.sha256 == "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7"
    assert archive.size == 169_001_437
    assert cifar100.FILES.md5["train"] == "16019d7e3df5f24257cddd939b257f8d"


def test_another_data_set_is_told(refusal, tmp_path):
    for name in ("data_batch_1", "batches.meta"):
        (tmp_path / name).touch()
    assert f"{tmp_path}: holds CIFAR-10; " in refusal("cifar100", tmp_path)
    (tmp_path / "train").mkdir()  # of class folders
    assert "holds CIFAR-10" in refusal("cifar100", tmp_path)


def test_a_folder_of_class_folders_is_no_cifar(refusal, tmp_path):
    for name in ("train", "test"):
        (tmp_path / name / "cat").mkdir(parents=True)
    assert "train is no CIFAR batch" in refusal("cifar100", tmp_path)


@pytest.mark.parametrize("key", [b"fine_labels", b"coarse_labels"])
def test_labels_out_of_range_are_named(refusal, published, fake, key):
    folder, _ = published
    (folder / "test").write_bytes(pickle.dumps(fake["test"] | {key: [100] * 200}))
    name = "cifar100" if key == b"fine_labels" else "cifar100_coarse"
    message = refusal(name, folder)
    assert f"{folder}: test holds labels other than 0 to" in message
    assert "CNN_CIFAR100_DATA" in message
