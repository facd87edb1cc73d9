"""Pixels of image files, decoded once and kept on disk: checked, bounded, shared by processes."""

import contextlib
import hashlib
import os
import shutil
import sqlite3
import weakref
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cnn_cifar10.utils import InputError, cache_folder, warn_once

try:
    import fcntl
except ImportError:  # Windows, which removes no file that is open
    fcntl = None  # type: ignore[assignment]


@contextlib.contextmanager
def faults_warned(path: Path) -> Iterator[None]:
    """Make faults of an SQLite file warnings, and remove the file if it is damaged.

    What is inside `with` ends at a fault; what follows goes on.
    """
    try:
        yield
    except (OSError, sqlite3.OperationalError) as error:
        warn_once(f"{path} cannot be used, so images are decoded again ({error})")
    except sqlite3.DatabaseError as error:
        warn_once(f"{path} is damaged, so images are decoded again ({error})")
        with contextlib.suppress(OSError):
            _unlink(path)


@contextlib.contextmanager
def open_database(path: Path, table: str) -> Iterator[sqlite3.Connection]:
    """Open an SQLite file; processes that are killed leave whole transactions.

    Args:
        path: The file, made unless it exists.
        table: The statement that makes its table.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(sqlite3.connect(path, 60, isolation_level=None)) as database:
        database.execute("PRAGMA synchronous = OFF")  # a loss of power may damage it: no matter
        database.execute(table)
        yield database


class PixelCache:
    """Pixels of one size, by the digests of the files that they were decoded from.

    Threads and processes may use one file at once. What it lacks is decoded again.

    Args:
        path: The SQLite file. It is not removed as long as this object lives.
    """

    def __init__(self, path: Path):
        self.path = path
        mark = os.open(_mark(path), os.O_RDWR | os.O_CREAT)
        weakref.finalize(self, os.close, mark)
        if fcntl:
            fcntl.flock(mark, fcntl.LOCK_SH)
        os.utime(_mark(path))

    def __reduce__(self):
        return PixelCache, (self.path,)

    def read(self, digests: np.ndarray, images: np.ndarray) -> np.ndarray:
        """Copy pixels into `images`, and return the positions of those that are not here.

        Args:
            digests: Shape `(n,)`, of the files, as `Scan` has them.
            images: `uint8` array of shape `(n, height, width, 3)`.
        """
        missing = np.ones(len(digests), bool)
        with faults_warned(self.path), open_database(self.path, _TABLE) as database:
            query = "SELECT checksum, pixels FROM images WHERE digest = ?"
            for i, digest in enumerate(digests.tolist()):
                for checksum, pixels in database.execute(query, (digest,)):
                    if len(pixels) == images[i].nbytes and zlib.crc32(pixels) == checksum:
                        images[i] = np.frombuffer(pixels, "uint8").reshape(images.shape[1:])
                        missing[i] = False
                    else:
                        warn_once(f"{self.path} is damaged, so images are decoded again")
        return np.flatnonzero(missing)

    def write(self, digests: np.ndarray, images: np.ndarray) -> None:
        """Keep pixels, if there is room; arguments as for `read`."""
        if not _make_room(self.path, images.nbytes):
            warn_once(f"{self.path.parent} has no room for more images; {_BOUND} sets its bound")
            return
        rows = [
            (digest, zlib.crc32(image), image.data)
            for digest, image in zip(digests.tolist(), images, strict=True)
        ]
        with faults_warned(self.path), open_database(self.path, _TABLE) as database:
            database.execute("BEGIN IMMEDIATE")
            database.executemany("INSERT OR REPLACE INTO images VALUES (?, ?, ?)", rows)
            database.execute("COMMIT")


_TABLE = "CREATE TABLE IF NOT EXISTS images (digest BLOB PRIMARY KEY, checksum INT, pixels BLOB)"
_BOUND = "CNN_CIFAR10_CACHE_GB"


def open_cache(key: str, size: int) -> PixelCache | None:
    """Return the cache of a key, after making room for it.

    Args:
        key: What tells its pixels from others: folder, size, fit and decoder.
        size: Bytes of all of its pixels.

    Returns:
        `None` where there is no room, or no cache can be written, with a warning. All
        caches together take `CNN_CIFAR10_CACHE_GB` at most: by default 20 GB, or a fifth
        of the disk that is free if that is less; 0 turns them off without a warning.

    Raises:
        InputError: If `CNN_CIFAR10_CACHE_GB` is no number of gigabytes.
    """
    folder = cache_folder() / "images"
    name = hashlib.sha256(os.fsencode(key)).hexdigest()[:32]
    path = folder / f"{name}.sqlite"
    if os.environ.get(_BOUND) == "0":
        return None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if _bytes(path) > 2 * size + 10**7:  # of images that were replaced
            with contextlib.suppress(OSError):
                _remove(path)
        if _make_room(path, max(0, size - _bytes(path))):
            return PixelCache(path)
        warn_once(
            f"{folder} has no room for {size / 1e9:.1f} GB of pixels, so images are decoded in "
            f"each epoch; {_BOUND} sets its bound"
        )
    except OSError as error:
        warn_once(f"{folder} cannot be used, so images are decoded in each epoch ({error})")
    return None


def _make_room(path, needed):
    """Remove files that were used longest ago and are not in use now, until this one fits."""
    files = sorted(path.parent.glob("*.sqlite"), key=_last_used)
    taken = sum(map(_bytes, files))
    limit = _limit(shutil.disk_usage(path.parent).free + taken)
    for file in files:
        if taken + needed > limit and file != path:
            size = _bytes(file)
            with contextlib.suppress(OSError):
                _remove(file)
                taken -= size
    return taken + needed <= limit


def _limit(free):
    if not (text := os.environ.get(_BOUND)):
        return min(20e9, free / 5)
    with contextlib.suppress(ValueError):
        if (limit := float(text)) >= 0:
            return 1e9 * limit
    raise InputError(f"{_BOUND}: {text!r} is not a number of gigabytes, 0 or more")


def _remove(path):
    """Remove a file, or raise an `OSError` where a process uses it."""
    with contextlib.ExitStack() as stack:
        if fcntl:
            mark = stack.enter_context(open(_mark(path), "a"))
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _mark(path).unlink(missing_ok=True)
        _unlink(path)


def _unlink(path):
    Path(f"{path}-journal").unlink(missing_ok=True)  # which would be applied to the next file
    path.unlink(missing_ok=True)


def _mark(path):
    """Return the file that is open and locked, and as new as the last use, while `path` is used."""
    return path.with_suffix(".lock")


def _last_used(path):
    with contextlib.suppress(FileNotFoundError):  # another process removes files too
        return _mark(path).stat().st_mtime
    return 0


def _bytes(path):
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size
    return 0
