"""Heatmaps: confusion matrices, agreement between models, grids of two settings."""

import math
import textwrap
from collections.abc import Sequence

import numpy as np
import seaborn
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

from cnn_cifar10.plotting import style
from cnn_cifar10.utils import InputError

_FEW = 25  # classes of which cells are apart and have a text
_NAMED = 100  # names that fit beside a heatmap
_PIXELS = 500  # cells that can be seen in one


def _draw_heatmap(axes: Axes, cells, rows, columns, *, text=None, turn=0, labelsize=8.5, **options):
    """Draw cells in shades of blue, their texts in them, their names beside them."""
    look = {"cmap": "Blues", "linewidths": 0.6, "linecolor": "white", "cbar": False}
    names = {"xticklabels": columns, "yticklabels": rows}
    texts = {"annot": text, "fmt": "", "annot_kws": {"size": 9}}
    seaborn.heatmap(cells, ax=axes, **names, **texts, **(look | options))
    axes.grid(False)
    axes.tick_params(length=0, labelsize=labelsize)
    axes.tick_params(axis="x", rotation=turn)
    axes.tick_params(axis="y", rotation=0)
    if turn == 45:
        for label in axes.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")


def _draw_pixels(axes: Axes, cells, names, **options):
    """Draw cells as pixels in shades of blue, with names beside some of them.

    Of more cells than can be seen, a pixel is the largest of its neighbours.
    """
    count = len(cells)
    starts = range(0, count, math.ceil(count / _PIXELS))
    largest = np.fmax.reduceat(np.fmax.reduceat(cells, starts, axis=0), starts, axis=1)
    edge = count - 0.5
    image = axes.imshow(largest, cmap="Blues", extent=(-0.5, edge, edge, -0.5), **options)
    axes.grid(False)
    axes.tick_params(length=0, labelsize=7)
    places = range(0, len(names), math.ceil(len(names) / _NAMED) or 1)
    shown = [names[place] for place in places]
    axes.set_xticks(places, shown, rotation=90)
    axes.set_yticks(places, shown)
    return image


def _percent_of_rows(matrix):
    matrix = np.asarray(matrix, "float32")
    return 100 * matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)


def _without_diagonal(matrix):
    matrix = np.array(matrix)
    np.fill_diagonal(matrix, np.nan)
    return matrix


@style.styled
def plot_confusion_matrix(matrix: ArrayLike, class_names: Sequence[str], title: str = "") -> Figure:
    """Draw a confusion matrix as a heatmap in percent of each true class.

    Cells hold whole percents for up to 25 classes; those that round to 0 are
    left blank. Of more than 100 classes, some are named, and of more than 500, a pixel is
    the largest of several cells. The colour scale is stretched at its low end, where
    mistakes are.

    Args:
        matrix: Counts `(classes, classes)`; rows are true classes, columns
            predicted ones.
        class_names: One name per class.
        title: Caption, such as "CIFAR-10 test split".

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        InputError: If the shape of `matrix` does not go with `class_names`.
    """
    classes = len(class_names)
    if np.shape(matrix) != (classes, classes):
        raise InputError(
            f"matrix must have shape {(classes, classes)} for {classes} class_names, "
            f"received {np.shape(matrix)}"
        )
    percent, few = _percent_of_rows(matrix), classes <= _FEW
    names = style.shorten_all(class_names, 22)
    side = max(3.0, 0.5 * classes) if few else 0.155 * min(classes, _NAMED)
    margin = 0.6 + 0.075 * max(map(len, names))
    figure, axes = style.new_axes(side + margin + 1.0, side + margin, layout="compressed")
    norm = PowerNorm(0.5, vmin=0, vmax=100)
    if few:
        text = np.where(np.round(percent) > 0, np.char.mod("%.0f", percent), "")
        turn = 45 if classes <= 12 else 90
        look = {"labelsize": 9, "norm": norm, "square": True}
        _draw_heatmap(axes, percent, names, names, text=text, turn=turn, **look)
        drawn = axes.collections[0]
    else:
        drawn = _draw_pixels(axes, percent, names, norm=norm)
    bar = figure.colorbar(drawn, ax=axes, aspect=25 if few else 50, pad=0.02)
    bar.set_label("% of the true class")
    bar.set_ticks([0, 2, 10, 25, 50, 100])
    axes.set_title(style.shorten(title, int(10 * side)), fontsize=11 if few else 16, pad=10)
    axes.set(xlabel="predicted class", ylabel="true class")
    return figure


