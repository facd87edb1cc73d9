"""Image files to RGB pixels."""

import importlib.util
import io
import itertools
import multiprocessing
import os
import pickle
import socket
import struct
import sys
import zlib

import numpy as np
import pillow_heif
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from cnn_cifar10.datasets import (
    IMAGE_FORMATS,
    ImageError,
    ImageFiles,
    decode_image,
    images,
)
from cnn_cifar10.datasets.images import looks_like_image, read_image

pillow_heif.register_heif_opener()  # to write such files

LOSSLESS = [".png", ".bmp", ".tif", ".tiff"]


def noise(height=6, width=9, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype="uint8")


def save(path, pixels, **options):
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(path, **options)
    return path


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_lossless_formats_give_their_exact_pixels(tmp_path, suffix):
    pixels = noise()
    read = read_image(save(tmp_path / f"a{suffix}", pixels))
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, pixels)


def test_lossless_webp_gives_its_exact_pixels(tmp_path):
    pixels = noise()
    np.testing.assert_array_equal(
        read_image(save(tmp_path / "a.webp", pixels, lossless=True)), pixels
    )


@pytest.mark.parametrize("suffix", IMAGE_FORMATS)
def test_every_suffix_is_read_in_either_case(tmp_path, suffix):
    grey = np.full((6, 9, 3), 128, "uint8")
    lower = save(tmp_path / f"a{suffix}", grey)
    upper = lower.rename(tmp_path / f"B{suffix.upper()}")
    assert np.abs(read_image(upper).astype(int) - 128).max() <= 1


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 99))
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_round_trip_of_any_size(tmp_path, height, width, seed):
    pixels = noise(height, width, seed)
    np.testing.assert_array_equal(read_image(save(tmp_path / "a.png", pixels)), pixels)


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [
        (1, lambda stored: stored),
        (2, lambda stored: stored[:, ::-1]),
        (3, lambda stored: np.rot90(stored, 2)),
        (6, lambda stored: np.rot90(stored, -1)),
        (8, lambda stored: np.rot90(stored, 1)),
    ],
)
def test_exif_orientation_is_applied(tmp_path, orientation, upright):
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = noise()
    read = read_image(save(tmp_path / "a.png", pixels, exif=exif))
    np.testing.assert_array_equal(read, upright(pixels))


def test_size_counts_after_rotation(tmp_path):
    # Stored wide with red on the left; a quarter turn clockwise makes it tall with red on top.
    pixels = np.zeros((200, 400, 3), "uint8")
    pixels[:, :200, 0] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path / "a.jpg", pixels, exif=exif, quality=95)
    read = read_image(path, (40, 20))
    assert read.shape == (40, 20, 3)
    assert read[:18, :, 0].min() > 240
    assert read[22:, :, 0].max() < 15


def test_16_bit_grey_is_scaled_not_clipped(tmp_path):
    wide = np.array([[0, 257, 128 * 257, 65535]], "uint16")
    for name in ("a.png", "a.tif"):
        read = read_image(save(tmp_path / name, wide))
        np.testing.assert_array_equal(read[0, :, 0], [0, 1, 128, 255])
        np.testing.assert_array_equal(read[..., 0], read[..., 2])


def test_16_bit_grey_with_a_transparent_level_shows_white_there(tmp_path):
    def chunk(kind, data):
        data = kind + data
        return struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))

    pixels = struct.pack(">BHHH", 0, 0, 1000, 65535)
    (tmp_path / "a.png").write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 3, 1, 16, 0, 0, 0, 0))
        + chunk(b"tRNS", struct.pack(">H", 0))
        + chunk(b"IDAT", zlib.compress(pixels))
        + chunk(b"IEND", b"")
    )
    np.testing.assert_array_equal(read_image(tmp_path / "a.png")[0, :, 0], [255, 4, 255])


def test_transparent_pixels_lie_over_white(tmp_path):
    rgba = np.zeros((1, 3, 4), "uint8")
    rgba[0] = [[200, 0, 0, 255], [200, 0, 0, 0], [0, 0, 0, 128]]
    read = read_image(save(tmp_path / "a.png", rgba))
    np.testing.assert_array_equal(read[0], [[200, 0, 0], [255, 255, 255], [127, 127, 127]])


