"""Corruptions of images at five severities; robustness of a model to them."""

import dataclasses
import io
import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from cnn_cifar10.datasets import Split
from cnn_cifar10.evaluation.predict import evaluate_split
from cnn_cifar10.utils import InputError

if TYPE_CHECKING:
    import keras

SEVERITIES = range(6)
"""From 0, which changes nothing, to 5."""


def corrupt(images: np.ndarray, corruption: str, severity: int, seed: int = 0) -> np.ndarray:
    """Corrupt images.

    The six corruptions and their severities are taken from CIFAR-10-C; the others there need
    photographs of frost or a particular library. Blur and pixelation are in proportion to the
    height of the image, so that a larger image loses as much of its content.

    Args:
        images: uint8 array `(n, height, width, 3)`, RGB in [0, 255].
        corruption: One of `CORRUPTIONS`.
        severity: 0 to 5; 0 changes nothing.
        seed: Seed of the noise. An image gets the same noise at every severity, scaled.

    Returns:
        uint8 array of the same shape.

    Raises:
        InputError: If there is no such corruption or severity, or images are not uint8.

    Reference:
        [Hendrycks and Dietterich, 2019](https://arxiv.org/abs/1903.12261)

    Example:
        >>> blurred = corrupt(dataset.test.images, "gaussian_blur", severity=3)
    """
    if corruption not in CORRUPTIONS:
        raise InputError(
            f"no corruption is named {corruption!r}: choose from {', '.join(CORRUPTIONS)}"
        )
    if severity not in SEVERITIES:
        raise InputError(f"severity must be one of 0 to 5, received {severity}")
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3:
        raise InputError(
            "images must be uint8 of shape (n, height, width, 3), received "
            f"{images.dtype} of shape {images.shape}"
        )
    if severity == 0:
        return images.copy()
    function, amounts = CORRUPTIONS[corruption]
    corrupted = function(images, amounts[severity - 1], np.random.default_rng(seed))
    return np.clip(np.round(corrupted), 0, 255).astype("uint8")


def _gaussian_noise(images, deviation, rng):
    return images + 255 * deviation * rng.standard_normal(images.shape, "float32")


def _gaussian_blur(images, deviation, rng):
    from scipy import ndimage

    # In pixels of an image that is 32 high.
    deviation *= images.shape[1] / 32
    pixels = images.astype("float32")
    return ndimage.gaussian_filter(pixels, deviation, mode="nearest", axes=(1, 2))


def _contrast(images, factor, rng):
    mean = images.mean(axis=(1, 2), keepdims=True, dtype="float32")
    return mean + factor * (images - mean)


def _brightness(images, amount, rng):
    """Add to the value of HSV, which leaves hue and saturation as they are."""
    value = images.max(axis=-1, keepdims=True).astype("float32")
    brighter = np.minimum(value + 255 * amount, 255)
    return np.where(value > 0, images * (brighter / np.maximum(value, 1)), brighter)


def _pixelate(images, factor, rng):
    from PIL import Image

    height, width = images.shape[1:3]
    small = max(1, int(factor * width)), max(1, int(factor * height))
    box = Image.Resampling.BOX
    reduced = (Image.fromarray(image).resize(small, box) for image in images)
    return np.stack([image.resize((width, height), box) for image in reduced])


def _jpeg(images, quality, rng):
    from PIL import Image

    compressed = []
    for image in images:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=quality)
        compressed.append(np.asarray(Image.open(file)))
    return np.stack(compressed)


CORRUPTIONS: dict[str, tuple[Callable, tuple[float, ...]]] = {
    "gaussian_noise": (_gaussian_noise, (0.04, 0.06, 0.08, 0.09, 0.10)),
    "gaussian_blur": (_gaussian_blur, (0.4, 0.6, 0.7, 0.8, 1.0)),
    "contrast": (_contrast, (0.75, 0.5, 0.4, 0.3, 0.15)),
    "brightness": (_brightness, (0.05, 0.1, 0.15, 0.2, 0.3)),
    "pixelate": (_pixelate, (0.95, 0.9, 0.85, 0.75, 0.65)),
    "jpeg": (_jpeg, (80, 65, 58, 50, 40)),
}
"""Names to a function of images, an amount and a random generator, and to the amounts at
severities 1 to 5."""


def evaluate_corruptions(
    model: "keras.Model", split: Split, class_names: Sequence[str]
) -> list[dict]:
    """Measure the accuracy of a model under every corruption at every severity.

    Args:
        model: `keras.Model` from raw pixels to probabilities.
        split: `Split`; its images are loaded into memory.
        class_names: One name per class, in the order of the labels.

    Returns:
        Rows of `corruption`, `severity` (0 to 5) and `accuracy`. At severity 0 the accuracy
        is that on unchanged images.
    """
    images, rows = split.images[:], []
    clean = evaluate_split(model, split, class_names).accuracy
    for corruption, severity in itertools.product(CORRUPTIONS, SEVERITIES):
        accuracy = clean
        if severity:
            corrupted = dataclasses.replace(split, images=corrupt(images, corruption, severity))
            accuracy = evaluate_split(model, corrupted, class_names).accuracy
        rows.append({"corruption": corruption, "severity": severity, "accuracy": accuracy})
    return rows
