"""Checkpoints: a run's states on disk, written in the background, each with its checksum."""

import hashlib
import io
import json
import math
import re
import shutil
import time
import zipfile
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cnn_cifar10.training.run import RunError
from cnn_cifar10.utils import check_space, first_line, format_size, replacing, warn_once

_KEPT = 2  # states; the older one is for damage to the newer one
_SHARE = 0.02  # of the time may be spent on states of epochs; half of it on others
_LEAST, _MOST = 10.0, 300.0  # seconds between two states
_BEST = re.compile(r"(best-[0-9a-f]+\.npz)?")
# What zipfile and NumPy raise for a file that is none; NotImplementedError is zipfile's for a
# compression that it does not know.
_NO_STATE = (
    *(ValueError, LookupError, RecursionError, MemoryError, EOFError, NotImplementedError),
    zipfile.BadZipFile,
)


@dataclass(frozen=True)
class State:
    """What a training continues from.

    Args:
        facts: What JSON can hold.
        variables: All that training changes, in the order of `Recorder`.
        best: Weights of the best epoch, the same object as long as they are the same; `None`
            where `variables` hold them, or where there is no such epoch yet.
    """

    facts: dict[str, Any]
    variables: Sequence[np.ndarray]
    best: list[np.ndarray] | None = None


@dataclass
class Checkpoints:
    """The states of a run in a folder.

    A state is `<number>-<checksum>.npz`; the best weights, if it needs them, are
    `best-<checksum>.npz`. The name of a file says what its bytes must be, so that a file that was
    cut off or changed is never read. The last two states are kept.

    Args:
        folder: Where they are; made with the first of them.
        every: Seconds between two states, 0 for one after every step; `None` for 10 to 300, so that
            saving takes less than 3% of the time.
    """

    folder: Path
    every: float | None = None
    _writer: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1), repr=False)
    _pending: Future | None = None
    _last: float = field(default_factory=time.monotonic)  # time of the last state, or of the start
    _last_epoch: float = -math.inf  # time of the last that was an epoch's
    _cost: float = 0.0  # seconds of a processor that the last one took
    _number: int = 0  # of the last state
    _kept: list[tuple[str, str]] = field(default_factory=list)  # a state and its best weights
    _best: tuple[list[np.ndarray] | None, str] = (None, "")  # the last ones, and their file

    def is_due(self, ends_epoch: bool) -> bool:
        """Return whether it is time for a state; within an epoch states are made half as often."""
        if self.every == 0:
            return True
        if self._pending and not self._pending.done():
            return False
        now, every = time.monotonic(), self.every
        if every is None:
            every = min(max(self._cost / _SHARE, _LEAST) * (1 if ends_epoch else 2), _MOST)
        return now - (self._last_epoch if ends_epoch else self._last) >= every

    def save(self, state: State, ends_epoch: bool = True, seconds: float = 0.0) -> None:
        """Write a state in the background, once the one before is written.

        Args:
            state: Arrays that nobody changes any more.
            ends_epoch: Whether it is of an epoch's end.
            seconds: What it took to copy them.
        """
        self.wait()
        self._last = time.monotonic()
        if ends_epoch:
            self._last_epoch = self._last
        self._pending = self._writer.submit(self._write, state, seconds)

    def wait(self) -> None:
        """Wait for the state that is being written, and raise what went wrong."""
        pending, self._pending = self._pending, None
        if pending:
            pending.result()

    def check_space(self, variables: int, weights: int) -> None:
        """Raise where the disk is too small for the states of a run and its model.

        Args:
            variables: Bytes of all that training changes.
            weights: Bytes of the model's weights.

        Raises:
            RunError: If it is.
        """
        there = sum(path.stat().st_size for path in self.folder.glob("*.npz"))
        needed = (_KEPT + 1) * (variables + weights) + weights  # one more while it is written
        cure = "free some, or name a folder on another disk with --output"
        check_space(self.folder, needed - there, RunError, cure)

    def clear(self) -> None:
        """Delete all states."""
        if self.folder.exists():
            shutil.rmtree(self.folder)
        self._kept, self._best = [], (None, "")

    def close(self) -> None:
        """Wait, and end the thread."""
        try:
            self.wait()
        finally:
            self._writer.shutdown()

    def load(self) -> State | None:
        """Return the newest state that is whole; `None` where there is none.

        Raises:
            RunError: If there are states, but none is whole.
        """
        paths = self._paths()
        for path, state in self._whole(paths):
            self._number = _number(paths[0])
            self._kept = [(path.name, state.facts["best"])]
            self._best = state.best, state.facts["best"]
            return state
        if paths:
            raise RunError(f"{self.folder}: all states are damaged; start again with --overwrite")
        return None

    def load_good(self) -> State | None:
        """Return the newest whole state that says that it is `good`; `None` where there is none."""
        states = (state for _, state in self._whole(self._paths()))
        return next((state for state in states if state.facts.get("good")), None)

    def _whole(self, paths):
        """Yield the states that are whole, and their paths."""
        for path in paths:
            try:
                facts, variables = _read(path)
                name = str(facts.get("best"))
                if not _BEST.fullmatch(name):
                    raise RunError(f"{path}: is no state (its best weights are {name!r})")
                best = _read(self.folder / name)[1] if name else None
            except RunError as error:
                warn_once(f"{error}; the state before it is tried")
                continue
            yield path, State(facts, variables, best)

    def read_newest(self) -> dict[str, bytes]:
        """Return the files of the newest state that is whole, by name; none where there is none."""
        self.wait()
        if self.load() is None:
            return {}
        return {name: (self.folder / name).read_bytes() for name in self._kept[-1] if name}

    def _paths(self):
        """Return the files of states, the newest first."""
        paths = (path for path in self.folder.glob("*-*.npz") if _number(path))
        return sorted(paths, key=_number, reverse=True)

    def _write(self, state, seconds):
        began = time.thread_time()
        self.folder.mkdir(parents=True, exist_ok=True)
        facts, best = state.facts, ""
        if state.best is not None:
            if self._best[0] is not state.best:
                self._best = state.best, _write(self.folder, "best", {}, state.best)
            best = self._best[1]
        self._number += 1
        name = _write(self.folder, f"{self._number:08d}", facts | {"best": best}, state.variables)
        self._kept = [*self._kept, (name, best)][-_KEPT:]
        for path in set(self.folder.glob("*.npz")):
            if not any(path.name in names for names in self._kept):
                path.unlink()
        self._cost = seconds + time.thread_time() - began


