"""Galleries of pictures."""

import itertools
import math

import numpy as np

from cnn_cifar10.plotting.style import new_figure, shorten, styled
from cnn_cifar10.utils import InputError, overlay


@styled
def plot_images(images, titles=None, columns=8, title=""):
    """Draw a gallery of images.

    Args:
        images: Sequence of arrays `(height, width, 3)`, uint8, or float with
            values 0 to 255. Up to a height of 64 every pixel is drawn as a
            square; larger images are scaled smoothly.
        titles: One caption per image; may hold line breaks.
        columns: Images per row.
        title: Caption of the figure.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        InputError: If there are no images, or not as many titles.
    """
    if not len(images):
        raise InputError("images must hold at least one image, received none")
    titles = [""] * len(images) if titles is None else list(titles)
    if len(titles) != len(images):
        raise InputError(f"titles must be one per image ({len(images)}), received {len(titles)}")
    return _gallery(images, titles, min(columns, len(images)), 1.15, title)


@styled
def plot_mistakes(images, true_names, predicted_names, confidences, title=""):
    """Draw wrongly classified images with what they are and what they were taken for.

    Args:
        images: Sequence of arrays `(height, width, 3)`, values 0 to 255.
        true_names: Name of each image's class.
        predicted_names: Name of each image's predicted class.
        confidences: Probability of each predicted class, in [0, 1].
        title: Caption of the figure.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        InputError: If there are no images.
    """
    if not len(images):
        raise InputError("images must hold at least one image, received none")
    captions = [
        f"predicted {shorten(predicted, 15)}, {confidence:.0%}\ntrue {shorten(true, 15)}"
        for true, predicted, confidence in zip(
            true_names, predicted_names, confidences, strict=True
        )
    ]
    return _gallery(images, captions, min(6, len(images)), 1.75, title)


@styled
def plot_grad_cam(images, maps, captions=None, title=""):
    """Draw pictures, and beside each what spoke for its class, in warm colours.

    Args:
        images: Sequence of arrays `(height, width, 3)`, values 0 to 255.
        maps: Array `(n, height, width)` in [0, 1], from `grad_cam`.
        captions: One caption per picture, such as its predicted class.
        title: Caption of the figure.

    Returns:
        A `matplotlib.figure.Figure`, four pictures in a row.

    Raises:
        InputError: If there are no images, or not as many maps or captions.
    """
    captions = [""] * len(images) if captions is None else captions
    if not len(images) or not len(images) == len(maps) == len(captions):
        raise InputError(
            "images must hold at least one image, with a map and a caption for each; received "
            f"{len(images)} images, {len(maps)} maps and {len(captions)} captions"
        )
    overlays = [overlay(image, map) for image, map in zip(images, maps, strict=True)]
    pictures = itertools.chain(*zip(images, overlays, strict=True))
    titles = itertools.chain(*((caption, "") for caption in captions))
    return _gallery([*pictures], [*titles], min(8, 2 * len(images)), 1.15, title)


def _gallery(images, captions, columns, width, title):
    rows = math.ceil(len(images) / columns)
    lines = max(caption.count("\n") + 1 if caption else 0 for caption in captions)
    figure = new_figure(width * columns, (width + 0.12 * lines) * rows + 0.35 * bool(title))
    figure.suptitle(title, x=0.01, ha="left")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.axis("off")
    for axes, image, caption in zip(grid, images, captions, strict=False):
        pixels = np.clip(np.round(image), 0, 255).astype("uint8")
        axes.imshow(pixels, interpolation="nearest" if len(pixels) <= 64 else "antialiased")
        axes.set_title(caption, fontsize=7, loc="center", pad=3)
    return figure
