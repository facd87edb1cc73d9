"""Galleries of images: examples, mistakes, Grad-CAM."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from cnn_cifar10.plotting import style
from cnn_cifar10.utils import InputError, overlay


@style.styled
def plot_images(
    images: Sequence[np.ndarray],
    titles: Sequence[str] | None = None,
    columns: int = 8,
    title: str = "",
) -> Figure:
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
    if titles is not None and len(titles) != len(images):
        raise InputError(f"titles must be one per image ({len(images)}), received {len(titles)}")
    return _gallery(images, titles, columns, 1.15, title)


@style.styled
def plot_mistakes(
    images: Sequence[np.ndarray],
    true_names: Sequence[str],
    predicted_names: Sequence[str],
    confidences: Sequence[float],
    title: str = "",
    files: Sequence[str] | None = None,
) -> Figure:
    """Draw wrongly classified images with their true and their predicted class.

    Args:
        images: Sequence of arrays `(height, width, 3)`, values 0 to 255.
        true_names: Name of each image's class.
        predicted_names: Name of each image's predicted class.
        confidences: Probability of each predicted class, in [0, 1].
        title: Caption of the figure.
        files: Name of each image's file.

    Returns:
        A `matplotlib.figure.Figure`, six images in a row.

    Raises:
        InputError: If there are no images.
    """
    names = style.shorten_all([*true_names, *predicted_names], 15)
    rows = zip(names[: len(images)], names[len(images) :], confidences, strict=True)
    captions = [f"{sure:.0%} predicted {guess}\ntrue {true}" for true, guess, sure in rows]
    if files is not None:
        named = zip(style.shorten_all(files, 30), captions, strict=True)
        captions = [f"{file}\n{caption}" for file, caption in named]
    return _gallery(images, captions, 6, 1.75, title)


@style.styled
def plot_grad_cam(
    images: Sequence[np.ndarray],
    maps: Sequence[np.ndarray],
    captions: Sequence[str] | None = None,
    title: str = "",
) -> Figure:
    """Draw images, and beside each the same with its Grad-CAM map in warm colours.

    Args:
        images: Sequence of arrays `(height, width, 3)`, values 0 to 255.
        maps: Array `(n, height, width)` in [0, 1], from `grad_cam`.
        captions: One caption per image, such as its predicted class.
        title: Caption of the figure.

    Returns:
        A `matplotlib.figure.Figure`, four images in a row.

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
    pairs = itertools.chain(*zip(images, overlays, strict=True))
    titles = itertools.chain(*((caption, "") for caption in captions))
    return _gallery([*pairs], [*titles], 8, 1.15, title)


def _gallery(images, captions, columns, width, title):
    if not len(images):
        raise InputError("images must hold at least one image, received none")
    captions = [""] * len(images) if captions is None else captions
    columns = min(columns, len(images))
    rows = math.ceil(len(images) / columns)
    lines = max(caption.count("\n") + 1 if caption else 0 for caption in captions)
    figure = style.new_figure(width * columns, (width + 0.12 * lines) * rows + 0.35 * bool(title))
    style.caption(figure, title)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.axis("off")
    for axes, image, caption in zip(grid, images, captions, strict=False):
        pixels = np.clip(np.round(image), 0, 255).astype("uint8")
        axes.imshow(pixels, interpolation="nearest" if len(pixels) <= 64 else "antialiased")
        short = (style.shorten(line, int(19 * width)) for line in caption.split("\n"))
        axes.set_title("\n".join(short), fontsize=7, loc="center", pad=3)
    return figure
