"""Worker processes: the pixels that threads give, errors of files, and how workers end."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnn_cifar10.datasets import ImageError, ImageFiles, images, workers
from cnn_cifar10.datasets.workers import call_apart, call_each

PROGRAM = Path(__file__).parent / "programs" / "reads_apart.py"


@pytest.fixture
def paths(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (9, 8, 8, 3), "uint8")
    for i, pixels in enumerate(noise):
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    return [str(tmp_path / f"{i}.png") for i in range(9)]


@pytest.fixture
def cores(monkeypatch):
    """A function that sets the number of cores, and lets workers read however few files."""

    def cores(count):
        monkeypatch.setattr(images, "FEW_FILES", 0)
        for module in (images, workers):
            monkeypatch.setattr(module, "usable_cores", lambda: count)
        workers._threads.cache_clear()

    yield cores
    workers._threads.cache_clear()


@pytest.fixture
def own_thread():
    """A function that calls another in a thread that has no worker yet."""

    def own_thread(function):
        found = []
        thread = threading.Thread(target=lambda: found.append(function()))
        thread.start()
        thread.join()
        return found[0]

    return own_thread


def workers_of(count):
    """Return the processes of so many decoding threads."""
    barrier = threading.Barrier(count)

    def find(_):
        barrier.wait(10)
        return workers._of_thread.worker._process.pid

    return set(workers.threads().map(find, range(count)))


def test_workers_give_the_pixels_of_threads_in_their_order(paths, cores):
    index = [4, 0, 8, 8, 1, 7, 2]
    cores(1)  # where no process would help
    expected = ImageFiles(paths, (6, 6), "pad")[index]
    cores(2)
    np.testing.assert_array_equal(ImageFiles(paths, (6, 6), "pad")[index], expected)
    found = workers_of(2)
    assert len(found) == 2
    np.testing.assert_array_equal(ImageFiles(paths, (6, 6), "pad")[4], expected[0])
    assert workers_of(2) == found


@pytest.mark.parametrize("apart", [False, True])
def test_calls_answer_in_order_and_fewer_than_two_a_core_wait(cores, apart):
    cores(2)
    taken = []
    jobs = ((taken.append(i) or i,) for i in range(50))
    answers = call_each(abs, jobs, apart=apart)
    for i, answer in enumerate(answers):
        assert answer == i
        assert len(taken) <= i + 3
    assert len(taken) == 50


def test_after_an_error_nothing_more_is_begun(cores):
    cores(3)  # so five calls: the first, two beside it, the one that takes its place, and one more
    called, may_end = [], threading.Event()

    def call(i):
        called.append(i)
        if i == 0:
            raise ValueError("broken")
        may_end.wait(10)

    with pytest.raises(ValueError, match="broken"):
        list(call_each(call, ((i,) for i in range(9)), apart=False))
    may_end.set()
    workers.threads().shutdown()
    assert {*called} <= {0, 1, 2, 3}


def test_few_files_or_one_image_are_read_by_threads(paths, cores, monkeypatch):
    cores(2)
    monkeypatch.setattr(workers, "_Worker", None)
    assert ImageFiles(paths, (6, 6))[3].shape == (6, 6, 3)
    monkeypatch.setattr(images, "FEW_FILES", len(paths))
    assert ImageFiles(paths, (6, 6))[:].shape == (9, 6, 6, 3)


def test_a_damaged_file_is_named_in_one_line(paths, cores):
    cores(2)
    for name in (5, 7):
        Path(paths[name]).write_bytes(Path(paths[name]).read_bytes()[:-30])
    with pytest.raises(ImageError) as error:
        ImageFiles(paths, (6, 6))[:]
    first = str(error.value)
    assert first.startswith(f"{paths[5]}: cannot be read (")
    assert "\n" not in first
    assert ImageFiles(paths, (6, 6))[:4].shape == (4, 6, 6, 3)


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_a_worker_is_apart_where_a_terminal_sends_ctrl_c(own_thread):
    assert os.getpgrp() != own_thread(lambda: call_apart(os.getpgrp))


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize("how", ["killed", "idle"])
def test_a_worker_that_has_ended_is_replaced(own_thread, monkeypatch, how):
    monkeypatch.setattr(workers, "IDLE_SECONDS", 1 if how == "idle" else 60)

    def find_two():
        first = call_apart(os.getpid)
        if how == "killed":
            os.kill(first, signal.SIGKILL)
        workers._of_thread.worker._process.wait(20)
        return first, call_apart(os.getpid)

    first, second = own_thread(find_two)
    assert first != second
    assert os.getpid() not in (first, second)


def test_a_thread_without_a_worker_goes_on_alone_and_says_so(own_thread, monkeypatch, caplog):
    monkeypatch.setattr(workers, "_MAIN", "raise SystemExit({})")
    workers.warn_once.cache_clear()
    with caplog.at_level(logging.WARNING):
        assert own_thread(lambda: [call_apart(os.getpid) for _ in range(2)]) == [os.getpid()] * 2
    assert caplog.text.count("a worker process cannot be used") == 1


@pytest.fixture
def program(paths):
    """A function that starts a program that reads by workers, which hold its stderr too."""
    started = []

    def start(mode):
        root = Path(__file__).parents[2]
        started.append(
            subprocess.Popen(
                [sys.executable, PROGRAM, mode, *paths],
                env={**os.environ, "PYTHONPATH": str(root)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        )
        assert started[0].stdout.readline() == "reads\n"
        return started[0]

    yield start
    started[0].kill()
    started[0].communicate()


def test_workers_end_with_a_program_that_ends(program):
    process = program("once")
    assert process.communicate(timeout=20) == ("", "")
    assert process.returncode == 0


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_workers_end_with_a_program_that_is_ended(program, name):
    process, number = program("on"), signal.Signals[name]
    time.sleep(0.1)
    os.killpg(process.pid, number)
    _, errors = process.communicate(timeout=20)  # until its workers have closed stderr too
    assert process.returncode == -number
    assert errors.count("Traceback") == (number == signal.SIGINT)
    assert "Error" not in errors
