"""References to code: `module:name`, or `path/to/file.py:name`."""

import contextlib
import hashlib
import importlib.util
import inspect
import pkgutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cnn_cifar10.utils.errors import InputError


def load(reference: Any) -> Any:
    """Return the object that a reference names; one that is no string is returned as it is.

    A file is run once in a process. Its folder is added to the places that Python imports from.

    Raises:
        InputError: If there is no such file or module, or nothing of that name in it.
    """
    if not isinstance(reference, str):
        return reference
    path, _, name = reference.rpartition(":")
    try:
        if path.endswith(".py"):
            return getattr(_load_file(Path(path).resolve()), name)
        return pkgutil.resolve_name(reference)
    except InputError:
        raise
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"{reference}: cannot be loaded: {error}") from error


def _load_file(path):
    module_name = f"{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if module_name in sys.modules:
        return sys.modules[module_name]
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    spec = importlib.util.spec_from_file_location(module_name, path)
    module = importlib.util.module_from_spec(spec)
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    sys.modules[module_name] = module
    with contextlib.ExitStack() as undo:  # where the file cannot be run
        undo.callback(sys.modules.pop, module_name)
        spec.loader.exec_module(module)
        undo.pop_all()
    return module


def find_file(reference: str) -> tuple[Path, str] | None:
    """Return the file and the name of a reference, without running it; `None` if it has no file."""
    path, _, name = reference.rpartition(":")
    if path.endswith(".py"):
        return Path(path), name
    if path == "__main__":
        return None
    try:
        spec = importlib.util.find_spec(path)
    except (ImportError, ValueError):
        spec = None
    return (Path(spec.origin), name) if spec and spec.origin and spec.has_location else None


def name_of(function: Callable) -> str:
    """Return the reference of a function that stands at the top level of a module.

    Raises:
        InputError: If it does not.
    """
    name = getattr(function, "__qualname__", "")
    reference = f"{getattr(function, '__module__', '')}:{name}"
    if not name.isidentifier():
        raise InputError(f"{reference}: must be a function at the top level of a module")
    return reference


def source_of(reference: Any) -> dict[str, str]:
    """Return where code came from: its `source` and the `sha256` of its file, or of its text."""
    if not isinstance(reference, str):
        reference = name_of(reference)
    if (found := find_file(reference)) and found[0].is_file():
        text = found[0].read_bytes()
    else:  # a notebook's
        text = inspect.getsource(load(reference)).encode()
    return {"source": reference, "sha256": hashlib.sha256(text).hexdigest()}
