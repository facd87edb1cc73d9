"""Files: written whole or not at all, errors that name them, JSON with its own checksum."""

import errno
import json
import os

import pytest

from cnn_cifar10.utils import (
    InputError,
    check_space,
    check_writable,
    clear_parts,
    describe_os_error,
    read_sealed,
    replacing,
    write_json,
    write_sealed,
)


def test_a_file_has_its_name_once_its_bytes_are_on_the_disk(tmp_path, monkeypatch):
    done, fsync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (done.append("fsync"), fsync(handle)))
    monkeypatch.setattr(os, "replace", lambda *paths: (done.append("rename"), replace(*paths)))
    write_json(tmp_path / "a.json", {"b": 1})
    assert done == ["fsync", "rename", "fsync"]  # the last is of the folder
    assert json.loads((tmp_path / "a.json").read_text()) == {"b": 1}


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyError("b")])
def test_what_fails_leaves_the_file_before(tmp_path, error):
    path = tmp_path / "a.json"
    path.write_text("before")

    def write():
        with replacing(path) as part:
            part.write_text("half")
            raise error

    with pytest.raises(type(error)) as raised:
        write()
    assert path.read_text() == "before"
    assert [each.name for each in tmp_path.iterdir()] == ["a.json"]
    if isinstance(error, OSError):
        said = describe_os_error(raised.value)
        assert said.startswith(f"{path}: No space left on device, ")
        assert said.endswith("are free; free some, or name a folder on another disk")


def test_the_error_of_another_file_keeps_its_name(tmp_path):
    with pytest.raises(FileNotFoundError) as raised, replacing(tmp_path / "a"):
        (tmp_path / "absent").read_bytes()
    assert raised.value.filename == str(tmp_path / "absent")


def test_parts_of_killed_processes_are_cleared_and_nothing_else(tmp_path):
    for name in ("part1.csv", "notes.txt", ".part12.run.json", ".partial", ".part7.results.csv"):
        (tmp_path / name).touch()
    (tmp_path / ".part9.x").mkdir()
    (tmp_path / ".part8.x").symlink_to(tmp_path.parent)
    clear_parts(tmp_path, "results.csv*")
    assert not (tmp_path / ".part7.results.csv").exists()
    assert (tmp_path / ".part12.run.json").exists()
    clear_parts(tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"part1.csv", "notes.txt", ".partial"}


def test_places_are_checked_before_they_are_written(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file: cannot be written; choose another"):
        check_writable(tmp_path / "file", InputError, "choose another")
    check_writable(tmp_path / "new" / "folder", InputError, "choose another")
    monkeypatch.setattr(os, "access", lambda *_: False)  # as on a disk that is read-only
    with pytest.raises(InputError, match="cannot be written"):
        check_writable(tmp_path / "new", InputError, "choose another")


def test_too_little_space_is_said_in_figures(tmp_path):
    with pytest.raises(InputError) as raised:
        check_space(tmp_path / "new", 10**18, InputError, "free some")
    said = str(raised.value)
    assert said.startswith(f"{tmp_path / 'new'}: about 1000000000.0 GB are needed there, ")
    assert said.endswith("are free; free some")
    check_space(tmp_path, 1000, InputError, "free some")


def test_json_with_its_own_checksum_notices_every_change(tmp_path):
    path, document = tmp_path / "a.json", {"a": [1, 0.25, None], "b": {"c": "text"}}
    write_sealed(path, document)
    assert read_sealed(path, "thing", InputError) == document
    whole = path.read_bytes()
    for position in range(len(whole)):
        changed = bytearray(whole)
        changed[position] ^= 1 << (position % 7)
        path.write_bytes(changed)
        found, said = {}, ""
        try:
            found = read_sealed(path, "thing", InputError)
        except InputError as error:
            said = str(error)
        if found:  # white space
            assert found == document
        else:
            assert said.startswith(f"{path}: ")
            assert "\n" not in said
    path.write_text(json.dumps(document))  # as versions before wrote it
    assert read_sealed(path, "thing", InputError) == document
