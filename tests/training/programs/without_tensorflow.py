"""Imported first: from here on, TensorFlow is not there."""

import importlib.util
import sys


class Blocker:
    """Finds no TensorFlow."""

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "tensorflow":
            raise ModuleNotFoundError(f"blocked: {name}", name="tensorflow")


sys.meta_path.insert(0, Blocker())

_find = importlib.util.find_spec
# Torch asks in this way whether it is there.
importlib.util.find_spec = lambda name, *more: None if name == "tensorflow" else _find(name, *more)
