"""Image decoder: files and bytes to RGB pixels, scaled and cropped; damaged files."""

import functools
import io
import math
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from cnn_cifar10.utils import InputError

IMAGE_FORMATS: dict[str, tuple[str, ...]] = {
    ".jpg": ("JPEG", "MPO"),
    ".jpeg": ("JPEG", "MPO"),
    ".png": ("PNG",),
    ".webp": ("WEBP",),
    ".gif": ("GIF",),
    ".bmp": ("BMP",),
    ".tif": ("TIFF",),
    ".tiff": ("TIFF",),
}
"""Accepted file suffixes (in lower or upper case), each with the Pillow formats it may hold."""

MAX_BYTES = 20_000_000
"""The most bytes of an image that `decode_image` accepts."""

MAX_PIXELS = 64_000_000
"""The most pixels of an image that `decode_image` accepts: 192 MB once decoded."""

# MPO, several images in one file, opens as JPEG.
_OPENERS = tuple(dict.fromkeys(formats[0] for formats in IMAGE_FORMATS.values()))


class ImageError(InputError):
    """An image that cannot be read; `str()` is one line: the file, the fault and what to do.

    Args:
        path: The file.
        reason: What is wrong with it and what to do.
    """

    def __init__(self, path: str | os.PathLike, reason: str):
        super().__init__(os.fspath(path), reason)
        self.path, self.reason = self.args

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


