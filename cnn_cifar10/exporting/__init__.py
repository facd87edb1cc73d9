"""Export of a run to other formats, each compared with Keras; its model card; the Hub."""

import importlib
from typing import TYPE_CHECKING

from cnn_cifar10.exporting.formats import FORMATS, Format

if TYPE_CHECKING:
    from cnn_cifar10.exporting.export import export_run
    from cnn_cifar10.exporting.hub import check_hub_folder, push_folder, write_hub_folder
    from cnn_cifar10.exporting.model_card import format_comparison

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
