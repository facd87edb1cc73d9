"""The pixels of the cache are those of the decoder; it is bounded, checked and never in the way."""

import concurrent.futures
import gc
import multiprocessing
import os
import pickle
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnn_cifar10.datasets import ImageFiles, images
from cnn_cifar10.datasets.cache import PixelCache, open_cache
from cnn_cifar10.datasets.scan import scan_images
from cnn_cifar10.utils import InputError

SIZE = (24, 24)


def make_files(folder, count=12, seed=0):
    rng = np.random.default_rng(seed)
    suffixes = ["jpg", "png", "webp", "gif", "tif"]
    folder.mkdir(exist_ok=True)
    for i in range(count):
        pixels = rng.integers(0, 256, (30 + i, 60, 3), dtype="uint8")
        Image.fromarray(pixels).resize((120, 60)).save(folder / f"{i:02}.{suffixes[i % 5]}")
    return sorted(map(str, folder.iterdir()))


def scanned(paths, fit="crop"):
    return scan_images(paths, size=SIZE, fit=fit).images


@pytest.fixture
def decoded(monkeypatch):
    """The paths of the files that are decoded when indexed."""
    paths, decode = [], images.decode_image

    def note(data, size=None, name="image", fit="crop"):
        paths.append(name)
        return decode(data, size, name, fit)

    monkeypatch.setattr(images, "decode_image", note)
    return paths


def databases(home):
    return sorted((home / "cnn-cifar10" / "images").glob("*.sqlite"))


@pytest.mark.parametrize("fit", images.FITS)
def test_cached_pixels_are_those_of_the_decoder_bit_for_bit(tmp_path, fit, decoded, caplog):
    paths = make_files(tmp_path / "a")
    expected = ImageFiles(paths, SIZE, fit)[:]
    decoded.clear()
    files = scanned(paths, fit)
    np.testing.assert_array_equal(files[:], expected)
    np.testing.assert_array_equal(files[[3, 3, 1]], expected[[3, 3, 1]])
    np.testing.assert_array_equal(files[-2], expected[-2])
    mask = np.arange(12) % 2 == 0
    np.testing.assert_array_equal(
        (files.take(mask) + files.take(slice(3)))[2:8][1:],
        np.concatenate([expected[mask], expected[:3]])[2:8][1:],
    )
    assert decoded == []
    assert caplog.text == ""


def test_sizes_and_fits_have_pixels_of_their_own(tmp_path):
    paths = make_files(tmp_path / "a", 2)
    for size, fit in (((8, 8), "crop"), ((8, 8), "pad"), ((8, 9), "pad")):
        files = scan_images(paths, size=size, fit=fit).images
        np.testing.assert_array_equal(files[:], ImageFiles(paths, size, fit)[:])


def test_what_an_earlier_scan_has_not_kept_is_decoded_once(tmp_path, decoded):
    paths = make_files(tmp_path / "a")
    scan_images(paths, size=None, fit="crop")
    for _ in range(3):
        files = scanned(paths)  # which reads no file
        np.testing.assert_array_equal(files[:], ImageFiles(paths, SIZE)[:])
    assert len(decoded) == 12 + 3 * 12


def test_a_changed_folder_adds_what_is_new(tmp_path, cache_home, decoded):
    paths = make_files(tmp_path / "a")
    scanned(paths)
    os.replace(paths[0], paths[5])
    Image.new("RGB", (40, 40), "red").save(paths[0], format="PNG")
    files = scanned(paths)
    np.testing.assert_array_equal(files[0], np.broadcast_to([255, 0, 0], (*SIZE, 3)))
    np.testing.assert_array_equal(files[:], ImageFiles(paths, SIZE)[:])
    assert len(databases(cache_home)) == 1


def test_a_file_that_changes_after_the_scan_does_not_enter_under_its_old_digest(tmp_path):
    paths = make_files(tmp_path / "a", 3)
    scan_images(paths, size=None, fit="crop")
    files, others = scanned(paths), scanned(paths)
    before, kept = ImageFiles(paths, SIZE)[:], Path(paths[1]).read_bytes()
    Image.new("RGB", (40, 40), "red").save(paths[1], format="PNG")
    assert (files[1] == [255, 0, 0]).all()
    Path(paths[1]).write_bytes(kept)
    np.testing.assert_array_equal(others[:], before)


