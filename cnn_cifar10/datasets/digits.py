"""scikit-learn's handwritten digits, enlarged to 32x32."""

import numpy as np

from cnn_cifar10.datasets.dataset import Dataset, DatasetError, Split, stratified_split
from cnn_cifar10.datasets.source import Place, check_image_size


def load(data_dir: Place, image_size: int | None, seed: int, skip_damaged: bool) -> Dataset:
    """scikit-learn's 1,797 handwritten digits, shown at 32x32; needs no download.

    The digits are enlarged from 8x8 pixels; the splits hold about 70, 10 and 20 %.

    Args:
        data_dir: `None`, as they come with scikit-learn.
        image_size: 32 or `None`.
        seed: Seed of the random split.
        skip_damaged: Without effect.
    """
    check_image_size("digits", image_size, 32)
    if data_dir is not None:
        raise DatasetError(f"data_dir: digits come with scikit-learn, not from {data_dir}")
    from PIL import Image
    from sklearn import datasets

    small, labels = datasets.load_digits(return_X_y=True)
    small = np.round(small.reshape(-1, 8, 8) * (255 / 16)).astype("uint8")
    enlarged = (Image.fromarray(digit).resize((32, 32)).convert("RGB") for digit in small)
    images = np.stack([np.asarray(image) for image in enlarged])
    parts = stratified_split(labels, (0.7, 0.1, 0.2), seed)
    splits = [Split(images[part], labels[part].astype("int64"), part) for part in parts]
    return Dataset("digits", "digits (scikit-learn)", tuple("0123456789"), *splits)
