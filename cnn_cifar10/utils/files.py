"""Atomic writes of JSON, CSV, Markdown and figures; the cache folder."""

import contextlib
import csv
import errno
import hashlib
import io
import itertools
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnn_cifar10.utils.bounded import JSON_BYTES, parse_object, read_bounded
from cnn_cifar10.utils.errors import (
    InputError,
    existing_part,
    format_size,
    free_space,
    naming_file,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SEAL = "sha256"  # the key of a dict's own checksum


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path to write to, which takes the place of `path` when that went well.

    Whatever ends the process or the machine, there is the file before or the new one, whole.
    Errors of the system name `path`.
    """
    part = path.with_name(f".part{os.getpid()}.{path.name}")
    try:
        with naming_file(path, part):
            yield part
            _sync(part)
            os.replace(part, path)
            if os.name == "posix":
                _sync(path.parent)
    finally:
        if part.exists():
            part.unlink()


def _sync(path):
    handle = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some disks of a network cannot
            raise
    finally:
        os.close(handle)


def clear_parts(folder: Path, name: str = "*") -> None:
    """Delete what processes left that were killed while they wrote to a folder.

    Args:
        folder: Folder whose lock is held.
        name: Name of one file; all where omitted.
    """
    for path in folder.glob(f".part[0-9]*.{name}"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def check_writable(folder: Path, error: type[InputError], cure: str) -> None:
    """Raise an `error`, with a cure, where a folder cannot be written, or made."""
    place = existing_part(folder)
    if not (place.is_dir() and os.access(place, os.W_OK | os.X_OK)):
        raise error(f"{folder}: cannot be written; {cure}")


def check_space(folder: Path, needed: int, error: type[InputError], cure: str) -> None:
    """Raise an `error`, with a cure, where a folder's disk has too little space."""
    free = free_space(folder)
    if needed > free:
        needs = f"about {format_size(needed)} are needed there, {format_size(free)} are free"
        raise error(f"{folder}: {needs}; {cure}")


def format_json(document: Any) -> str:
    """Return a document as indented JSON."""
    return json.dumps(document, indent=2) + "\n"


def write_json(path: Path, document: Any) -> None:
    """Write a document as indented JSON."""
    with replacing(path) as part:
        part.write_text(format_json(document), encoding="utf-8", newline="\n")


def read_object(path: str | Path, what: str, error: type[Exception]) -> dict[str, Any]:
    """Return the dict that a JSON file holds, or raise an `error` that calls it `what`."""
    try:
        data = read_bounded(path, JSON_BYTES, error)
    except OSError as fault:
        raise error(f"{path}: cannot read the {what}: {fault.strerror or fault}") from fault
    return parse_object(data, path, what, error)


def write_sealed(path: Path, document: dict[str, Any]) -> None:
    """Write a dict as JSON that holds its own checksum, for `read_sealed`."""
    write_json(path, {**document, _SEAL: _digest(document)})


def read_sealed(path: str | Path, what: str, error: type[Exception]) -> dict[str, Any]:
    """Return the dict that `write_sealed` wrote; one without a checksum is taken as it is.

    Raises an `error` that calls it `what` where it cannot be read or is damaged.
    """
    found = read_object(path, what, error)
    *_, last = found.values() or [None]
    seal = found.pop(_SEAL, None)
    # Where the key itself is damaged, its value still stands at the end.
    is_sealed = seal is not None or re.fullmatch("[0-9a-f]{64}", str(last))
    if is_sealed and seal != _digest(found):
        raise error(f"{path}: the {what} is damaged; restore a copy, or begin anew")
    return found


def _digest(document):
    text = json.dumps(json.loads(json.dumps(document)), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def write_page(path: Path, text: str) -> None:
    """Write a page of Markdown."""
    with replacing(path) as part:
        part.write_text(text + "\n", encoding="utf-8", newline="\n")


def write_figure(path: Path, figure: "Figure", dpi: int = 110) -> None:
    """Write a figure as PNG."""
    with replacing(path) as part:
        figure.savefig(part, format="png", dpi=dpi)


def write_csv(path: Path, header: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    """Write rows of cells as CSV."""
    with replacing(path) as part:
        part.write_bytes(format_csv(header, rows).encode())


def read_csv(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file by the names of its columns; none where there is no file."""
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def format_csv(header: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """Return rows of cells as CSV."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(itertools.chain([header], rows))
    return text.getvalue()


def cache_folder() -> Path:
    """Return where to keep what can be computed again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cnn-cifar10"
