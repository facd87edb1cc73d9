"""Training: from a config to a run on disk."""

from cnn_cifar10.training.build import build_model, compile_model
from cnn_cifar10.training.checkpoint import TrainingError
from cnn_cifar10.training.features import frozen_features
from cnn_cifar10.training.optimizers import Muon
from cnn_cifar10.training.precision import choose_precision
from cnn_cifar10.training.run import Run, open_run
from cnn_cifar10.training.train import load_data, train

__all__ = [
    "Muon", "Run", "TrainingError", "build_model", "choose_precision", "compile_model",
    "frozen_features", "load_data", "open_run", "train",
]  # fmt: skip
