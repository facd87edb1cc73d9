"""A run in other formats, each compared with Keras, and its model card."""

import importlib

from cnn_cifar10.exporting.formats import FORMATS, Format

__all__ = ["FORMATS", "Format", "export_run", "format_comparison"]


def __getattr__(name):
    """Load what exports when it is asked for: to name the formats takes neither NumPy nor it."""
    files = {"export_run": "export", "format_comparison": "model_card"}
    if name not in files:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{files[name]}"), name)
