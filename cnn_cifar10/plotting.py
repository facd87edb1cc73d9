"""Arrays to figures; no metric is computed here.

Every function returns a `matplotlib.figure.Figure` that pyplot does not know of:
a notebook shows it once, as the value of its cell, and a script saves it with
`figure.savefig`, with or without a display.
"""

import io
import itertools
import math
import textwrap

import matplotlib
import numpy as np
import seaborn
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from matplotlib.transforms import Bbox

from cnn_cifar10.errors import InputError

# Okabe and Ito's colours: readers of every kind of colour vision tell them apart.
_BLUE, _ORANGE, _GREEN, _GREY, _INK = "#0072B2", "#D55E00", "#009E73", "#8a8a8a", "#333333"
_PALE_BLUE, _PALE_ORANGE = "#a9cfe5", "#f3bf9c"
_CYCLE = (_BLUE, _ORANGE, _GREEN, "#CC79A7", "#E69F00", "#56B4E9", "#555555")
_DASHES = ("-", "--", ":", "-.")

_styled = matplotlib.rc_context(
    {
        "figure.dpi": 100,
        "figure.facecolor": "white",
        "figure.titlesize": 11,
        "axes.facecolor": "white",
        "axes.edgecolor": "#b0b0b0",
        "axes.labelcolor": _INK,
        "axes.titlecolor": _INK,
        "axes.titlesize": 10.5,
        "axes.titlelocation": "left",
        "axes.labelsize": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.grid": True,
        "grid.color": "#ececec",
        "grid.linewidth": 0.8,
        "font.size": 9,
        "legend.fontsize": 8.5,
        "legend.frameon": False,
        "lines.linewidth": 1.6,
        "text.color": _INK,
        "xtick.color": "#666666",
        "ytick.color": "#666666",
        "xtick.labelcolor": _INK,
        "ytick.labelcolor": _INK,
        "xtick.labelsize": 8.5,
        "ytick.labelsize": 8.5,
    }
)


class _NotebookFigure(Figure):
    """A figure that IPython can show though pyplot was never asked for a backend."""

    def _repr_png_(self):
        file = io.BytesIO()
        self.savefig(file, format="png", bbox_inches="tight")
        return file.getvalue()


def _figure(width, height, layout="constrained"):
    return _NotebookFigure(figsize=(width, height), layout=layout)


def _percents():
    return FuncFormatter(lambda value, _: f"{100 * value:.4g}%")


def _label_log_axis(axis):
    """Label 1, 2, 5, 10, ... as plain numbers."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.4g}"))
    axis.set_minor_locator(NullLocator())


def _shorten(name, length):
    return name if len(name) <= length else name[: length - 1] + "…"


@_styled
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
    names = [_shorten(name, 22) for name in class_names]
    side = 0.5 * classes if small else 0.155 * classes
    margin = 0.6 + 0.075 * max(map(len, names))
    figure = _figure(max(3.0, side) + margin + 1.0, max(3.0, side) + margin, "compressed")
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


@_styled
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
    figure = _figure(4.9 * len(panels), 3.6)
    figure.suptitle(title, x=0.01, ha="left")
    for axes, metric in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _plot_metric(axes, metric, history.get(metric, ()), history.get(f"val_{metric}", ()))
    return figure


def _plot_metric(axes, metric, training, validation):
    percent = metric == "accuracy"
    marker = "o" if max(len(training), len(validation)) == 1 else None
    curves = {"training": (training, _BLUE), "validation": (validation, _ORANGE)}
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
            color=_GREY,
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
            color=_ORANGE,
            markeredgecolor="white",
            markersize=13,
            label=f"best validation: {value}, epoch {best + 1}",
        )
    axes.set(title=metric, xlabel="epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if percent:
        axes.yaxis.set_major_formatter(_percents())
    axes.legend(loc="best")


def _epochs(values):
    return np.arange(1, len(values) + 1)


@_styled
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
    figure = _figure(8.2, 4.2)
    axes = figure.subplots()
    axes.set_title(title)
    order = sorted(histories, key=lambda name: histories[name][metric][-1], reverse=True)
    for index, name in enumerate(order):
        values = histories[name][metric]
        axes.plot(
            histories[name]["seconds"] if x == "seconds" else _epochs(values),
            values,
            color=_CYCLE[index % len(_CYCLE)],
            linestyle=_DASHES[index // len(_CYCLE) % len(_DASHES)],
            marker="o" if len(values) == 1 else None,
            label=f"{name}, {values[-1]:.1%}" if percent else f"{name}, {values[-1]:.3f}",
        )
    axes.set(xlabel=x, ylabel=metric.replace("val_", "validation ").replace("_", " "))
    if x == "epoch":
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if percent:
        axes.yaxis.set_major_formatter(_percents())
    figure.legend(loc="outside right upper", title="last value")
    return figure


@_styled
def plot_images(images, titles=None, columns=8, title=""):
    """Draw a gallery of images.

    Args:
        images: Sequence of arrays `(height, width, 3)`, uint8, or float with
            values 0 to 255. Up to a height of 64 every pixel is drawn as a
            square; larger images are scaled smoothly.
        titles: One caption per image; may hold line breaks.
        columns: Images per row.
        title: Caption of the figure.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        InputError: If there are no images, or not as many titles.
    """
    if not len(images):
        raise InputError("images must hold at least one image, received none")
    titles = [""] * len(images) if titles is None else list(titles)
    if len(titles) != len(images):
        raise InputError(f"titles must be one per image ({len(images)}), received {len(titles)}")
    return _gallery(images, titles, min(columns, len(images)), 1.15, title)


@_styled
def plot_mistakes(images, true_names, predicted_names, confidences, title=""):
    """Draw wrongly classified images with what they are and what they were taken for.

    Args:
        images: Sequence of arrays `(height, width, 3)`, values 0 to 255.
        true_names: Name of each image's class.
        predicted_names: Name of each image's predicted class.
        confidences: Probability of each predicted class, in [0, 1].
        title: Caption of the figure.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        InputError: If there are no images.
    """
    if not len(images):
        raise InputError("images must hold at least one image, received none")
    captions = [
        f"predicted {_shorten(predicted, 15)}, {confidence:.0%}\ntrue {_shorten(true, 15)}"
        for true, predicted, confidence in zip(
            true_names, predicted_names, confidences, strict=True
        )
    ]
    return _gallery(images, captions, min(6, len(images)), 1.75, title)


def _gallery(images, captions, columns, width, title):
    rows = math.ceil(len(images) / columns)
    lines = max(caption.count("\n") + 1 if caption else 0 for caption in captions)
    figure = _figure(width * columns, (width + 0.11 * lines) * rows + 0.3 * bool(title))
    figure.suptitle(title, x=0.01, ha="left")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.axis("off")
    for axes, image, caption in zip(grid, images, captions, strict=False):
        pixels = np.clip(np.round(image), 0, 255).astype("uint8")
        axes.imshow(pixels, interpolation="nearest" if len(pixels) <= 64 else "antialiased")
        axes.set_title(caption, fontsize=7, loc="center", pad=3)
    return figure


@_styled
def plot_grad_cam(images, maps, captions=None, title=""):
    """Draw pictures, and beside each what spoke for its class, in warm colours.

    Args:
        images: Sequence of arrays `(height, width, 3)`, values 0 to 255.
        maps: Array `(n, height, width)` in [0, 1], from `grad_cam`.
        captions: One caption per picture, such as its predicted class.
        title: Caption of the figure.

    Returns:
        A `matplotlib.figure.Figure`, four pictures in a row.

    Raises:
        InputError: If there are no images, or not as many maps or captions.
    """
    captions = [""] * len(images) if captions is None else captions
    if not len(images) or not len(images) == len(maps) == len(captions):
        raise InputError(
            "images must hold at least one image, with a map and a caption for each; received "
            f"{len(images)} images, {len(maps)} maps and {len(captions)} captions"
        )
    overlays = [_overlay(image, map) for image, map in zip(images, maps, strict=True)]
    pictures = itertools.chain(*zip(images, overlays, strict=True))
    titles = itertools.chain(*((caption, "") for caption in captions))
    return _gallery([*pictures], [*titles], min(8, 2 * len(images)), 1.15, title)


def _overlay(image, map):
    """Lay a map over a picture in grey."""
    grey = np.repeat(np.mean(image, axis=-1, keepdims=True), 3, axis=-1)
    colors = 255 * matplotlib.colormaps["inferno"](map)[..., :3]
    return 0.45 * grey + 0.55 * colors


_RELIABILITY_KEYS = ("low", "high", "examples", "confidence", "accuracy")
_FEWEST = 10  # images that an accuracy is drawn of


@_styled
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
    figure = _figure(3.6 * len(diagrams) + 0.4, 4.6)
    figure.suptitle(title, x=0.01, ha="left")
    grid = figure.subplots(
        *(2, len(diagrams)), squeeze=False, sharex=True, sharey="row", height_ratios=(3, 1)
    )
    for (upper, lower), (caption, rows) in zip(grid.T, diagrams.items(), strict=True):
        upper.set_title(caption)
        # None becomes nan, which is drawn nowhere.
        lows, highs, examples, confidences, accuracies = np.array(
            [[row[key] for row in rows] for key in _RELIABILITY_KEYS], "float64"
        )
        bar = {"width": highs - lows, "align": "edge", "edgecolor": "white"}
        lower.bar(lows, examples / examples.sum(), color=_BLUE, **bar)
        accuracies[examples < _FEWEST] = np.nan
        upper.bar(lows, np.minimum(accuracies, confidences), color=_PALE_BLUE, **bar)
        gap = {"bottom": accuracies, "color": _PALE_ORANGE, "label": "gap to confidence"}
        upper.bar(lows, confidences - accuracies, **gap, **bar)
        upper.hlines(accuracies, lows, highs, color=_BLUE, linewidth=2.2, label="accuracy")
        upper.plot([0, 1], [0, 1], "--", color=_GREY, linewidth=1, label="calibrated")
        lower.set(xlabel="confidence", xlim=(0, 1))
    grid[0, 0].set(ylabel="accuracy", ylim=(0, 1))
    grid[1, 0].set_ylabel("share of images")
    for axes in (grid[0, 0].yaxis, grid[1, 0].yaxis, grid[1, 0].xaxis):
        axes.set_major_formatter(_percents())
    figure.get_layout_engine().set(w_pad=0.1)  # inches
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


@_styled
def plot_robustness(rows, title=""):
    """Draw accuracy over the strength of corruptions, one line a corruption.

    Args:
        rows: What `evaluate_corruptions` returns.
        title: Caption.

    Returns:
        A `matplotlib.figure.Figure`; its legend is ordered by the last accuracies.
    """
    curves = {}
    for row in sorted(rows, key=lambda row: row["strength"]):
        curves.setdefault(row["corruption"], []).append((row["strength"], row["accuracy"]))
    figure = _figure(7.2, 4.0)
    axes = figure.subplots()
    axes.set_title(title)
    order = sorted(curves, key=lambda name: curves[name][-1][1], reverse=True)
    for name, color in zip(order, itertools.cycle(_CYCLE), strict=False):
        strengths, accuracies = zip(*curves[name], strict=True)
        label = f"{name.replace('_', ' ')}, {accuracies[-1]:.1%}"
        axes.plot(strengths, accuracies, "o-", ms=4, color=color, label=label)
    axes.set(xlabel="strength of the corruption", ylabel="accuracy")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(_percents())
    figure.legend(loc="outside right upper", title="at the highest strength")
    return figure


@_styled
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
    figure = _figure(7.2, max(2.4, 1.1 + len(rows) * (0.27 if size == 9 else 0.15)))
    axes = figure.subplots()
    axes.set_title(title)
    places = np.arange(len(rows))
    axes.barh(places, [row["f1"] for row in rows], height=0.72, color=_PALE_BLUE, label="F1")
    for key, marker, color in (("precision", "o", _BLUE), ("recall", "D", _ORANGE)):
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


@_styled
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
    figure = _figure(7.2, 1.0 + 0.32 * max(3, len(rows)))
    axes = figure.subplots()
    axes.set_title(title)
    places = np.arange(len(rows))
    axes.errorbar(
        [row["mean"] for row in rows],
        places,
        xerr=[math.nan if row["std"] is None else row["std"] for row in rows],
        fmt="o",
        color=_BLUE,
        ecolor=_BLUE,
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
    axes.xaxis.set_major_formatter(_percents())
    axes.tick_params(axis="y", length=0)
    axes.margins(x=0.08)
    return figure


@_styled
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
    figure = _figure(8.2, 4.8)
    axes = figure.subplots()
    axes.set_title(title)
    axes.step(
        [row["mflops"] for row in front],
        [row["mean"] for row in front],
        where="post",
        color=_PALE_BLUE,
        linewidth=2.5,
        zorder=1,
    )
    axes.set_xscale("log")
    axes.set(xlabel="million floating-point operations for one picture", ylabel="accuracy")
    _label_log_axis(axes.xaxis)
    axes.yaxis.set_major_formatter(_percents())
    axes.margins(x=0.12, y=0.12)
    for row in rows:
        color = _BLUE if row in front else _GREY
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
        color = _BLUE if index < highlighted else _GREY
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


@_styled
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
    figure = _figure(2.7 * columns + 1.2, 3.1 * lines + 0.7)
    grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for index in range(len(percents), len(grid)):
        grid[index].axis("off")
        grid[index - columns].tick_params(labelbottom=True)
    names = [_shorten(name, 14) for name in class_names] if small else False
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


@_styled
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
    figure = _figure(0.62 * len(names) + 4.0, 0.5 * len(names) + 2.6, "compressed")
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


@_styled
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
    figure = _figure(7.6, 4.4)
    axes = figure.subplots()
    axes.set_title(title)
    for (name, numbers), color in zip(groups.items(), itertools.cycle(_CYCLE), strict=False):
        seconds, plain, views = np.transpose(numbers)
        axes.plot(seconds, views, "o", color=color, markersize=6)
        axes.plot(seconds, plain, "o", color=color, markersize=6, markerfacecolor="white")
        axes.annotate(
            name,
            (seconds.mean(), views.max()),
            xytext=(0, 7),
            textcoords="offset points",
            ha="center",
            color=color,
        )
    handles = [
        Line2D([], [], marker="o", linestyle="", color=_INK, label="mean of six views"),
        Line2D(
            [], [], marker="o", linestyle="", color=_INK, markerfacecolor="white", label="plain"
        ),
    ]
    axes.legend(handles=handles, loc="lower right")
    axes.set_xscale("log")
    axes.set(xlabel="seconds of training", ylabel="test accuracy")
    _label_log_axis(axes.xaxis)
    axes.yaxis.set_major_formatter(_percents())
    axes.margins(x=0.15, y=0.12)
    return figure


_VERDICT_COLORS = {"better": _GREEN, "worse": _ORANGE, "reference": _INK}


@_styled
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
    figure = _figure(8.2, 1.0 + 0.34 * max(3, len(rows)))
    axes = figure.subplots()
    axes.set_title(title)
    for place, row in enumerate(rows):
        color, text = _VERDICT_COLORS.get(row["verdict"], _BLUE), row["verdict"]
        axes.plot(row["values"], [place] * len(row["values"]), "o", ms=5, color=color, alpha=0.5)
        if row["difference"] is not None:
            text = f"{100 * row['difference']:+.2f} points, {text}"
        if row["mean"] is not None:
            text = f"{100 * row['mean']:.2f} %,  {text}"
            axes.plot(row["mean"], place, "|", ms=13, markeredgewidth=2.5, color=color)
        if row["low"] is not None:
            axes.hlines(place, max(0, row["low"]), min(1, row["high"]), color=color, zorder=1)
        if row["variant"] == reference and row["mean"] is not None:
            axes.axvline(row["mean"], color=_GREY, linestyle="--", linewidth=1, zorder=0)
        beside = ("axes fraction", "data")
        axes.annotate(text, (1.01, place), xycoords=beside, va="center", fontsize=8.5)
    axes.set_yticks(range(len(rows)), [row["variant"] for row in rows])
    axes.set(xlabel="validation accuracy: seeds, mean, 95% interval", ylim=(-0.6, len(rows) - 0.4))
    axes.xaxis.set_major_formatter(_percents())
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")
    return figure


@_styled
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
    figure = _figure(7.2, 4.2)
    axes = figure.subplots()
    axes.set_title(title)
    if len(places) > 1 and 0 < 8 * places[0] <= places[-1]:
        axes.set_xscale("log")
    bounds = np.array([[row["low"], row["high"]] for row in rows], "float64").T  # None is nan
    axes.fill_between(places, *bounds.clip(0, 1), color=_PALE_BLUE, alpha=0.5, linewidth=0)
    axes.plot(places, [row["mean"] for row in rows], color=_BLUE)
    for place, row in zip(places, rows, strict=True):
        axes.plot([place] * len(row["values"]), row["values"], "o", ms=5, color=_BLUE, alpha=0.5)
        if row["variant"] == reference:
            axes.axvline(place, color=_GREY, linestyle="--", linewidth=1, zorder=0)
    axes.set_xticks(places, [f"{place:g}" for place in places])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set(xlabel=axis.replace("_", " "), ylabel="validation accuracy")
    axes.yaxis.set_major_formatter(_percents())
    return figure


@_styled
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
    figure = _figure(1.1 * len(columns) + 3.0, 0.66 * len(lines) + 1.5)
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
            frame = {"fill": False, "edgecolor": _ORANGE, "linewidth": 2, "zorder": 3}
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


@_styled
def plot_seeds(summary, title=""):
    """Draw runs that differ in nothing but the seed, with their mean and standard deviation.

    Args:
        summary: One of what `summarize_study` returns.
        title: Caption.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    values, places = summary["values"], range(len(summary["values"]))
    figure = _figure(7.2, 1.5 + 0.22 * max(3, len(values)))
    axes = figure.subplots()
    axes.set_title(title)
    if summary["mean"] is not None:
        mean = summary["mean"]
        axes.axvline(mean, color=_BLUE, label=f"mean {mean:.2%}", zorder=1)
    if summary["std"] is not None:
        std = summary["std"]
        label = f"± a standard deviation, {100 * std:.2f} points"
        axes.axvspan(mean - std, mean + std, color=_PALE_BLUE, alpha=0.5, label=label, zorder=0)
        axes.hlines(places, mean, values, color=_BLUE, linewidth=1, zorder=1)
    axes.plot(values, places, "o", color=_BLUE, ms=6, markeredgecolor="white")
    axes.set_yticks(places, summary["seeds"])
    axes.set(xlabel="validation accuracy", ylabel="seed", ylim=(len(values) - 0.4, -0.6))
    axes.xaxis.set_major_formatter(_percents())
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")
    figure.legend(loc="outside lower center", ncols=2)
    return figure


@_styled
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
    figure = _figure(max(6.0, 1.35 * (len(space) + 1)), 4.4)
    axes = figure.subplots()
    axes.set_title(title, pad=30)
    scale = matplotlib.colors.Normalize(low, high)
    colors = matplotlib.colors.LinearSegmentedColormap.from_list(
        "trials", ["#dbe4ea", _BLUE, "#00304d"]
    )
    for row in sorted(rows, key=lambda row: row["validation_accuracy"] or 0.0):
        accuracy = row["validation_accuracy"]
        places = [_place(values, row[name]) for name, values in space.items()]
        if accuracy is not None:
            best = accuracy == max(known)
            axes.plot(
                [*places, (accuracy - low) / (high - low)],
                color=_ORANGE if best else colors(scale(accuracy)),
                linewidth=2.6 if best else 1.2,
                alpha=1.0 if best else 0.8,
                label=f"best: {accuracy:.2%}" if best else None,
            )
        elif row["failure"]:
            axes.plot(places, ":", color=_GREY, linewidth=1.2, label="failed")
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
        _shorten(text, 18),
        (x, y),
        xytext=(4, 0),
        textcoords="offset points",
        va="center",
        fontsize=7.5,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.8},
    )


@_styled
def plot_importances(importances, out_of_bag_r2, title=""):
    """Draw how much the accuracy of trials depends on each setting, according to a forest.

    Args:
        importances: Names to importances, the largest first.
        out_of_bag_r2: The forest's R² on trials that its trees did not see.
        title: Caption.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    figure = _figure(7.2, 1.5 + 0.3 * len(importances))
    axes = figure.subplots()
    axes.set_title(f"{title}: out-of-bag R² of the forest {out_of_bag_r2:.2f}")
    names = list(importances)
    axes.barh(names, list(importances.values()), color=_BLUE, height=0.62)
    axes.set(
        xlabel="drop in R² when the setting is shuffled among the trials",
        ylim=(len(names) - 0.4, -0.6),
    )
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")
    return figure
