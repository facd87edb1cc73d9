"""Arrays to figures; no metric is computed here.

Every function returns a `matplotlib.figure.Figure` that pyplot does not know of:
a notebook shows it once, as the value of its cell, and a script saves it with
`figure.savefig`, with or without a display.
"""

from cnn_cifar10.plotting.blocks import plot_blocks
from cnn_cifar10.plotting.comparisons import plot_comparison, plot_pareto
from cnn_cifar10.plotting.data import plot_class_counts, plot_image_sizes
from cnn_cifar10.plotting.heatmaps import (
    plot_agreement,
    plot_confusion_matrices,
    plot_confusion_matrix,
    plot_variant_grid,
)
from cnn_cifar10.plotting.histories import plot_histories, plot_history, plot_time_to_accuracy
from cnn_cifar10.plotting.images import plot_grad_cam, plot_images, plot_mistakes
from cnn_cifar10.plotting.lr_find import plot_range_test
from cnn_cifar10.plotting.metrics import plot_per_class, plot_reliability, plot_robustness
from cnn_cifar10.plotting.searches import plot_importances, plot_parallel_coordinates
from cnn_cifar10.plotting.sliders import plot_with_slider
from cnn_cifar10.plotting.studies import (
    plot_effects,
    plot_seeds,
    plot_variant_curve,
    plot_variants,
)

__all__ = [
    "plot_agreement", "plot_blocks", "plot_class_counts", "plot_comparison",
    "plot_confusion_matrices", "plot_confusion_matrix", "plot_effects", "plot_grad_cam",
    "plot_histories", "plot_history", "plot_image_sizes", "plot_images", "plot_importances",
    "plot_mistakes", "plot_parallel_coordinates", "plot_pareto", "plot_per_class",
    "plot_range_test", "plot_reliability", "plot_robustness", "plot_seeds",
    "plot_time_to_accuracy", "plot_variant_curve", "plot_variant_grid", "plot_variants",
    "plot_with_slider",
]  # fmt: skip
