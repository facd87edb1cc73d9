"""Print the fingerprint of the digits."""

from cnn_cifar10.datasets import load_dataset

print(load_dataset("digits").fingerprint)
