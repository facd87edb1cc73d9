"""Ends commands at random moments, again and again, and compares what they leave in the end.

    python benchmarks/reliability.py --ends 10 --signal SIGKILL

Each command of small trainings on digits runs once as it is. Then it is ended by a signal at
random moments and started again, until it is done: weights, histories, reports and rows must be
the same, but for seconds and speeds. SIGTERM and SIGINT must end it within 10 seconds.
"""

import argparse
import csv
import hashlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import h5py

ROOT = Path(__file__).parents[1]
NETWORK = "--model-options width=4 depth=1 stages=1"
COMMANDS = {
    "train": f"train --dataset digits --epochs 30 --save-every 0.2 --deterministic {NETWORK}",
    "sweep": "sweep study.json --keep",
    "tune": "tune --dataset digits --trials 3 --epochs 3 --name s --set stages=1 depth=1 width=2,4",
    "tune, workers": (
        "tune --dataset digits --trials 3 --epochs 3 --name s --workers 2 "
        "--set stages=1 depth=1 width=2,4"
    ),
}
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
TIMES = ("seconds", "images_per_second", "latency_ms", "compile_seconds", "id")
WITHIN = 10  # seconds


def start(words, folder):
    return subprocess.Popen(
        [sys.executable, "-m", "cnn_cifar10", *words.split(), "--quiet"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def end_until_done(words, folder, number, ends, seconds, rng):
    """Run a command until it is done; return how often it was ended, and how long that took."""
    ended, slowest = 0, 0.0
    while True:
        process = start(words, folder)
        try:
            process.wait(rng.uniform(0.1, 0.7) * seconds if ended < ends else None)
        except subprocess.TimeoutExpired:
            began, ended = time.monotonic(), ended + 1
            process.send_signal(number)
            process.wait()
            slowest = max(slowest, time.monotonic() - began)
        said = process.stderr.read()
        assert "Traceback" not in said, said
        if process.returncode == 0:
            return ended, slowest
        assert process.returncode in (-number, 128 + number), (process.returncode, said)


def leaves(folder):
    """Return what a command leaves, without what differs from one time to the next."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".csv":
            with open(path, newline="") as file:
                rows = [
                    {key: cell for key, cell in row.items() if key not in TIMES}
                    for row in csv.DictReader(file)
                ]
            found[name] = rows
        elif path.suffix == ".keras":
            found[name] = digest_weights(path)
        elif path.name == "report.json":
            found[name] = json.loads(path.read_text())["metrics"]
        elif path.name.startswith(".part"):
            found[name] = "left behind"
    return found


def digest_weights(path):
    digest = hashlib.sha256()
    with zipfile.ZipFile(path) as archive:
        weights = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(weights) as file:
        file.visititems(
            lambda _, item: digest.update(item[()].tobytes()) if hasattr(item, "dtype") else None
        )
    return digest.hexdigest()


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--ends", type=int, default=10, help="how often a command is ended")
    signals = ("SIGKILL", "SIGTERM", "SIGINT")
    parser.add_argument("--signal", choices=signals, default="SIGKILL")
    parser.add_argument("--only", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    number, rng = getattr(signal, args.signal), random.Random(args.seed)
    for name in args.only:
        with tempfile.TemporaryDirectory() as whole, tempfile.TemporaryDirectory() as parts:
            for folder in (whole, parts):
                (Path(folder) / "study.json").write_text(json.dumps(STUDY))
            began = time.monotonic()
            process = start(COMMANDS[name], whole)
            assert process.wait() == 0, process.stderr.read()
            seconds = time.monotonic() - began
            limits = COMMANDS[name], parts, number, args.ends, seconds, rng
            ended, slowest = end_until_done(*limits)
            expected, found = leaves(Path(whole)), leaves(Path(parts))
            other = [key for key in expected | found if expected.get(key) != found.get(key)]
            print(f"{name}: ended {ended} times, at most {slowest:.1f} s; differs: {other or 'no'}")
            assert not other
            assert number == signal.SIGKILL or slowest < WITHIN


if __name__ == "__main__":
    main()