def test_hidden_colour_does_not_bleed_when_scaled(tmp_path):
    rgba = np.zeros((64, 64, 4), "uint8")
    rgba[..., 0] = 255  # red, but fully transparent
    read = read_image(save(tmp_path / "a.png", rgba), (8, 8))
    assert read.min() == 255


def test_grey_with_alpha_lies_over_white(tmp_path):
    grey = np.array([[[0, 0], [90, 255]]], "uint8")
    read = read_image(save(tmp_path / "a.png", grey))
    np.testing.assert_array_equal(read[0], [[255] * 3, [90] * 3])


@pytest.mark.parametrize("name", ["a.png", "a.gif"])
def test_palette_colours_and_transparency(tmp_path, name):
    image = Image.new("P", (3, 1))
    image.putpalette([10, 20, 30, 200, 100, 50, 0, 255, 0])
    image.putdata([0, 1, 2])
    opaque = read_image(save(tmp_path / name, image))
    np.testing.assert_array_equal(opaque[0], [[10, 20, 30], [200, 100, 50], [0, 255, 0]])
    clear = read_image(save(tmp_path / name, image, transparency=1))
    np.testing.assert_array_equal(clear[0], [[10, 20, 30], [255, 255, 255], [0, 255, 0]])


def test_greyscale_and_bilevel_become_three_equal_channels(tmp_path):
    read = read_image(save(tmp_path / "a.png", np.array([[7, 250]], "uint8")))
    np.testing.assert_array_equal(read[0], [[7] * 3, [250] * 3])
    read = read_image(save(tmp_path / "b.png", Image.new("1", (2, 2), 1)))
    assert (read == 255).all()


def test_cmyk_jpeg_has_its_colours(tmp_path):
    cyan = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    red, green, blue = read_image(save(tmp_path / "a.jpg", cyan, quality=95))[8, 8].astype(int)
    assert red < 10
    assert min(green, blue) > 245


def test_an_animation_gives_its_first_frame(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert (read_image(tmp_path / "a.gif") == [255, 0, 0]).all()


def test_multi_picture_jpeg_is_a_jpeg(tmp_path):
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=frames[1:])
    assert read_image(tmp_path / "a.jpg")[..., 0].min() > 240


def test_size_covers_and_crops_the_centre(tmp_path):
    # Thirds of red, green and blue: the square in the middle is green.
    pixels = np.repeat(np.eye(3, dtype="uint8") * 255, 30, axis=0)
    path = save(tmp_path / "a.png", np.broadcast_to(pixels, (30, 90, 3)).copy())
    read = read_image(path, (10, 10))
    assert read.shape == (10, 10, 3)
    assert (read[:, 1:-1] == [0, 255, 0]).all()
    assert read_image(path, (7, 11)).shape == (7, 11, 3)


def test_scaling_down_averages(tmp_path):
    checker = np.indices((64, 64)).sum(0) % 2 * 255
    read = read_image(save(tmp_path / "a.png", checker.astype("uint8")), (8, 8))
    assert np.abs(read.astype(int) - 128).max() <= 2


