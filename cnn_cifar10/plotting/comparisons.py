"""Models side by side: accuracy with its spread, accuracy against operations."""

import itertools
import math
from collections.abc import Iterable

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cnn_cifar10.plotting import style

# Told apart by shape as well as by colour.
_FULL = style.Look(marker="o", color=style.BLUE, markersize=5.5)
_SHORT = style.Look(marker="^", color=style.ORANGE, markersize=6, markerfacecolor="white")
_KINDS = {True: ("full training", _FULL), False: ("short training", _SHORT)}
_ON_LINE = "no run is both more accurate and cheaper"


@style.styled
def plot_comparison(rows: list[dict], title: str = "") -> Figure:
    """Draw the mean accuracy of models, with a bar of one standard deviation.

    Args:
        rows: What `summarize_results` returns: dicts with `mean` and `std`
            (`None` for a single run), `n` runs, and a `run` or `model` to name
            them; `full` is false of a short training, whose `epochs` are named then.
        title: Caption.

    Returns:
        A `matplotlib.figure.Figure`, full trainings above short ones, of each the most accurate
        first.
    """
    rows = sorted(rows, key=lambda row: (_is_full(row), row["mean"]))
    figure, axes = style.new_axes(7.6, 1.3 + 0.3 * max(3, len(rows)), title)
    for place, row in enumerate(rows):
        spread = math.nan if row["std"] is None else row["std"]
        _, look = _KINDS[_is_full(row)]
        axes.errorbar(row["mean"], place, xerr=spread, elinewidth=1.6, capsize=4, **look)
        spread = "" if row["std"] is None else f" ± {100 * row['std']:.2f}"
        style.write_beside(axes, place, f"{100 * row['mean']:.2f}{spread} %  (n = {row['n']})")
    style.name_rows(axes, map(_name, rows))
    kinds = [_is_full(row) for row in rows]
    if len({*kinds}) > 1:
        axes.axhline(kinds.index(True) - 0.5, color=style.GREY, linewidth=0.8)
    _add_legend(figure, kinds)
    axes.grid(True, axis="y")
    axes.set_xlabel("accuracy, mean ± standard deviation")
    style.show_percents(axes.xaxis)
    axes.margins(x=0.08)
    return figure


@style.styled
def plot_pareto(rows: list[dict], title: str = "") -> Figure:
    """Draw accuracy against the operations for one image, and the Pareto front as a line.

    Args:
        rows: What `summarize_results` returns: dicts with `run`, `mean` and
            `mflops`; those without operations are left out. `full` is false of a short
            training: a thin line joins it to a full one of the same `model`.
        title: Caption.

    Returns:
        A `matplotlib.figure.Figure`. No run is both more accurate and cheaper than a run
        on the line.
    """
    rows = sorted(
        (row for row in rows if row["mflops"]), key=lambda row: (row["mflops"], -row["mean"])
    )
    front = _front(rows)
    figure, axes = style.new_axes(10, 6.4, title)
    corners = [[row[key] for row in front] for key in ("mflops", "mean")]
    axes.step(*corners, where="post", color=style.PALE_BLUE, linewidth=2.5, zorder=1)
    axes.set_xscale("log")
    axes.set(xlabel="million floating-point operations for one image", ylabel="accuracy")
    style.label_log_axis(axes.xaxis)
    style.show_percents(axes.yaxis)
    axes.margins(x=0.12, y=0.08)
    for row in rows:
        _, look = _KINDS[_is_full(row)]
        axes.plot(row["mflops"], row["mean"], linestyle="none", **look)
    _join_trainings(axes, rows)
    line = Line2D([], [], color=style.PALE_BLUE, linewidth=2.5, label=_ON_LINE)
    _add_legend(figure, map(_is_full, rows), [line])
    others = sorted((row for row in rows if row not in front), key=lambda row: -row["mean"])
    points = [
        (row["mflops"], row["mean"], _name(row), _KINDS[_is_full(row)][1]["color"])
        for row in (*front, *others)
    ]
    style.name_points(figure, axes, points)
    return figure


def _is_full(row):
    return row.get("full", True)


def _name(row):
    name = row.get("run") or row["model"]
    return name if _is_full(row) else f"{name}, {row['epochs']} epochs"


def _front(rows):
    """Return those, of rows from the cheapest on, that are more accurate than all before."""
    best, front = -math.inf, []
    for row in rows:
        if row["mean"] > best:
            best = row["mean"]
            front.append(row)
    return front


def _join_trainings(axes: Axes, rows: list[dict]) -> None:
    """Draw a line from each short training to the best full one of its network, if it is above."""
    best: dict[tuple, float] = {}
    for row in filter(_is_full, rows):
        network = row.get("model"), row["mflops"]
        best[network] = max(best.get(network, -math.inf), row["mean"])
    look = style.Look(color=style.GREY, linewidth=0.8, linestyle=":", zorder=0)
    for row in itertools.filterfalse(_is_full, rows):
        above = best.get((row.get("model"), row["mflops"]), -math.inf)
        if above > row["mean"]:
            axes.plot([row["mflops"]] * 2, [row["mean"], above], **look)


def _add_legend(figure: Figure, kinds: Iterable[bool], more: Iterable[Line2D] = ()) -> None:
    """Explain the marks under a figure, where there are short trainings."""
    shown = {*kinds}
    if False in shown:
        marks = [
            Line2D([], [], linestyle="none", label=label, **look)
            for full, (label, look) in _KINDS.items()
            if full in shown
        ]
        figure.legend(handles=[*marks, *more], loc="outside lower center", ncols=3)
