"""Accuracy by class, by confidence (reliability diagram) and by severity of corruptions."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cnn_cifar10.plotting import style
from cnn_cifar10.utils import InputError

_MOST = 100  # classes that a figure has room for


@style.styled
def plot_per_class(rows: list[dict], title: str = "") -> Figure:
    """Draw each class's F1 as a bar, with precision and recall as dots, best class first.

    Recall has its 95% interval as a line. Of more than 100 classes, those of the lowest F1 are
    drawn.

    Args:
        rows: What `Evaluation.per_class` returns.
        title: Caption.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    if len(rows) > _MOST:
        title = f"{title}: the {_MOST} of {len(rows):,} classes with the lowest F1"
    rows = sorted(rows, key=lambda row: row["f1"])[:_MOST]
    size = 9 if len(rows) <= 25 else 7
    height = max(2.4, 1.1 + len(rows) * (0.27 if size == 9 else 0.15))
    figure, axes = style.new_axes(7.2, height, title)
    places = np.arange(len(rows))
    axes.barh(places, [row["f1"] for row in rows], height=0.72, color=style.PALE_BLUE, label="F1")
    low, high = ([row[key] for row in rows] for key in ("recall_low", "recall_high"))
    line = style.Look(color=style.ORANGE, linewidth=1, alpha=0.6, label="95% interval of recall")
    axes.hlines(places, low, high, **line)
    dots = style.Look(s=22 if size == 9 else 11, edgecolor="white", linewidth=0.5, zorder=3)
    for key, marker, color in (("precision", "o", style.BLUE), ("recall", "D", style.ORANGE)):
        values = [row[key] for row in rows]
        axes.scatter(values, places, marker=marker, color=color, label=key, clip_on=False, **dots)
    for place, row in enumerate(rows):
        axes.text(0.008, place, f"{row['f1']:.3f}", va="center", fontsize=size - 1)
    style.name_rows(axes, [row["class"] for row in rows])
    axes.tick_params(axis="y", labelsize=size)
    axes.tick_params(labeltop=len(rows) > 25)
    axes.set_xlim(0, 1)
    figure.legend(loc="outside lower center", ncols=4)
    return figure


_RELIABILITY_KEYS = ("low", "high", "examples", "confidence", "accuracy")
_FEWEST = 10  # images that an accuracy is drawn of


@style.styled
def plot_reliability(diagrams: dict[str, list[dict]], title: str = "") -> Figure:
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
    figure = style.new_figure(3.6 * len(diagrams) + 0.4, 4.6)
    style.caption(figure, title)
    grid = figure.subplots(
        2, len(diagrams), squeeze=False, sharex=True, sharey="row", height_ratios=(3, 1)
    )
    for (upper, lower), (caption, rows) in zip(grid.T, diagrams.items(), strict=True):
        upper.set_title(caption)
        # None becomes nan, which is drawn nowhere.
        lows, highs, examples, confidences, accuracies = np.array(
            [[row[key] for row in rows] for key in _RELIABILITY_KEYS], "float64"
        )
        bar = style.Look(width=highs - lows, align="edge", edgecolor="white")
        lower.bar(lows, examples / examples.sum(), color=style.BLUE, **bar)
        accuracies[examples < _FEWEST] = np.nan
        upper.bar(lows, np.minimum(accuracies, confidences), color=style.PALE_BLUE, **bar)
        gap = style.Look(bottom=accuracies, color=style.PALE_ORANGE, label="gap to confidence")
        upper.bar(lows, confidences - accuracies, **gap, **bar)
        upper.hlines(accuracies, lows, highs, color=style.BLUE, linewidth=2.2, label="accuracy")
        upper.plot([0, 1], [0, 1], "--", color=style.GREY, linewidth=1, label="calibrated")
        lower.set(xlabel="confidence", xlim=(0, 1))
    grid[0, 0].set(ylabel="accuracy", ylim=(0, 1))
    grid[1, 0].set_ylabel("share of images")
    for axis in (grid[0, 0].yaxis, grid[1, 0].yaxis, grid[1, 0].xaxis):
        style.show_percents(axis)
    figure.set_layout_engine("constrained", w_pad=0.1)  # inches
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


@style.styled
def plot_robustness(rows: list[dict], title: str = "") -> Figure:
    """Draw accuracy over the severity of corruptions, one line a corruption.

    Args:
        rows: What `evaluate_corruptions` returns.
        title: Caption.

    Returns:
        A `matplotlib.figure.Figure`; its legend is ordered by the last accuracies.
    """
    figure, axes = style.new_axes(7.2, 4.0, title)
    curves: dict[str, tuple[list, list]] = {}
    for row in sorted(rows, key=lambda row: row["severity"]):
        severities, accuracies = curves.setdefault(row["corruption"].replace("_", " "), ([], []))
        severities.append(row["severity"])
        accuracies.append(row["accuracy"])
    style.draw_curves(figure, curves, title="at the highest severity", digits=".1%", marker="o")
    axes.set(xlabel="severity of the corruption", ylabel="accuracy")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    style.show_percents(axes.yaxis)
    return figure