@pytest.mark.parametrize("side", [70, 150, 800])
def test_a_jpeg_scaled_while_decoding_keeps_its_detail(tmp_path, side):
    detail = Image.fromarray(noise(16, 16)).resize((side, side), Image.Resampling.BICUBIC)
    path = save(tmp_path / "a.jpg", detail, quality=95, subsampling=0)
    with Image.open(path) as image:
        whole = np.asarray(image.resize((32, 32), Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(read_image(path, (32, 32)) - whole).mean() < 1.5


def broken_files(folder):
    """Every kind of file that cannot be read -> what its message must say."""
    whole = save(folder / "whole.jpg", noise(40, 40)).read_bytes()
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.png").touch()
    (folder / "text.jpg").write_text("<html>404</html>")
    (folder / "notes.txt").write_text("hello")
    save(folder / "icon.png", Image.new("RGB", (16, 16)), format="TGA")
    save(folder / "depth.tif", Image.fromarray(np.array([[0, np.nan]], "float32")))
    png = bytearray(save(folder / "flipped.png", noise(40, 40)).read_bytes())
    png[len(png) // 2] ^= 1
    (folder / "flipped.png").write_bytes(png)
    (folder / "folder.png").mkdir()
    (folder / "whole.jpg").unlink()
    return {
        "truncated.jpg": "truncated",
        "empty.png": "is empty",
        "text.jpg": "holds no image of a format read here; convert it",
        "notes.txt": "holds no image",
        "icon.png": "holds no image",
        "depth.tif": "infinite",
        "flipped.png": "cannot be read",
        "folder.png": "is no regular file",
        "missing.png": "no such file",
    }


def test_a_bad_file_is_named_with_its_fault_in_one_line(tmp_path):
    for name, fault in broken_files(tmp_path).items():
        with pytest.raises(ImageError) as caught:
            read_image(tmp_path / name)
        message = str(caught.value)
        assert message.startswith(f"{tmp_path / name}: ")
        assert fault in message
        assert "\n" not in message


def test_damage_is_found_when_a_jpeg_is_scaled_while_decoding(tmp_path):
    path = save(tmp_path / "a.jpg", noise(600, 600))
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(ImageError, match="truncated"):
        read_image(path, (16, 16))


@pytest.mark.parametrize("suffix", IMAGE_FORMATS)
def test_bytes_give_the_pixels_of_the_file(tmp_path, suffix):
    path = save(tmp_path / f"a{suffix}", noise(40, 60))
    for size in (None, (16, 16)):
        decoded = decode_image(path.read_bytes(), size)
        np.testing.assert_array_equal(decoded, read_image(path, size))


def test_bad_bytes_are_named_with_their_fault_in_one_line(tmp_path):
    faults = broken_files(tmp_path)
    for name in faults.keys() - {"folder.png", "missing.png"}:
        with pytest.raises(ImageError, match=r"^upload 3: [^\n]*$") as caught:
            decode_image((tmp_path / name).read_bytes(), name="upload 3")
        assert faults[name] in str(caught.value)


@pytest.mark.parametrize("name", ["photo.jpg", "photo.gif", "photo", "photo.txt", "photo.heic"])
@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_a_file_is_read_by_its_content_whatever_its_suffix(tmp_path, name, kind):
    pixels = noise()
    path = save(tmp_path / name, pixels, format=kind)
    assert looks_like_image(path)
    np.testing.assert_array_equal(read_image(path), pixels)
    np.testing.assert_array_equal(decode_image(path.read_bytes()), pixels)


@pytest.mark.parametrize("suffix", IMAGE_FORMATS)
def test_the_first_bytes_of_every_format_look_like_an_image(tmp_path, suffix):
    assert looks_like_image(save(tmp_path / f"a{suffix}", noise()).rename(tmp_path / "photo"))


@pytest.mark.parametrize(
    "text",
    [b"", b"BMW builds cars, and many of them", b"P1 is the first", b"Python", b"II", b"\xff"],
)
def test_the_first_bytes_of_texts_do_not_look_like_an_image(tmp_path, text):
    (tmp_path / "text").write_bytes(text)
    assert not looks_like_image(tmp_path / "text")
    assert not looks_like_image(tmp_path)
    assert not looks_like_image(tmp_path / "absent")


@pytest.fixture(params=["pipe", "device", "socket", "link to a pipe", "folder"])
def irregular(request, tmp_path):
    """A path that must not be opened: that may wait for ever, or give bytes without end."""
    path = tmp_path / "a.jpg"
    if sys.platform == "win32" and request.param != "folder":
        pytest.skip("Windows has no such files")
    if request.param == "device":
        path.symlink_to("/dev/zero")
    elif request.param == "folder":
        path.mkdir()
    elif request.param == "socket":
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(os.fspath(path))
    else:
        os.mkfifo(tmp_path / "pipe")
        path.symlink_to("pipe") if "link" in request.param else (tmp_path / "pipe").rename(path)
    return path


def test_a_file_that_grows_is_read_up_to_a_bound(tmp_path, monkeypatch):
    path, stat = tmp_path / "a.jpg", os.stat
    path.write_bytes(bytes(100))

    def stat_before(place, **options):
        fields = list(stat(place, **options))
        return os.stat_result([*fields[:6], 10, *fields[7:]])

    monkeypatch.setattr(os, "stat", stat_before)
    assert len(images.read_file(path)) == 100
    monkeypatch.setattr(images, "MAX_BYTES", 50)
    assert len(images.read_file(path)) == 51


@pytest.mark.skipif(sys.platform == "win32", reason="needs pipes in folders")
def test_what_is_no_regular_file_is_never_opened(irregular):
    with pytest.raises(ImageError, match=r"a\.jpg: is no regular file"):
        read_image(irregular)
    assert not looks_like_image(irregular)


@pytest.mark.parametrize("suffix", [".heic", ".hif", ".jpg"])
def test_heic_names_the_package_that_it_needs(tmp_path, monkeypatch, suffix):
    path = save(tmp_path / f"a{suffix}", noise(), format="HEIF")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImageError, match=r"HEIF.* pip install 'cnn-cifar10\[heic\]'"):
        read_image(path)


def test_heic_of_10_bits_is_read(tmp_path):
    path, ramp = tmp_path / "a.heic", np.linspace(0, 65535, 32).astype("uint16")
    wide = np.tile(ramp[:, None, None], (1, 32, 3))
    pillow_heif.from_bytes("RGB;16", (32, 32), wide.tobytes()).save(path, quality=95)
    assert pillow_heif.open_heif(path, convert_hdr_to_8bit=False).info["bit_depth"] == 10
    assert np.abs(read_image(path).astype(int) - wide // 257).max() < 6


def _exif(order="<", *, count=2, orientation=6, kind=3):
    """EXIF of a sideways photo, whose BrightnessValue is -1/0."""
    pack, head = lambda code, *values: struct.pack(order + code, *values), b"II*\0"
    if order == ">":
        head = b"MM\0*"
    value = pack("HH", orientation, 0) if kind == 3 else pack("I", orientation)
    first = pack("HHI", 0x0112, kind, 1) + value + pack("HHII", 0x8769, 4, 1, 38)
    broken = pack("HHHIII", 1, 0x9203, 10, 1, 56, 0) + pack("ii", -1, 0)
    return b"Exif\0\0" + head + pack("IH", 8, count) + first + bytes(4) + broken


SIDEWAYS = {
    "broken brightness": _exif(),
    "big endian": _exif(">"),
    "too many tags": _exif(count=60_000),
    "cut off": _exif()[:36],
    "a long for a short": _exif(">", kind=4),
}
UPRIGHT = {
    "no header": b"Exif\0\0" + b"garbage" * 9,
    "nothing": b"Exif\0\0",
    "tags beyond the end": b"Exif\0\0II*\0\xff\xff\xff\xff",
    "no such orientation": _exif(orientation=9),
}


@pytest.mark.parametrize(
    ("case", "suffix"),
    # The writer of HEIC, which turns the pixels itself, understands less.
    sorted(
        {*itertools.product(SIDEWAYS | UPRIGHT, [".jpg", ".png", ".webp", ".heic"])}
        - {("a long for a short", ".heic")}
    ),
)
def test_broken_exif_turns_an_image_or_leaves_it(tmp_path, case, suffix):
    pixels = np.zeros((40, 80, 3), "uint8")
    pixels[:, :40, 0] = 255  # red on the left, which is on top once it is turned
    path = save(tmp_path / f"a{suffix}", pixels, exif=(SIDEWAYS | UPRIGHT)[case])
    read = read_image(path)
    assert read.shape == ((80, 40, 3) if case in SIDEWAYS else (40, 80, 3))
    assert read[2, 2, 0] > 200
    assert read[-2, -2, 0] < 50


def test_avif_whose_exif_is_none_is_turned_too():
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112], exif[0x010E] = 6, "a description"
    Image.fromarray(noise(40, 80)).save(file, "AVIF", exif=exif)
    broken = file.getvalue().replace(b"MM\0*", b"????").replace(b"II*\0", b"????")
    assert broken != file.getvalue()
    assert decode_image(broken).shape == (80, 40, 3)


def test_orientation_by_xmp_alone(tmp_path):
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/" tiff:Orientation="6"></x:xmpmeta>'
    assert read_image(save(tmp_path / "a.jpg", noise(8, 16), xmp=xmp)).shape == (16, 8, 3)
    assert read_image(save(tmp_path / "a.webp", noise(8, 16), xmp=xmp)).shape == (16, 8, 3)


def _png16(pixels, transparent=()):
    """A PNG of 16 bits a channel: grey, grey and alpha, RGB or RGBA."""

    def chunk(kind, data):
        data = kind + data
        return struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))

    height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 16, (0, 4, 2, 6)[channels - 1], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    levels = chunk(b"tRNS", struct.pack(f">{channels}H", *transparent)) if transparent else b""
    chunks = chunk(b"IHDR", header) + levels + chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + chunks + chunk(b"IEND", b"")


