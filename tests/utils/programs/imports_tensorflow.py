"""Imports a package named tensorflow, quietly, and says what it found."""

import importlib
import importlib.util
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "fake"))

from cnn_cifar10.utils import quiet_tensorflow

quiet_tensorflow()
quiet_tensorflow()
assert importlib.util.find_spec("tensorflow").name == "tensorflow"  # asked for before it is used
tensorflow = importlib.import_module("tensorflow")

os.write(2, b"I0000 00:00:1 1 after.cc:1] written later\n")
print(len(tensorflow.LINES), os.environ["TF_CPP_MIN_LOG_LEVEL"])
