"""Images that cost a decoder much, made without their pixels where these are many."""

import io
import struct
import zlib

import numpy as np
from PIL import Image


def encoded(image, kind="PNG", **options):
    """Return the file of an image, given as one of Pillow or as an array."""
    file = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(file, kind, **options)
    return file.getvalue()


def many_scans(size, scans):
    """Return a progressive JPEG of black that has so many scans."""
    data = encoded(Image.new("RGB", size), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * scans + data[-2:]


def large_png(width, height, color=2, ancillary=()):
    """Return a PNG of black; its pixels are never in memory."""
    samples = {0: 1, 2: 3, 6: 4}[color]
    header = struct.pack(">IIBBBBB", width, height, 8, color, 0, 0, 0)
    squeezed = zlib.compressobj(1)
    row = bytes(1 + samples * width)
    body = b"".join(squeezed.compress(row) for _ in range(height)) + squeezed.flush()
    chunks = [(b"IHDR", header), *ancillary, (b"IDAT", body), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )


def animated(kind, frames, size=(500, 500)):
    """Return an animation of noise."""
    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 256, (*size, 3), "uint8")) for _ in range(frames)]
    return encoded(images[0], kind, save_all=True, append_images=images[1:])


def expensive():
    """Return images that cost a decoder much."""
    blocks = np.random.default_rng(0).integers(0, 256, (50, 75, 3), "uint8")
    large = Image.fromarray(blocks).resize((6000, 4000), Image.Resampling.NEAREST)
    icon = io.BytesIO()
    large.resize((256, 256)).save(icon, "ICO")
    kinds = {
        "JPEG": {"progressive": True},
        "WEBP": {"lossless": True, "method": 0},
        "GIF": {},
        "TIFF": {"compression": "jpeg"},
        "BMP": {},
        "JPEG2000": {},
        "PPM": {},
    }
    return [
        many_scans((8000, 6000), 17_000),
        many_scans((500, 400), 17_000),
        many_scans((900, 900), 1000),
        large_png(8000, 8000),
        large_png(5000, 5000, 6),
        large_png(16_000, 16_000),
        large_png(900, 900, ancillary=[(b"tEXt", b"a\0b")] * 100_000),
        *(animated(kind, 10) for kind in ("GIF", "PNG", "WEBP")),
        *(encoded(large, kind, **options) for kind, options in kinds.items()),
        encoded(large.resize((1500, 1000)), "AVIF", speed=10),
        icon.getvalue(),
        b"\xff\xd8" + bytes(10**7) + encoded(large, "JPEG")[2:],
    ]
