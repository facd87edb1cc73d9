"""Image decoder: files and bytes to RGB pixels, scaled and cropped; arrays of image files."""

import contextlib
import functools
import hashlib
import importlib.metadata
import importlib.util
import io
import math
import os
import re
import stat
import struct
import warnings
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cnn_cifar10.datasets.cache import PixelCache
from cnn_cifar10.datasets.depth import to_8_bits
from cnn_cifar10.datasets.shards import find_record, read_record
from cnn_cifar10.datasets.workers import call_apart, threads
from cnn_cifar10.utils import InputError, printable, usable_cores

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGE_FORMATS: dict[str, str] = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "JPEG"),
    ".png": "PNG",
    ".webp": "WEBP",
    ".gif": "GIF",
    ".bmp": "BMP",
    **dict.fromkeys((".tif", ".tiff"), "TIFF"),
    **dict.fromkeys((".heic", ".heif", ".hif"), "HEIF"),
    ".avif": "AVIF",
    ".jp2": "JPEG2000",
    **dict.fromkeys((".ppm", ".pgm", ".pbm", ".pnm"), "PPM"),
}
"""Suffixes of image files (in lower or upper case), each with the format that it stands for.

The first bytes of a file say what it holds, so that a wrong suffix does no harm. HEIF needs
the package `pillow-heif`.
"""

MAX_PIXELS = 64_000_000
"""The most pixels that are decoded; that takes 1.2 GB of memory at most.

A JPEG that is scaled while it is decoded counts the pixels at that scale, and may have four
times as many before.
"""

MAX_BYTES = 4 * MAX_PIXELS
"""The most bytes of an image."""

_SIGNATURES = re.compile(
    rb"(?P<JPEG>\xff\xd8\xff)"
    rb"|(?P<PNG>\x89PNG\r\n\x1a\n)"
    rb"|(?P<WEBP>RIFF.{4}WEBP)"
    rb"|(?P<GIF>GIF8[79]a)"
    rb"|(?P<BMP>BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0)"
    rb"|(?P<TIFF>II[*+]\0|MM\0[*+])"
    rb"|(?P<AVIF>.{4}ftyp(?:avi[fs]|(?:mif1|msf1).{4}(?:.{4})*?avi[fs]))"
    rb"|(?P<HEIF>.{4}ftyp(?:hei[cxms]|hev[cxms]|mif1|msf1))"
    rb"|(?P<JPEG2000>\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51)"
    rb"|(?P<PPM>P[1-6]\s+[#\d])",
    re.DOTALL,
)
_HEAD = 32  # bytes that tell the format

_READERS = {
    "JPEG": "PIL.JpegImagePlugin:JpegImageFile",
    "PNG": "PIL.PngImagePlugin:PngImageFile",
    "WEBP": "PIL.WebPImagePlugin:WebPImageFile",
    "GIF": "PIL.GifImagePlugin:GifImageFile",
    "BMP": "PIL.BmpImagePlugin:BmpImageFile",
    "TIFF": "PIL.TiffImagePlugin:TiffImageFile",
    "AVIF": "PIL.AvifImagePlugin:AvifImageFile",
    "HEIF": "pillow_heif:HeifImageFile",
    "JPEG2000": "PIL.Jpeg2KImagePlugin:Jpeg2KImageFile",
    "PPM": "PIL.PpmImagePlugin:PpmImageFile",
}


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
        return f"{printable(self.path)}: {self.reason}"


