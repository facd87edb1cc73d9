"""Commands that are killed, told to end, or started twice."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from commands import (
    ROOT,
    RUN,
    TRAIN,
    TUNE,
    Command,
    begin,
    changes,
    complete,
    differences,
    wait_for_change,
)
from table import Found

from cnn_cifar10.training import Run
from cnn_cifar10.training.checkpoint import Checkpoints

# Names to words, the command that comes before, and the share of all kills.
COMMANDS = {
    "train, evaluate, report": (f"{TRAIN} --save-every 0.2", None, 20),
    "evaluate, report": (f"evaluate {RUN} --diagnostics", f"{TRAIN} --save-every 0.2", 8),
    "export": (f"export {RUN} --images 50", f"{TRAIN} --save-every 0.2", 8),
    "sweep": ("sweep study.json --keep --quiet", None, 8),
    "tune": (TUNE, None, 8),
    "tune with two workers, one of them or all": (f"{TUNE} --workers 2", None, 8),
}
# States of 135 MB, several of them within an epoch.
LARGE = {
    "train VGG-16": (
        "train --model vgg16 --dataset digits --train-images 512 --epochs 3 --batch-size 64 "
        "--deterministic --quiet --save-every 2",
        None,
        1,
    )
}
_AT_ONCE = 3  # endings of a command, until it is done
_WITHIN = 10  # seconds
_REFUSED_WITHIN = 2
_LONG = "--epochs 100000"
_MANY = "--trials 1000"  # each of which may end early


def kill(count, seed, commands=COMMANDS, usual=60):
    """`kill -9` at any moment; the same command again until it is done."""
    count, rng = count or usual, random.Random(seed)
    bar = "ends as the uninterrupted run: weights, history, report, rows"
    whole_share = sum(share for *_, share in commands.values())
    for name, (words, before, share) in commands.items():
        wanted = max(1, round(count * share / whole_share))
        held = done = 0
        faults = []
        with tempfile.TemporaryDirectory() as place:
            setting = _Setting(words, before, Path(place))
            while done < wanted:
                ends, *wrong = setting.live(signal.SIGKILL, min(_AT_ONCE, wanted - done), rng)
                done += ends
                held += 0 if wrong else ends
                faults += wrong
        figures = f"uninterrupted {setting.seconds:.0f} s"
        yield Found(f"kill -9 in {name}", bar, held, done, "; ".join([figures, *faults[:3]]))


def end_by_signal(count, seed):
    """SIGTERM and Ctrl-C at any moment; the same command again until it is done."""
    count, rng = count or 40, random.Random(seed)
    bar = "says how to go on, loses no epoch, condemns no trial; ends as the uninterrupted one"
    commands = {
        "train": (f"{TRAIN} --save-every 1000000", 16),
        "tune": (TUNE, 12),
        "tune with two workers": (f"{TUNE} --workers 2", 12),
    }
    for name, (words, share) in commands.items():
        wanted = max(2, round(count * share / 40))
        held = done = 0
        faults = []
        with tempfile.TemporaryDirectory() as place:
            setting = _Setting(words, None, Path(place))
            while done < wanted:
                number = rng.choice((signal.SIGTERM, signal.SIGINT))
                ends, *wrong = setting.live(number, min(_AT_ONCE, wanted - done), rng)
                done += ends
                held += 0 if wrong else ends
                faults += wrong
        what, figures = f"SIGTERM or Ctrl-C in {name}", f"{setting.within_epoch} within an epoch"
        yield Found(what, bar, held, done, "; ".join([figures, *faults[:3]]))
        soon = sum(each <= _WITHIN for each in setting.waits)
        figures = f"at most {max(setting.waits):.1f} s"
        yield Found(f"{what}: waiting", f"ends within {_WITHIN} s", soon, done, figures, timed=True)


class _Setting:
    """A command, what comes before it, and what it leaves where nothing ends it."""

    def __init__(self, words, before, place):
        self._words, self._place, self._lives = words, place, 0
        self._before = begin(place / "before")
        if before:
            complete(before, self._before)
        self._whole = begin(place / "whole", self._before)
        self.seconds, first = complete(words, self._whole)
        self._longest = self.seconds - first
        self.waits, self.within_epoch = [], 0

    def live(self, number, ends, rng):
        """Run the command until it is done, and end it so often meanwhile.

        Return how often it was ended, and what was wrong.
        """
        self._lives += 1
        folder = begin(self._place / str(self._lives), self._before)
        ended, wrong = 0, []
        while not wrong:
            before = changes(folder)
            command = Command(self._words, folder)
            wait_for_change(command, folder, before)
            began = time.monotonic()
            if ended == ends or command.wait(rng.uniform(0, self._longest)):
                command.wait()
                if not ended:  # the machine has more time for us than it had before
                    self._longest = min(self._longest, time.monotonic() - began)
                if command.code or "Traceback" in command.said:
                    wrong.append(f"ended with {command.code}: {command.last_line}")
                break
            ended += 1
            wrong += self._end(command, number, rng)
        if not wrong:
            wrong = [f"{name} differs" for name in differences(self._whole, folder)]
        command.process.kill()
        return ended, *wrong

    def _end(self, command, number, rng):
        """End a command; return what was wrong with how it ended."""
        began = time.monotonic()
        victims = [command.process.pid]
        if number == signal.SIGKILL and "--workers" in self._words:
            victims += _children(command.process.pid)
        victim = rng.choice(victims)
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, number)
        if not command.wait(600):
            command.process.kill()
            return [f"did not end by {signal.Signals(number).name}"]
        if victim != command.process.pid or number == signal.SIGKILL:
            _wait_for_workers()
            return [command.traceback] if command.traceback else []
        self.waits.append(time.monotonic() - began)
        return list(self._faults(command, number))

    def _faults(self, command, number):
        """Give what is wrong after a signal that asks a command to end."""
        if command.code not in (0, 128 + number):
            yield f"code {command.code}: {command.last_line}"
        if command.code and "continue with: cnn-cifar10" not in command.last_line:
            yield f"does not say how to go on: {command.last_line}"
        if command.traceback:
            yield command.traceback
        folder = self._place / str(self._lives)
        if list(folder.rglob("failure.txt")):
            yield "condemned a trial"
        if not all(Run(path.parent).is_finished for path in folder.rglob("starts.json")):
            yield "counts against a trial"
        for path in folder.rglob("history.csv"):
            run = Run(path.parent)
            if not run.is_finished:
                state = Checkpoints(run.checkpoints_path).load()
                if state is None or len(state.facts["history"]) != len(run.history()["epoch"]):
                    yield "lost an epoch"
                else:
                    self.within_epoch += state.facts["steps_done"] > 0


def _children(pid):
    """Return the processes that a process has started."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except FileNotFoundError:
        return []
    own = [int(word) for word in text.split()]
    named = [(child, Path(f"/proc/{child}/cmdline").read_bytes()) for child in own]
    return [child for child, line in named if b"spawn_main" in line]