def test_damaged_pixels_are_decoded_again_with_a_warning(tmp_path, cache_home, decoded, caplog):
    paths = make_files(tmp_path / "a")
    files = scanned(paths)
    expected = ImageFiles(paths, SIZE)[:]
    decoded.clear()
    database = sqlite3.connect(databases(cache_home)[0])
    database.execute("UPDATE images SET pixels = zeroblob(length(pixels)) WHERE rowid IN (2, 5)")
    database.execute("UPDATE images SET pixels = x'00' WHERE rowid = 7")
    database.commit()
    database.close()
    np.testing.assert_array_equal(files[:], expected)
    assert len(decoded) == 3
    assert caplog.text.count("is damaged") == 1
    np.testing.assert_array_equal(files[:], expected)
    assert len(decoded) == 3


@pytest.mark.parametrize("damage", ["other", "cut", "flipped", "gone"])
def test_a_damaged_file_is_a_warning_and_made_again(tmp_path, cache_home, damage, caplog):
    paths = make_files(tmp_path / "a")
    files = scanned(paths)
    expected = ImageFiles(paths, SIZE)[:]
    path = databases(cache_home)[0]
    content = bytearray(path.read_bytes())
    if damage == "other":
        content[:] = b"this is no database" * 99
    elif damage == "cut":
        del content[len(content) // 2 :]
    elif damage == "flipped":
        content[0:4096:7] = bytes(len(content[0:4096:7]))
    path.write_bytes(content)
    if damage == "gone":
        path.unlink()
    np.testing.assert_array_equal(files[:], expected)
    np.testing.assert_array_equal(files[:], expected)
    np.testing.assert_array_equal(scanned(paths)[:], expected)
    assert damage == "gone" or "damaged" in caplog.text


def test_a_cache_that_cannot_be_written_is_a_warning(tmp_path, monkeypatch, caplog):
    paths = make_files(tmp_path / "a")
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    files = scanned(paths)
    assert files.cache is None
    np.testing.assert_array_equal(files[:], ImageFiles(paths, SIZE)[:])
    assert "images cannot be used, so images are decoded in each epoch" in caplog.text


def test_a_cache_whose_folder_vanishes_is_a_warning(tmp_path, cache_home, caplog):
    paths = make_files(tmp_path / "a")
    scan_images(paths, size=None, fit="crop")
    files = scanned(paths)
    folder = cache_home / "cnn-cifar10" / "images"
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    folder.touch()
    np.testing.assert_array_equal(files[:], ImageFiles(paths, SIZE)[:])
    assert "cannot be used" in caplog.text


def test_what_is_larger_than_the_bound_is_not_kept(tmp_path, cache_home, monkeypatch, caplog):
    paths = make_files(tmp_path / "a")
    monkeypatch.setenv("CNN_CIFAR10_CACHE_GB", "0.00002")  # 12 images take 20,736 bytes
    files = scanned(paths)
    assert files.cache is None
    assert "has no room for" in caplog.text
    assert "CNN_CIFAR10_CACHE_GB" in caplog.text
    np.testing.assert_array_equal(files[:], ImageFiles(paths, SIZE)[:])
    caplog.clear()
    monkeypatch.setenv("CNN_CIFAR10_CACHE_GB", "0")
    assert scanned(paths).cache is None
    assert caplog.text == ""
    assert databases(cache_home) == []


@pytest.mark.parametrize("value", ["much", "-1", "nan", "1,5"])
def test_a_bound_that_is_no_number_is_an_error(monkeypatch, value):
    monkeypatch.setenv("CNN_CIFAR10_CACHE_GB", value)
    with pytest.raises(InputError, match=f"CNN_CIFAR10_CACHE_GB: '{value}' is not a number of gig"):
        open_cache("key", 1000)


def test_the_cache_used_longest_ago_makes_room_but_none_in_use(tmp_path, monkeypatch, caplog):
    caches = [scanned(make_files(tmp_path / name, seed=i)) for i, name in enumerate("abc")]
    caches.sort(key=lambda files: files.cache.path, reverse=True)
    paths = [files.cache.path for files in caches]
    for used, path in enumerate(paths):
        os.utime(path.with_suffix(".lock"), (used, used))
    caches[1:] = []
    gc.collect()  # so that these are no longer in use
    bound = 3.5 * paths[0].stat().st_size / 1e9
    monkeypatch.setenv("CNN_CIFAR10_CACHE_GB", str(bound))
    fourth = scanned(make_files(tmp_path / "d", seed=3))
    assert [path.exists() for path in paths] == [True, False, True]
    fifth = scanned(make_files(tmp_path / "e", seed=4))
    assert [path.exists() for path in paths] == [True, False, False]
    assert fourth.cache
    assert fifth.cache
    assert scanned(make_files(tmp_path / "f", seed=5)).cache is None  # all others are in use
    assert "no room" in caplog.text
    np.testing.assert_array_equal(caches[0][:], ImageFiles(caches[0].paths, SIZE)[:])


def test_a_cache_is_not_removed_to_make_room_for_itself(tmp_path, monkeypatch):
    paths = make_files(tmp_path / "a")
    first = scanned(paths).cache.path
    second = scanned(make_files(tmp_path / "b", seed=1)).cache.path
    gc.collect()  # so that neither is in use
    for used, path in enumerate((first, second)):
        os.utime(path.with_suffix(".lock"), (used, used))
    monkeypatch.setenv("CNN_CIFAR10_CACHE_GB", str(1.5 * first.stat().st_size / 1e9))
    assert scanned(paths).cache.path == first
    assert first.exists()
    assert not second.exists()


def test_a_cache_that_outgrows_the_bound_is_added_to_no_more(tmp_path, monkeypatch, caplog):
    files = scanned(make_files(tmp_path / "a"))
    monkeypatch.setenv("CNN_CIFAR10_CACHE_GB", str(files.cache.path.stat().st_size / 1e9))
    more = files + scan_images(make_files(tmp_path / "b", seed=1), size=SIZE, fit="crop").images
    np.testing.assert_array_equal(more[:], ImageFiles(more.paths, SIZE)[:])
    assert "no room for more images" in caplog.text


def test_a_cache_mostly_of_replaced_images_is_made_anew(tmp_path, cache_home):
    cache = open_cache("key", 30_000_000)
    cache.write(np.array([b"a"]), np.zeros((1, 3000, 4000, 3), "uint8"))
    path = cache.path
    del cache
    assert path.stat().st_size > 30_000_000
    assert open_cache("key", 10_000) is not None
    assert not path.exists()


def _read(files):
    return files[:]


def test_threads_and_other_processes_read_and_write_at_once(tmp_path):
    paths = make_files(tmp_path / "a")
    expected = ImageFiles(paths, SIZE)[:]
    scan_images(paths, size=None, fit="crop")
    files = scanned(paths)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for read in pool.map(_read, [files] * 8):
            np.testing.assert_array_equal(read, expected)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(files))[:], expected)


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*fork:RuntimeWarning")
def test_forked_processes_read_and_write_too(tmp_path):
    paths = make_files(tmp_path / "a")
    scan_images(paths, size=None, fit="crop")
    files = scanned(paths)
    files[:3]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        results = [pool.apply_async(_read, [files.take(slice(i, None))]) for i in (0, 2, 4)]
        for i, result in zip((0, 2, 4), results, strict=True):
            np.testing.assert_array_equal(result.get(timeout=20), ImageFiles(paths[i:], SIZE)[:])