def _tiff(pixels, *, order="<", compressed=False, white_is_zero=False, limits=()):
    """A TIFF of the values of an array: unsigned, signed or float."""
    height, width, *channels = pixels.shape
    count = channels[0] if channels else 1
    data = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    data = zlib.compress(data) if compressed else data
    kind = {"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]
    shorts = {258: [8 * pixels.itemsize] * count, 259: [8 if compressed else 1], 277: [count]}
    shorts |= {262: [2 if count > 1 else not white_is_zero], 339: [kind] * count}
    tags = {key: ("H", values) for key, values in shorts.items()}
    tags |= {key: ("I", [n]) for key, n in {256: width, 257: height, 278: height}.items()}
    tags |= {273: ("I", [0]), 279: ("I", [len(data)])}
    tags |= {340 + i: ("f", [limit]) for i, limit in enumerate(limits)}
    after, values = 14 + 12 * len(tags), b""
    entries = {}
    for key, (code, numbers) in tags.items():
        packed = struct.pack(f"{order}{len(numbers)}{code}", *numbers)
        if len(packed) > 4:
            values, packed = values + packed, struct.pack(f"{order}I", after + len(values))
        kind = {"H": 3, "I": 4, "f": 11}[code]
        entries[key] = struct.pack(f"{order}HHI", key, kind, len(numbers)) + packed.ljust(4, b"\0")
    entries[273] = struct.pack(f"{order}HHII", 273, 4, 1, after + len(values))
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(tags))
    return head + b"".join(entries[key] for key in sorted(entries)) + bytes(4) + values + data