def _wait_for_workers():
    """Give workers of a process that was killed the time to notice it."""
    time.sleep(1)


def start_twice(count, seed):
    """A command, and the same again beside it."""
    count = count or 20
    commands = {
        "train": f"{TRAIN} {_LONG}",
        "tune": f"{TUNE} {_MANY}",
        "sweep": "sweep study.json --keep --quiet",
    }
    variants = {"train": ("", " --overwrite"), "tune": ("", " --overwrite"), "sweep": ("",)}
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    held = done = soon = 0
    slowest, faults = 0.0, []
    for name, words in commands.items():
        with tempfile.TemporaryDirectory() as place:
            folder = begin(place)
            if name == "sweep":
                study = (folder / "study.json").read_text().replace('"epochs": 3', '"epochs": 9999')
                (folder / "study.json").write_text(study)
            first = Command(words, folder)
            while not list(folder.rglob("checkpoints/0*")) and not first.wait(0.1):
                pass
            share = count // 3 + (name == "train") * (count % 3)
            for i in range(max(1, share)):
                again = words + variants[name][i % len(variants[name])]
                began = time.monotonic()
                second = subprocess.run(
                    [sys.executable, "-m", "cnn_cifar10", *again.split()],
                    cwd=folder,
                    env=environment,
                    capture_output=True,
                    text=True,
                )
                seconds = time.monotonic() - began
                slowest = max(slowest, seconds)
                said = second.stderr.strip()
                right = second.returncode == 2 and f"process {first.process.pid} " in said
                right &= "\n" not in said and first.code is None
                held, soon, done = held + right, soon + (seconds <= _REFUSED_WITHIN), done + 1
                if not right:
                    faults.append(f"{again.split()[0]}: {said[-200:]}")
            first.process.kill()
            first.wait()
    what = "two processes, one folder"
    bar = "the second is refused in one line that names the first"
    yield Found(what, bar, held, done, "; ".join(faults[:3]))
    bar, figures = f"within {_REFUSED_WITHIN} s", f"at most {slowest:.1f} s"
    yield Found(f"{what}: waiting", bar, soon, done, figures, timed=True)
