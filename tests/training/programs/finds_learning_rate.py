"""Prints a range test on digits, on a backend that is not TensorFlow."""

import without_tensorflow  # noqa: F401

# isort: split
import dataclasses
import json

from cnn_cifar10.configs import make_config
from cnn_cifar10.datasets import load_dataset
from cnn_cifar10.training import find_learning_rate

options = {"width": 8, "depth": 1}
config = make_config(dataset="digits", model_options=options, batch_size=64, augment="none")
found = find_learning_rate(config, load_dataset("digits"), steps=40, verbose=0)
print(json.dumps(dataclasses.asdict(found)))