RAMP = np.linspace(0, 1, 16)[None, :, None]
SHOWN = np.arange(0, 256, 17)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_png_of_16_bits_is_scaled_by_the_bits_in_use(bits, channels):
    pixels = np.repeat(np.rint(RAMP * (2**bits - 1)).astype("uint16"), channels, axis=2)
    pixels[..., 3:] = 65535
    np.testing.assert_array_equal(decode_image(_png16(pixels))[0], np.repeat(SHOWN[:, None], 3, 1))


@pytest.mark.parametrize(("top", "shown"), [(100, 100), (300, 75), (3000, 187), (40_000, 156)])
def test_a_dark_image_of_16_bits_stays_dark(top, shown):
    pixels = np.array([[[0], [top]]], "uint16")
    assert decode_image(_png16(pixels))[0, :, 0].tolist() == [0, shown]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    "values",
    [
        (RAMP * 65535).astype("uint16"),
        (RAMP * 4095).astype("uint16"),
        np.repeat((RAMP * 65535).astype("uint16"), 3, axis=2),
        np.repeat((RAMP * 4095).astype("uint16"), 3, axis=2),
        (RAMP * 3000 - 1000).astype("int16"),
        (RAMP * 3e6 - 1e6).astype("int32"),
        RAMP.astype("float32"),
        (RAMP * 40 - 12.5).astype("float32"),
    ],
    ids=[
        "16",
        "12 of 16",
        "RGB 16",
        "RGB 12 of 16",
        "signed 16",
        "signed 32",
        "float",
        "wide float",
    ],
)
def test_tiff_of_more_than_8_bits_is_scaled_by_its_range(values, order, compressed):
    values = values if values.shape[2] > 1 else values[..., 0]
    read = decode_image(_tiff(values, order=order, compressed=compressed))[0]
    assert np.abs(read.astype(int) - SHOWN[:, None]).max() <= 1


