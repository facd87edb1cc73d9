"""The course of trainings."""

import itertools

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from cnn_cifar10.plotting.style import (
    BLUE,
    CYCLE,
    DASHES,
    GREY,
    INK,
    ORANGE,
    label_log_axis,
    new_figure,
    percents,
    styled,
)
from cnn_cifar10.utils import InputError


@styled
def plot_history(history, title=""):
    """Draw loss and accuracy over epochs, and the gap between training and validation.

    The gap is positive where validation is worse. The best validation epoch of
    each panel is marked: lowest loss, highest accuracy. A panel without data is
    left out.

    Args:
        history: Dict of lists, one value an epoch, with some of the keys
            `loss`, `val_loss`, `accuracy` and `val_accuracy`, as in
            `keras.callbacks.History.history`; other keys are ignored.
        title: Caption.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        InputError: If `history` has none of the keys.
    """
    panels = [
        metric
        for metric in ("loss", "accuracy")
        if len(history.get(metric, ())) or len(history.get(f"val_{metric}", ()))
    ]
    if not panels:
        raise InputError(f"history must hold loss or accuracy, received keys {list(history)}")
    figure = new_figure(4.9 * len(panels), 3.6)
    figure.suptitle(title, x=0.01, ha="left")
    for axes, metric in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _plot_metric(axes, metric, history.get(metric, ()), history.get(f"val_{metric}", ()))
    return figure


def _plot_metric(axes, metric, training, validation):
    percent = metric == "accuracy"
    marker = "o" if max(len(training), len(validation)) == 1 else None
    curves = {"training": (training, BLUE), "validation": (validation, ORANGE)}
    for label, (values, color) in curves.items():
        if len(values):
            axes.plot(_epochs(values), values, color=color, label=label, marker=marker, ms=4)
    if len(training) and len(training) == len(validation):
        gap = training[-1] - validation[-1]
        text = f"{100 * gap:+.1f} points" if percent else f"{-gap:+.3f}"
        axes.fill_between(
            _epochs(training),
            training,
            validation,
            color=GREY,
            alpha=0.18,
            linewidth=0,
            label=f"gap at the end: {text}",
        )
    if len(validation) and np.isfinite(validation).any():
        best = int(np.nanargmax(validation) if percent else np.nanargmin(validation))
        value = f"{validation[best]:.1%}" if percent else f"{validation[best]:.3f}"
        axes.plot(
            best + 1,
            validation[best],
            "*",
            color=ORANGE,
            markeredgecolor="white",
            markersize=13,
            label=f"best validation: {value}, epoch {best + 1}",
        )
    axes.set(title=metric, xlabel="epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if percent:
        axes.yaxis.set_major_formatter(percents())
    axes.legend(loc="best")


def _epochs(values):
    return np.arange(1, len(values) + 1)


@styled
def plot_histories(histories, metric="val_accuracy", x="epoch", title=""):
    """Draw one metric of several runs over epochs or seconds.

    Args:
        histories: Dict of name to history, as for `plot_history`.
        metric: Key of the histories to draw.
        x: `"epoch"`, or `"seconds"` since training began, a key of the histories.
        title: Caption.

    Returns:
        A `matplotlib.figure.Figure`; its legend is ordered by the last values.

    Raises:
        InputError: If `x` is neither, or a history lacks what is to be drawn.
    """
    if x not in ("epoch", "seconds"):
        raise InputError(f"x must be 'epoch' or 'seconds', received {x!r}")
    for name, history in histories.items():
        for key in (metric, x)[: 1 + (x == "seconds")]:
            if not len(history.get(key, ())):
                raise InputError(f"history of {name!r} has no {key!r}; its keys: {list(history)}")
    percent = metric.endswith("accuracy")
    figure = new_figure(8.2, 4.2)
    axes = figure.subplots()
    axes.set_title(title)
    order = sorted(histories, key=lambda name: histories[name][metric][-1], reverse=True)
    for index, name in enumerate(order):
        values = histories[name][metric]
        axes.plot(
            histories[name]["seconds"] if x == "seconds" else _epochs(values),
            values,
            color=CYCLE[index % len(CYCLE)],
            linestyle=DASHES[index // len(CYCLE) % len(DASHES)],
            marker="o" if len(values) == 1 else None,
            label=f"{name}, {values[-1]:.1%}" if percent else f"{name}, {values[-1]:.3f}",
        )
    axes.set(xlabel=x, ylabel=metric.replace("val_", "validation ").replace("_", " "))
    if x == "epoch":
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if percent:
        axes.yaxis.set_major_formatter(percents())
    figure.legend(loc="outside right upper", title="last value")
    return figure


@styled
def plot_time_to_accuracy(rows, title=""):
    """Draw the accuracy of short trainings against the seconds they took, a dot a seed.

    Args:
        rows: Dicts with `recipe`, `seconds`, `accuracy` and `tta_accuracy`, as numbers
            or their text; accuracies in [0, 1].
        title: Caption.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    groups = {}
    for row in rows:
        numbers = [float(row[key]) for key in ("seconds", "accuracy", "tta_accuracy")]
        groups.setdefault(row["recipe"], []).append(numbers)
    groups = {name: np.transpose(groups[name]) for name in sorted(groups, key=groups.get)}
    figure = new_figure(7.6, 4.4)
    axes = figure.subplots()
    axes.set_title(title)
    colors, sides = itertools.cycle(CYCLE), itertools.cycle((1, -1))
    # Names are above and, to the right, below in turn, out of each other's way.
    for (name, group), color, side in zip(groups.items(), colors, sides, strict=False):
        seconds, plain, views = group
        beside = [
            other[1].min()
            for other in groups.values()
            if other[0].min() <= seconds.max() and other[0].max() >= seconds.min()
        ]
        axes.plot(seconds, views, "o", color=color, markersize=6)
        axes.plot(seconds, plain, "o", color=color, markersize=6, markerfacecolor="white")
        axes.annotate(
            name,
            (seconds.mean(), views.max()) if side > 0 else (seconds.min(), min(beside)),
            xytext=(0, 8 * side),
            textcoords="offset points",
            ha="center" if side > 0 else "left",
            va="bottom" if side > 0 else "top",
            color=color,
        )
    handles = [
        Line2D([], [], marker="o", linestyle="", color=INK, label="mean of six views"),
        Line2D([], [], marker="o", linestyle="", color=INK, markerfacecolor="white", label="plain"),
    ]
    axes.legend(handles=handles, loc="lower right")
    axes.set_xscale("log")
    axes.set(xlabel="seconds of training", ylabel="test accuracy")
    label_log_axis(axes.xaxis)
    axes.yaxis.set_major_formatter(percents())
    axes.margins(x=0.15, y=0.12)
    return figure
