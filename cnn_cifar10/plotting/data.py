"""What a data set holds: images of each class, and their sizes."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from cnn_cifar10.plotting import style

_MOST = 50  # classes that are drawn, of more the largest and the smallest


@style.styled
def plot_class_counts(counts: Mapping[str, int], title: str = "") -> Figure:
    """Draw how many images each class has, the largest class first.

    Args:
        counts: Number of images by the name of the class. Of more than 50 classes, the 25
            largest and the 25 smallest are drawn.
        title: Caption.
    """
    rows = sorted(counts.items(), key=lambda row: row[1])
    more = len(rows) - _MOST
    if more > 0:
        gap = (f"{more:,} classes between", 0)
        rows = [*rows[: _MOST // 2], gap, *rows[-_MOST // 2 :]]
    figure, axes = style.new_axes(7.2, max(1.6, 0.9 + 0.2 * len(rows)), title)
    places, total = range(len(rows)), sum(counts.values())
    axes.barh(places, [count for _, count in rows], height=0.72, color=style.BLUE)
    style.name_rows(axes, [name for name, _ in rows])
    for place, (_, count) in enumerate(rows):
        if more <= 0 or place != _MOST // 2:
            style.write_beside(axes, place, f"{count:,}  {count / max(total, 1):.1%}")
    axes.tick_params(axis="y", labelsize=8)
    axes.set(xlabel="images", xlim=(0, None))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    return figure


@style.styled
def plot_image_sizes(widths: np.ndarray, heights: np.ndarray, title: str = "") -> Figure:
    """Draw the widths and heights of images, with lines of equal shape.

    Args:
        widths: Of each of n images, in pixels, 1 or more.
        heights: Likewise.
        title: Caption.

    Returns:
        A `matplotlib.figure.Figure`; the area of a dot says how many images have the size.
    """
    sizes, counts = np.unique(np.stack([widths, heights]), axis=1, return_counts=True)
    figure, axes = style.new_axes(5.6, 5.2, title)
    limits = np.array([sizes.min() / 1.6, sizes.max() * 1.6])
    for ratio, name in ((1, "square"), (2, "2 : 1"), (0.5, "1 : 2")):
        axes.plot(limits, limits / ratio, color="#cccccc", linewidth=0.9, zorder=1)
        x, y = limits[1] * min(1, ratio) / 1.06, limits[1] * min(1, 1 / ratio) / 1.06
        axes.annotate(name, (x, y), color=style.GREY, fontsize=8, ha="right", va="top")
    area = 12 + 400 * counts / counts.sum()
    look = style.Look(
        color=style.BLUE, s=area, alpha=0.5, edgecolor="white", linewidth=0.4, zorder=2
    )
    axes.scatter(sizes[0], sizes[1], **look)
    axes.set(xscale="log", yscale="log", xlim=limits, ylim=limits, aspect="equal")
    axes.set(xlabel="width in pixels", ylabel="height in pixels")
    for axis in (axes.xaxis, axes.yaxis):
        style.label_log_axis(axis)
    return figure
