"""Figures that follow a slider."""

import importlib.util
import os
from collections.abc import Callable
from typing import Any

from matplotlib.figure import Figure

_LIVE = ("JPY_SESSION_NAME", "COLAB_RELEASE_TAG")  # set by Jupyter's server, and by Colab


def plot_with_slider(
    draw: Callable[..., Figure], **sliders: tuple[float, float, float, float]
) -> Any:
    """Show a figure, with sliders for its arguments where somebody can move them.

    That is in a notebook that is open in Jupyter or Colab, with `ipywidgets` installed.
    Elsewhere, as where a notebook is run by a command or only read, the figure stands still.

    Args:
        draw: Function of the arguments that returns a `matplotlib.figure.Figure`.
        **sliders: Names of arguments to their `(lowest, highest, step, first)` values.

    Returns:
        The figure for the first values, or an `ipywidgets.interactive` of it.

    Example:
        >>> plot_with_slider(lambda count: plot_images(images[:int(count)]), count=(1, 8, 1, 4))
    """
    first: dict[str, Any] = {name: value for name, (*_, value) in sliders.items()}
    if not any(map(os.environ.get, _LIVE)) or importlib.util.find_spec("ipywidgets") is None:
        return draw(**first)
    from ipywidgets import FloatSlider, interactive

    moved = {
        name: FloatSlider(min=low, max=high, step=step, value=value, continuous_update=False)
        for name, (low, high, step, value) in sliders.items()
    }
    return interactive(draw, {"auto_display": True}, **moved)
