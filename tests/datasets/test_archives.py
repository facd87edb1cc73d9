"""Archives of images: unpacked once, and never more than is safe."""

import io
import os
import stat
import tarfile
import zipfile

import pytest

from cnn_cifar10.datasets import archives, load_dataset


def zip_of(folder, path, **options):
    with zipfile.ZipFile(path, "w", **options) as file:
        for each in sorted(folder.rglob("*")):
            file.write(each, each.relative_to(folder))
    return path


def tar_of(folder, path, mode):
    with tarfile.open(path, mode) as file:
        file.add(folder, ".")
    return path


PACK = {
    "pets.zip": zip_of,
    "pets.tar": lambda folder, path: tar_of(folder, path, "w"),
    "pets.tar.gz": lambda folder, path: tar_of(folder, path, "w:gz"),
    "pets.tgz": lambda folder, path: tar_of(folder, path, "w:gz"),
    "pets.TAR.BZ2": lambda folder, path: tar_of(folder, path, "w:bz2"),
    "pets.tar.xz": lambda folder, path: tar_of(folder, path, "w:xz"),
}


def unpacked(cache_home):
    return [path for path in (cache_home / "cnn-cifar10" / "unpacked").iterdir() if path.is_dir()]


@pytest.mark.parametrize("name", PACK)
def test_an_archive_is_what_its_folder_is(make_images, tmp_path, cache_home, name):
    make_images(tmp_path / "pets", cat=6, dog=6)
    (tmp_path / "pets" / "__MACOSX").mkdir()
    (tmp_path / "pets" / "__MACOSX" / "._x.png").write_bytes(b"x")
    path = PACK[name](tmp_path / "pets", tmp_path / name)
    dataset = load_dataset("folder", path)
    folder = load_dataset("folder", tmp_path / "pets")
    assert dataset.title == "pets"
    assert dataset.fingerprint == folder.fingerprint
    assert dataset.train.ids.tolist() == folder.train.ids.tolist()
    (home,) = unpacked(cache_home)
    assert not list(home.rglob("__MACOSX"))


def test_splits_a_folder_around_them_and_tables_may_be_in_an_archive(make_images, tmp_path):
    make_images(tmp_path / "one/flowers/Training", a=10, b=10)
    make_images(tmp_path / "one/flowers/Testing", 1, a=2, b=2)
    dataset = load_dataset("folder", zip_of(tmp_path / "one", tmp_path / "flowers.v2.zip"))
    assert (dataset.title, len(dataset.test)) == ("flowers.v2", 4)
    make_images(tmp_path / "two", images=10)
    lines = [f"images/{i:03}.png,{'ab'[i % 2]}\n" for i in range(10)]
    (tmp_path / "two" / "labels.csv").write_text("".join(["file,label\n", *lines]))
    dataset = load_dataset("folder", zip_of(tmp_path / "two", tmp_path / "two.zip"))
    assert dataset.class_names == ("a", "b")


def test_it_is_unpacked_once_until_it_changes(make_images, tmp_path, cache_home, monkeypatch):
    path = zip_of(make_images(tmp_path / "pets", cat=6, dog=6), tmp_path / "pets.zip")
    calls, extract = [], archives._extract
    monkeypatch.setattr(archives, "_extract", lambda *args: calls.append(1) or extract(*args))
    load_dataset("folder", path)
    load_dataset("folder", path)
    assert len(calls) == 1
    zip_of(make_images(tmp_path / "pets", cat=8), path)
    assert len(load_dataset("folder", path).train) == 10
    assert len(calls) == 2
    (home,) = unpacked(cache_home)
    assert len(list(home.iterdir())) == 1


def test_who_waits_and_is_interrupted_leaves_alone_what_another_unpacks(
    make_images, tmp_path, cache_home, monkeypatch
):
    path = zip_of(make_images(tmp_path / "pets", cat=6, dog=6), tmp_path / "pets.zip")
    extract = archives._extract

    def interrupt(*_):
        raise KeyboardInterrupt

    def unpack_twice(path, folder):
        extract(path, folder)
        with monkeypatch.context() as waiting:
            waiting.setattr("filelock.FileLock.__enter__", interrupt)
            with pytest.raises(KeyboardInterrupt):
                archives.unpack(path)

    monkeypatch.setattr(archives, "_extract", unpack_twice)
    assert len(list(archives.unpack(path).rglob("*.png"))) == 12


def test_what_was_interrupted_begins_anew(make_images, tmp_path, cache_home, monkeypatch):
    path = zip_of(make_images(tmp_path / "pets", cat=6, dog=6), tmp_path / "pets.zip")
    copy, copied = archives.shutil.copyfileobj, []

    def interrupted(*args):
        copied.append(copy(*args))
        if len(copied) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(archives.shutil, "copyfileobj", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load_dataset("folder", path)
    assert sum(len(list(home.iterdir())) for home in unpacked(cache_home)) == 0
    (unpacked(cache_home)[0] / "part" / "cat").mkdir(parents=True)  # what a killed one leaves
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache_home))
    assert len(load_dataset("folder", path).train) == 8


def member(kind, name, target="", size=0):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, target, size
    return info


