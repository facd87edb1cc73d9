"""Files from anyone: regular, of a bounded size, and what a JSON file of them holds."""

import json
import os
import stat
from pathlib import Path
from typing import Any

from cnn_cifar10.utils.errors import InputError

MODEL_BYTES = 2**31 - 1
"""Bytes of the largest model that is opened: more than any network here has."""

JSON_BYTES = 2**25
"""Bytes of the largest JSON file that is read."""


def check_file_size(path: str | Path, limit: int, error: type[Exception] = InputError) -> int:
    """Return the bytes of a file, before any of them is read.

    Raises:
        OSError: If there is no such file.
        InputError: If it is no regular file (a pipe or a device may never end), or is larger.
    """
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise error(f"{os.fspath(path)}: not a regular file")
    if status.st_size > limit:
        raise error(
            f"{os.fspath(path)}: has {status.st_size:,} bytes, of which {limit:,} at most are read"
        )
    return status.st_size


def read_bounded(path: str | Path, limit: int, error: type[Exception] = InputError) -> bytes:
    """Return what a file holds, within the limits of `check_file_size`."""
    check_file_size(path, limit, error)
    with open(path, "rb") as file:
        return file.read(limit)


def parse_object(data: bytes, place: str | Path, what: str, error: type[Exception]) -> dict:
    """Return the dict that JSON holds, or raise an `error` that calls it `what`."""
    try:
        found: Any = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as fault:
        raise error(f"{os.fspath(place)}: cannot read the {what}: {fault}") from fault
    if not isinstance(found, dict):
        raise error(f"{os.fspath(place)}: holds no {what}: expected a JSON object")
    return found
