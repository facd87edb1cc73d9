"""One pass over image files: content digests, damage, sizes, formats and thumbnails."""

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
    ImageError,
    ImageFiles,
    decoder_version,
    fit_image,
    load_image,
    read_file,
)
from cnn_cifar10.utils import cache_folder, usable_cores

THUMBNAIL = 16
"""Height and width of a thumbnail in pixels."""

_BOX = 4  # Pillow's `Resampling.BOX`, the mean of all pixels


@dataclass(frozen=True, eq=False)
class Scan:
    """What was found in image files: one entry a file, in the order of the paths.

    Args:
        paths: The files.
        faults: Why a file cannot be used; `None` for those that can.
        digests: `S32`, SHA-256 of the content of each file; empty where it cannot be read.
        thumbnails: `uint8` of shape `(n, 16, 16, 3)`, the whole image stretched; 0 where it
            is faulty.
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
    keys = [os.fsencode(os.path.abspath(path)) for path in scan.paths]
    stamps = [_stamp(scan, i) for i in range(len(scan))]
    unknown = _recall(scan, keys, stamps)
    with progress_bar(len(unknown), progress) as bar:
        for places, records in _examine_all(scan, unknown, size or (64, 64), fit):
            for i, record in zip(places, records, strict=True):
                _enter(scan, i, record)
            _remember(keys, stamps, places, records)
            bar.update(len(places))
    return scan


def _empty_scan(paths, size, fit):
    n, cache, images = len(paths), None, None
    thumbnails = np.zeros((n, THUMBNAIL, THUMBNAIL, 3), "uint8")
    digests, heights, widths, sizes = (np.zeros(n, dtype) for dtype in ("S32", int, int, int))
    if size is not None:
        if paths:
            root = os.path.commonpath([os.path.abspath(path) for path in (min(paths), max(paths))])
            key = repr((root, size, fit, decoder_version()))
            cache = open_cache(key, n * 3 * math.prod(size))
        images = ImageFiles(paths, size, fit, digests, cache)
    faults, formats = [None] * n, [""] * n
    return Scan(paths, faults, digests, thumbnails, heights, widths, formats, sizes, images)


def _stamp(scan, i):
    """Note the size of a file, and return what changes with its content."""
    try:
        status = os.stat(scan.paths[i])
    except (OSError, ValueError):
        return ""
    scan.bytes[i] = status.st_size
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {decoder_version()}"


_TABLE = """CREATE TABLE IF NOT EXISTS images (path BLOB PRIMARY KEY, stamp TEXT, fault TEXT,
digest BLOB, format TEXT, height INT, width INT, thumbnail BLOB, checksum INT)"""
_LARGEST = 2_000_000  # files to remember, in 2 GB
_FEW = 2000  # files for which threads are faster


def _recall(scan, keys, stamps):
    """Enter what is known from earlier scans, and return the positions of other files."""
    known = np.zeros(len(scan), bool)
    columns = ", ".join((*_Record._fields, "checksum"))
    query = f"SELECT {columns} FROM images WHERE path = ? AND stamp = ?"
    file = cache_folder() / "scan.sqlite"
    with faults_warned(file), open_database(file, _TABLE) as database:
        (any_known,) = database.execute("SELECT EXISTS (SELECT 1 FROM images)").fetchone()
        for i, (path, stamp) in enumerate(zip(keys, stamps, strict=True) if any_known else ()):
            for *record, checksum in database.execute(query, (path, stamp)):
                known[i] = _checksum(record) == checksum
                if known[i]:
                    _enter(scan, i, record)
    return np.flatnonzero(~known).tolist()


def _remember(keys, stamps, places, records):
    rows = [
        (keys[i], stamps[i], *record, _checksum(record))
        for i, record in zip(places, records, strict=True)
        if record.digest and stamps[i]  # others may be read next time
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


def _enter(scan, i, record):
    fault, digest, kind, height, width, thumbnail = record
    scan.faults[i], scan.digests[i], scan.formats[i] = fault, digest, kind
    scan.heights[i], scan.widths[i] = height, width
    if thumbnail:
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
    """Yield positions and their records, chunk by chunk, so that memory is flat."""
    from joblib import Parallel, delayed

    cache, cores = scan.images and scan.images.cache, usable_cores()
    largest = min(128, 2**25 // (3 * math.prod(size)), len(places) // (8 * cores))
    step = max(1, largest)
    chunks = [places[start : start + step] for start in range(0, len(places), step)]
    # Headers are parsed in Python, by one thread at a time. Processes take a second to start.
    prefer = "processes" if len(places) > _FEW else "threads"
    work = Parallel(cores, return_as="generator", prefer=prefer)
    results = work(
        delayed(_examine)([scan.paths[i] for i in chunk], size, fit, cache) for chunk in chunks
    )
    yield from zip(chunks, results, strict=True)


def _examine(paths, size, fit, cache):
    records, digests, images = [], [], []
    for path in paths:
        digest = b""
        try:
            data = read_file(path)
            digest = hashlib.sha256(data).digest()
            image, height, width, kind = load_image(data, path, size)
        except ImageError as error:
            records.append(_Record(error.reason, digest))
            continue
        thumbnail = image.resize((THUMBNAIL, THUMBNAIL), _BOX).tobytes()
        records.append(_Record(None, digest, kind, height, width, thumbnail))
        if cache is not None:
            digests.append(digest)
            images.append(fit_image(image, size, fit))
    if images:
        cache.write(np.array(digests, "S32"), np.array(images))
    return records