def test_tiff_may_declare_its_range_and_that_white_is_zero():
    values = (RAMP[..., 0] * 1000).astype("float32")
    half = decode_image(_tiff(values, limits=(0, 2000)))[0, :, 0]
    assert np.abs(half - SHOWN / 2).max() <= 1
    wrong = decode_image(_tiff(values, limits=(0, 10)))[0, :, 0]  # since values lie outside
    np.testing.assert_array_equal(wrong, SHOWN)
    unsigned = decode_image(_tiff((RAMP[..., 0] * (2**32 - 1)).astype("uint32")))[0, :, 0]
    np.testing.assert_array_equal(unsigned, SHOWN)
    wide = (RAMP[..., 0] * 65535).astype("uint16")
    np.testing.assert_array_equal(
        decode_image(_tiff(wide, white_is_zero=True))[0, :, 0], SHOWN[::-1]
    )


def test_a_transparent_colour_of_16_bits_shows_white():
    pixels = np.repeat(np.rint(RAMP * 4095).astype("uint16"), 3, axis=2)
    read = decode_image(_png16(pixels, transparent=(819,) * 3))[0, :, 1]
    np.testing.assert_array_equal(read, np.where(SHOWN == 51, 255, SHOWN))


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "LAB", "1", "L", "RGBA"])
def test_other_colours_than_rgb_become_rgb(tmp_path, mode):
    green = Image.new("RGB", (16, 16), (0, 255, 0))
    options = {"compression": "jpeg"} if mode == "YCbCr" else {}
    if mode == "LAB":
        from PIL import ImageCms

        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        image = ImageCms.profileToProfile(green, srgb, lab, outputMode="LAB")
    else:
        image = green.convert(mode)
    red, green, blue = read_image(save(tmp_path / "a.tif", image, **options))[8, 8].astype(int)
    assert green > 140 if mode in "1L" else green > 240
    assert mode in "1L" or max(red, blue) < 15


def test_sixteen_bit_pgm_is_scaled_by_the_maximum_that_it_names(tmp_path):
    (tmp_path / "a.pgm").write_bytes(b"P5 3 1 1000\n" + struct.pack(">HHH", 0, 500, 1000))
    np.testing.assert_array_equal(read_image(tmp_path / "a.pgm")[0, :, 0], [0, 128, 255])


def test_files_and_bytes_have_the_same_limits(tmp_path, monkeypatch):
    path = save(tmp_path / "a.png", noise(40, 50))
    data = path.read_bytes()
    for limit, value in (("MAX_PIXELS", 1999), ("MAX_BYTES", len(data) - 1)):
        with monkeypatch.context() as patch:
            patch.setattr(images, limit, value + 1)
            assert decode_image(data).shape == read_image(path).shape == (40, 50, 3)
            patch.setattr(images, limit, value)
            for read in (lambda: decode_image(data), lambda: read_image(path, (8, 8))):
                with pytest.raises(ImageError, match="scale it down") as caught:
                    read()
                fault = (
                    "2,000 pixels (50x40), more than the 1,999" if "PIX" in limit else "MB, more"
                )
                assert fault in str(caught.value)


def _large_png(width, height):
    small = save(io.BytesIO(), noise(), format="PNG").getvalue()
    header = b"IHDR" + struct.pack(">II", width, height) + small[24:29]
    return small[:12] + header + struct.pack(">I", zlib.crc32(header)) + small[33:]


