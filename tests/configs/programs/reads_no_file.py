"""The configs are imported where no file can be read."""

import pathlib

pathlib.Path.read_text = None
pathlib.Path.open = None

import cnn_cifar10.configs  # noqa: E402

print(len(cnn_cifar10.configs.__all__))
