"""Measure what a second worker brings a search whose trials do not compete for the processor.

    python benchmarks/workers.py

The same search runs with one worker and with two. A trial sleeps, as one does that
waits for an accelerator of its own, and no network is trained: what is measured is how
trials are given out. The table goes to reports/workers.md and .csv.
"""

import argparse
import functools
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from run import row, write_table

from cnn_cifar10.configs import Search
from cnn_cifar10.experiments import run_search


def main():
    """Run the benchmark and write its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("reports"), help="folder to write to")
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=20, help="of a trial")
    args = parser.parse_args()
    search = Search(
        {"width": list(range(8, 72, 2))}, trials=args.trials, base={"dataset": "digits"}
    )
    objective = functools.partial(sleep, args.seconds)
    with tempfile.TemporaryDirectory() as folder:
        (one, alone), (two, together) = (
            measure(search, Path(folder) / str(workers), workers, objective) for workers in (1, 2)
        )
    if alone != together:
        raise SystemExit("one worker and two do not record the same trials")
    conditions = (
        f"{args.trials} trials that sleep for {args.seconds:g} s each, by `python "
        "benchmarks/workers.py`; starting the processes is part of it; both record the same trials"
    )
    rows = [
        row("a search with one worker", one, "s", "measured"),
        row("a search with two workers", two, f"s ({two / one:.2f} times that)", "measured"),
    ]
    write_table(rows, conditions, args.output, "workers")


def measure(search, folder, workers, objective):
    """Return the seconds that a search takes, and its trials."""
    began = time.perf_counter()
    rows = run_search(search, folder, folder / "state", workers=workers, objective=objective)
    return time.perf_counter() - began, rows


def sleep(seconds, config, folder):
    """Stand in for a training; what a trial scores depends on its config alone."""
    time.sleep(seconds)
    return config.model_options["width"] / 100


if __name__ == "__main__":
    main()
