"""Locks: one process at a time works in a folder, and the others are told which one that is."""

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from cnn_cifar10.utils.errors import InputError, naming_file
from cnn_cifar10.utils.files import check_writable

PATIENCE = 10.0
"""Seconds that a part of a study waits for others that start at the same time."""


@contextlib.contextmanager
def only_process(lock: Path, what: str, wait: float = 0) -> Iterator[None]:
    """Hold a lock while a block runs. The thread that holds it may enter again.

    The system frees the lock of a process that ends, however it ends.

    Args:
        lock: File of the lock, made where missing; it says who holds it.
        what: What it is for, such as `"models/digits: is trained"`.
        wait: Seconds to wait for it.

    Raises:
        InputError: If another process holds it (the message says which and since when), or its
            folder cannot be written, or there is a symbolic link in its place.
    """
    import filelock

    check_writable(lock.parent, InputError, "choose another place")
    if lock.is_symlink():  # a stranger's, to a file that would be written to
        raise InputError(f"{lock}: is a symbolic link, not a lock; delete it")
    made = not lock.parent.exists()
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        held = filelock.FileLock(lock.absolute(), is_singleton=True).acquire(timeout=wait)
    except filelock.Timeout as error:
        raise InputError(f"{what} by {_holder(lock)}; wait for it, or end it") from error
    with held:
        try:
            _sign(lock)
            yield
        finally:
            if made and os.listdir(lock.parent) == [lock.name]:  # nothing came of it
                lock.unlink()
                lock.parent.rmdir()


def working_in(folder: Path) -> "contextlib.AbstractContextManager[None]":
    """Hold a folder's lock while a block runs, as `only_process` does."""
    return only_process(folder / ".lock", f"{folder}: is being written")


def running_search(state: Path) -> "contextlib.AbstractContextManager":
    """Hold the lock of the search that has this folder of KerasTuner's state."""
    return only_process(state.parent / f".{state.name}.lock", f"{state}: this search is run")


@contextlib.contextmanager
def running_study(output: Path, shard: tuple[int, int]) -> Iterator[None]:
    """Hold the lock of the study that has this folder of its table, or of a part of it.

    Parts of one number of parts run at the same time, and nothing else beside them: it would
    train their runs too.

    Raises:
        InputError: As `only_process`, if what has some of the same runs is run.
    """
    part, parts = shard
    whole = output / ".sweep.lock"
    own = whole if parts == 1 else output / f".sweep-{part}-{parts}.lock"
    with only_process(own, _what_runs(own)):
        with only_process(whole, _what_runs(whole), PATIENCE):
            for other in output.glob(".sweep-*.lock"):
                if not other.name.endswith(f"-{parts}.lock"):
                    with only_process(other, _what_runs(other)):
                        pass
        yield


def _what_runs(lock):
    """Return what a lock of a study, or of a part of it, says."""
    part = "/".join(lock.stem.split("-")[1:])
    return f"{lock.parent}: {f'part {part}' if part else 'this study'} is run"


def _sign(lock):
    """Write who holds a lock into its file."""
    if os.name != "posix":  # elsewhere nobody may write to a file that is locked
        return
    known = {"pid": os.getpid(), "host": socket.gethostname()}
    known["since"] = time.strftime("%Y-%m-%d %H:%M:%S")
    with naming_file(lock):
        lock.write_text(json.dumps(known), encoding="utf-8", newline="\n")


def _holder(lock):
    try:
        known = json.loads(lock.read_text(encoding="utf-8"))
        return f"process {known['pid']} on {known['host']} since {known['since']}"
    except (OSError, ValueError, TypeError, KeyError):
        return "another process"
