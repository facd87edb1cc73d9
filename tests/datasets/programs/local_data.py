"""Load data sets from disk, and print which libraries for deep learning that imported.

Arguments: a folder of class folders, and a folder of CIFAR-10.
"""

import sys

from cnn_cifar10.datasets import load_dataset

load_dataset("digits")
load_dataset("folder", sys.argv[1])
load_dataset("cifar10", sys.argv[2])
print([name for name in ("keras", "tensorflow", "jax", "torch") if name in sys.modules])
