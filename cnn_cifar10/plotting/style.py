"""How figures look, and parts that they share."""

import io

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

# Okabe and Ito's colours: readers of every kind of colour vision tell them apart.
BLUE, ORANGE, GREEN, GREY, INK = "#0072B2", "#D55E00", "#009E73", "#8a8a8a", "#333333"
PALE_BLUE, PALE_ORANGE = "#a9cfe5", "#f3bf9c"
CYCLE = (BLUE, ORANGE, GREEN, "#CC79A7", "#E69F00", "#56B4E9", "#555555")
DASHES = ("-", "--", ":", "-.")

styled = matplotlib.rc_context(
    {
        "figure.dpi": 100,
        "figure.facecolor": "white",
        "figure.titlesize": 11,
        "axes.facecolor": "white",
        "axes.edgecolor": "#b0b0b0",
        "axes.labelcolor": INK,
        "axes.titlecolor": INK,
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
        "text.color": INK,
        "xtick.color": "#666666",
        "ytick.color": "#666666",
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
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


def new_figure(width, height, layout="constrained"):
    """Return an empty figure, its sides in inches."""
    return _NotebookFigure(figsize=(width, height), layout=layout)


def percents():
    """Return a formatter of shares as percents."""
    return FuncFormatter(lambda value, _: f"{100 * value:.4g}%")


def label_log_axis(axis):
    """Label 1, 2, 5, 10, ... as plain numbers."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.4g}"))
    axis.set_minor_locator(NullLocator())


def shorten(name, length):
    """Return a name, cut to so many characters."""
    return name if len(name) <= length else name[: length - 1] + "…"
