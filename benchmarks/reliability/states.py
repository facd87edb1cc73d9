"""Processes that are killed while they save, and files that are damaged."""

import contextlib
import io
import json
import logging
import multiprocessing
import random
import tempfile
import time
import traceback
from pathlib import Path

import numpy as np
from commands import RUN, TRAIN, TUNE, Command, begin, complete
from table import Found

from cnn_cifar10.cli import main
from cnn_cifar10.reporting import read_report, read_results
from cnn_cifar10.training import Run
from cnn_cifar10.training.checkpoint import Checkpoints, State
from cnn_cifar10.utils import InputError, warn_once

_NUMBERS = 50_000  # of a state: 400 kB, with the best weights


def kill_while_saving(count, seed):
    """`kill -9` of a process that does nothing but save states."""
    count, rng = count or 200, random.Random(seed)
    context = multiprocessing.get_context("fork")
    held, between, faults = 0, 0, []
    with tempfile.TemporaryDirectory() as place:
        folder, known, states = Path(place), 0, Checkpoints(Path(place) / "first")
        began = time.monotonic()
        for number in range(5):
            states.save(_state(number))
            states.wait()
        seconds = (time.monotonic() - began) / 5
        for _ in range(count):
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=_save, args=(folder, known, theirs))
            process.start()
            theirs.close()
            ours.recv()
            time.sleep(rng.uniform(0, 3 * seconds))
            process.kill()
            process.join()
            saved = known
            with contextlib.suppress(EOFError):
                while True:
                    saved = ours.recv()
            between += bool(list(folder.glob(".part*")))
            try:
                found = Checkpoints(folder).load()
            except Exception as error:
                faults.append(f"{type(error).__name__}: {error}")
                continue
            number = found.facts["number"] if found else 0
            whole = not found or all(
                (array == number).all() for array in (*found.variables, *found.best)
            )
            if whole and number >= saved:
                held += 1
            else:
                faults.append(f"state {number} after {saved} was saved")
            known = number
    bar = "the newest of two generations that was saved loads, whole"
    figures = f"{between} kills left a half-written file; {known} states were saved"
    yield Found("kill -9 inside saving", bar, held, count, "; ".join([figures, *faults[:3]]))


def _save(folder, number, pipe):
    pipe.send(number)
    checkpoints = Checkpoints(folder)
    if number:
        checkpoints.load()
    while True:
        number += 1
        checkpoints.save(_state(number))
        checkpoints.wait()
        pipe.send(number)


def _state(number):
    arrays = [np.full(_NUMBERS, number, "float32")]
    return State({"number": number}, arrays, [arrays[0].copy()])


def damage(count, seed):
    """A bit of a file is flipped, or a file is cut off."""
    count, rng = count or 1020, random.Random(seed)
    bar = "the damage is named, or what is read is what was written; no traceback"
    with tempfile.TemporaryDirectory() as place:
        folder = begin(place)
        complete(f"{TRAIN} --save-every 0", folder)
        complete(TUNE, folder)
        _leave_unfinished(folder)
        readers = _readers(folder)
        slow = sum(read.__name__ == "go_on" for _, read in readers.values())
        few = max(2, round(count / 40))  # of what takes long to read
        many = max(2, round((count - slow * few) / (len(readers) - slow)))
        for name, (path, read) in readers.items():
            tries = few if read.__name__ == "go_on" else many
            yield _damage(name, path, read, tries, rng, bar)


def _leave_unfinished(folder):
    """Leave a run in the folder `unfinished` that was killed, with two states."""
    command = Command(f"{TRAIN} --epochs 100000 --save-every 0 --output unfinished", folder)
    run = Run(folder / "unfinished")
    while run.newest_state < 30:
        if command.wait(0.01):
            raise SystemExit(command.said)
    command.process.kill()
    command.wait()


def _readers(folder):
    """Return what is damaged: names to files and functions that read them as commands do."""
    run, report = Run(folder / RUN), folder / "reports" / Path(RUN).name
    unfinished = Run(folder / "unfinished")
    search = folder / "models/searches/s"
    results = folder / "reports/results.csv"
    states = sorted(unfinished.checkpoints_path.glob("0*.npz"))
    best = (
        unfinished.checkpoints_path / Checkpoints(unfinished.checkpoints_path).load().facts["best"]
    )
    tune = [*TUNE.split(), "--json"]

    def weights():
        return [array.tolist() for array in run.load_model().get_weights()]

    def state():
        return Checkpoints(unfinished.checkpoints_path).load().facts["history"]

    def go_on():
        with contextlib.chdir(folder):
            if main(tune):
                raise InputError("refused")
        return json.loads((folder / "reports/searches/s/best.json").read_text())

    found = {
        "states of a run": (states[-1], state),
        "config.json": (run.config_path, run.config),
        "config.json, unfinished": (unfinished.config_path, unfinished.config),
        "run.json": (run.facts_path, run.facts),
        "history.csv": (run.history_path, run.history),
        "id": (run.path / "id", lambda: run.id),
        "SHA256SUMS": (run.path / "SHA256SUMS", lambda: (run.facts(), run.history())),
        "model.keras": (run.model_path, weights),
        "report.json": (report / "report.json", lambda: read_report(report)),
        "results.csv": (results, lambda: read_results(results)),
        "search.json": (search / "search.json", go_on),
        "oracle.json": (search / "oracle.json", go_on),
        "trial.json": (search / "trial_0/trial.json", go_on),
    }
    if best.is_file():
        found["best weights of a run"] = (best, state)
    return found


class _Kept(logging.Handler):
    """Keeps what is logged."""

    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())


def _damage(name, path, read, tries, rng, bar):
    whole = path.read_bytes()
    with _silence():
        expected = read()
    kept, logger = _Kept(), logging.getLogger("cnn_cifar10")
    logger.addHandler(kept)
    said, same, faults = 0, 0, []
    for i in range(tries):
        position = rng.randrange(len(whole))
        changed = bytearray(whole)
        changed[position] ^= 1 << rng.randrange(8)
        path.write_bytes(whole[:position] if i % 5 == 0 else changed)
        warn_once.cache_clear()
        kept.lines.clear()
        try:
            with _silence():
                found = read()
        except InputError as error:
            if "\n" in str(error):
                faults.append(f"more than a line: {error}")
            else:
                said += 1
        except Exception:  # whatever escapes is the fault that is looked for
            faults.append(f"a traceback: {traceback.format_exc().splitlines()[-1]}")
        else:
            if found == expected:
                same += not kept.lines
                said += bool(kept.lines)
            elif any(path.name in line or str(path.parent) in line for line in kept.lines):
                said += 1
            else:
                faults.append(f"silent, bit of byte {position}")
    path.write_bytes(whole)
    logger.removeHandler(kept)
    figures = f"named {said}, read as it was {same}"
    return Found(f"damage of {name}", bar, said + same, tries, "; ".join([figures, *faults[:3]]))


@contextlib.contextmanager
def _silence():
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        yield
