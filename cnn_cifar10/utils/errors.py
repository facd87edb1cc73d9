"""Errors of input that cannot be used, and of files."""

import contextlib
import errno
import functools
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

from cnn_cifar10.utils.printing import printable

logger = logging.getLogger(__name__)

_FULL = (errno.ENOSPC, errno.EDQUOT)
_CURES = {
    **dict.fromkeys(_FULL, "free some, or name a folder on another disk"),
    **dict.fromkeys(
        (errno.EROFS, errno.EACCES, errno.EPERM), "name another place, or change its permissions"
    ),
    errno.EIO: "the disk may be failing",
    errno.ENOTDIR: "a part of the path is a file; name another place",
}

_MOST_LETTERS = 500  # of what others wrote


class InputError(ValueError):
    """What was given cannot be used; one line says what, where and what to do.

    Messages name what stood in files. So none is shown raw: each argument becomes one line,
    without characters that would move the cursor, break the line or turn its direction.
    """

    def __str__(self):
        return "\n  ".join(printable(str(line)) for line in self.args)


def require(holds: object, error: type[Exception], expected: str, received: object) -> None:
    """Raise an error that says what was expected and what was received, unless that holds."""
    if not holds:
        raise error(f"{expected}, received {_short(repr(received))}")


def first_line(error: BaseException) -> str:
    """Return what an error of a library says in its first line; its type if it says nothing."""
    lines = (line for line in str(error).splitlines() if line.strip())
    return _short(next(lines, type(error).__name__))


def _short(text):
    return text if len(text) <= _MOST_LETTERS else f"{text[:_MOST_LETTERS]}…"


@functools.cache
def warn_once(message: str) -> None:
    """Say in the log what is wrong, the first time that it is noticed."""
    logger.warning(printable(message))


def describe_os_error(error: OSError) -> str:
    """Return one line of an error of the system: the file, what happened, what to do."""
    cure = _CURES.get(error.errno or 0)
    if error.filename is None or error.strerror is None:
        return f"{error}; {cure}" if cure else str(error)
    reason = error.strerror
    if error.errno in _FULL:
        reason += f", {format_size(free_space(Path(error.filename)))} are free"
    return f"{error.filename}: {reason}{f'; {cure}' if cure else ''}"


@contextlib.contextmanager
def naming_file(path: Path, part: Path | None = None) -> Iterator[None]:
    """Name a file in errors of the system that name none, or only the part of it."""
    try:
        yield
    except OSError as error:
        if error.filename not in (None, str(part), part):  # that of another file
            raise
        reason = error.strerror or first_line(error)
        raise OSError(error.errno, reason, str(path)) from error


def free_space(path: Path) -> int:
    """Return the bytes that are free where a path is or will be."""
    return shutil.disk_usage(existing_part(path)).free


def existing_part(path: Path) -> Path:
    """Return the path, or the nearest folder above it that exists."""
    return next(each for each in (path, *path.absolute().parents) if each.exists())


def format_size(count: int) -> str:
    """Return a number of bytes as people read it, such as `"12.3 MB"`."""
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count / 1e3:.0f} KB"
