"""Imports a package named jax, during which a signal comes, and says what became of it."""

import importlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "fake"))

from cnn_cifar10.utils import postpone_in_imports, sigterm_raises

postpone_in_imports()
try:
    with sigterm_raises():
        importlib.import_module("jax")
except KeyboardInterrupt as error:
    print(type(error).__name__)
else:
    print("swallowed")
