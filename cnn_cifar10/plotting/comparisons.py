"""Models side by side: accuracy with its spread, accuracy against operations."""

import math

from matplotlib.figure import Figure

from cnn_cifar10.plotting import style


@style.styled
def plot_comparison(rows: list[dict], title: str = "") -> Figure:
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
    figure, axes = style.new_axes(7.2, 1.0 + 0.32 * max(3, len(rows)), title)
    means, places = [row["mean"] for row in rows], range(len(rows))
    spreads = [math.nan if row["std"] is None else row["std"] for row in rows]
    look = style.Look(color=style.BLUE, elinewidth=1.6, capsize=4, markersize=4.5)
    axes.errorbar(means, places, xerr=spreads, fmt="o", **look)
    for place, row in zip(places, rows, strict=True):
        spread = "" if row["std"] is None else f" ± {100 * row['std']:.2f}"
        style.write_beside(axes, place, f"{100 * row['mean']:.2f}{spread} %  (n = {row['n']})")
    style.name_rows(axes, [row.get("run") or row["model"] for row in rows])
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
            `mflops`; those without operations are left out.
        title: Caption.

    Returns:
        A `matplotlib.figure.Figure`. No run is both more accurate and cheaper than a run
        on the line.
    """
    rows = sorted(
        (row for row in rows if row["mflops"]), key=lambda row: (row["mflops"], -row["mean"])
    )
    best, front = -math.inf, []
    for row in rows:
        if row["mean"] > best:
            best = row["mean"]
            front.append(row)
    figure, axes = style.new_axes(8.2, 4.8, title)
    corners = [[row[key] for row in front] for key in ("mflops", "mean")]
    axes.step(*corners, where="post", color=style.PALE_BLUE, linewidth=2.5, zorder=1)
    axes.set_xscale("log")
    axes.set(xlabel="million floating-point operations for one image", ylabel="accuracy")
    style.label_log_axis(axes.xaxis)
    style.show_percents(axes.yaxis)
    axes.margins(x=0.12, y=0.12)
    points = [
        (row["mflops"], row["mean"], row["run"], style.BLUE if row in front else style.GREY)
        for row in (*front, *(row for row in rows if row not in front))
    ]
    for mflops, mean, _, color in points:
        axes.plot(mflops, mean, "o", color=color, markersize=5)
    style.name_points(figure, axes, points)
    return figure
