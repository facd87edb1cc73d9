"""Sizes and shapes of images, and what cutting them to squares would lose."""

from typing import Any

import numpy as np


def measure_sizes(widths: np.ndarray, heights: np.ndarray) -> dict[str, Any]:
    """Return the least, median and most `width` and `height` in pixels, and shares in [0, 1].

    `beyond_2_to_1` is the share of images more than twice as long as wide, or as high;
    `cut_by_crop` what is cut off of a mean image where it becomes a square.
    """
    ratios = np.maximum(widths, heights) / np.minimum(widths, heights)
    return {
        "width": [int(each(widths)) for each in (np.min, np.median, np.max)],
        "height": [int(each(heights)) for each in (np.min, np.median, np.max)],
        "beyond_2_to_1": float(np.mean(ratios > 2)),
        "cut_by_crop": float(np.mean(1 - 1 / ratios)),
    }


def describe_sizes(sizes: dict[str, Any], fit: str) -> str:
    """Say in a sentence what `measure_sizes` returned, and what helps if `fit` cuts much."""
    (low, width, high), (short, height, tall) = sizes["width"], sizes["height"]
    line = f"All images are {low:,} pixels wide and {short:,} high"
    if (low, short) != (high, tall):
        line = (
            f"Images are {low:,} to {high:,} pixels wide and {short:,} to {tall:,} high, the "
            f"median {width:,} and {height:,}"
        )
    if fit == "crop" and sizes["cut_by_crop"] >= 0.1:
        line += f"; --fit crop cuts {sizes['cut_by_crop']:.0%} of a mean image, --fit pad nothing"
    return f"{line}."