@pytest.mark.parametrize(("width", "height"), [(10_000, 10_000), (100_000, 100_000), (2**30, 9)])
def test_what_is_too_large_is_refused_by_its_header_without_a_warning(width, height):
    with pytest.raises(ImageError, match=f"{width * height:,} pixels .*, more than the 64,000,000"):
        decode_image(_large_png(width, height))


def test_a_jpeg_counts_at_the_scale_at_which_it_is_decoded(tmp_path, monkeypatch):
    path = save(tmp_path / "a.jpg", noise(160, 160))
    monkeypatch.setattr(images, "MAX_PIXELS", 6400)  # a quarter of its pixels
    assert read_image(path, (16, 16)).shape == (16, 16, 3)
    for size in (None, (128, 128)):
        with pytest.raises(ImageError, match="25,600 pixels"):
            read_image(path, size)
    monkeypatch.setattr(images, "MAX_PIXELS", 6399)
    with pytest.raises(ImageError, match="25,600 pixels"):
        read_image(path, (16, 16))


@pytest.mark.parametrize("fit", images.FITS)
@pytest.mark.parametrize("shape", [(1, 9000), (9000, 1), (700, 3), (1, 1)])
def test_the_thinnest_images_fit_too(tmp_path, shape, fit):
    path = save(tmp_path / "a.png", np.full((*shape, 3), 9, "uint8"))
    read = read_image(path, (32, 32), fit)
    assert read.shape == (32, 32, 3)
    assert (read == 9).all(-1).sum() >= 32


def test_a_compressed_text_bomb_is_refused(tmp_path):
    info = PngImagePlugin.PngInfo()
    info.add_text("comment", "x" * 2_000_000, zip=True)
    with pytest.raises(ImageError, match=r"a\.png: cannot be read"):
        read_image(save(tmp_path / "a.png", noise(), pnginfo=info))


def test_errors_survive_the_way_between_processes(tmp_path):
    error = pickle.loads(pickle.dumps(ImageError(tmp_path / "a.png", "is empty")))
    assert str(error) == f"{tmp_path / 'a.png'}: is empty"
    assert error.reason == "is empty"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    paths = [save(folder / f"{i}.png", noise(8, 8, seed=i)) for i in range(7)]
    return ImageFiles(paths, (8, 8)), np.stack([noise(8, 8, seed=i) for i in range(7)])


def test_image_files_have_the_form_of_an_array(files):
    images, array = files
    assert images.shape == array.shape
    assert images.dtype == array.dtype
    assert len(images) == 7
    assert isinstance(images.paths[0], str)


@given(
    st.one_of(
        st.integers(-7, 6),
        st.slices(7),
        st.lists(st.integers(-7, 6), max_size=9),
        st.lists(st.booleans(), min_size=7, max_size=7).map(np.array),
    )
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_image_files_index_like_an_array(files, index):
    images, array = files
    index = np.array(index, int) if isinstance(index, list) else index
    np.testing.assert_array_equal(images[index], array[index])
    assert images[index].dtype == np.uint8


def test_image_files_end_like_an_array(files):
    images, array = files
    with pytest.raises(IndexError):
        images[7]
    np.testing.assert_array_equal(np.asarray(list(images)), array)


def test_image_files_name_the_file_that_went_missing(tmp_path):
    images = ImageFiles([save(tmp_path / "a.png", noise()), tmp_path / "gone.png"], (4, 4))
    with pytest.raises(ImageError, match=r"gone\.png: no such file"):
        images[:]


def _first_pixel(images):
    return images[[0, 1]][:, 0, 0].tolist()


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*fork:RuntimeWarning")
def test_image_files_are_read_in_a_forked_process_too(files):
    images, array = files
    images[:]  # the parent's threads run
    with multiprocessing.get_context("fork").Pool(1) as pool:
        pixels = pool.apply_async(_first_pixel, [images]).get(timeout=20)
    assert pixels == array[:2, 0, 0].tolist()
