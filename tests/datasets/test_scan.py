"""What one pass over image files finds, and that it is not made twice."""

import hashlib
import itertools
import os
import shutil
import sqlite3
import sys
import time

import numpy as np
import pytest
from PIL import Image

from cnn_cifar10.datasets import images, read_image, scan, workers
from cnn_cifar10.datasets.scan import scan_images


def make_files(folder, count=6, side=40):
    rng = np.random.default_rng(0)
    for i in range(count):
        pixels = rng.integers(0, 256, (side, side + i, 3), dtype="uint8")
        Image.fromarray(pixels).save(folder / f"{i:04}.png")
    return sorted(map(str, folder.iterdir()))


@pytest.fixture
def reads(monkeypatch):
    """The names of the files that are read."""
    names, read_file = [], scan.read_file

    def note(path):
        names.append(os.path.basename(path))
        return read_file(path)

    monkeypatch.setattr(scan, "read_file", note)
    return names


def check(found, paths):
    """Compare a scan of good files with what other code says of them."""
    assert found.paths == paths
    assert found.faults == [None] * len(paths)
    for i, path in enumerate(paths):
        pixels = read_image(path)
        assert (found.heights[i], found.widths[i]) == pixels.shape[:2]
        small = Image.fromarray(pixels).resize((16, 16), Image.Resampling.BOX)
        np.testing.assert_array_equal(found.thumbnails[i], np.asarray(small))
        with open(path, "rb") as file:
            digest = hashlib.sha256(file.read()).digest()
        assert found.digests[i] == digest.rstrip(b"\0")
        assert found.bytes[i] == os.path.getsize(path)


def test_a_scan_has_an_entry_for_each_file_in_order(tmp_path):
    paths = make_files(tmp_path)[::-1]
    found = scan_images(paths, size=None, fit="crop")
    check(found, paths)
    assert found.formats == ["PNG"] * 6
    assert found.images is None
    assert len(found) == 6


def test_processes_find_what_threads_find(tmp_path, monkeypatch):
    paths = make_files(tmp_path)
    monkeypatch.setattr(scan, "FEW_FILES", 0)
    found = scan_images(paths, size=(16, 16), fit="pad")
    check(found, paths)
    for path in paths:
        os.remove(path)  # the pixels are in the cache
    assert found.images[:].shape == (6, 16, 16, 3)


def test_size_and_shape_are_those_that_are_shown(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.zeros((400, 800, 3), "uint8")
    pixels[:, :400] = 255
    Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=exif)
    found = scan_images([str(tmp_path / "a.jpg")], size=None, fit="crop")
    assert (found.heights[0], found.widths[0]) == (800, 400)
    assert found.thumbnails[0, :8].min() > 250
    assert found.thumbnails[0, 8:].max() < 5


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_faults_are_entries_too(tmp_path, reads):
    paths = make_files(tmp_path, 2)
    broken = {"broken.png": b"\x89PNG\r\n\x1a\n", "text.jpg": b"text", "empty.gif": b""}
    for name, content in broken.items():
        (tmp_path / name).write_bytes(content)
    os.mkfifo(tmp_path / "pipe.jpg")
    wanted = [*paths, *(str(tmp_path / name) for name in [*broken, "pipe.jpg", "absent.png"])]
    for _ in range(2):
        found = scan_images(wanted, size=(8, 8), fit="crop")
        faults = dict(zip(map(os.path.basename, wanted), found.faults, strict=True))
        assert faults["0000.png"] is faults["0001.png"] is None
        assert "cannot be read" in faults["broken.png"]
        assert "holds no image" in faults["text.jpg"]
        assert "is empty" in faults["empty.gif"]
        assert "is no regular file" in faults["pipe.jpg"]
        assert "no such file" in faults["absent.png"]
        digest = hashlib.sha256(b"text").digest()
        assert found.digests[3:].tolist() == [digest, hashlib.sha256().digest(), b"", b""]
        assert not found.thumbnails[2:].any()
        assert not found.heights[2:].any()
        assert found.formats[2:] == [""] * 5
    again = sorted(reads[len(wanted) :])  # two threads read, in no order
    assert again == ["absent.png", "pipe.jpg"]  # nobody knows what these hold


def test_only_new_and_changed_files_are_read_again(tmp_path, reads):
    paths = make_files(tmp_path)
    scan_images(paths, size=None, fit="crop")
    assert sorted(reads) == [f"{i:04}.png" for i in range(6)]
    reads.clear()
    shutil.copy(paths[3], paths[1])
    os.utime(paths[1], ns=(0, os.stat(paths[2]).st_mtime_ns))
    shutil.copy(paths[0], tmp_path / "new.png")
    paths = sorted(map(str, tmp_path.iterdir()))
    check(scan_images(paths, size=None, fit="crop"), paths)
    assert sorted(reads) == ["0001.png", "new.png"]
    reads.clear()
    check(scan_images(paths[::-1], size=(8, 8), fit="pad"), paths[::-1])
    assert reads == []


