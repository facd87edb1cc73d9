"""scikit-learn's handwritten digits, enlarged to 32x32."""

import numpy as np

from cnn_cifar10.datasets.dataset import Dataset, Split, stratified_split


def load_digits(seed: int) -> Dataset:
    """Load the digits; see `load_dataset`."""
    from PIL import Image
    from sklearn import datasets

    small, labels = datasets.load_digits(return_X_y=True)
    small = np.round(small.reshape(-1, 8, 8) * (255 / 16)).astype("uint8")
    images = np.stack([Image.fromarray(digit).resize((32, 32)).convert("RGB") for digit in small])
    parts = stratified_split(labels, (0.7, 0.1, 0.2), seed)
    splits = [Split(images[part], labels[part].astype("int64"), part) for part in parts]
    return Dataset("digits", "digits (scikit-learn)", tuple("0123456789"), *splits)
