"""Learning-rate range test."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from cnn_cifar10.plotting import style


@style.styled
def plot_range_test(
    learning_rates: Sequence[float],
    losses: Sequence[float],
    smoothed: Sequence[float],
    suggestion: float,
    title: str = "",
) -> Figure:
    """Draw the loss of a range test over the learning rate, with the suggestion marked.

    Args:
        learning_rates: Of each step, rising.
        losses: Of each step.
        smoothed: The losses, smoothed.
        suggestion: The learning rate to mark.
        title: Caption.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    figure, axes = style.new_axes(7.2, 4.0, title)
    axes.plot(learning_rates, losses, ".", color=style.GREY, markersize=4, label="of each step")
    axes.plot(learning_rates, smoothed, color=style.BLUE, label="smoothed")
    axes.axvline(
        suggestion, color=style.ORANGE, linestyle="--", label=f"{suggestion:.2g} suggested"
    )
    span = max(smoothed) - min(smoothed)
    axes.set_ylim(min(smoothed) - 0.2 * span, max(smoothed[0] + 0.5 * span, min(smoothed) + span))
    axes.set(xlabel="learning rate", ylabel="training loss", xscale="log")
    axes.legend()
    return figure
