"""Commands as processes, how long they take, and what they leave."""

import contextlib
import csv
import hashlib
import io
import json
import multiprocessing
import os
import re
import shutil
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import h5py
import numpy as np

from cnn_cifar10.inference import open_session

ROOT = Path(__file__).parents[2]
NETWORK = "--model-options width=4 depth=1 stages=1"
TRAIN = f"train --dataset digits --epochs 12 --batch-size 32 --deterministic {NETWORK} --quiet"
TUNE = "tune --dataset digits --trials 3 --epochs 3 --name s --quiet "
TUNE += "--set stages=1 depth=1 width=2,4 batch_size=32 optimizer=sgd"
RUN = "models/digits-custom_cnn-seed0"
STUDY = {
    "name": "study",
    "question": "Which width is best?",
    "base": {
        **{"dataset": "digits", "epochs": 3, "deterministic": True},
        "model_options": {"depth": 1, "stages": 1},
    },
    "variants": {f"width {n}": {"model_options": {"width": n}} for n in (2, 4)},
    "reference": "width 2",
    "seeds": [0],
}
# What no two runs have in common: times, random ids, and the commit, should one be made meanwhile.
OTHERS = {
    *("id", "seconds", "images_per_second", "latency_ms", "compile_seconds", "milliseconds"),
    *("commit", "headline", "sha256", "bytes"),
}
_OTHER_FILES = {"id", "SHA256SUMS", "oracle.json", "trial.json", "starts.json", "README.md"}
_TIMED = re.compile(r"second|images/s|\bms\b|`id`|\bcommit\b", re.IGNORECASE)

# Processes are forked from one that has imported what the commands need, which takes longest.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["__main__", "cnn_cifar10.training", "cnn_cifar10.reporting", "cnn_cifar10.experiments"]
)


class Command:
    """A command that runs in a folder, in a process of its own.

    Args:
        words: What follows `cnn-cifar10`.
        folder: The working directory.
        user: The user who runs it; `None` for this one.

    Attributes:
        process: The process.
    """

    def __init__(self, words, folder, user=None):
        self._said = tempfile.NamedTemporaryFile()  # noqa: SIM115 (it lives as long as this)
        arguments = words.split(), folder, self._said.name, user
        self.process = _CONTEXT.Process(target=_run, args=arguments)
        self.process.start()

    def wait(self, seconds=600):
        """Wait for its end; return whether it came in time."""
        self.process.join(seconds)
        return self.process.exitcode is not None

    @property
    def said(self):
        """What it wrote to standard error."""
        return Path(self._said.name).read_text(errors="replace")

    @property
    def traceback(self):
        """The end of a traceback in what it wrote, if there is one, in a line."""
        _, found, after = self.said.partition("Traceback")
        return " | ".join(line.strip() for line in after.splitlines()[-6:]) if found else ""

    @property
    def code(self):
        """Its exit code; negative where a signal ended it."""
        return self.process.exitcode

    @property
    def last_line(self):
        """The last line that it wrote to standard error."""
        return next((line for line in reversed(self.said.splitlines()) if line), "")


def _run(words, folder, said, user):
    os.chdir(folder)
    with open(said, "w") as file, open(os.devnull, "w") as nothing:
        os.dup2(file.fileno(), 2)
        os.dup2(nothing.fileno(), 1)
    if user is not None:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
        os.environ["HOME"] = str(folder)

    from cnn_cifar10.cli import main

    sys.exit(main(words))


def warm_up():
    """Import what the commands need, so that it is not a part of the first one."""
    process = _CONTEXT.Process(target=int)
    process.start()
    process.join()


def begin(folder, before=None):
    """Make a working directory with what was there before, and the study; return it."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if before:
        shutil.copytree(before, folder, dirs_exist_ok=True)
    (folder / "study.json").write_text(json.dumps(STUDY))
    return folder


def complete(words, folder):
    """Run a command to its end; return its seconds, and those until it first wrote something."""
    warm_up()
    began, before = time.monotonic(), changes(folder)
    command = Command(words, folder)
    wait_for_change(command, folder, before)
    first = time.monotonic() - began
    command.wait()
    if command.code:
        raise SystemExit(f"{words}: ended with {command.code}: {command.said}")
    return time.monotonic() - began, first


def wait_for_change(command, folder, before):
    """Wait until a command writes something, or ends."""
    while changes(folder) == before and not command.wait(0.02):
        pass


def changes(folder):
    """Return when each file of a folder was changed."""
    times = {}
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            times[path] = path.stat().st_mtime_ns
    return times


def leaves(folder):
    """Return what a command leaves, by file, without what differs from one time to the next."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.name.startswith(".part"):
            found[name] = "left behind"
        elif not (path.is_dir() or path.name.startswith(".") or path.name in _OTHER_FILES):
            found[name] = _content(path)
    return {name: content for name, content in found.items() if content is not None}


def _content(path):
    if path.suffix == ".csv":
        rows = list(csv.DictReader(io.StringIO(path.read_text(), newline="")))
        return [_same(row) for row in rows]
    if path.suffix == ".json":
        return _same(json.loads(path.read_text()))
    if path.suffix == ".keras":
        return _digest_weights(path)
    if path.suffix == ".md":
        return [part for part in path.read_text().split("\n\n") if not _TIMED.search(part)]
    if path.suffix == ".onnx":
        return _onnx_answers(path)
    if path.suffix in (".sha256", ".pb", ".fingerprint") or "saved_model" in path.parts:
        return "there"
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _same(document):
    """Return a document without what no two runs have in common."""
    if isinstance(document, dict):
        return {key: _same(value) for key, value in document.items() if key not in OTHERS}
    return [_same(each) for each in document] if isinstance(document, list) else document


def _onnx_answers(path):
    """Return what the model answers; the converter orders and names its parts as it likes."""
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype("float32")
    session = open_session(path.read_bytes())
    return np.round(session.run(["probabilities"], {"pixels": pixels})[0], 3).tolist()


def _digest_weights(path):
    digest = hashlib.sha256()
    with zipfile.ZipFile(path) as archive:
        weights = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(weights) as file:
        file.visititems(
            lambda _, item: digest.update(item[()].tobytes()) if hasattr(item, "dtype") else None
        )
    return digest.hexdigest()


def differences(folder, other):
    """Return the files in which two folders differ."""
    one, two = leaves(folder), leaves(other)
    return [name for name in sorted(one | two) if one.get(name) != two.get(name)]
