"""Locks: the second process is told who the first is; a killed one holds nothing."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from cnn_cifar10.utils import InputError, working_in

PROGRAM = Path(__file__).parent / "programs" / "holds_lock.py"


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen(
        [sys.executable, PROGRAM, tmp_path / "run"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_process_is_refused_and_told_of_the_first(tmp_path, holder):
    expected = (
        rf"{re.escape(str(tmp_path / 'run'))}: is being written by process {holder.pid} on "
        rf"{re.escape(socket.gethostname())} since \d{{4}}-\d\d-\d\d [\d:]{{8}}; wait for it"
    )
    with pytest.raises(InputError, match=expected), working_in(tmp_path / "run"):
        pass
    holder.kill()
    holder.wait()
    with working_in(tmp_path / "run"):
        pass


def test_who_holds_a_lock_may_enter_again(tmp_path):
    with working_in(tmp_path / "run"):
        with working_in(tmp_path / "run"):
            (tmp_path / "run" / "a").touch()
        (tmp_path / "run" / "b").touch()
    assert {path.name for path in (tmp_path / "run").iterdir()} == {".lock", "a", "b"}


def test_a_folder_of_which_nothing_came_is_not_left(tmp_path):
    with pytest.raises(KeyError), working_in(tmp_path / "run"):
        raise KeyError
    assert not (tmp_path / "run").exists()


def test_a_link_in_place_of_a_lock_leads_nowhere(tmp_path):
    """A folder from a stranger may hold one, to a file that would be written to."""
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").symlink_to(tmp_path / "mine")
    expected = r"\.lock: is a symbolic link, not a lock; delete it"
    with pytest.raises(InputError, match=expected), working_in(tmp_path / "run"):
        pass
    assert (tmp_path / "mine").read_text() == "mine"