def read_image(
    path: str | os.PathLike, size: tuple[int, int] | None = None, fit: str = "crop"
) -> np.ndarray:
    """Decode one image file to RGB pixels, as a viewer would show them.

    EXIF orientation is applied, an animation gives its first frame, 16-bit
    greyscale is scaled to 8 bits, and transparent pixels lie over white.

    Args:
        path: A file with one of the suffixes in `IMAGE_FORMATS`.
        size: `(height, width)` in pixels to which the image is scaled, antialiased.
            `None` keeps the size on disk.
        fit: How an image of another shape fits `size`. `"crop"` covers it and cuts what
            is over, equally on both sides; `"pad"` shows all of the image between grey
            bars; `"stretch"` shows all of it, distorted.

    Returns:
        A `uint8` array of shape `(height, width, 3)`, values 0 to 255.

    Raises:
        ImageError: If the file is missing, empty, truncated, no image, too
            large to be decoded safely, or not of the format its suffix says.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in IMAGE_FORMATS:
        known = " ".join(IMAGE_FORMATS)
        raise ImageError(path, f"has none of the suffixes {known}; convert or remove it")
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise ImageError(path, "no such file; check the path") from error
    except OSError as error:
        raise ImageError(path, _unreadable(error)) from error
    return _decode(data, path, size, fit, formats=IMAGE_FORMATS[suffix])


def decode_image(
    data: bytes, size: tuple[int, int] | None = None, name: str = "image", fit: str = "crop"
) -> np.ndarray:
    """Decode one image in memory, such as an upload, as `read_image` decodes a file.

    Args:
        data: What an image file holds, `MAX_BYTES` at most.
        size: As for `read_image`.
        name: What an error calls the image.
        fit: As for `read_image`.

    Returns:
        As `read_image`.

    Raises:
        ImageError: If the bytes are no image in one of the formats of
            `IMAGE_FORMATS`, or the image is too large.
    """
    if len(data) > MAX_BYTES:
        raise ImageError(name, f"has more than {MAX_BYTES // 10**6} MB; scale it down")
    return _decode(data, name, size, fit, max_pixels=MAX_PIXELS)


def _decode(data, name, size, fit, *, formats=None, max_pixels=math.inf):
    from PIL import Image, ImageOps, UnidentifiedImageError

    if not data:
        raise ImageError(name, "is empty; replace or remove it")
    try:
        with Image.open(io.BytesIO(data), formats=_OPENERS) as image:
            if formats and image.format not in formats:
                suffix = next(key for key, held in IMAGE_FORMATS.items() if image.format in held)
                cure = f"rename it to {Path(name).stem}{suffix}"
                raise ImageError(name, f"holds {image.format} data; {cure}")
            if image.width * image.height > max_pixels:
                raise ImageError(name, "has too many pixels to decode safely; scale it down")
            if size is not None:
                # JPEG can decode at 1/2, 1/4 or 1/8 scale; twice the wanted size leaves enough
                # for the antialiasing, and a square allows for an image lying on its side.
                image.draft(None, (2 * max(size), 2 * max(size)))
            image = _to_rgb(ImageOps.exif_transpose(image))
            if size is not None:
                image = FITS[fit](image, (size[1], size[0]))
            return np.array(image)
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        fault = "holds no image of a format read here; convert it to JPEG or PNG, or remove it"
        raise ImageError(name, fault) from error
    except Image.DecompressionBombError as error:
        raise ImageError(name, "has too many pixels to decode safely; scale it down") from error
    except Exception as error:  # decoders raise nearly any type on broken data
        raise ImageError(name, _unreadable(error)) from error


def _unreadable(error: Exception) -> str:
    reason = " ".join(str(getattr(error, "strerror", None) or error).split())
    return f"cannot be read ({reason}); replace or remove it"


def _to_rgb(image):
    from PIL import Image

    if image.mode.startswith("I;16"):  # which Pillow's own conversion clips to white
        grey = np.array(image, "uint32")
        grey[grey == image.info.get("transparency", -1)] = 65535
        return Image.fromarray(((grey + 128) // 257).astype("uint8")).convert("RGB")
    if image.mode in ("I", "F"):
        raise ValueError("32-bit pixels have no fixed range")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert("RGB")


def _crop(image, size):
    from PIL import ImageOps

    return ImageOps.fit(image, size)


def _pad(image, size):
    from PIL import ImageOps

    return ImageOps.pad(image, size, color=(_GREY,) * 3)


def _stretch(image, size):
    from PIL import Image

    return image.resize(size, Image.Resampling.BICUBIC)


_GREY = 127  # of the bars beside an image: what most networks scale to 0

FITS: dict[str, Callable] = {"crop": _crop, "pad": _pad, "stretch": _stretch}
"""Ways to fit an image into a size, by name: functions of a Pillow image and (width, height)."""


class ImageFiles:
    """Image files that are read when indexed, in the place of an array of images.

    `files[3]` is one image of shape `(height, width, 3)`; `files[10:20]`,
    `files[[4, 1, 1]]` and `files[mask]` are `uint8` arrays of shape
    `(n, height, width, 3)`, decoded by threads.

    Args:
        paths: The files.
        size: `(height, width)` in pixels, to which each is scaled by `read_image`.
        fit: As for `read_image`.

    Raises:
        ImageError: On indexing, if a file cannot be read.
    """

    dtype = np.dtype("uint8")

    def __init__(
        self, paths: Iterable[str | os.PathLike], size: tuple[int, int], fit: str = "crop"
    ):
        self.paths = np.array([os.fspath(path) for path in paths], dtype=object)
        self.size, self.fit = size, fit

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """`(n, height, width, 3)`."""
        return (len(self.paths), *self.size, 3)

    def __len__(self) -> int:
        return len(self.paths)

    def __add__(self, other: "ImageFiles") -> "ImageFiles":
        return ImageFiles([*self.paths, *other.paths], self.size, self.fit)

    def stamps(self) -> list[tuple]:
        """Return path, bytes, time of change and size in pixels of each image, to compare."""
        status = [(path, os.stat(path)) for path in self.paths]
        return [(path, s.st_size, s.st_mtime_ns, self.size, self.fit) for path, s in status]

    def __getitem__(self, index) -> np.ndarray:
        paths = self.paths[index]
        if isinstance(paths, str):
            return read_image(paths, self.size, self.fit)
        images = np.empty((len(paths), *self.size, 3), self.dtype)
        read = functools.partial(read_image, size=self.size, fit=self.fit)
        for row, image in enumerate(_threads(os.getpid()).map(read, paths)):
            images[row] = image
        return images


def find_damaged(
    paths: Iterable[str | os.PathLike], progress: bool | None = None
) -> dict[str, str]:
    """Decode every file once, to find those that would stop a training run.

    Args:
        paths: The files.
        progress: Whether a progress bar is shown on stderr, if that is a terminal. `None`
            shows one for more than 2,000 files.

    Returns:
        A dict from the path of each file that cannot be read to the reason.
    """
    from tqdm import tqdm

    files = [os.fspath(path) for path in paths]
    if progress is None:
        progress = len(files) > 2000
    damaged: dict[str, str] = {}
    disable = None if progress else True  # None: where there is no terminal
    with tqdm(total=len(files), desc="Checking images", unit="file", disable=disable) as bar:
        for start in range(0, len(files), 256):  # a million queued files would fill the memory
            chunk = files[start : start + 256]
            reasons = _threads(os.getpid()).map(_fault, chunk)
            damaged |= {path: why for path, why in zip(chunk, reasons, strict=True) if why}
            bar.update(len(chunk))
    return damaged


def _fault(path: str) -> str | None:
    try:
        # Every byte is decoded at this size too, a JPEG in a third of the time.
        read_image(path, size=(64, 64))
    except ImageError as error:
        return error.reason
    return None


@functools.cache
def _threads(process_id: int) -> ThreadPoolExecutor:
    """The decoding threads of one process: after a fork, the parent's do not run in the child."""
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="decode")
