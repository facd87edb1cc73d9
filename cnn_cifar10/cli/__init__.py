"""The command line: one file a command."""

from cnn_cifar10.cli.main import main

__all__ = ["main"]
