"""Image files to RGB pixels."""

import multiprocessing
import pickle
import struct
import sys
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from cnn_cifar10.datasets import (
    IMAGE_FORMATS,
    ImageError,
    ImageFiles,
    decode_image,
    find_damaged,
    images,
)
from cnn_cifar10.datasets.images import read_image

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
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
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
    save(folder / "cat.jpg", noise(), format="PNG")
    save(folder / "icon.png", Image.new("RGB", (16, 16)), format="PPM")
    save(folder / "depth.tif", Image.new("F", (4, 4)))
    png = bytearray(save(folder / "flipped.png", noise(40, 40)).read_bytes())
    png[len(png) // 2] ^= 1
    (folder / "flipped.png").write_bytes(png)
    (folder / "folder.png").mkdir()
    (folder / "whole.jpg").unlink()
    return {
        "truncated.jpg": "truncated",
        "empty.png": "is empty",
        "text.jpg": "holds no image",
        "notes.txt": "suffixes",
        "cat.jpg": "holds PNG data; rename it to cat.png",
        "icon.png": "holds no image of a format read here; convert it",
        "depth.tif": "32-bit",
        "flipped.png": "cannot be read",
        "folder.png": "cannot be read",
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


def test_a_decompression_bomb_is_refused(tmp_path, monkeypatch):
    path = save(tmp_path / "a.png", noise(40, 40))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ImageError, match="too many pixels"):
        read_image(path)


@pytest.mark.parametrize("suffix", IMAGE_FORMATS)
def test_bytes_give_the_pixels_of_the_file(tmp_path, suffix):
    path = save(tmp_path / f"a{suffix}", noise(40, 60))
    for size in (None, (16, 16)):
        decoded = decode_image(path.read_bytes(), size)
        np.testing.assert_array_equal(decoded, read_image(path, size))


def test_bad_bytes_are_named_with_their_fault_in_one_line(tmp_path):
    faults = broken_files(tmp_path)
    assert decode_image((tmp_path / "cat.jpg").read_bytes()).shape == (6, 9, 3)  # has no suffix
    for name in faults.keys() - {"cat.jpg", "notes.txt", "folder.png", "missing.png"}:
        with pytest.raises(ImageError, match=r"^upload 3: [^\n]*$") as caught:
            decode_image((tmp_path / name).read_bytes(), name="upload 3")
        assert faults[name] in str(caught.value)


def test_bytes_may_be_no_larger_than_the_limits(tmp_path, monkeypatch):
    data = save(tmp_path / "a.png", noise(40, 40)).read_bytes()
    monkeypatch.setattr(images, "MAX_PIXELS", 1600)
    monkeypatch.setattr(images, "MAX_BYTES", len(data))
    assert decode_image(data).shape == (40, 40, 3)
    monkeypatch.setattr(images, "MAX_PIXELS", 1599)
    with pytest.raises(ImageError, match="image: has too many pixels"):
        decode_image(data)
    monkeypatch.setattr(images, "MAX_BYTES", len(data) - 1)
    with pytest.raises(ImageError, match="image: has more than 0 MB; scale it down"):
        decode_image(data)


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
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
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


def test_find_damaged_lists_all_and_only_the_bad(tmp_path):
    faults = broken_files(tmp_path)
    good = [save(tmp_path / f"good{i}.png", noise()) for i in range(5)]
    damaged = find_damaged([*good, *(tmp_path / name for name in faults)])
    assert damaged.keys() == {str(tmp_path / name) for name in faults}
    assert damaged[str(tmp_path / "cat.jpg")] == "holds PNG data; rename it to cat.png"


def test_find_damaged_shows_progress_for_many_files_on_a_terminal(tmp_path, monkeypatch, capsys):
    path = save(tmp_path / "a.png", noise(2, 2))
    assert find_damaged([path] * 2001) == {}
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert find_damaged([path] * 10) == {}
    assert capsys.readouterr().err == ""
    assert find_damaged([path] * 2001) == {}
    captured = capsys.readouterr()
    assert "2001/2001" in captured.err
    assert captured.out == ""
