"""Train a model: `python train.py --dataset cifar10 --model custom_cnn`."""

import sys

from cnn_cifar10.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