@style.styled
def plot_confusion_matrices(
    matrices: dict[str, ArrayLike], class_names: Sequence[str], columns: int = 4
) -> Figure:
    """Draw the mistakes of several models side by side, in percent of each true class.

    Args:
        matrices: Dict of names to counts `(classes, classes)`, as for
            `plot_confusion_matrix`.
        class_names: One name per class.
        columns: Matrices per row at most.

    Returns:
        A `matplotlib.figure.Figure`. The cells of right answers are blank, and all
        matrices have one colour scale.
    """
    lines = math.ceil(len(matrices) / columns)
    columns = math.ceil(len(matrices) / lines)
    mistakes = {
        name: _without_diagonal(_percent_of_rows(matrix)) for name, matrix in matrices.items()
    }
    highest = max(np.nanmax(percent) for percent in mistakes.values()) or 1.0
    norm, few = PowerNorm(0.5, vmin=0, vmax=highest), len(class_names) <= _FEW
    names = style.shorten_all(class_names, 14)
    figure = style.new_figure(2.7 * columns + 1.2, 3.1 * lines + 0.7)
    grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for index in range(len(mistakes), len(grid)):
        grid[index].axis("off")
        grid[index - columns].tick_params(labelbottom=True)
    for axes, (name, percent) in zip(grid, mistakes.items(), strict=False):
        if few:
            look = {"labelsize": 7, "norm": norm, "square": True, "linewidths": 0.4}
            _draw_heatmap(axes, percent, names, names, turn=90, **look)
        else:
            _draw_pixels(axes, percent, [], norm=norm)
        axes.set_title(textwrap.fill(style.shorten(name, 68), 34), fontsize=8.5)
    figure.set_layout_engine("constrained", h_pad=0.15)  # inches
    figure.supxlabel("predicted class", fontsize=9)
    figure.supylabel("true class", fontsize=9)
    bar = figure.colorbar(ScalarMappable(norm, "Blues"), ax=grid.tolist(), shrink=0.6, aspect=30)
    bar.set_label("mistakes, % of the true class")
    return figure


@style.styled
def plot_agreement(matrix: ArrayLike, names: Sequence[str], title: str = "") -> Figure:
    """Draw how often models agree as a heatmap.

    Args:
        matrix: Shares in [0, 1], `(models, models)`.
        names: One name per model.
        title: Caption.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    percent, names = 100 * np.asarray(matrix), style.shorten_all(names, 48)
    size = 0.62 * len(names) + 4.0, 0.5 * len(names) + 2.6
    figure, axes = style.new_axes(*size, layout="compressed")
    _draw_heatmap(
        *(axes, _without_diagonal(percent), names, names),
        text=np.char.mod("%.1f", percent),
        turn=45,
        square=True,
        vmax=100,
    )
    axes.set_title(title, pad=8)
    return figure


@style.styled
def plot_variant_grid(
    summaries: list[dict], axes_names: Sequence[str], reference: str, title: str = ""
) -> Figure:
    """Draw a study that varies two numbers as a heatmap of mean validation accuracies.

    Args:
        summaries: What `summarize_study` returns; `place` is a variant's row and
            column.
        axes_names: What the two numbers are.
        reference: The variant that is framed.
        title: Caption.

    Returns:
        A `matplotlib.figure.Figure`. A cell holds the standard deviation too; it is
        grey where all runs failed.
    """
    lines, columns = (sorted({row["place"][axis] for row in summaries}) for axis in (0, 1))
    percent = np.full((len(lines), len(columns)), np.nan)
    text = np.full(percent.shape, "", dtype=object)
    figure, axes = style.new_axes(1.1 * len(columns) + 3.0, 0.66 * len(lines) + 1.5, title)
    for row in summaries:
        line, column = lines.index(row["place"][0]), columns.index(row["place"][1])
        if row["mean"] is None:
            axes.text(column + 0.5, line + 0.5, "failed", ha="center", va="center")
        else:
            percent[line, column] = 100 * row["mean"]
            spread = "" if row["std"] is None else f"\n± {100 * row['std']:.1f}"
            text[line, column] = f"{100 * row['mean']:.1f}{spread}"
        if row["variant"] == reference:
            frame = style.Look(fill=False, edgecolor=style.ORANGE, linewidth=2, zorder=3)
            axes.add_patch(Rectangle((column, line), 1, 1, label="reference", **frame))
    _draw_heatmap(
        *(axes, percent, [f"{line:g}" for line in lines], [f"{column:g}" for column in columns]),
        text=text,
        cbar=True,
        cbar_kws={"label": "mean validation accuracy, %"},
    )
    axes.set(xlabel=axes_names[1].replace("_", " "), ylabel=axes_names[0].replace("_", " "))
    axes.set_facecolor("#eeeeee")  # of cells without a number
    figure.legend(loc="outside lower right")
    return figure
