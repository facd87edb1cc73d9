"""Notebooks find what they import; `make test-slow` runs them all."""

import ast
import importlib
import json
import re
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


def imported(source):
    """Yield the module and the name of everything that code imports from the library."""
    source = re.sub(r"^(\s*)[%!].*$", r"\1pass", source, flags=re.M)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("cnn_cifar10"):
            yield from ((node.module, alias.name) for alias in node.names)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_a_notebook_imports_is_there(path):
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    found = {pair for cell in cells for pair in imported("".join(cell["source"]))}
    assert found
    missing = {pair for pair in found if not hasattr(importlib.import_module(pair[0]), pair[1])}
    assert not missing
