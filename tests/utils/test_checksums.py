"""Lists of checksums: what they hold, what is read by them, what is deleted by them."""

import hashlib

import pytest

from cnn_cifar10.utils import InputError, read_checked, remove_listed, write_checksums


@pytest.fixture
def folder(tmp_path):
    """A folder of two files, one in a sub-folder, with their checksums."""
    (tmp_path / "inner").mkdir()
    (tmp_path / "a.txt").write_bytes(b"one\n")
    (tmp_path / "inner" / "b.bin").write_bytes(bytes(range(256)))
    write_checksums(tmp_path, [tmp_path / "inner", tmp_path / "a.txt"])
    return tmp_path


def test_checksums_have_the_form_of_sha256sum(folder):
    one, other = (hashlib.sha256(data).hexdigest() for data in (b"one\n", bytes(range(256))))
    sums = (folder / "SHA256SUMS").read_text()
    assert sums == f"{one}  a.txt\n{other}  inner/b.bin\n"


def test_a_file_is_read_only_if_it_is_the_one_that_was_listed(folder):
    assert read_checked(folder, "a.txt") == b"one\n"
    (folder / "a.txt").write_bytes(b"two\n")
    with pytest.raises(InputError, match=r"a\.txt: not the file that SHA256SUMS lists"):
        read_checked(folder, "a.txt")
    (folder / "a.txt").write_bytes(bytes(range(256)))  # that of another line
    with pytest.raises(InputError, match=r"a\.txt: not the file"):
        read_checked(folder, "a.txt")
    (folder / "a.txt").unlink()
    with pytest.raises(InputError, match=r"a\.txt: no such file; export the model again"):
        read_checked(folder, "a.txt")
    (folder / "SHA256SUMS").unlink()
    with pytest.raises(InputError, match="SHA256SUMS: no such file"):
        read_checked(folder, "inner/b.bin")


def test_only_what_is_listed_is_deleted_with_the_folders_that_are_empty_then(folder):
    for name in ("notes.txt", "mine/notes.txt"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("not listed")
    (folder / "inner" / "empty").mkdir()
    (folder / "own").mkdir()
    remove_listed(folder)
    left = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
    assert left == {"notes.txt", "mine", "mine/notes.txt", "own"}
    remove_listed(folder)  # nothing is listed


def test_no_list_deletes_outside_of_its_folder(tmp_path):
    folder, outside = tmp_path / "folder", tmp_path / "outside.txt"
    (folder / "inner").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    outside.write_text("not yours")
    names = ["../outside.txt", str(outside), "", "inner/../../outside.txt"]
    (folder / "SHA256SUMS").write_text("".join(f"0  {name}\n" for name in names))
    remove_listed(folder)
    assert {path.name for path in tmp_path.iterdir()} == {"folder", "outside.txt", "empty"}
    assert {path.name for path in folder.iterdir()} == {"inner"}
