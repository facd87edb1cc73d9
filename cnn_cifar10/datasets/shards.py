"""Shards: files of many records (ArrayRecord), written whole and read by position."""

import functools
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cnn_cifar10.utils import replacing, require_package

_PLACE = re.compile(r"(.+\.array_record)#(\d+)", re.DOTALL)
_OPTIONS = "group_size:1,uncompressed"  # one record is read at a time, and images are compressed


def import_array_record() -> Any:
    """Import the module that reads and writes shards, and return it.

    Raises:
        InputError: If it is not installed.
    """
    require_package("array_record", "records need", "'cnn-cifar10[records]'")
    from array_record.python import array_record_module

    return array_record_module


def write_shard(path: Path, records: Iterable[bytes]) -> None:
    """Write a shard, which is there as a whole or not at all.

    The same records make the same bytes.

    Raises:
        OSError: If it cannot be written.
    """
    module = import_array_record()
    with replacing(path) as part:
        writer = module.ArrayRecordWriter(os.fspath(part), _OPTIONS)
        try:
            for record in records:
                writer.write(record)
            writer.close()
        except RuntimeError as error:
            raise OSError(None, str(error), os.fspath(path)) from error


def place_of(shard: str, position: int) -> str:
    """Return what stands for a record in the place of the path of a file."""
    return f"{shard}#{position}"


def find_record(path: str | os.PathLike) -> tuple[str, int] | None:
    """Return shard and position of what `place_of` returned, `None` for paths of files."""
    found = _PLACE.fullmatch(os.fspath(path))
    return (found[1], int(found[2])) if found else None


def read_record(shard: str, position: int) -> bytes:
    """Return a record, whose checksum the library compares.

    Raises:
        OSError: If the shard is missing or damaged.
    """
    try:
        return _reader(os.getpid(), shard).read([position])[0]
    except RuntimeError as error:
        raise OSError(None, f"damaged, {' '.join(str(error).split())}", shard) from error


@functools.lru_cache(maxsize=256)
def _reader(process_id, shard):  # after a fork, the parent's threads do not run
    return import_array_record().ArrayRecordReader(shard)
