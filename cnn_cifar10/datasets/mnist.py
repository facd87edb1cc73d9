"""MNIST from Keras, and what it shares with Fashion-MNIST: grey images in three channels."""

from collections.abc import Callable

import numpy as np

from cnn_cifar10.datasets.dataset import Dataset, DatasetError, Split, stratified_split
from cnn_cifar10.datasets.downloads import alone, keras_datasets
from cnn_cifar10.datasets.source import DataOptions, check_image_size


def load(options: DataOptions) -> Dataset:
    """MNIST: 70,000 handwritten digits, 28x28, grey in three channels; Keras downloads it.

    Train, validation and test have 54,000, 6,000 and 10,000 images; validation is taken
    from the official training images.
    """
    from keras.datasets import mnist

    return load_grey("mnist", "MNIST", tuple("0123456789"), mnist.load_data, options)


def load_grey(
    name: str, title: str, class_names: tuple[str, ...], read: Callable, options: DataOptions
) -> Dataset:
    """Return a data set of grey images that Keras downloads, as three equal channels.

    Args:
        name: A key of `DATASETS`.
        title: What captions call the data.
        class_names: The name of each label.
        read: The function of Keras that returns `(images, labels)` of train and of test.
        options: What is asked of the data set.

    Raises:
        DatasetError: If the data cannot be downloaded, or are damaged.
    """
    check_image_size(name, options.image_size, 28)
    folder = keras_datasets()
    if options.data_dir is not None:
        raise DatasetError(f"data_dir: {name} is kept in {folder} by Keras; leave it out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with alone(folder / name, title):  # Keras does not know of other processes
            (images, labels), (test_images, test_labels) = read()
    except Exception as error:  # the type that Keras itself raises when a download fails
        raise DatasetError(
            f"{title} cannot be loaded ({' '.join(str(error).split())}); check the network, or "
            f"remove what is damaged in {folder}, and start again"
        ) from error
    parts = stratified_split(labels, (0.9, 0.1), options.split_seed)
    train, validation = (_split(images[part], labels[part], part) for part in parts)
    return Dataset(name, title, class_names, train, validation, _split(test_images, test_labels))


def _split(images, labels, ids=None):
    return Split(np.repeat(images[..., np.newaxis], 3, axis=-1), labels.astype("int64"), ids)
