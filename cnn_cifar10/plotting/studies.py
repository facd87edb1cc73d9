"""The variants of a study."""

import numpy as np
import seaborn
from matplotlib.patches import Rectangle
from matplotlib.ticker import NullLocator

from cnn_cifar10.plotting.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PALE_BLUE,
    new_figure,
    percents,
    styled,
)

_VERDICT_COLORS = {"better": GREEN, "worse": ORANGE, "reference": INK}


@styled
def plot_variants(summaries, reference, title=""):
    """Draw the variants of a study: every seed a dot, the mean and its 95% interval.

    Args:
        summaries: What `summarize_study` returns.
        reference: The variant that the others are compared with, a dashed line.
        title: Caption.

    Returns:
        A `matplotlib.figure.Figure`, the highest mean first; green is better than
        the reference, orange worse.
    """
    rows = summaries[::-1]
    figure = new_figure(8.2, 1.0 + 0.34 * max(3, len(rows)))
    axes = figure.subplots()
    axes.set_title(title)
    for place, row in enumerate(rows):
        color, text = _VERDICT_COLORS.get(row["verdict"], BLUE), row["verdict"]
        axes.plot(row["values"], [place] * len(row["values"]), "o", ms=5, color=color, alpha=0.5)
        if row["difference"] is not None:
            text = f"{100 * row['difference']:+.2f} points, {text}"
        if row["mean"] is not None:
            text = f"{100 * row['mean']:.2f} %,  {text}"
            axes.plot(row["mean"], place, "|", ms=13, markeredgewidth=2.5, color=color)
        if row["low"] is not None:
            axes.hlines(place, max(0, row["low"]), min(1, row["high"]), color=color, zorder=1)
        if row["variant"] == reference and row["mean"] is not None:
            axes.axvline(row["mean"], color=GREY, linestyle="--", linewidth=1, zorder=0)
        beside = ("axes fraction", "data")
        axes.annotate(text, (1.01, place), xycoords=beside, va="center", fontsize=8.5)
    axes.set_yticks(range(len(rows)), [row["variant"] for row in rows])
    axes.set(xlabel="validation accuracy: seeds, mean, 95% interval", ylim=(-0.6, len(rows) - 0.4))
    axes.xaxis.set_major_formatter(percents())
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")
    return figure


@styled
def plot_variant_curve(summaries, axis, reference, title=""):
    """Draw a study of one number: every seed a dot, means as a line, 95% intervals as a band.

    Args:
        summaries: What `summarize_study` returns; the first of `place` is the number.
        axis: What the number is.
        reference: The variant whose place is marked.
        title: Caption.

    Returns:
        A `matplotlib.figure.Figure`; numbers that span a factor of 8 are on a
        logarithmic axis.
    """
    rows = sorted((row for row in summaries if row["values"]), key=lambda row: row["place"])
    places = [row["place"][0] for row in rows]
    figure = new_figure(7.2, 4.2)
    axes = figure.subplots()
    axes.set_title(title)
    if len(places) > 1 and 0 < 8 * places[0] <= places[-1]:
        axes.set_xscale("log")
    bounds = np.array([[row["low"], row["high"]] for row in rows], "float64").T  # None is nan
    axes.fill_between(places, *bounds.clip(0, 1), color=PALE_BLUE, alpha=0.5, linewidth=0)
    axes.plot(places, [row["mean"] for row in rows], color=BLUE)
    for place, row in zip(places, rows, strict=True):
        axes.plot([place] * len(row["values"]), row["values"], "o", ms=5, color=BLUE, alpha=0.5)
        if row["variant"] == reference:
            axes.axvline(place, color=GREY, linestyle="--", linewidth=1, zorder=0)
    axes.set_xticks(places, [f"{place:g}" for place in places])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set(xlabel=axis.replace("_", " "), ylabel="validation accuracy")
    axes.yaxis.set_major_formatter(percents())
    return figure


