"""MNIST and Fashion-MNIST: what Keras reads, in three equal channels."""

import gzip
import sys

import numpy as np
import pytest

from cnn_cifar10.datasets import load_dataset

COUNTS = {"train": 600, "t10k": 100}


@pytest.fixture
def parts():
    rng = np.random.default_rng(0)
    return {
        name: (rng.integers(0, 256, (n, 28, 28), dtype="uint8"), np.arange(n, dtype="uint8") % 10)
        for name, n in COUNTS.items()
    }


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The folder in which both Keras and this package look."""
    import keras

    fetcher = sys.modules[keras.utils.get_file.__module__]
    monkeypatch.setattr(fetcher.config, "keras_home", lambda: str(tmp_path))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "datasets" / "fashion-mnist").mkdir(parents=True)
    return tmp_path / "datasets"


def write_fashion_mnist(cache, parts):
    """Write the files as they are published: a header and bytes."""
    for name, (images, labels) in parts.items():
        for kind, header, array in (("images-idx3", 16, images), ("labels-idx1", 8, labels)):
            path = cache / "fashion-mnist" / f"{name}-{kind}-ubyte.gz"
            path.write_bytes(gzip.compress(bytes(header) + array.tobytes()))


def mnist_from(monkeypatch, parts):
    import keras

    monkeypatch.setattr(keras.datasets.mnist, "load_data", lambda: (parts["train"], parts["t10k"]))


@pytest.mark.parametrize(
    ("name", "title", "first"),
    [("mnist", "MNIST", "0"), ("fashion_mnist", "Fashion-MNIST", "T-shirt or top")],
)
def test_grey_images_have_three_equal_channels(cache, parts, monkeypatch, name, title, first):
    write_fashion_mnist(cache, parts)
    mnist_from(monkeypatch, parts)  # whose hash Keras checks
    dataset = load_dataset(name)
    assert (dataset.name, dataset.title, dataset.class_names[0]) == (name, title, first)
    assert dataset.num_classes == 10
    assert dataset.image_shape == (28, 28, 3)
    assert [len(dataset.split(s)) for s in ("train", "validation", "test")] == [540, 60, 100]
    for split, part in ((dataset.train, "train"), (dataset.test, "t10k")):
        images, labels = parts[part]
        for channel in range(3):
            np.testing.assert_array_equal(split.images[..., channel], images[split.ids])
        np.testing.assert_array_equal(split.labels, labels[split.ids])
        assert (split.images.dtype, split.labels.dtype) == (np.uint8, np.int64)


def test_a_download_that_fails_is_one_line(refusal, monkeypatch, cache):
    import keras

    def unreachable():
        raise Exception("URL fetch failure on https://host/mnist.npz: None\n-- unknown")

    monkeypatch.setattr(keras.datasets.mnist, "load_data", unreachable)
    message = refusal("mnist")
    assert message.startswith("MNIST cannot be loaded (URL fetch failure on https://host/mnist")
    assert str(cache) in message


def test_a_damaged_file_in_the_cache_is_one_line(refusal, cache, parts):
    write_fashion_mnist(cache, parts)
    (cache / "fashion-mnist" / "t10k-images-idx3-ubyte.gz").write_bytes(b"cut off")
    assert "remove what is damaged" in refusal("fashion_mnist")


def test_what_does_not_fit_is_refused(refusal):
    assert "image_size: mnist is 28, not 32" in refusal("mnist", image_size=32)
    assert "data_dir: fashion_mnist" in refusal("fashion_mnist", "/somewhere")
