"""Channels of more than 8 bits to 8, by the range of their values."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile


def to_8_bits(image: "ImageFile", reopen: Callable[[], "ImageFile"]) -> "Image":
    """Decode an image; if its channels have more than 8 bits, scale them by their range.

    The range is what the file declares (the sample values of TIFF). Without one, it is 8,
    10, 12, 14 or 16 bits, whichever is enough for the integers of the image; 0 to 1 for
    floats within it; and the least to the largest value else.

    Args:
        image: Image whose header is read.
        reopen: Returns the image once more.

    Raises:
        ValueError: If values are infinite or no numbers.
    """
    from PIL.Image import fromarray

    mode = _raw_mode(image)
    if image.tile and image.tile[0].codec_name == "libtiff" and mode.endswith(("BS", "BF")):
        _set_raw_mode(image, mode.replace("B", ""))  # libtiff has turned the bytes, unlike Pillow
    image.load()
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image)
        if values.dtype == np.int32 and _tag(image, 339) == 1:  # SampleFormat: unsigned
            values = values.view("uint32")
        grey = _scale(values, image)
        grey[values == image.info.get("transparency", np.nan)] = 255
        return fromarray(grey)
    if not mode.startswith(("RGB;16", "RGBA;16")):
        return image
    pixels = np.array(image)  # the high bytes alone, which are enough for more than 14 bits
    if pixels[..., :3].max() >= 1 << 6:
        return image
    low = reopen()
    _set_raw_mode(low, mode[:-1] + ("L" if mode.endswith("B") else "B"))
    values = pixels[..., :3] * np.uint16(256) + np.asarray(low)[..., :3]
    pixels[..., :3] = _scale(values, image)
    pixels[np.all(values == image.info.get("transparency", -1), axis=-1)] = 255
    return fromarray(pixels)


def _raw_mode(image):
    """Return the layout of the pixels in the file, in Pillow's terms: `"RGB;16B"`."""
    if not image.tile:
        return ""
    args = image.tile[0].args
    return args if isinstance(args, str) else str(args[0])


def _set_raw_mode(image, mode):
    image.tile = [
        tile._replace(args=mode if isinstance(tile.args, str) else (mode, *tile.args[1:]))
        for tile in image.tile
    ]


def _scale(values, image):
    """Return values as `uint8`, with the range of an image spread over 0 to 255."""
    black, white = _range(values, image)
    if not math.isfinite(black + white):
        raise ValueError("some values are infinite or no numbers")
    scaled = values.astype(np.result_type(values, "float32"))
    scaled -= black
    scaled *= 255 / (white - black)
    return np.clip(np.rint(scaled, out=scaled), 0, 255, out=scaled).astype("uint8")


def _range(values, image):
    """Return the values that are black and white, as `to_8_bits` describes."""
    low, high = float(values.min()), float(values.max())
    declared = [_tag(image, wide, narrow) for wide, narrow in ((340, 280), (341, 281))]
    if None not in declared and declared[0] <= low < high <= declared[1]:
        low, high = declared
    elif image.format == "PPM":  # which Pillow has scaled
        low, high = 0, 65535
    elif values.dtype.kind == "f":
        if low >= 0 and high <= 1:
            low, high = 0, 1
    elif low >= 0 and high < 1 << 16:
        low, high = 0, next(2**bits - 1 for bits in (8, 10, 12, 14, 16) if high < 2**bits)
    if high == low:
        high += 1
    return (high, low) if _tag(image, 262) == 0 else (low, high)  # 0: white is zero


def _tag(image, *numbers):
    """Return the first of these tags that a TIFF has."""
    tags = getattr(image, "tag_v2", {})
    value = next((tags[number] for number in numbers if number in tags), None)
    return value[0] if isinstance(value, tuple) else value