_WRITER = """
import sys, numpy as np
from pathlib import Path
from cnn_cifar10.datasets.cache import PixelCache
cache, i = PixelCache(Path(sys.argv[1])), 0
while True:
    cache.write(np.array([b"%d" % i]), np.full((1, 200, 200, 3), i % 256, "uint8"))
    i += 1
    print(i, flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_killed_process_leaves_whole_images(tmp_path):
    path = tmp_path / "a.sqlite"
    writer = subprocess.Popen([sys.executable, "-c", _WRITER, path], stdout=subprocess.PIPE)
    while int(writer.stdout.readline()) < 20:
        pass
    writer.send_signal(signal.SIGKILL)
    count = int(([b"20", *writer.stdout.read().split()])[-1])
    writer.stdout.close()
    writer.wait()
    read = np.zeros((count, 200, 200, 3), "uint8")
    digests = np.array([b"%d" % i for i in range(count)])
    assert len(PixelCache(path).read(digests, read)) == 0
    assert (read == np.arange(count)[:, None, None, None] % 256).all()


def test_stamps_follow_the_content_alone(tmp_path):
    paths = make_files(tmp_path / "a", 3)
    files = scanned(paths)
    assert files.stamps() == ImageFiles(paths, SIZE).stamps()
    assert files.stamps() != ImageFiles(paths, SIZE, "pad").stamps()
    time.sleep(0.01)
    os.utime(paths[0])
    assert files.stamps() == scanned(paths).stamps()
    os.replace(paths[0], paths[1])
    assert scanned(paths[1:]).stamps()[0] == files.stamps()[0]
