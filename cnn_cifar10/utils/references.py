"""References to code: `module:name`, or `path/to/file.py:name`."""

import contextlib
import hashlib
import importlib.machinery
import importlib.util
import inspect
import pkgutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cnn_cifar10.utils.errors import InputError
from cnn_cifar10.utils.files import cache_folder

_TRUSTED = "trusted_code"  # a folder of the cache: a file for each digest


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


def digest_of(reference: str) -> str | None:
    """Return the SHA-256 of the file of a reference; `None` if there is none.

    Nothing is run for it, not even the package that a module is in.
    """
    place, _, _ = reference.rpartition(":")
    if place.endswith(".py"):
        path = Path(place)
    else:
        spec, folders, parts = None, None, place.split(".")
        for count in range(1, len(parts) + 1):
            name = ".".join(parts[:count])
            spec = importlib.machinery.PathFinder.find_spec(name, folders) if name else None
            if spec is None:
                return None
            folders = spec.submodule_search_locations or []
        path = Path(spec.origin or "") if spec else Path()
    if not path.is_file():
        return None
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def trust(digest: str) -> None:
    """Note that a file of code, by its SHA-256, is one that somebody here asked to run."""
    with contextlib.suppress(OSError):  # without a cache, it is asked for again
        folder = cache_folder() / _TRUSTED
        folder.mkdir(parents=True, exist_ok=True)
        (folder / digest).touch()


def is_trusted(digest: str | None) -> bool:
    """Return whether a file of code is one that somebody here asked to run."""
    return digest is not None and (cache_folder() / _TRUSTED / digest).is_file()


def is_own(source: dict[str, str]) -> bool:
    """Return whether what `source_of` returned is of code of this package."""
    return source["source"].startswith("cnn_cifar10.")


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