def _number(path):
    number = path.name.partition("-")[0]
    return int(number) if number.isdecimal() else 0


def _write(folder, stem, facts, arrays):
    """Write a file, and return its name."""
    path, numbered = folder / f"{stem}.npz", {str(i): array for i, array in enumerate(arrays)}
    try:
        with replacing(path) as part:
            np.savez(part, facts=json.dumps(facts), **numbered)
            with open(part, "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        needed = format_size(sum(array.nbytes for array in arrays))
        reason = f"{error.strerror} ({needed} are needed)"
        raise OSError(error.errno, reason, error.filename) from error
    return path.replace(folder / f"{stem}-{digest[:32]}.npz").name


def _read(path):
    """Return the facts and the arrays in a file.

    Raises:
        RunError: If it is not what was written.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror})") from error
    if hashlib.sha256(data).hexdigest()[:32] != path.stem.rpartition("-")[2]:
        raise RunError(f"{path}: damaged")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if any(part.file_size > part.compress_size for part in archive.infolist()):
                raise ValueError("it is compressed")
        with np.load(io.BytesIO(data)) as file:
            facts = json.loads(str(file["facts"]))
            arrays = [file[str(i)] for i in range(len(file.files) - 1)]
        if not isinstance(facts, dict):
            raise ValueError("it says nothing")
    except _NO_STATE as error:  # a stranger's may hold anything, under the right name
        raise RunError(f"{path}: is no state ({first_line(error)})") from error
    return facts, arrays
