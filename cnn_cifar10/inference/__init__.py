"""Inference with an exported model: images to classes and probabilities, without Keras."""

from cnn_cifar10.inference.artifact import (
    DESCRIPTION,
    MODEL_FILES,
    SHIPPED,
    ArtifactError,
    read_description,
    shipped_artifact,
)
from cnn_cifar10.inference.classifier import Classifier, Prediction
from cnn_cifar10.inference.outputs import csv_rows, embeddings_file, sorted_images
from cnn_cifar10.inference.session import open_session

__all__ = [
    "DESCRIPTION", "MODEL_FILES", "SHIPPED", "ArtifactError", "Classifier", "Prediction",
    "csv_rows", "embeddings_file", "open_session", "read_description", "shipped_artifact",
    "sorted_images",
]  # fmt: skip
