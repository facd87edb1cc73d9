"""Metrics, calibration, robustness, Grad-CAM, label errors and cost of a model."""

from cnn_cifar10.evaluation.calibration import (
    expected_calibration_error,
    fit_temperature,
    reliability,
    with_temperature,
)
from cnn_cifar10.evaluation.gradcam import grad_cam, with_class_activation
from cnn_cifar10.evaluation.label_errors import likely_label_errors
from cnn_cifar10.evaluation.metrics import (
    HEADLINE,
    METRICS,
    Evaluation,
    Metric,
    compared_metrics,
    confident_mistakes,
    confusion_matrix,
    most_confused,
    wilson_interval,
)
from cnn_cifar10.evaluation.predict import evaluate_split, with_test_time_augmentation
from cnn_cifar10.evaluation.profiling import (
    count_flops,
    count_training_flops,
    measure_latency,
    profile_model,
)
from cnn_cifar10.evaluation.robustness import CORRUPTIONS, corrupt, evaluate_corruptions

__all__ = [
    "CORRUPTIONS", "HEADLINE", "METRICS", "Evaluation", "Metric", "compared_metrics",
    "confident_mistakes", "confusion_matrix", "corrupt", "count_flops", "count_training_flops",
    "evaluate_corruptions", "evaluate_split", "expected_calibration_error", "fit_temperature",
    "grad_cam", "likely_label_errors", "measure_latency", "most_confused", "profile_model",
    "reliability", "wilson_interval", "with_class_activation", "with_temperature",
    "with_test_time_augmentation",
]  # fmt: skip
