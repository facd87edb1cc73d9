"""Folders of small images, what loading them is refused with, and a cache of each test's own."""

import numpy as np
import pytest
from PIL import Image

from cnn_cifar10.datasets import DatasetError, load_dataset


@pytest.fixture(autouse=True)
def cache_home(tmp_path_factory, monkeypatch):
    """Keeps what is known of files, and a CIFAR-10 of the user, out of the tests."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    monkeypatch.delenv("CNN_CIFAR10_DATA", raising=False)
    return folder


@pytest.fixture
def refusal():
    """A function that returns the message of the one-line error that loading ends in."""

    def refusal(*args, **options):
        with pytest.raises(DatasetError) as caught:
            load_dataset(*args, **options)
        message = str(caught.value)
        assert "\n" not in message
        return message

    return refusal


@pytest.fixture(scope="session")
def assert_partition():
    """A function that checks that splits share no example and leave none of them out."""

    def assert_partition(dataset, count):
        ids = np.concatenate([dataset.train.ids, dataset.validation.ids, dataset.test.ids])
        assert len(ids) == len(set(ids.tolist())) == count

    return assert_partition


@pytest.fixture(scope="session")
def make_images():
    """A function that writes images of one colour, `counts[class]` for each class.

    Images of another class, position or shade differ.
    """

    def make_images(root, shade=0, **counts):
        for colour, (name, count) in enumerate(counts.items()):
            (root / name).mkdir(parents=True, exist_ok=True)
            for i in range(count):
                image = Image.new("RGB", (8, 6), (40 * colour, i, shade))
                image.save(root / name / f"{i:03}.png")
        return root

    return make_images
