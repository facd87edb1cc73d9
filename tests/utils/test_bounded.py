"""Files that may be anything: what is read of them, and what is refused before it is read."""

import os

import pytest

from cnn_cifar10.utils import InputError, check_file_size, read_bounded, read_object


def test_a_file_is_read_up_to_a_limit(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"x" * 10)
    assert read_bounded(path, 10) == b"x" * 10
    with pytest.raises(InputError, match=r"a: has 10 bytes, of which 9 at most are read"):
        read_bounded(path, 9)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_what_may_never_end_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    for name in ("pipe", "device", "."):
        with pytest.raises(InputError, match="not a regular file"):
            check_file_size(tmp_path / name, 10)


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"[" * 100_000, "cannot read the thing: maximum recursion depth"),
        (b'"\xff"', "cannot read the thing: 'utf-8' codec"),
        (b"[1]", "holds no thing: expected a JSON object"),
        (b'{"a": 1' + b"0" * 5000 + b"}", "cannot read the thing: Exceeds the limit"),
    ],
)
def test_json_that_cannot_be_read_is_an_error_in_a_line(data, fault, tmp_path):
    path = tmp_path / "thing.json"
    path.write_bytes(data)
    with pytest.raises(InputError, match=fault) as raised:
        read_object(path, "thing", InputError)
    assert str(raised.value).startswith(f"{path}: ")
    assert "\n" not in str(raised.value)
