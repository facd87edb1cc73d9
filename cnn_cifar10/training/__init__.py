"""Training: from a config to a run on disk."""

from cnn_cifar10.training.build import build_model, compile_model
from cnn_cifar10.training.cost import Cost, estimate_cost
from cnn_cifar10.training.distribution import Process, join_processes
from cnn_cifar10.training.features import frozen_features
from cnn_cifar10.training.limits import check_size
from cnn_cifar10.training.look import Look, glance, look_at
from cnn_cifar10.training.lr_find import RangeTest, find_learning_rate
from cnn_cifar10.training.measure import (
    Speed,
    estimate_memory,
    measure_reading,
    measure_speed,
)
from cnn_cifar10.training.optimizers import Muon
from cnn_cifar10.training.plan import Plan, make_plan
from cnn_cifar10.training.precision import choose_precision
from cnn_cifar10.training.recorder import TrainingError
from cnn_cifar10.training.run import Run, RunError, open_run
from cnn_cifar10.training.train import check_run, load_data, train

__all__ = [
    "Cost", "Look", "Muon", "Plan", "Process", "RangeTest", "Run", "RunError", "Speed",
    "TrainingError", "build_model", "check_run", "check_size", "choose_precision",
    "compile_model", "estimate_cost", "estimate_memory", "find_learning_rate", "frozen_features",
    "glance", "join_processes", "load_data", "look_at", "make_plan", "measure_reading",
    "measure_speed", "open_run", "train",
]  # fmt: skip
