"""Hostile exports and `.keras` files, opened by the command line."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from commands import ROOT
from table import Found

PROGRAM = ROOT / "tests/inference/programs/opens_hostile.py"
sys.path.append(str(ROOT / "tests/inference"))

import hostile  # noqa: E402


def open_hostile(command, count, seed):
    """Open each file of the collection by a command, in a process each."""
    kinds = list(hostile.EXPORTS if command == "predict" else hostile.RUNS)[:count]
    with tempfile.TemporaryDirectory() as place:
        done = subprocess.run(
            [sys.executable, PROGRAM, Path(place) / "work", command, *kinds],
            env={**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": f"{place}/cache"},
            cwd=place,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(done.stderr[-5000:])
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        written = [*Path(place).rglob("ran"), *(Path(place).iterdir())]
        written = [path.name for path in written if path.name not in ("work", "cache")]
    faults = {answer["kind"]: fault for answer in answers if (fault := hostile.fault_of(answer))}
    what = "exports" if command == "predict" else ".keras files"
    what = f"hostile {what}, opened by `{command}`"
    bar = f"refused in one line, in {hostile.MEGABYTES} MB; nothing is run or written"
    megabytes = max((answer["megabytes"] for answer in answers), default=0)
    figures = [f"at most {megabytes} MB"]
    figures += [f"{kind}: {fault}" for kind, fault in list(faults.items())[:3]]
    figures += [f"wrote {', '.join(written)}"] if written else []
    held = 0 if written else len(answers) - len(faults)
    yield Found(what, bar, held, len(kinds), "; ".join(figures))
    seconds = [answer["seconds"] for answer in answers]
    soon = sum(each < hostile.SECONDS for each in seconds)
    figures = f"median {np.median(seconds):.1f} s, at most {max(seconds):.1f} s"
    bar = f"within {hostile.SECONDS} s"
    yield Found(f"{what}: waiting", bar, soon, len(kinds), figures, timed=True)
