"""What a model gets right and wrong."""

import itertools

import numpy as np
import seaborn
from matplotlib.colors import PowerNorm
from matplotlib.ticker import MaxNLocator

from cnn_cifar10.plotting.style import (
    BLUE,
    CYCLE,
    GREY,
    ORANGE,
    PALE_BLUE,
    PALE_ORANGE,
    new_figure,
    percents,
    shorten,
    styled,
)
from cnn_cifar10.utils import InputError


@styled
def plot_confusion_matrix(matrix, class_names, title=""):
    """Draw a confusion matrix as a heatmap in percent of each true class.

    Cells hold whole percents for up to 25 classes; those that round to 0 are
    left blank. The colour scale is stretched at its low end, where mistakes are.

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
    matrix, classes = np.asarray(matrix), len(class_names)
    if matrix.shape != (classes, classes):
        raise InputError(
            f"matrix must have shape {(classes, classes)} for {classes} class_names, "
            f"received {matrix.shape}"
        )
    percent = 100 * matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    text = np.where(np.round(percent) > 0, np.char.mod("%.0f", percent), "")
    small = classes <= 25
    names = [shorten(name, 22) for name in class_names]
    side = 0.5 * classes if small else 0.155 * classes
    margin = 0.6 + 0.075 * max(map(len, names))
    figure = new_figure(max(3.0, side) + margin + 1.0, max(3.0, side) + margin, "compressed")
    axes = figure.subplots()
    seaborn.heatmap(
        percent,
        ax=axes,
        norm=PowerNorm(0.5, vmin=0, vmax=100),
        cmap="Blues",
        annot=text if small else None,
        fmt="",
        annot_kws={"size": 9},
        square=True,
        linewidths=0.6 if small else 0.0,
        linecolor="white",
        xticklabels=names,
        yticklabels=names,
        cbar_kws={
            "label": "% of the true class",
            "ticks": [0, 2, 10, 25, 50, 100],
            "aspect": 25 if small else 50,
            "pad": 0.02,
        },
    )
    axes.set_title(title, fontsize=11 if small else 16, pad=10)
    axes.grid(False)
    axes.set(xlabel="predicted class", ylabel="true class")
    size = 9 if small else 7
    axes.tick_params(length=0, labelsize=size)
    axes.tick_params(axis="x", rotation=90 if classes > 12 else 45)
    axes.tick_params(axis="y", rotation=0)
    if classes <= 12:
        for label in axes.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
    return figure


@styled
def plot_per_class(rows, title=""):
    """Draw each class's F1 as a bar, with precision and recall as dots, best class first.

    Args:
        rows: What `Evaluation.per_class` returns.
        title: Caption.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    rows = sorted(rows, key=lambda row: row["f1"])
    size = 9 if len(rows) <= 25 else 7
    figure = new_figure(7.2, max(2.4, 1.1 + len(rows) * (0.27 if size == 9 else 0.15)))
    axes = figure.subplots()
    axes.set_title(title)
    places = np.arange(len(rows))
    axes.barh(places, [row["f1"] for row in rows], height=0.72, color=PALE_BLUE, label="F1")
    for key, marker, color in (("precision", "o", BLUE), ("recall", "D", ORANGE)):
        axes.scatter(
            [row[key] for row in rows],
            places,
            s=22 if size == 9 else 11,
            marker=marker,
            color=color,
            edgecolor="white",
            linewidth=0.5,
            label=key,
            zorder=3,
            clip_on=False,
        )
    for place, row in zip(places, rows, strict=True):
        axes.text(0.008, place, f"{row['f1']:.3f}", va="center", fontsize=size - 1)
    axes.set_yticks(places, [row["class"] for row in rows], fontsize=size)
    axes.set(xlim=(0, 1), ylim=(-0.6, len(rows) - 0.4))
    axes.tick_params(axis="y", length=0)
    axes.tick_params(labeltop=len(rows) > 25)
    axes.grid(False, axis="y")
    figure.legend(loc="outside lower center", ncols=3)
    return figure


_RELIABILITY_KEYS = ("low", "high", "examples", "confidence", "accuracy")
_FEWEST = 10  # images that an accuracy is drawn of


@styled
def plot_reliability(diagrams, title=""):
    """Draw reliability diagrams over histograms of confidences.

    Args:
        diagrams: Dict of captions, such as `"as trained"`, to what `reliability`
            returns, one column each.
        title: Caption of the figure.

    Returns:
        A `matplotlib.figure.Figure`: accuracy in each bin of confidence, and how far
        it is from the confidence there. Bins of fewer than 10 images, whose accuracy
        is chance, are in the histogram alone.

    Raises:
        InputError: If there are no diagrams.
    """
    if not diagrams:
        raise InputError("diagrams must hold at least one, received none")
    figure = new_figure(3.6 * len(diagrams) + 0.4, 4.6)
    figure.suptitle(title, x=0.01, ha="left")
    grid = figure.subplots(
        2, len(diagrams), squeeze=False, sharex=True, sharey="row", height_ratios=(3, 1)
    )
    for (upper, lower), (caption, rows) in zip(grid.T, diagrams.items(), strict=True):
        upper.set_title(caption)
        # None becomes nan, which is drawn nowhere.
        lows, highs, examples, confidences, accuracies = np.array(
            [[row[key] for row in rows] for key in _RELIABILITY_KEYS], "float64"
        )
        bar = {"width": highs - lows, "align": "edge", "edgecolor": "white"}
        lower.bar(lows, examples / examples.sum(), color=BLUE, **bar)
        accuracies[examples < _FEWEST] = np.nan
        upper.bar(lows, np.minimum(accuracies, confidences), color=PALE_BLUE, **bar)
        gap = {"bottom": accuracies, "color": PALE_ORANGE, "label": "gap to confidence"}
        upper.bar(lows, confidences - accuracies, **gap, **bar)
        upper.hlines(accuracies, lows, highs, color=BLUE, linewidth=2.2, label="accuracy")
        upper.plot([0, 1], [0, 1], "--", color=GREY, linewidth=1, label="calibrated")
        lower.set(xlabel="confidence", xlim=(0, 1))
    grid[0, 0].set(ylabel="accuracy", ylim=(0, 1))
    grid[1, 0].set_ylabel("share of images")
    for axes in (grid[0, 0].yaxis, grid[1, 0].yaxis, grid[1, 0].xaxis):
        axes.set_major_formatter(percents())
    figure.get_layout_engine().set(w_pad=0.1)  # inches
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


@styled
def plot_robustness(rows, title=""):
    """Draw accuracy over the severity of corruptions, one line a corruption.

    Args:
        rows: What `evaluate_corruptions` returns.
        title: Caption.

    Returns:
        A `matplotlib.figure.Figure`; its legend is ordered by the last accuracies.
    """
    curves = {}
    for row in sorted(rows, key=lambda row: row["severity"]):
        curves.setdefault(row["corruption"], []).append((row["severity"], row["accuracy"]))
    figure = new_figure(7.2, 4.0)
    axes = figure.subplots()
    axes.set_title(title)
    order = sorted(curves, key=lambda name: curves[name][-1][1], reverse=True)
    for name, color in zip(order, itertools.cycle(CYCLE), strict=False):
        severities, accuracies = zip(*curves[name], strict=True)
        label = f"{name.replace('_', ' ')}, {accuracies[-1]:.1%}"
        axes.plot(severities, accuracies, "o-", ms=4, color=color, label=label)
    axes.set(xlabel="severity of the corruption", ylabel="accuracy")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(percents())
    figure.legend(loc="outside right upper", title="at the highest severity")
    return figure
