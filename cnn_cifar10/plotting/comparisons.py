"""Runs side by side."""

import itertools
import math
import textwrap

import numpy as np
import seaborn
from matplotlib.colors import PowerNorm
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from cnn_cifar10.plotting.style import (
    BLUE,
    GREY,
    PALE_BLUE,
    label_log_axis,
    new_figure,
    percents,
    shorten,
    styled,
)


@styled
def plot_comparison(rows, title=""):
    """Draw the mean accuracy of models, with a bar of one standard deviation.

    Args:
        rows: What `summarize_results` returns: dicts with `mean` and `std`
            (`None` for a single run), `n` runs, and a `run` or `model` to name
            them.
        title: Caption.

    Returns:
        A `matplotlib.figure.Figure`, the most accurate model first.
    """
    rows = sorted(rows, key=lambda row: row["mean"])
    figure = new_figure(7.2, 1.0 + 0.32 * max(3, len(rows)))
    axes = figure.subplots()
    axes.set_title(title)
    places = np.arange(len(rows))
    axes.errorbar(
        [row["mean"] for row in rows],
        places,
        xerr=[math.nan if row["std"] is None else row["std"] for row in rows],
        fmt="o",
        color=BLUE,
        ecolor=BLUE,
        elinewidth=1.6,
        capsize=4,
        markersize=4.5,
    )
    for place, row in zip(places, rows, strict=True):
        spread = "" if row["std"] is None else f" ± {100 * row['std']:.2f}"
        axes.annotate(
            f"{100 * row['mean']:.2f}{spread} %  (n = {row['n']})",
            (1.01, place),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=8.5,
        )
    axes.set_yticks(places, [row.get("run") or row["model"] for row in rows])
    axes.set(xlabel="accuracy, mean ± standard deviation", ylim=(-0.6, len(rows) - 0.4))
    axes.xaxis.set_major_formatter(percents())
    axes.tick_params(axis="y", length=0)
    axes.margins(x=0.08)
    return figure


@styled
def plot_pareto(rows, title=""):
    """Draw accuracy against the operations for one picture, and the best of both as a line.

    Args:
        rows: What `summarize_results` returns: dicts with `run`, `mean` and
            `mflops`; those without operations are left out.
        title: Caption.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    rows = sorted(
        (row for row in rows if row["mflops"]), key=lambda row: (row["mflops"], -row["mean"])
    )
    best, front = -math.inf, []
    for row in rows:
        if row["mean"] > best:
            best = row["mean"]
            front.append(row)
    figure = new_figure(8.2, 4.8)
    axes = figure.subplots()
    axes.set_title(title)
    axes.step(
        [row["mflops"] for row in front],
        [row["mean"] for row in front],
        where="post",
        color=PALE_BLUE,
        linewidth=2.5,
        zorder=1,
    )
    axes.set_xscale("log")
    axes.set(xlabel="million floating-point operations for one picture", ylabel="accuracy")
    label_log_axis(axes.xaxis)
    axes.yaxis.set_major_formatter(percents())
    axes.margins(x=0.12, y=0.12)
    for row in rows:
        color = BLUE if row in front else GREY
        axes.plot(row["mflops"], row["mean"], "o", color=color, markersize=5)
    _label_points(figure, axes, [*front, *(row for row in rows if row not in front)], len(front))
    return figure


def _label_points(figure, axes, rows, highlighted):
    """Write each run's name beside its point, where it covers neither a name nor a point."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    sides = ((1, 1), (1, -1), (-1, 1), (-1, -1))
    points = axes.transData.transform([(row["mflops"], row["mean"]) for row in rows])
    taken = [Bbox.from_extents(*(point - 4), *(point + 4)) for point in points]
    for index, row in enumerate(rows):
        color = BLUE if index < highlighted else GREY
        label = axes.annotate(
            row["run"],
            (row["mflops"], row["mean"]),
            xytext=(0, 0),
            textcoords="offset points",
            fontsize=8,
            color=color,
            zorder=1,
            arrowprops={"arrowstyle": "-", "color": "#cccccc", "linewidth": 0.7, "shrinkB": 3},
        )
        for distance, side in itertools.product(range(2, 100, 6), sides):
            right, up = side
            label.set(
                position=(6 * right, distance * up),
                ha="left" if right > 0 else "right",
                va="bottom" if up > 0 else "top",
            )
            label.get_window_extent()  # moves it
            box = Text.get_window_extent(label).padded(1)
            inside = axes.bbox.containsx(box.x0) and axes.bbox.containsx(box.x1)
            inside = inside and axes.bbox.containsy(box.y0) and axes.bbox.containsy(box.y1)
            if inside and not box.count_overlaps(taken):
                break
        taken.append(box)