@styled
def plot_variant_grid(summaries, axes_names, reference, title=""):
    """Draw a study of two numbers as a heatmap of mean validation accuracies in percent.

    Args:
        summaries: What `summarize_study` returns; `place` is a variant's row and
            column.
        axes_names: What the two numbers are.
        reference: The variant that is framed.
        title: Caption.

    Returns:
        A `matplotlib.figure.Figure`; a cell also holds the standard deviation,
        and is grey where there is none.
    """
    lines, columns = (sorted({row["place"][axis] for row in summaries}) for axis in (0, 1))
    percent = np.full((len(lines), len(columns)), np.nan)
    text = np.full(percent.shape, "", dtype=object)
    figure = new_figure(1.1 * len(columns) + 3.0, 0.66 * len(lines) + 1.5)
    axes = figure.subplots()
    for row in summaries:
        line, column = lines.index(row["place"][0]), columns.index(row["place"][1])
        if row["mean"] is None:
            axes.text(column + 0.5, line + 0.5, "failed", ha="center", va="center")
        else:
            percent[line, column] = 100 * row["mean"]
            spread = "" if row["std"] is None else f"\n± {100 * row['std']:.1f}"
            text[line, column] = f"{100 * row['mean']:.1f}{spread}"
        if row["variant"] == reference:
            where = (column, line), 1, 1
            frame = {"fill": False, "edgecolor": ORANGE, "linewidth": 2, "zorder": 3}
            axes.add_patch(Rectangle(*where, label="reference", **frame))
    seaborn.heatmap(
        percent,
        ax=axes,
        cmap="Blues",
        annot=text,
        fmt="",
        annot_kws={"size": 9},
        linewidths=0.6,
        linecolor="white",
        xticklabels=[f"{column:g}" for column in columns],
        yticklabels=[f"{line:g}" for line in lines],
        cbar_kws={"label": "mean validation accuracy, %"},
    )
    axes.set_title(title)
    axes.grid(False)
    axes.set(xlabel=axes_names[1].replace("_", " "), ylabel=axes_names[0].replace("_", " "))
    axes.set_facecolor("#eeeeee")  # of cells without a figure
    axes.tick_params(length=0)
    axes.tick_params(axis="y", rotation=0)
    figure.legend(loc="outside lower right")
    return figure


@styled
def plot_seeds(summary, title=""):
    """Draw runs that differ in nothing but the seed, with their mean and standard deviation.

    Args:
        summary: One of what `summarize_study` returns.
        title: Caption.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    values, places = summary["values"], range(len(summary["values"]))
    figure = new_figure(7.2, 1.5 + 0.22 * max(3, len(values)))
    axes = figure.subplots()
    axes.set_title(title)
    if summary["mean"] is not None:
        mean = summary["mean"]
        axes.axvline(mean, color=BLUE, label=f"mean {mean:.2%}", zorder=1)
    if summary["std"] is not None:
        std = summary["std"]
        label = f"± a standard deviation, {100 * std:.2f} points"
        axes.axvspan(mean - std, mean + std, color=PALE_BLUE, alpha=0.5, label=label, zorder=0)
        axes.hlines(places, mean, values, color=BLUE, linewidth=1, zorder=1)
    axes.plot(values, places, "o", color=BLUE, ms=6, markeredgecolor="white")
    axes.set_yticks(places, summary["seeds"])
    axes.set(xlabel="validation accuracy", ylabel="seed", ylim=(len(values) - 0.4, -0.6))
    axes.xaxis.set_major_formatter(percents())
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")
    figure.legend(loc="outside lower center", ncols=2)
    return figure


@styled
def plot_effects(effects, chance=None, title=""):
    """Draw how far the variants of several studies are from their references.

    Args:
        effects: What `measure_effects` returns.
        chance: How far apart two runs are by chance, in [0, 1]; a grey band.
        title: Caption.

    Returns:
        A `matplotlib.figure.Figure`: a row a study, a dot a variant, green if it is
        better than the reference and orange if it is worse; the ends are named.
    """
    figure = new_figure(9.4, 1.0 + 0.55 * max(2, len(effects)))
    axes = figure.subplots()
    axes.set_title(title)
    axes.axvline(0, color=GREY, linewidth=1, zorder=0)
    if chance is not None:
        axes.axvspan(-100 * chance, 100 * chance, color=GREY, alpha=0.15, zorder=0, linewidth=0)
    for place, effect in enumerate(effects[::-1]):
        variants = effect["variants"][::-1]
        means = {row["variant"]: row["mean"] for row in variants}
        points = [100 * (mean - means[effect["reference"]]) for mean in means.values()]
        axes.hlines(place, points[0], points[-1], color=PALE_BLUE, zorder=1)
        colors = [_VERDICT_COLORS.get(row["verdict"], BLUE) for row in variants]
        axes.scatter(points, [place] * len(points), c=colors, s=28, zorder=2)
        for row, point, side in ((variants[0], points[0], -1), (variants[-1], points[-1], 1)):
            axes.annotate(
                row["variant"],
                (point, place),
                (side * 7, 0),
                textcoords="offset points",
                ha="left" if side > 0 else "right",
                va="center",
                fontsize=8,
            )
    names = [effect["study"].replace("_", " ") for effect in effects[::-1]]
    axes.set_yticks(range(len(names)), names)
    axes.set(
        xlabel="validation accuracy minus the reference's, points", ylim=(-0.6, len(names) - 0.4)
    )
    axes.margins(x=0.3)
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")
    return figure
