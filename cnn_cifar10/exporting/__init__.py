"""A run in other formats, each compared with Keras, and its model card."""

from cnn_cifar10.exporting.export import export_run
from cnn_cifar10.exporting.formats import FORMATS, Format
from cnn_cifar10.exporting.model_card import format_comparison

__all__ = ["FORMATS", "Format", "export_run", "format_comparison"]
