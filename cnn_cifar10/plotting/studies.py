"""The variants of a study, and the effects that several studies found."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from cnn_cifar10.plotting import style

_VERDICT_COLORS = {"better": style.GREEN, "worse": style.ORANGE, "reference": style.INK}
_REFERENCE_LINE = style.Look(color=style.GREY, linestyle="--", linewidth=1, zorder=0)


@style.styled
def plot_variants(summaries: list[dict], reference: str, title: str = "") -> Figure:
    """Draw the variants of a study: every seed a dot, the mean, and what its verdict saw.

    The line through a mean is the 95% interval of its difference from the reference, from
    the variance that the verdict uses. So a line that crosses the dashed one means no
    difference seen; Holm's correction may demand still more.

    Args:
        summaries: What `summarize_study` returns.
        reference: The variant that the others are compared with, a dashed line.
        title: Caption.

    Returns:
        A `matplotlib.figure.Figure`, the highest mean first; green is better than
        the reference, orange worse.
    """
    rows = summaries[::-1]
    base = {row["variant"]: row["mean"] for row in rows}.get(reference)
    figure, axes = style.new_axes(8.2, 1.0 + 0.34 * max(3, len(rows)), title)
    for place, row in enumerate(rows):
        color, text = _VERDICT_COLORS.get(row["verdict"], style.BLUE), row["verdict"]
        axes.plot(row["values"], [place] * len(row["values"]), "o", ms=5, color=color, alpha=0.5)
        if row["difference"] is not None:
            text = f"{100 * row['difference']:+.2f} points, {text}"
        if row["mean"] is not None:
            text = f"{100 * row['mean']:.2f} %,  {text}"
            axes.plot(row["mean"], place, "|", ms=13, markeredgewidth=2.5, color=color)
        if base is not None and row["difference_low"] is not None:
            low, high = base + row["difference_low"], base + row["difference_high"]
            axes.hlines(place, max(0, low), min(1, high), color=color, zorder=1)
        style.write_beside(axes, place, text)
    if base is not None:
        axes.axvline(base, **_REFERENCE_LINE)
    style.name_rows(axes, [row["variant"] for row in rows])
    axes.set_xlabel("validation accuracy: seeds, mean; line: 95% interval of the difference")
    style.show_percents(axes.xaxis)
    return figure


@style.styled
def plot_variant_curve(summaries: list[dict], axis: str, reference: str, title: str = "") -> Figure:
    """Draw a study that varies a number: seeds as dots, means as a line, 95% intervals as a band.

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
    figure, axes = style.new_axes(7.2, 4.2, title)
    if len(places) > 1 and 0 < 8 * places[0] <= places[-1]:
        axes.set_xscale("log")
    bounds = np.array([[row["low"], row["high"]] for row in rows], "float64").T  # None is nan
    band = style.Look(
        color=style.PALE_BLUE, alpha=0.5, linewidth=0, label="95% interval of the mean"
    )
    axes.fill_between(places, *bounds.clip(0, 1), **band)
    axes.plot(places, [row["mean"] for row in rows], color=style.BLUE, label="mean")
    for place, row in zip(places, rows, strict=True):
        values = row["values"]
        axes.plot([place] * len(values), values, "o", ms=5, color=style.BLUE, alpha=0.5)
        if row["variant"] == reference:
            axes.axvline(place, **_REFERENCE_LINE, label="the reference")
    axes.set_xticks(places, [f"{place:g}" for place in places])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set(xlabel=axis.replace("_", " "), ylabel="validation accuracy")
    style.show_percents(axes.yaxis)
    figure.legend(loc="outside lower center", ncols=3)
    return figure


@style.styled
def plot_seeds(summary: dict, title: str = "") -> Figure:
    """Draw runs that differ only in the seed, with their mean and standard deviation.

    Args:
        summary: One of what `summarize_study` returns.
        title: Caption.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    values, mean, std = (summary[key] for key in ("values", "mean", "std"))
    places = range(len(values))
    figure, axes = style.new_axes(7.2, 1.5 + 0.22 * max(3, len(values)), title)
    if mean is not None:
        axes.axvline(mean, color=style.BLUE, label=f"mean {mean:.2%}", zorder=1)
    if std is not None:
        label = f"± a standard deviation, {100 * std:.2f} points"
        band = style.Look(color=style.PALE_BLUE, alpha=0.5, zorder=0)
        axes.axvspan(mean - std, mean + std, label=label, **band)
        axes.hlines(places, mean, values, color=style.BLUE, linewidth=1, zorder=1)
    axes.plot(values, places, "o", color=style.BLUE, ms=6, markeredgecolor="white")
    style.name_rows(axes, summary["seeds"])
    axes.invert_yaxis()
    axes.set(xlabel="validation accuracy", ylabel="seed")
    style.show_percents(axes.xaxis)
    figure.legend(loc="outside lower center", ncols=2)
    return figure


@style.styled
def plot_effects(effects: list[dict], chance: float | None = None, title: str = "") -> Figure:
    """Draw how far the variants of several studies are from their references.

    Args:
        effects: What `measure_effects` returns.
        chance: How far apart two runs are by chance, in [0, 1]; a grey band.
        title: Caption.

    Returns:
        A `matplotlib.figure.Figure`: a row a study, a dot a variant, green if it is
        better than the reference and orange if it is worse; the ends are named.
    """
    figure, axes = style.new_axes(9.4, 1.0 + 0.55 * max(2, len(effects)), title)
    axes.axvline(0, color=style.GREY, linewidth=1, zorder=0)
    if chance is not None:
        band = style.Look(color=style.GREY, alpha=0.15, linewidth=0, zorder=0)
        axes.axvspan(-100 * chance, 100 * chance, label="one run against one, by chance", **band)
    for place, effect in enumerate(effects[::-1]):
        variants = effect["variants"][::-1]
        means = {row["variant"]: row["mean"] for row in variants}
        points = [100 * (mean - means[effect["reference"]]) for mean in means.values()]
        axes.hlines(place, points[0], points[-1], color=style.PALE_BLUE, zorder=1)
        colors = [_VERDICT_COLORS.get(row["verdict"], style.BLUE) for row in variants]
        axes.scatter(points, [place] * len(points), c=colors, s=28, zorder=2)
        beside = style.Look(textcoords="offset points", va="center", fontsize=8)
        for end, shift, side in ((0, -7, "right"), (-1, 7, "left")):
            name, point = variants[end]["variant"], (points[end], place)
            axes.annotate(name, point, (shift, 0), ha=side, **beside)
    style.name_rows(axes, [effect["study"].replace("_", " ") for effect in effects[::-1]])
    axes.set_xlabel("validation accuracy minus the reference's, points")
    axes.margins(x=0.3)
    dots = style.Look(linestyle="none", marker="o", markersize=5)
    for verdict, color in {**_VERDICT_COLORS, "no difference seen": style.BLUE}.items():
        axes.plot([], [], color=color, label=verdict, **dots)
    figure.legend(loc="outside lower center", ncols=5)
    return figure