def test_another_decoder_reads_all_again(tmp_path, reads, monkeypatch):
    paths = make_files(tmp_path)
    scan_images(paths, size=None, fit="crop")
    monkeypatch.setattr(scan, "decoder_version", lambda: "another")
    scan_images(paths, size=None, fit="crop")
    assert len(reads) == 12


def test_an_interrupted_scan_goes_on_where_it_was(tmp_path, reads, monkeypatch):
    paths = make_files(tmp_path, 40)
    for module in (scan, workers):  # so that the order is known
        monkeypatch.setattr(module, "usable_cores", lambda: 1)
    read_file = scan.read_file

    def interrupt(path):
        if path == paths[20]:
            raise KeyboardInterrupt
        return read_file(path)

    monkeypatch.setattr(scan, "read_file", interrupt)
    with pytest.raises(KeyboardInterrupt):
        scan_images(paths, size=(8, 8), fit="crop")
    monkeypatch.setattr(scan, "read_file", read_file)
    before = set(reads)
    reads.clear()
    check(scan_images(paths, size=(8, 8), fit="crop"), paths)
    assert 0 < len(reads) < 40
    assert len(before & set(reads)) <= 5  # those of one chunk


def test_files_have_names_of_any_bytes(tmp_path, reads):
    names = [b"\xff\xfe", "猫".encode(), b"a'b\"; DROP TABLE files", b"$x_y\n"]
    paths = []
    for name in names:
        paths.append(os.fsdecode(os.path.join(os.fsencode(tmp_path), name + b".png")))
        Image.new("RGB", (20, 20), "red").save(paths[-1])
    for _ in range(2):
        found = scan_images(paths, size=(8, 8), fit="crop")
        assert found.faults == [None] * 4
        assert (found.images[:] == [255, 0, 0]).all()
    assert len(reads) == 4


@pytest.mark.parametrize("content", [b"no database", b"SQLite format 3\0" + bytes(4080)])
def test_a_damaged_record_is_a_warning_and_made_again(tmp_path, cache_home, content, reads, caplog):
    paths = make_files(tmp_path)
    database = cache_home / "cnn-cifar10" / "scan.sqlite"
    database.parent.mkdir()
    database.write_bytes(content)
    check(scan_images(paths, size=None, fit="crop"), paths)
    assert "damaged" in caplog.text
    reads.clear()
    check(scan_images(paths, size=None, fit="crop"), paths)
    check(scan_images(paths, size=None, fit="crop"), paths)
    assert len(reads) in (0, 6)


def test_a_damaged_entry_is_read_again(tmp_path, cache_home, reads):
    paths = make_files(tmp_path)
    scan_images(paths, size=None, fit="crop")
    reads.clear()
    database = sqlite3.connect(cache_home / "cnn-cifar10" / "scan.sqlite")
    database.execute("UPDATE images SET thumbnail = x'00' WHERE rowid = 2")
    database.execute("UPDATE images SET width = 7 WHERE rowid = 3")
    database.commit()
    database.close()
    check(scan_images(paths, size=None, fit="crop"), paths)
    assert len(reads) == 2


def test_a_record_that_cannot_be_written_is_a_warning(tmp_path, monkeypatch, caplog):
    paths = make_files(tmp_path)
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    for _ in range(2):
        found = scan_images(paths, size=(8, 8), fit="crop")
        check(found, paths)
        np.testing.assert_array_equal(found.images[1], read_image(paths[1], (8, 8)))
    assert caplog.text.count("scan.sqlite cannot be used") == 1


def test_no_files_are_a_scan_too():
    found = scan_images([], size=(8, 8), fit="crop")
    assert len(found) == 0
    assert found.thumbnails.shape == (0, 16, 16, 3)
    assert found.images[:].shape == (0, 8, 8, 3)


def test_progress_is_shown_where_it_takes_a_while(tmp_path, monkeypatch, capsys):
    paths = make_files(tmp_path)
    scan_images(paths, size=None, fit="crop", progress=True)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    scan_images(paths, size=None, fit="crop")
    assert capsys.readouterr().err == ""
    shutil.copy(paths[1], paths[0])
    scan_images(paths, size=None, fit="crop", progress=False)
    assert capsys.readouterr().err == ""
    shutil.copy(paths[2], paths[0])
    scan_images(paths, size=None, fit="crop", progress=True)
    captured = capsys.readouterr()
    assert "1/1" in captured.err
    assert captured.out == ""


def test_a_log_has_a_line_of_progress_now_and_then(capsys):
    with scan.progress_bar(100_000, None) as bar:
        bar._time = itertools.count(time.time(), 20).__next__
        for _ in range(4):
            bar.update(1000)
    lines = [line.strip() for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert len(lines) >= 2
    assert all("of 100,000, " in line and line.endswith("left") for line in lines)


def test_the_decoder_keeps_no_more_than_it_must(tmp_path, monkeypatch):
    sizes = []
    monkeypatch.setattr(
        scan,
        "load_image",
        lambda data, path, size: sizes.append(size) or images.load_image(data, path, size),
    )
    scan_images(make_files(tmp_path), size=None, fit="crop")
    assert set(sizes) == {(64, 64)}