@pytest.mark.parametrize(
    "info",
    [
        member(tarfile.REGTYPE, "../out.png"),
        member(tarfile.REGTYPE, "a/../../out.png"),
        member(tarfile.REGTYPE, "/tmp/out.png"),
        member(tarfile.SYMTYPE, "a/x.png", "/etc/passwd"),
        member(tarfile.LNKTYPE, "a/x.png", "a/y.png"),
        member(tarfile.FIFOTYPE, "a/x.png"),
        member(tarfile.CHRTYPE, "a/x.png"),
    ],
)
def test_nothing_in_a_tar_leads_out_of_it(tmp_path, refusal, info, cache_home):
    path = tmp_path / "evil.tar"
    with tarfile.open(path, "w") as file:
        file.addfile(info)
    message = refusal("folder", path)
    assert message.startswith(f"{path}: {info.name!r} is a link, a device or a path")
    assert not list(cache_home.rglob("*.png"))


@pytest.mark.parametrize(
    "name", ["../out.png", "/tmp/out.png", "C:\\out.png", "a\\..\\..\\out.png"]
)
def test_nothing_in_a_zip_leads_out_of_it(tmp_path, refusal, name, cache_home):
    path = tmp_path / "evil.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(zipfile.ZipInfo(name), b"x")
    assert "a path that leads out of it" in refusal("folder", path)
    link = zipfile.ZipInfo("a/x.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(link, "/etc/passwd")
    assert "'a/x.png' is a link" in refusal("folder", path)
    assert not list(cache_home.rglob("*.png"))


def test_more_than_is_safe_is_refused_by_what_is_declared(tmp_path, refusal, monkeypatch):
    monkeypatch.setattr(archives, "MAX_RATIO", 2)
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as file:
        for i in range(11):
            file.writestr(f"{i}.bmp", bytes(1_000_000))
    assert "holds more than 0.0 GB" in refusal("folder", bomb)
    bomb = tmp_path / "bomb.tar.gz"
    with tarfile.open(bomb, "w:gz") as file:
        file.addfile(
            member(tarfile.REGTYPE, "x.bmp", size=20_000_000), io.BytesIO(bytes(20_000_000))
        )
    assert "holds more than" in refusal("folder", bomb)
    monkeypatch.setattr(archives, "MAX_FILES", 3)
    with zipfile.ZipFile(bomb.with_suffix(".zip"), "w") as file:
        for i in range(4):
            file.writestr(f"{i}.png", b"x")
    assert "or 3 files" in refusal("folder", bomb.with_suffix(".zip"))


def test_a_zip_that_declares_less_than_it_holds_is_refused(tmp_path, refusal, cache_home):
    path = tmp_path / "lie.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a/x.bmp", bytes(3_000_000))
    content = path.read_bytes()
    size = (3_000_000).to_bytes(4, "little")
    assert content.count(size) == 2
    path.write_bytes(content.replace(size, (100).to_bytes(4, "little")))
    assert "cannot be unpacked" in refusal("folder", path)
    assert not list(cache_home.rglob("*.bmp"))


@pytest.mark.parametrize("name", PACK)
def test_a_damaged_archive_is_said_so(make_images, tmp_path, refusal, name):
    path = PACK[name](make_images(tmp_path / "pets", cat=40, dog=40), tmp_path / name)
    content = path.read_bytes()
    if name == "pets.zip":  # whose list of files is at its end
        path.write_bytes(content.replace(b"IDAT", b"DATI"))
    else:
        path.write_bytes(content[: len(content) // 2])
    message = refusal("folder", path)
    assert message.startswith(f"{path}: ")
    assert "cannot be unpacked" in message or "nor whole zip or tar" in message
    path.write_bytes(content[:10])
    assert "nor whole zip or tar" in refusal("folder", path)


def test_a_cache_that_cannot_be_written_is_an_error_with_the_ways_out(
    make_images, tmp_path, refusal, monkeypatch
):
    path = zip_of(make_images(tmp_path / "pets", cat=6, dog=6), tmp_path / "pets.zip")
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    message = refusal("folder", path)
    assert all(part in message for part in ("cannot be unpacked", "XDG_CACHE_HOME", "unpack it"))


def test_names_of_members_are_read_as_they_were_written(make_images, tmp_path):
    make_images(tmp_path / "one", **{"café": 4, "猫": 4})
    path = zip_of(tmp_path / "one", tmp_path / "one.zip")
    # As macOS writes it: UTF-8 that is not declared to be so.
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as file:
        starts = [info.header_offset for info in file.infolist()]
    for start in starts:
        content[start + 7] &= ~0x08
    at = content.find(b"PK\1\2")
    while at >= 0:
        content[at + 9] &= ~0x08
        at = content.find(b"PK\1\2", at + 4)
    path.write_bytes(content)
    assert load_dataset("folder", path).class_names == ("café", "猫")
    make_images(tmp_path / "two", **{os.fsdecode(b"caf\xe9"): 4, "b": 4})
    path = tar_of(tmp_path / "two", tmp_path / "two.tar", "w")
    assert load_dataset("folder", path).class_names == ("b", r"caf\xe9")


def test_members_with_backslashes_lie_in_folders(make_images, tmp_path):
    make_images(tmp_path, a=4, b=4)
    path = tmp_path / "windows.zip"
    with zipfile.ZipFile(path, "w") as file:
        for folder in ("", "a\\", "b\\"):
            file.writestr(f"photos\\{folder}", "")
        for each in sorted(tmp_path.rglob("*.png")):
            file.writestr(f"photos\\{each.parent.name}\\{each.name}", each.read_bytes())
    assert load_dataset("folder", path).class_names == ("a", "b")
