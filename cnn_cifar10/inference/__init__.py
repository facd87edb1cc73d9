"""Inference with an exported model: images to classes and probabilities, without Keras."""

from cnn_cifar10.inference.artifact import (
    DESCRIPTION,
    MODEL_FILE,
    SHIPPED,
    ArtifactError,
    read_description,
    shipped_artifact,
)
from cnn_cifar10.inference.classifier import Classifier, Prediction, open_session

__all__ = [
    "DESCRIPTION", "MODEL_FILE", "SHIPPED", "ArtifactError", "Classifier", "Prediction",
    "open_session", "read_description", "shipped_artifact",
]  # fmt: skip
