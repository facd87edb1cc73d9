"""scikit-learn's handwritten digits, enlarged to 32x32."""

import numpy as np

from cnn_cifar10.datasets.dataset import Dataset, DatasetError, Split, stratified_split
from cnn_cifar10.datasets.source import DataOptions, check_image_size


def load(options: DataOptions) -> Dataset:
    """scikit-learn's 1,797 handwritten digits, shown at 32x32; needs no download.

    The digits are enlarged from 8x8 pixels; the splits hold about 70, 10 and 20 %.
    """
    check_image_size("digits", options.image_size, 32)
    if options.data_dir is not None:
        raise DatasetError(f"data_dir: digits come with scikit-learn, not from {options.data_dir}")
    from PIL import Image
    from sklearn import datasets

    small, labels = datasets.load_digits(return_X_y=True)
    small = np.round(small.reshape(-1, 8, 8) * (255 / 16)).astype("uint8")
    enlarged = (Image.fromarray(digit).resize((32, 32)).convert("RGB") for digit in small)
    images = np.stack([np.asarray(image) for image in enlarged])
    parts = stratified_split(labels, (0.7, 0.1, 0.2), options.split_seed)
    splits = [Split(images[part], labels[part].astype("int64"), part) for part in parts]
    return Dataset("digits", "digits (scikit-learn)", tuple("0123456789"), *splits)
