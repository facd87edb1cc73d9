"""The trials of a search."""

import matplotlib
import numpy as np

from cnn_cifar10.plotting.style import BLUE, GREY, ORANGE, new_figure, shorten, styled


@styled
def plot_parallel_coordinates(space, rows, title=""):
    """Draw every trial of a search as a line through its settings to its accuracy.

    Args:
        space: Names to lists of values or to ranges, as in `Search`.
        rows: What `read_trials` returns; failed trials are dotted and end before
            the accuracy, unfinished ones are left out.
        title: Caption.

    Returns:
        A `matplotlib.figure.Figure`; the darker, the more accurate, and the best
        trial in orange.
    """
    accuracies = [row["validation_accuracy"] for row in rows]
    known = [accuracy for accuracy in accuracies if accuracy is not None]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    high = high if high > low else low + 0.01
    figure = new_figure(max(6.0, 1.35 * (len(space) + 1)), 4.4)
    axes = figure.subplots()
    axes.set_title(title, pad=30)
    scale = matplotlib.colors.Normalize(low, high)
    colors = matplotlib.colors.LinearSegmentedColormap.from_list(
        "trials", ["#dbe4ea", BLUE, "#00304d"]
    )
    for row in sorted(rows, key=lambda row: row["validation_accuracy"] or 0.0):
        accuracy = row["validation_accuracy"]
        places = [_place(values, row[name]) for name, values in space.items()]
        if accuracy is not None:
            best = accuracy == max(known)
            axes.plot(
                [*places, (accuracy - low) / (high - low)],
                color=ORANGE if best else colors(scale(accuracy)),
                linewidth=2.6 if best else 1.2,
                alpha=1.0 if best else 0.8,
                label=f"best: {accuracy:.2%}" if best else None,
            )
        elif row["failure"]:
            axes.plot(places, ":", color=GREY, linewidth=1.2, label="failed")
    for place, (name, values) in enumerate(space.items()):
        axes.axvline(place, color="#b0b0b0", linewidth=0.8, zorder=0)
        axes.annotate(
            name.replace("_", "\n", 1).replace("_", " "),
            (place, 1.05),
            ha="center",
            va="bottom",
            fontsize=8.5,
        )
        ends = values if isinstance(values, list) else [values["low"], values["high"]]
        for value in ends:
            _value_label(axes, place, _place(values, value), str(value))
    axes.axvline(len(space), color="#b0b0b0", linewidth=0.8, zorder=0)
    axes.annotate("validation\naccuracy", (len(space), 1.05), ha="center", va="bottom")
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        _value_label(axes, len(space), share, f"{low + share * (high - low):.1%}")
    handles = dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))  # each label once
    figure.legend(handles.values(), handles.keys(), loc="outside lower right", ncols=2)
    axes.set(xlim=(-0.2, len(space) + 0.55), ylim=(-0.05, 1.05))
    axes.axis("off")
    return figure


def _place(values, value):
    """Return where on its axis, from 0 to 1, a setting's value is."""
    if isinstance(values, list):
        return values.index(value) / (len(values) - 1) if len(values) > 1 else 0.5
    ends = np.array([values["low"], value, values["high"]], "float64")
    low, value, high = np.log(ends) if values.get("sampling") == "log" else ends
    return (value - low) / (high - low)


def _value_label(axes, x, y, text):
    axes.annotate(
        shorten(text, 18),
        (x, y),
        xytext=(4, 0),
        textcoords="offset points",
        va="center",
        fontsize=7.5,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.8},
    )


@styled
def plot_importances(importances, out_of_bag_r2, title=""):
    """Draw how much the accuracy of trials depends on each setting, according to a forest.

    Args:
        importances: Names to importances, the largest first.
        out_of_bag_r2: The forest's R² on trials that its trees did not see.
        title: Caption.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    figure = new_figure(7.2, 1.5 + 0.3 * len(importances))
    axes = figure.subplots()
    axes.set_title(f"{title}: out-of-bag R² of the forest {out_of_bag_r2:.2f}")
    names = list(importances)
    axes.barh(names, list(importances.values()), color=BLUE, height=0.62)
    axes.set(
        xlabel="drop in R² when the setting is shuffled among the trials",
        ylim=(len(names) - 0.4, -0.6),
    )
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")
    return figure
