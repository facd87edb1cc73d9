"""Export of a run to other formats, each compared with Keras; its model card; the Hub."""

import importlib

from cnn_cifar10.exporting.formats import FORMATS, Format

__all__ = [
    "FORMATS", "Format", "check_hub_folder", "export_run", "format_comparison", "push_folder",
    "write_hub_folder",
]  # fmt: skip


def __getattr__(name):
    """Import what exports when it is first used: a list of the formats needs no NumPy."""
    files = {
        "export_run": "export",
        "format_comparison": "model_card",
        **dict.fromkeys(("check_hub_folder", "push_folder", "write_hub_folder"), "hub"),
    }
    if name not in files:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{files[name]}"), name)
