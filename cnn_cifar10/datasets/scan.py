"""One pass over image files: content digests, damage, sizes, formats and thumbnails."""

import dataclasses
import hashlib
import math
import os
import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from cnn_cifar10.datasets.cache import faults_warned, open_cache, open_database
from cnn_cifar10.datasets.images import (
    FEW_FILES,
    ImageError,
    ImageFiles,
    decoder_version,
    fit_image,
    load_image,
    read_file,
)
from cnn_cifar10.datasets.workers import call_each
from cnn_cifar10.utils import cache_folder, usable_cores

THUMBNAIL = 16
"""Height and width of a thumbnail in pixels."""

MOST_COMPARED = 200_000
"""Files of which thumbnails are held in memory, to compare them."""

NOT_COMPARED = (
    f"Of more than {MOST_COMPARED:,} images only exact copies are looked for, and no groups by "
    "their names."
)
"""What a report says of more files than `MOST_COMPARED`."""

_BOX = 4  # Pillow's `Resampling.BOX`, the mean of all pixels


@dataclass(frozen=True, eq=False)
class Scan:
    """What was found in image files: one entry a file, in the order of the paths.

    Args:
        paths: The files.
        faults: Why a file cannot be used; `None` for those that can.
        digests: `S32`, SHA-256 of the content of each file; empty where it cannot be read.
        thumbnails: `uint8` of shape `(n, 16, 16, 3)`, the whole image stretched; 0 where it
            is faulty. Of more than `MOST_COMPARED` files there are none: `(0, 16, 16, 3)`.
        heights: Height in pixels of each image as it is shown; 0 where it is faulty.
        widths: Width in pixels, likewise.
        formats: Format of each file, such as `"JPEG"`; empty where it is faulty.
        bytes: Size of each file; 0 where it is unknown.
        images: The files as `ImageFiles`, with what the cache has of their pixels; `None`
            without a size.
    """

    paths: list[str]
    faults: list[str | None]
    digests: np.ndarray
    thumbnails: np.ndarray
    heights: np.ndarray
    widths: np.ndarray
    formats: list[str]
    bytes: np.ndarray
    images: ImageFiles | None = None

    def __len__(self) -> int:
        return len(self.paths)

    def take(self, index: slice | np.ndarray, size: tuple[int, int] | None, fit: str) -> "Scan":
        """Return what was found in some of the files; `size` and `fit` as for `scan_images`."""
        lists = ("paths", "faults", "formats")
        arrays = ["digests", "heights", "widths", "bytes"]
        if len(self.thumbnails):
            arrays.append("thumbnails")
        some = {name: np.array(getattr(self, name), object)[index].tolist() for name in lists}
        some |= {name: getattr(self, name)[index] for name in arrays}
        images = _image_files(some["paths"], size, fit, some["digests"])
        return dataclasses.replace(self, **some, images=images)


def scan_images(
    paths: Sequence[str],
    *,
    size: tuple[int, int] | None,
    fit: str,
    progress: bool | None = None,
) -> Scan:
    """Read and decode every file once; not those that an earlier scan read and are unchanged.

    What is found is kept in the cache folder as it is found, so that an interrupted scan
    goes on where it was.

    Args:
        paths: The files.
        size: `(height, width)` in pixels of what goes to the cache of pixels; `None` for
            nothing.
        fit: As for `read_image`.
        progress: Whether progress is shown on stderr: a bar and the time left, or a line
            each half minute where that is no terminal. `None` shows it if it takes a while.
    """
    scan = _empty_scan([os.fspath(path) for path in paths], size, fit)
    unknown = _recall(scan)
    with progress_bar(len(unknown), progress) as bar:
        shape = size if scan.images and scan.images.cache else (64, 64)
        for places, found, images in _examine_all(scan, unknown, shape, fit):
            for i, (length, _, record) in zip(places, found, strict=True):
                _enter(scan, i, length, record)
            _remember([scan.paths[i] for i in places], found)
            if len(images):
                cached = [i for i in places if scan.heights[i]]
                scan.images.cache.write(scan.digests[cached], images)
            bar.update(len(places))
    return scan


def _empty_scan(paths, size, fit):
    n = len(paths)
    held = n if n <= MOST_COMPARED else 0
    thumbnails = np.zeros((held, THUMBNAIL, THUMBNAIL, 3), "uint8")
    digests, heights, widths, sizes = (np.zeros(n, dtype) for dtype in ("S32", int, int, int))
    images = _image_files(paths, size, fit, digests)
    faults, formats = [None] * n, [""] * n
    return Scan(paths, faults, digests, thumbnails, heights, widths, formats, sizes, images)


def _image_files(paths, size, fit, digests):
    """Return files with what the cache has of their pixels; `None` without a size."""
    cache = None
    if size is None:
        return None
    if paths:
        ends = [os.path.abspath(path) for path in (min(paths), max(paths))]
        try:
            root = os.path.commonpath(ends)
        except ValueError:  # on two drives
            root = os.pathsep.join(ends)
        key = repr((root, size, fit, decoder_version()))
        cache = open_cache(key, len(paths) * 3 * math.prod(size))
    return ImageFiles(paths, size, fit, digests, cache)


