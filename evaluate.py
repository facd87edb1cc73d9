"""Evaluate a trained model: `python evaluate.py models/cifar10-custom_cnn-seed0`."""

import sys

from cnn_cifar10.cli import main

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))
