"""The trials of a search: parallel coordinates, importances of settings."""

from collections.abc import Iterable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from cnn_cifar10.plotting import style

_SHADES = LinearSegmentedColormap.from_list("trials", ["#dbe4ea", style.BLUE, "#00304d"])


@style.styled
def plot_parallel_coordinates(space: dict, rows: list[dict], title: str = "") -> Figure:
    """Draw every trial of a search as a line through its settings to its accuracy.

    Args:
        space: Names to lists of values or to ranges, as in `Search`.
        rows: What `read_trials` returns; failed trials are dotted and end before
            the accuracy, unfinished ones are left out.
        title: Caption.

    Returns:
        A `matplotlib.figure.Figure`; the darker, the higher the accuracy's rank, and the
        best trial in orange. (By the accuracy itself, a few failures would make all others dark.)
    """
    accuracies = [row["validation_accuracy"] for row in rows]
    known = sorted(accuracy for accuracy in accuracies if accuracy is not None)
    low, high = (known[0], known[-1]) if known else (0.0, 1.0)
    scale = {"low": low, "high": high if high > low else low + 0.01}
    figure, axes = style.new_axes(max(6.0, 1.35 * (len(space) + 1)), 4.4)
    axes.set_title(title, pad=30)
    for row in sorted(rows, key=lambda row: row["validation_accuracy"] or 0.0):
        accuracy = row["validation_accuracy"]
        places = [_place(values, row[name]) for name, values in space.items()]
        if accuracy is not None:
            place, best = _place(scale, accuracy), accuracy == known[-1]
            rank = known.index(accuracy) / max(1, len(known) - 1)
            look = style.Look(color=_SHADES(rank), linewidth=1.2, alpha=0.8)
            if best:
                look = style.Look(color=style.ORANGE, linewidth=2.6, label=f"best: {accuracy:.2%}")
            axes.plot([*places, place], **look)
        elif row["failure"]:
            axes.plot(places, ":", color=style.GREY, linewidth=1.2, label="failed")
    for x, (name, values) in enumerate(space.items()):
        ends = values if isinstance(values, list) else [values["low"], values["high"]]
        texts = [(_place(values, value), str(value)) for value in ends]
        _draw_scale(axes, x, name.replace("_", "\n", 1).replace("_", " "), texts)
    shares = np.linspace(0, 1, 5)
    texts = [(share, f"{low + share * (scale['high'] - low):.1%}") for share in shares]
    _draw_scale(axes, len(space), "validation\naccuracy", texts)
    handles = dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))  # each label once
    figure.legend(handles.values(), handles.keys(), loc="outside lower right", ncols=2)
    axes.set(xlim=(-0.2, len(space) + 0.55), ylim=(-0.05, 1.05))
    axes.axis("off")
    return figure


def _place(values, value):
    """Return where on its scale, from 0 to 1, a value is."""
    if isinstance(values, list):
        return values.index(value) / (len(values) - 1) if len(values) > 1 else 0.5
    ends = np.array([values["low"], value, values["high"]], "float64")
    low, value, high = np.log(ends) if values.get("sampling") == "log" else ends
    return (value - low) / (high - low)


def _draw_scale(axes: Axes, x: float, name: str, texts: Iterable[tuple[float, str]]):
    """Draw the scale of a setting, with texts at places from 0 to 1."""
    axes.axvline(x, color="#b0b0b0", linewidth=0.8, zorder=0)
    axes.annotate(name, (x, 1.05), ha="center", va="bottom", fontsize=8.5)
    box = style.Look(facecolor="white", edgecolor="none", alpha=0.75, pad=0.8)
    beside = style.Look(textcoords="offset points", va="center", fontsize=7.5, bbox=box)
    for y, text in texts:
        axes.annotate(style.shorten(text, 18), (x, y), (4, 0), **beside)


@style.styled
def plot_importances(
    importances: dict[str, float], out_of_bag_r2: float, title: str = ""
) -> Figure:
    """Draw how much the accuracy of trials depends on each setting, according to a forest.

    Args:
        importances: Names to importances, the largest first.
        out_of_bag_r2: The forest's R² on trials that its trees did not see.
        title: Caption.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    title = f"{title}: out-of-bag R² of the forest {out_of_bag_r2:.2f}"
    figure, axes = style.new_axes(7.2, 1.5 + 0.3 * len(importances), title)
    axes.barh(range(len(importances)), list(importances.values()), color=style.BLUE, height=0.62)
    style.name_rows(axes, list(importances))
    axes.invert_yaxis()
    axes.set_xlabel("drop in R² when the setting is shuffled among the trials")
    return figure