@styled
def plot_confusion_matrices(matrices, class_names, columns=4):
    """Draw the confusions of several models side by side, in percent of each true class.

    Args:
        matrices: Dict of names to counts `(classes, classes)`, as for
            `plot_confusion_matrix`.
        class_names: One name per class.
        columns: Matrices per row at most.

    Returns:
        A `matplotlib.figure.Figure`; right answers are left blank, so that its
        colours compare mistakes alone.
    """
    lines = math.ceil(len(matrices) / columns)
    columns = math.ceil(len(matrices) / lines)
    percents = {}
    for name, matrix in matrices.items():
        matrix = np.asarray(matrix, "float64")
        percent = 100 * matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        percents[name] = np.where(np.eye(len(matrix), dtype=bool), np.nan, percent)
    highest = max(np.nanmax(percent) for percent in percents.values()) or 1.0
    small = len(class_names) <= 25
    figure = new_figure(2.7 * columns + 1.2, 3.1 * lines + 0.7)
    grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for index in range(len(percents), len(grid)):
        grid[index].axis("off")
        grid[index - columns].tick_params(labelbottom=True)
    names = [shorten(name, 14) for name in class_names] if small else False
    for axes, (name, percent) in zip(grid, percents.items(), strict=False):
        seaborn.heatmap(
            percent,
            ax=axes,
            norm=PowerNorm(0.5, vmin=0, vmax=highest),
            cmap="Blues",
            square=True,
            cbar=False,
            linewidths=0.4 if small else 0,
            linecolor="white",
            xticklabels=names,
            yticklabels=names,
        )
        axes.set_title(textwrap.fill(name, 34), fontsize=8.5)
        axes.grid(False)
        axes.tick_params(length=0, labelsize=7)
        axes.tick_params(axis="x", rotation=90)
        axes.tick_params(axis="y", rotation=0)
    figure.get_layout_engine().set(h_pad=0.15)  # inches
    figure.supxlabel("predicted class", fontsize=9)
    figure.supylabel("true class", fontsize=9)
    bar = figure.colorbar(grid[0].collections[0], ax=grid.tolist(), shrink=0.6, aspect=30)
    bar.set_label("mistakes, % of the true class")
    return figure


@styled
def plot_agreement(matrix, names, title=""):
    """Draw how often models agree as a heatmap.

    Args:
        matrix: Shares in [0, 1], `(models, models)`.
        names: One name per model.
        title: Caption.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    percent = 100 * np.asarray(matrix)
    figure = new_figure(0.62 * len(names) + 4.0, 0.5 * len(names) + 2.6, "compressed")
    axes = figure.subplots()
    shown = np.where(np.eye(len(names), dtype=bool), np.nan, percent)
    seaborn.heatmap(
        shown,
        ax=axes,
        cmap="Blues",
        annot=np.char.mod("%.1f", percent),
        fmt="",
        annot_kws={"size": 9},
        square=True,
        linewidths=0.6,
        linecolor="white",
        xticklabels=names,
        yticklabels=names,
        cbar=False,
        vmax=100,
    )
    axes.set_title(title, pad=8)
    axes.grid(False)
    axes.tick_params(length=0)
    axes.tick_params(axis="x", rotation=45)
    axes.tick_params(axis="y", rotation=0)
    for label in axes.get_xticklabels():
        label.set(ha="right", rotation_mode="anchor")
    return figure
