"""Disks that are full, and folders that cannot be written."""

import contextlib
import os
import random
import re
import subprocess
import tempfile
from pathlib import Path

from commands import RUN, TRAIN, TUNE, Command, begin, complete, differences
from table import Found

from cnn_cifar10.training import Run
from cnn_cifar10.training.checkpoint import Checkpoints

_MEGABYTES = 64  # of the disk
_NOBODY = 65534


def fill(count, seed):
    """The disk becomes full at any moment; once there is room, the same command goes on."""
    count, rng = count or 30, random.Random(seed)
    what = "a disk that becomes full while a run trains or is reported"
    bar = "one line names path, room and cure; the state before loads; then it ends as usual"
    with tempfile.TemporaryDirectory() as place:
        whole, disk = begin(Path(place) / "whole"), Path(place) / "disk"
        words = f"{TRAIN} --save-every 0"
        seconds, first = complete(words, whole)
        disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={_MEGABYTES}m", "none", str(disk)]
        if subprocess.run(mount, capture_output=True).returncode:
            yield Found(what, bar, None, count, "a small disk cannot be mounted by this user")
            return
        try:
            held = done = 0
            faults = []
            while done < count:
                wrong, failed = _fill_once(words, whole, disk, rng.uniform(first, seconds))
                done += failed
                held += failed and not wrong
                faults += wrong
            yield Found(what, bar, held, done, "; ".join(faults[:3]))
        finally:
            subprocess.run(["umount", str(disk)], check=True)


def _fill_once(words, whole, disk, moment):
    """Fill the disk at a moment of a command; return what was wrong, and whether it failed."""
    for path in disk.iterdir():
        subprocess.run(["rm", "-rf", str(path)], check=True)
    folder = begin(disk / "work")
    command, filler = Command(words, folder), disk / "filler"
    ended = command.wait(moment)
    with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
        while True:
            file.write(bytes(65536))
    command.wait()
    filler.unlink()
    if ended or command.code == 0:  # it was done before
        return [], 0
    line, wrong = command.last_line, []
    # The file of what it says is on the full disk too; then the code says that it was refused.
    if command.code != 2 or "Traceback" in command.said:
        wrong.append(f"code {command.code}: {line}")
    elif not re.search(rf"{re.escape(str(disk))}|models|reports", line) or "free" not in line:
        wrong.append(f"said: {line}")
    run = Run(folder / RUN)
    if run.is_begun and not run.is_finished and Checkpoints(run.checkpoints_path).load() is None:
        wrong.append("no state loads")
    again = Command(words, folder)
    again.wait()
    if again.code:
        wrong.append(f"then ended with {again.code}: {again.last_line}")
    else:
        wrong += [f"{name} differs" for name in differences(whole, folder)]
    return wrong, 1


def write_protect(count, seed):
    """Folders and files that this user may read alone."""
    bar = "refused before anything is trained, in one line with path and cure; nothing is changed"
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        folder = begin(Path(place) / "work")
        complete(TRAIN, folder)
        complete(TUNE, folder)
        user = _NOBODY if os.getuid() == 0 else None
        held, faults, commands = 0, [], _protected()
        commands = commands[: count or len(commands)]
        for words, names in commands:
            _own(folder, user)
            changed = [folder / name for name in names]
            for path in changed:
                path.mkdir(parents=True, exist_ok=True)
                path.chmod(0o555)
            before = _files(folder)
            command = Command(words, folder, user)
            in_time = command.wait(120)
            said = [line for line in command.said.splitlines() if line]
            if not in_time or command.code != 2 or "Traceback" in command.said:
                faults.append(f"{words}: code {command.code}, {command.last_line}")
            elif not (names[0] in said[-1] and ("another" in said[-1] or "permis" in said[-1])):
                faults.append(f"{words}: said {said[-1]}")
            elif _files(folder) != before:
                faults.append(f"{words}: changed {_files(folder) ^ before}")
            else:
                held += 1
            for path in changed:
                path.chmod(0o755)
    figures = "as a user who is not root" if user else ""
    yield Found(
        "places that cannot be written", bar, held, len(commands), "; ".join([figures, *faults[:3]])
    )


def _protected():
    """Return commands, and the folders that cannot be written meanwhile."""
    new = f"{TRAIN} --output new/run"
    return [
        (new, ["new"]),
        (f"{TRAIN} --output new/run --report pages/run", ["pages"]),
        (f"{TRAIN} --output new/run --results tables/results.csv", ["tables"]),
        (f"{TRAIN} --overwrite", [RUN]),
        (f"evaluate {RUN} --report pages/run", ["pages"]),
        (f"evaluate {RUN} --results tables/results.csv", ["tables"]),
        (f"evaluate {RUN}", [f"reports/{Path(RUN).name}"]),
        (f"export {RUN} --formats onnx --images 10", [RUN]),
        (TUNE.replace("--name s", "--name t"), ["models/searches"]),
        (TUNE.replace("--name s", "--name u"), ["reports/searches"]),
        ("sweep study.json --keep --quiet", ["reports/studies"]),
        ("sweep study.json --keep --quiet", ["models/sweeps"]),
    ]


def _own(folder, user):
    if user is not None:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, user, user)


def _files(folder):
    return {
        (path.relative_to(folder).as_posix(), path.stat().st_size)
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }
