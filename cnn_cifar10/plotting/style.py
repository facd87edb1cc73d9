"""The style of all figures, and the parts that they share."""

import collections
import functools
import io
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, ParamSpec

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from matplotlib.transforms import Bbox

from cnn_cifar10.plotting.fonts import fit_fonts

# Okabe and Ito's colours: readers of every kind of colour vision tell them apart.
BLUE, ORANGE, GREEN, GREY, INK = "#0072B2", "#D55E00", "#009E73", "#8a8a8a", "#333333"
PALE_BLUE, PALE_ORANGE = "#a9cfe5", "#f3bf9c"
CYCLE = (BLUE, ORANGE, GREEN, "#CC79A7", "#E69F00", "#56B4E9", "#555555")
DASHES = ("-", "--", ":", "-.")

_PARAMETERS = matplotlib.rc_params_from_file(
    Path(__file__).with_name("figures.mplstyle"), use_default_template=False
)
_Arguments = ParamSpec("_Arguments")
Layout = Literal["constrained", "compressed"]
Look = dict[str, Any]
"""How something is drawn: arguments of Matplotlib."""


def styled(draw: Callable[_Arguments, Figure]) -> Callable[_Arguments, Figure]:
    """Let a function draw in this package's style, with fonts for the text in its arguments."""

    @functools.wraps(draw)
    def draw_styled(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> Figure:
        parameters: dict[Any, Any] = dict(_PARAMETERS)
        families, (args, kwargs) = fit_fonts((args, kwargs))
        if families:
            parameters["font.family"] = families
        with matplotlib.rc_context(parameters):
            return draw(*args, **kwargs)

    return draw_styled


class _NotebookFigure(Figure):
    """A figure that IPython can show though pyplot was never asked for a backend."""

    def _repr_png_(self):
        file = io.BytesIO()
        self.savefig(file, format="png", bbox_inches="tight")
        return file.getvalue()


def new_figure(width: float, height: float, layout: Layout = "constrained") -> Figure:
    """Return an empty figure, its sides in inches."""
    return _NotebookFigure(figsize=(width, height), layout=layout)


def new_axes(
    width: float, height: float, title: str = "", layout: Layout = "constrained"
) -> tuple[Figure, Axes]:
    """Return a figure, its sides in inches, and the one panel that it holds."""
    figure = new_figure(width, height, layout)
    axes = figure.subplots()
    axes.set_title(shorten(title, int(13 * width)))
    return figure, axes


def caption(figure: Figure, title: str) -> None:
    """Write a caption over a figure."""
    figure.suptitle(shorten(title, int(13 * figure.get_figwidth())), x=0.01, ha="left")


def name_rows(axes: Axes, names: Iterable[Any]) -> None:
    """Name the rows of a panel, which are at 0, 1, 2, ..., from below."""
    names = shorten_all(map(str, names), 48)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")


def write_beside(axes: Axes, row: int, text: str) -> None:
    """Write a text to the right of a panel's row."""
    axes.annotate(text, (1.01, row), xycoords=("axes fraction", "data"), va="center", fontsize=8.5)


def show_percents(axis: Axis) -> None:
    """Label an axis of shares in percent."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g}%"))


def label_log_axis(axis: Axis) -> None:
    """Label 1, 2, 5, 10, ... as plain numbers."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axis.set_minor_locator(NullLocator())


def draw_curves(
    figure: Figure,
    curves: Mapping[str, tuple],
    *,
    title: str,
    digits: str,
    marker: str | None = None,
) -> None:
    """Draw a figure's curves, `(x, y)` of each name, and a legend ordered by their last values.

    Args:
        figure: A figure with one panel.
        curves: Dict of names to x and y.
        title: Title of the legend.
        digits: How it shows the last values, as a format.
        marker: Drawn at every value; at that of a curve of a single one in any case.
    """
    (axes,) = figure.axes
    looks = itertools.product(DASHES, CYCLE)
    order = sorted(curves, key=lambda name: curves[name][1][-1], reverse=True)
    for name, (dashes, color) in zip(order, itertools.cycle(looks), strict=False):
        x, y = curves[name]
        dot = "o" if len(y) == 1 else marker
        label = f"{name}, {y[-1]:{digits}}"
        axes.plot(x, y, color=color, linestyle=dashes, marker=dot, markersize=4, label=label)
    figure.legend(loc="outside right upper", title=title)


def name_points(
    figure: Figure, axes: Axes, points: Sequence[tuple], others: Sequence[tuple] = ()
) -> None:
    """Write a name beside each point, nearer to it than to any other, and covering nothing.

    Args:
        figure: The figure, of which everything else is drawn.
        axes: Its only panel.
        points: `(x, y, name, color)` of each, the most important first.
        others: `(x, y)` of points without a name.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    sides = ((1, 1), (1, -1), (-1, 1), (-1, -1))
    line = Look(arrowstyle="-", color="#cccccc", linewidth=0.7, shrinkB=3)
    places = axes.transData.transform([*(point[:2] for point in points), *others])
    taken = [Bbox.from_extents(*(place - 6), *(place + 6)) for place in places]
    for (x, y, name, color), own in zip(points, places, strict=False):
        text = Look(textcoords="offset points", fontsize=8, color=color, zorder=1)
        label = axes.annotate(name, (x, y), (0, 0), arrowprops=line, **text)
        free = []
        for place in itertools.product(range(2, 100, 6), sides):
            box = _put(label, *place)
            inside = all(axes.bbox.contains(*corner) for corner in (box.min, box.max))
            if inside and not box.count_overlaps(taken):
                free.append(place)
                away = np.linalg.norm(np.clip(places, box.min, box.max) - places, axis=1)
                if np.array_equal(places[away.argmin()], own):
                    break
        else:
            box = _put(label, *(free or [place])[0])
        taken.append(box)


def _put(label, distance, side):
    """Move a label so many points up or down, beside its point, and return the box around it."""
    right, up = side
    label.set(
        position=(6 * right, distance * up),
        ha="left" if right > 0 else "right",
        va="bottom" if up > 0 else "top",
    )
    label.get_window_extent()  # moves it
    return Text.get_window_extent(label).padded(1)


def shorten(name: str, length: int, kept: float = 0.5) -> str:
    """Return a name of so many characters at most.

    Args:
        name: The name.
        length: How many.
        kept: The share of them that are from its start; the others are from its end.
    """
    if len(name) <= length:
        return name
    head = round(kept * (length - 1))
    return f"{name[:head]}…{name[len(name) - (length - 1 - head) :]}"


def shorten_all(names: Iterable[str], length: int) -> list[str]:
    """Return names, cut where that leaves the most distinct; those still alike are numbered."""
    names = list(names)
    each = dict.fromkeys(names)
    cuts = ([shorten(name, length, kept) for name in each] for kept in (0.5, 1, 0))
    short = max(cuts, key=lambda cut: len(set(cut)))
    held, numbers = collections.Counter(short), itertools.count(1)
    told = [text if held[text] == 1 else f"{text} ({next(numbers)})" for text in short]
    found = dict(zip(each, told, strict=True))
    return [found[name] for name in names]