def looks_like_image(path: str | os.PathLike) -> bool:
    """Return whether the first bytes of a regular file are those of an image."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return False
        with open(path, "rb") as file:
            return _SIGNATURES.match(file.read(_HEAD)) is not None
    except OSError:
        return False


def read_image(
    path: str | os.PathLike, size: tuple[int, int] | None = None, fit: str = "crop"
) -> np.ndarray:
    """Decode one image file to RGB pixels, as a viewer would show them.

    EXIF orientation is applied, an animation gives its first frame, and transparent pixels
    lie over white. Channels of more than 8 bits are scaled to 8 by the range of their
    values, as `datasets.depth` describes.

    Args:
        path: A file of a format in `IMAGE_FORMATS`, whatever its suffix.
        size: `(height, width)` in pixels to which the image is scaled, antialiased.
            `None` keeps the size on disk.
        fit: How an image of another shape fits `size`. `"crop"` covers it and cuts what
            is over, equally on both sides; `"pad"` shows all of the image between grey
            bars; `"stretch"` shows all of it, distorted.

    Returns:
        A `uint8` array of shape `(height, width, 3)`, values 0 to 255.

    Raises:
        ImageError: If the file is missing, no regular file, empty, truncated, no image, or
            larger than `MAX_BYTES` or `MAX_PIXELS`.
    """
    return decode_image(read_file(path), size, path, fit)


def decode_image(
    data: bytes,
    size: tuple[int, int] | None = None,
    name: str | os.PathLike = "image",
    fit: str = "crop",
) -> np.ndarray:
    """Decode one image in memory, such as an upload, as `read_image` decodes a file.

    Args:
        data: What an image file holds.
        size: As for `read_image`.
        name: What an error calls the image.
        fit: As for `read_image`.

    Returns:
        As `read_image`.

    Raises:
        ImageError: As for `read_image`.
    """
    return fit_image(load_image(data, name, size).image, size, fit)


def read_file(path: str | os.PathLike) -> bytes:
    """Return what an image file holds; pipes and devices, which may have no end, are not opened.

    Raises:
        ImageError: If it is no regular file, larger than `MAX_BYTES`, or cannot be read.
    """
    try:
        if record := find_record(path):
            return read_record(*record)
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(path, "is no regular file; remove it")
        _check_bytes(path, status.st_size)
        with open(path, "rb") as file:
            data = file.read(status.st_size + 1)  # room for the most bytes would take long to make
            if len(data) > status.st_size:  # it grew, or has no size, as in /proc
                data += file.read(MAX_BYTES + 1 - len(data))
            return data
    except FileNotFoundError as error:
        raise ImageError(path, "no such file; check the path") from error
    except ImageError:
        raise
    except (OSError, ValueError) as error:
        raise ImageError(path, _unreadable(error)) from error


def _check_bytes(name, count):
    if count > MAX_BYTES:
        numbers = f"{count / 1e6:,.1f} MB, more than the {MAX_BYTES / 1e6:,.0f} MB"
        raise ImageError(name, f"has {numbers} that are read; scale it down")


class LoadedImage(NamedTuple):
    """A decoded image.

    Args:
        image: Upright RGB image of Pillow; of a JPEG maybe at a smaller scale.
        height: Height in pixels of the whole image as it is shown.
        width: Width in pixels, likewise.
        format: A value of `IMAGE_FORMATS`.
    """

    image: "Image"
    height: int
    width: int
    format: str


def load_image(
    data: bytes, name: str | os.PathLike = "image", size: tuple[int, int] | None = None
) -> LoadedImage:
    """Decode an image; a JPEG at a smaller scale, if that is enough for `size`.

    Raises:
        ImageError: As for `read_image`.
    """
    if not data:
        raise ImageError(name, "is empty; replace or remove it")
    _check_bytes(name, len(data))
    try:
        image = _open(data, name)
        orientation = _orientation(image)
        width, height = reversed(image.size) if orientation > 4 else image.size
        if image.format == "JPEG" and size:
            _check_pixels(name, image.size, 4 * MAX_PIXELS)
            # JPEG can decode at 1/2, 1/4 or 1/8 scale; twice the wanted size leaves enough
            # for the antialiasing, and a square allows for an image lying on its side.
            image.draft(None, (2 * max(size), 2 * max(size)))
        _check_pixels(name, image.size, MAX_PIXELS)
        rgb = _to_rgb(image, data)
        if orientation in _TURNS:
            rgb = rgb.transpose(_TURNS[orientation])
        return LoadedImage(rgb, height, width, image.format)
    except ImageError:
        raise
    except Exception as error:  # decoders raise nearly any type on broken data
        raise ImageError(name, _unreadable(error)) from error


def _open(data, name="image"):
    """Return a Pillow image whose header is read.

    `PIL.Image.open` is not used: its limit of pixels is another, and one for all of a program.
    """
    if (match := _SIGNATURES.match(data[:_HEAD])) is None:
        fault = "holds no image of a format read here; convert it to JPEG or PNG, or remove it"
        raise ImageError(name, fault)
    if match.lastgroup == "HEIF" and importlib.util.find_spec("pillow_heif") is None:
        raise ImageError(name, "holds HEIF data; to read it: pip install 'cnn-cifar10[heic]'")
    read = _reader(match.lastgroup)
    try:
        return read(io.BytesIO(data))
    except ValueError:
        if match.lastgroup != "AVIF":
            raise
        # Whose library refuses a file for broken EXIF; without this name it is not looked at.
        return read(io.BytesIO(data[:4096].replace(b"Exif", b"none") + data[4096:]))


@functools.cache
def _reader(kind):
    # Metadata of cameras and microscopes are often odd; Pillow says so, and reads the pixels.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    module, _, name = _READERS[kind].partition(":")
    reader = getattr(importlib.import_module(module), name)
    if kind == "JPEG":  # which would parse all of EXIF to find the resolution of a printer
        reader = type(name, (reader,), {"_read_dpi_from_exif": lambda image: None})
    return reader


def _check_pixels(name, size, limit):
    if 0 in size:
        raise ImageError(name, f"has {size[0]}x{size[1]} pixels; replace or remove it")
    if (count := math.prod(size)) > limit:
        numbers = f"{count:,} pixels ({size[0]}x{size[1]}), more than the {limit:,}"
        raise ImageError(name, f"has {numbers} that are decoded safely; scale it down")


def _unreadable(error: Exception) -> str:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return f"cannot be read ({' '.join(str(reason).split())}); replace or remove it"


# EXIF orientation -> the number of Pillow's `Transpose` that makes an image upright.
_TURNS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}


def _orientation(image) -> int:
    """Return the orientation, 1 to 8, by EXIF or else XMP; no other tag is read."""
    if image.format == "TIFF":  # which Pillow makes upright
        return 1
    exif, raw, xmp = map(image.info.get, ("exif", "Raw profile type exif", "xmp"))
    with contextlib.suppress(struct.error, TypeError, ValueError):
        if raw:  # of a PNG made by ImageMagick
            exif = bytes.fromhex("".join(raw.split("\n")[3:]))
        if exif and (found := _exif_orientation(exif)) is not None:
            return found if 1 <= found <= 8 else 1
    with contextlib.suppress(TypeError):
        if xmp and (match := re.search(rb'tiff:Orientation(?:="|>)([1-8])', xmp)):
            return int(match[1])
    return 1


def _exif_orientation(exif):
    if head := re.search(rb"II\*\0|MM\0\*", exif):
        exif, order = exif[head.start() :], "<" if head[0].startswith(b"I") else ">"
        (start,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, start)
        for i in range(count):
            place = start + 2 + 12 * i
            tag, kind = struct.unpack_from(f"{order}HH", exif, place)
            if tag == 0x0112:
                return struct.unpack_from(order + {1: "B", 4: "I"}.get(kind, "H"), exif, place + 8)[
                    0
                ]
    return None


def _to_rgb(image, data):
    """Return an RGB image of 8 bits a channel, with white behind what is transparent."""
    from PIL import Image

    image = to_8_bits(image, lambda: _open(data))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(image.convert("RGB"), mask=image.getchannel("A"))
        return white
    return image if image.mode == "RGB" else image.convert("RGB")


def fit_image(image: "Image", size: tuple[int, int] | None, fit: str) -> np.ndarray:
    """Return the pixels of an RGB image fitted into a size, as `read_image` describes."""
    return np.array(FITS[fit](image, (size[1], size[0])) if size else image)


def _crop(image, size):
    from PIL import ImageOps

    return ImageOps.fit(image, size)


def _pad(image, size):  # ImageOps.pad fails where a side of the image would vanish
    from PIL import Image

    scale = min(size[0] / image.width, size[1] / image.height)
    inner = _stretch(image, [max(1, round(scale * side)) for side in image.size])
    padded = Image.new("RGB", size, (_GREY,) * 3)
    place = [round((side - own) / 2) for side, own in zip(size, inner.size, strict=True)]
    padded.paste(inner, place)  # where ImageOps.pad has it
    return padded


def _stretch(image, size):
    from PIL import Image

    return image.resize(size, Image.Resampling.BICUBIC)


_GREY = 127  # of the bars beside an image: what most networks scale to 0

FITS: dict[str, Callable] = {"crop": _crop, "pad": _pad, "stretch": _stretch}
"""Ways to fit an image into a size, by name: functions of a Pillow image and (width, height)."""


FEW_FILES = 2000
"""Files that threads read; more are read by processes, which take a second to start."""


class ImageFiles:
    """Image files that are read when indexed, in the place of an array of images.

    `files[3]` is one image of shape `(height, width, 3)`; `files[10:20]`,
    `files[[4, 1, 1]]` and `files[mask]` are `uint8` arrays of shape
    `(n, height, width, 3)`, decoded by threads, of more than `FEW_FILES` by processes, or
    taken from a cache.

    Args:
        paths: The files.
        size: `(height, width)` in pixels, to which each is scaled by `read_image`.
        fit: As for `read_image`.
        digests: The SHA-256 of each file's content, as `Scan` has it.
        cache: Where pixels of this size and fit are kept by digest.

    Raises:
        ImageError: On indexing, if a file cannot be read.
    """

    dtype = np.dtype("uint8")

    def __init__(
        self,
        paths: Iterable[str | os.PathLike],
        size: tuple[int, int],
        fit: str = "crop",
        digests: np.ndarray | None = None,
        cache: PixelCache | None = None,
    ):
        self.paths = np.array([os.fspath(path) for path in paths], dtype=object)
        self.size, self.fit, self.cache = size, fit, cache
        self.digests = np.zeros(len(self.paths), "S32") if digests is None else digests

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """`(n, height, width, 3)`."""
        return (len(self.paths), *self.size, 3)

    def __len__(self) -> int:
        return len(self.paths)

    def take(self, index: slice | np.ndarray | list[int]) -> "ImageFiles":
        """Return the files that an index names, without reading them."""
        return ImageFiles(self.paths[index], self.size, self.fit, self.digests[index], self.cache)

    def __add__(self, other: "ImageFiles") -> "ImageFiles":
        paths = np.concatenate([self.paths, other.paths])
        digests = np.concatenate([self.digests, other.digests])
        return ImageFiles(paths, self.size, self.fit, digests, self.cache)

    def stamps(self) -> list[tuple]:
        """Return the SHA-256 of the content, size and fit of each image, to compare."""
        known = zip(self.paths, self.digests.tolist(), strict=True)
        digests = [digest or content_digest(read_file(path)) for path, digest in known]
        return [(digest, self.size, self.fit) for digest in digests]

    def __getitem__(self, index) -> np.ndarray:
        if isinstance(self.paths[index], str):
            return self[[index]][0]
        files = self.take(index)
        images = np.empty(files.shape, self.dtype)
        missing = np.arange(len(files))
        if self.cache:
            missing = self.cache.read(files.digests, images)
        if not len(missing):
            return images
        parts = np.array_split(missing, min(len(missing), usable_cores()))
        read = functools.partial(files._read, apart=len(self) > FEW_FILES and len(parts) > 1)
        digests = np.zeros(len(files), "S32")
        for part, (found, pixels) in zip(parts, threads().map(read, parts), strict=True):
            digests[part], images[part] = found, pixels
        if self.cache:
            same = missing[(digests == files.digests)[missing]]  # others were changed since
            self.cache.write(files.digests[same], images[same])
        return images

    def _read(self, part, apart):
        job = (self.paths[part].tolist(), self.size, self.fit, bool(self.cache))
        return call_apart(_decode_files, *job) if apart else _decode_files(*job)


def _decode_files(paths, size, fit, digested):
    """Return the digests of files, if they are asked for, and their pixels."""
    digests, images = np.zeros(len(paths), "S32"), np.empty((len(paths), *size, 3), "uint8")
    for i, path in enumerate(paths):
        data = read_file(path)
        if digested:
            digests[i] = content_digest(data)
        images[i] = decode_image(data, size, path, fit)
    return digests, images


def content_digest(data: bytes) -> bytes:
    """Return a SHA-256 as arrays of type `S32` give it back, without zeros at its end."""
    return hashlib.sha256(data).digest().rstrip(b"\0")


@functools.cache
def decoder_version() -> str:
    """Return what the pixels of a file depend on, besides size and fit."""
    from PIL import __version__

    heif = importlib.util.find_spec("pillow_heif") and importlib.metadata.version("pillow-heif")
    return f"1, Pillow {__version__}, pillow-heif {heif}"