def _stamp(path):
    """Return the size of a file, and what changes with its content."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return 0, ""
    stamp = f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {decoder_version()}"
    return status.st_size, stamp


def _key(path):
    return os.fsencode(os.path.abspath(path))


_TABLE = """CREATE TABLE IF NOT EXISTS images (path BLOB PRIMARY KEY, stamp TEXT, fault TEXT,
digest BLOB, format TEXT, height INT, width INT, thumbnail BLOB, checksum INT)"""
_LARGEST = 2_000_000  # files to remember, in 2 GB


def _recall(scan):
    """Enter what is known from earlier scans, and return the positions of other files."""
    known = np.zeros(len(scan), bool)
    columns = ", ".join((*_Record._fields, "checksum"))
    query = f"SELECT {columns} FROM images WHERE path = ? AND stamp = ?"
    file = cache_folder() / "scan.sqlite"
    with faults_warned(file), open_database(file, _TABLE) as database:
        (any_known,) = database.execute("SELECT EXISTS (SELECT 1 FROM images)").fetchone()
        for i, path in enumerate(scan.paths if any_known else ()):
            size, stamp = _stamp(path)
            for *record, checksum in database.execute(query, (_key(path), stamp)):
                known[i] = _checksum(record) == checksum and _suffices(_Record(*record), scan)
                if known[i]:
                    _enter(scan, i, size, record)
    return np.flatnonzero(~known)


def _suffices(record, scan):
    """Return whether a record has the thumbnail that the scan holds of each image."""
    return bool(record.thumbnail or record.fault or not len(scan.thumbnails))


def _remember(paths, found):
    rows = [
        (_key(path), stamp, *record, _checksum(record))
        for path, (_, stamp, record) in zip(paths, found, strict=True)
        if record.digest and stamp  # others may be read next time
    ]
    file = cache_folder() / "scan.sqlite"
    with faults_warned(file), open_database(file, _TABLE) as database:
        database.execute("BEGIN IMMEDIATE")
        database.executemany("INSERT OR REPLACE INTO images VALUES (?,?,?,?,?,?,?,?,?)", rows)
        database.execute("DELETE FROM images WHERE rowid <= last_insert_rowid() - ?", (_LARGEST,))
        database.execute("COMMIT")


class _Record(NamedTuple):
    fault: str | None
    digest: bytes
    format: str = ""
    height: int = 0
    width: int = 0
    thumbnail: bytes = b""


def _checksum(record):
    *others, thumbnail = record
    return zlib.crc32(thumbnail or b"", zlib.crc32(repr(others).encode()))


def _enter(scan, i, size, record):
    fault, digest, kind, height, width, thumbnail = record
    scan.faults[i], scan.digests[i], scan.formats[i] = fault, digest, sys.intern(kind)
    scan.heights[i], scan.widths[i], scan.bytes[i] = height, width, size
    if thumbnail and len(scan.thumbnails):
        scan.thumbnails[i] = np.frombuffer(thumbnail, "uint8").reshape(scan.thumbnails.shape[1:])


def progress_bar(count: int, progress: bool | None, what: str = "Reading images"):
    """Return a `tqdm` bar of files; arguments as for `scan_images`."""
    from tqdm import tqdm

    options: dict[str, Any] = {"mininterval": 0.1, "delay": 0 if progress else 1}
    if not sys.stderr.isatty():
        line = "{desc}: {n:,} of {total:,}, {remaining} left\n"
        options = {"mininterval": 30, "delay": 30, "bar_format": line}
    disable = progress is False
    return tqdm(total=count, desc=what, unit="file", disable=disable, **options)


def _examine_all(scan, places, size, fit):
    """Yield positions and what `_examine` returns, chunk by chunk, so that memory is flat."""
    cache, cores = scan.images and scan.images.cache, usable_cores()
    # Many small images, which a cache takes best at once; of large ones few, to show progress.
    largest = min(1024, 2**22 // (3 * math.prod(size)), len(places) // (8 * cores))
    step = max(1, largest)
    chunks = [places[start : start + step] for start in range(0, len(places), step)]
    # Headers are parsed in Python, by one thread of a process at a time.
    apart = len(places) > FEW_FILES
    kept = cache is not None, len(scan.thumbnails) > 0
    jobs = (([scan.paths[i] for i in chunk], size, fit, *kept) for chunk in chunks)
    for chunk, found in zip(chunks, call_each(_examine, jobs, apart=apart), strict=True):
        yield chunk, *found


def _examine(paths, size, fit, cached, compared):
    """Return the bytes, the stamp and the record of each file, and the pixels if they are cached.

    Records have thumbnails if these are compared. Files that are faulty have no pixels.
    """
    stamps, records, images = [], [], []
    for path in paths:
        stamps.append(_stamp(path))  # before it is read
        digest = b""
        try:
            data = read_file(path)
            digest = hashlib.sha256(data).digest()
            image, height, width, kind = load_image(data, path, size)
        except ImageError as error:
            records.append(_Record(error.reason, digest))
            continue
        thumbnail = image.resize((THUMBNAIL, THUMBNAIL), _BOX).tobytes() if compared else b""
        records.append(_Record(None, digest, kind, height, width, thumbnail))
        if cached:
            images.append(fit_image(image, size, fit))
    found = [(*stamp, record) for stamp, record in zip(stamps, records, strict=True)]
    return found, np.array(images)
