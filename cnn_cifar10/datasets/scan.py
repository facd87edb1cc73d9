"""One pass over image files: content digests, damage, sizes, formats and thumbnails."""

import hashlib
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cnn_cifar10.datasets.images import ImageError, _threads, read_image

THUMBNAIL = 16
"""Height and width of a thumbnail in pixels."""


@dataclass(frozen=True, eq=False)
class Scan:
    """What was found in image files: one entry a file, in the order of the paths.

    Args:
        paths: The files.
        faults: Why a file cannot be used; `None` for those that can.
        digests: `S32`, SHA-256 of the content of each file; empty where it cannot be read.
        thumbnails: `uint8` of shape `(n, 16, 16, 3)`, the whole image stretched; 0 where it
            is faulty.
        heights: Height in pixels of each image as it is shown; 0 where it is unknown.
        widths: Width in pixels, likewise.
        formats: Format of each file, as Pillow names it: `"JPEG"`; empty where unknown.
        bytes: Size of each file in bytes.
    """

    paths: list[str]
    faults: list[str | None]
    digests: np.ndarray
    thumbnails: np.ndarray
    heights: np.ndarray
    widths: np.ndarray
    formats: list[str]
    bytes: np.ndarray

    def __len__(self) -> int:
        return len(self.paths)


def scan_images(
    paths: Sequence[str],
    *,
    size: tuple[int, int] | None,
    fit: str,
    progress: bool | None = None,
) -> Scan:
    """Read every file once.

    Args:
        paths: The files.
        size: `(height, width)` in pixels of what goes into the cache of pixels; `None` for none.
        fit: As for `read_image`.
        progress: Whether a progress bar is shown on stderr. `None` shows one for more than
            2,000 files.

    Returns:
        A `Scan`.
    """
    rows = list(_threads(os.getpid()).map(_scan, paths))
    faults, digests, thumbnails, heights, widths, formats, sizes = (
        zip(*rows, strict=True) if rows else [()] * 7
    )
    shape = (len(rows), THUMBNAIL, THUMBNAIL, 3)
    return Scan(
        list(paths),
        list(faults),
        np.array(digests, "S32"),
        np.array(thumbnails, "uint8").reshape(shape),
        np.array(heights, int),
        np.array(widths, int),
        list(formats),
        np.array(sizes, int),
    )


def _scan(path):
    from PIL import Image

    thumbnail = np.zeros((THUMBNAIL, THUMBNAIL, 3), "uint8")
    try:
        pixels = read_image(path)
    except ImageError as error:
        data = Path(path).read_bytes() if Path(path).is_file() else b""
        digest = hashlib.sha256(data).digest() if data else b""
        return error.reason, digest, thumbnail, 0, 0, "", len(data)
    data = Path(path).read_bytes()
    thumbnail = np.asarray(Image.fromarray(pixels).resize((THUMBNAIL,) * 2, Image.Resampling.BOX))
    with Image.open(io.BytesIO(data)) as image:
        kind = image.format or ""
    digest = hashlib.sha256(data).digest()
    return None, digest, thumbnail, *pixels.shape[:2], kind, len(data)
