"""Shared by the tests of inference: the collection of hostile files."""

import importlib.util
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def hostile():
    """The module `hostile.py` beside this."""
    if "hostile" not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            "hostile", Path(__file__).parent / "hostile.py"
        )
        sys.modules["hostile"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["hostile"])
    return sys.modules["hostile"]
