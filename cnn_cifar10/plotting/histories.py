"""Learning curves, and accuracy against the seconds of training."""

import itertools

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from cnn_cifar10.plotting import style
from cnn_cifar10.utils import InputError


@style.styled
def plot_history(history: dict[str, list[float]], title: str = "") -> Figure:
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
    figure = style.new_figure(4.9 * len(panels), 3.6)
    style.caption(figure, title)
    for axes, metric in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _plot_metric(axes, metric, history.get(metric, ()), history.get(f"val_{metric}", ()))
    return figure


def _plot_metric(axes, metric, training, validation):
    percent = metric == "accuracy"
    marker = "o" if max(len(training), len(validation)) == 1 else None
    curves = {"training": (training, style.BLUE), "validation": (validation, style.ORANGE)}
    for label, (values, color) in curves.items():
        if len(values):
            axes.plot(_epochs(values), values, color=color, label=label, marker=marker, ms=4)
    if len(training) and len(training) == len(validation):
        gap = training[-1] - validation[-1]
        text = f"{100 * gap:+.1f} points" if percent else f"{-gap:+.3f}"
        gap_style = style.Look(color=style.GREY, alpha=0.18, linewidth=0)
        label = f"gap at the end: {text}"
        axes.fill_between(_epochs(training), training, validation, label=label, **gap_style)
    if len(validation) and np.isfinite(validation).any():
        best = int(np.nanargmax(validation) if percent else np.nanargmin(validation))
        value = f"{validation[best]:.1%}" if percent else f"{validation[best]:.3f}"
        star = style.Look(color=style.ORANGE, markeredgecolor="white", markersize=13)
        label = f"best validation: {value}, epoch {best + 1}"
        axes.plot(best + 1, validation[best], "*", label=label, **star)
    axes.set(title=metric, xlabel="epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if percent:
        style.show_percents(axes.yaxis)
    axes.legend(loc="best")


def _epochs(values):
    return np.arange(1, len(values) + 1)


@style.styled
def plot_histories(
    histories: dict[str, dict[str, list[float]]],
    metric: str = "val_accuracy",
    x: str = "epoch",
    title: str = "",
) -> Figure:
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
    figure, axes = style.new_axes(8.2, 4.2, title)
    curves = {
        name: (history[x] if x == "seconds" else _epochs(history[metric]), history[metric])
        for name, history in histories.items()
    }
    style.draw_curves(figure, curves, title="last value", digits=".1%" if percent else ".3f")
    axes.set(xlabel=x, ylabel=metric.replace("val_", "validation ").replace("_", " "))
    if x == "epoch":
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if percent:
        style.show_percents(axes.yaxis)
    return figure


@style.styled
def plot_time_to_accuracy(rows: list[dict], title: str = "") -> Figure:
    """Draw the accuracy of short trainings against the seconds they took, a dot a seed.

    Args:
        rows: Dicts with `recipe`, `seconds`, `accuracy` and `tta_accuracy`, as numbers
            or their text; accuracies in [0, 1].
        title: Caption.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    groups: dict[str, list[list[float]]] = {}
    for row in rows:
        numbers = [float(row[key]) for key in ("seconds", "accuracy", "tta_accuracy")]
        groups.setdefault(row["recipe"], []).append(numbers)
    figure, axes = style.new_axes(7.6, 4.4, title)
    named, others = [], []
    colors = itertools.cycle(style.CYCLE)
    for name, color in zip(sorted(groups, key=groups.__getitem__), colors, strict=False):
        seconds, plain, views = np.transpose(groups[name])
        axes.plot(seconds, views, "o", color=color, markersize=6)
        axes.plot(seconds, plain, "o", color=color, markersize=6, markerfacecolor="white")
        named.append((seconds[views.argmax()], views.max(), name, color))
        others += [*zip(seconds, views, strict=True), *zip(seconds, plain, strict=True)]
    kinds = {"mean of six views": style.INK, "plain": "white"}
    dot = style.Look(marker="o", linestyle="", color=style.INK)
    handles = [Line2D([], [], markerfacecolor=kinds[kind], label=kind, **dot) for kind in kinds]
    axes.legend(handles=handles, loc="lower right")
    axes.set_xscale("log")
    axes.set(xlabel="seconds of training", ylabel="test accuracy")
    style.label_log_axis(axes.xaxis)
    style.show_percents(axes.yaxis)
    axes.margins(x=0.15, y=0.12)
    style.name_points(figure, axes, named, others)
    return figure
