"""Class activation maps laid over their images."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def overlay(image: "np.ndarray", map: "np.ndarray") -> "np.ndarray":
    """Lay a map, in warm colours, over an image in grey.

    Args:
        image: Array `(height, width, 3)`, values 0 to 255.
        map: Array `(height, width)` in [0, 1], from `grad_cam` or `Classifier.explain`.

    Returns:
        float array `(height, width, 3)`, values 0 to 255.
    """
    import matplotlib
    import numpy as np

    grey = np.repeat(np.mean(image, axis=-1, keepdims=True), 3, axis=-1)
    colors = 255 * matplotlib.colormaps["inferno"](map)[..., :3]
    return 0.45 * grey + 0.55 * colors
