"""Fashion-MNIST from Keras."""

from cnn_cifar10.datasets.dataset import Dataset
from cnn_cifar10.datasets.mnist import load_grey
from cnn_cifar10.datasets.source import DataOptions

_CLASSES = (
    "T-shirt or top", "trousers", "pullover", "dress", "coat",
    "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip


def load(options: DataOptions) -> Dataset:
    """Fashion-MNIST: 70,000 pieces of clothing, 28x28, grey in three channels; by Keras.

    Splits are as for `mnist`.
    """
    from keras.datasets import fashion_mnist

    return load_grey("fashion_mnist", "Fashion-MNIST", _CLASSES, fashion_mnist.load_data, options)
