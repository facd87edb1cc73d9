"""What states cost a training: the same training without any, and with those it makes by itself.

    python benchmarks/checkpoints.py
    python benchmarks/checkpoints.py --model custom_cnn --images 10000

The two take turns, so that what else the machine does meets both. Seconds are of all that `train`
does, building and saving the model included, as the last state is written when the epochs are
over. A turn adds its row to reports/checkpoints.csv, and reports/checkpoints.md is made of all
rows.
"""

import argparse
import collections
import os
import shutil
import statistics
import time
from pathlib import Path
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

from cnn_cifar10.configs import make_config
from cnn_cifar10.reporting import format_table
from cnn_cifar10.training import Run, load_data, train
from cnn_cifar10.training.checkpoint import Checkpoints
from cnn_cifar10.training.recorder import Recorder
from cnn_cifar10.utils import (
    describe_hardware,
    format_hardware,
    git_commit,
    read_csv,
    write_csv,
    write_page,
)

KINDS = ("without states", "as usual")
COLUMNS = ("network", "images", "epochs", "states", "seconds", "written", "megabytes")
CONDITIONS = ("precision", "backend", "hardware", "commit")


def main():
    """Train in turns, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="vgg16")
    parser.add_argument("--images", type=int, default=5000, help="to train on")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--turns", type=int, default=3, help="trainings of each kind")
    parser.add_argument("--reports", type=Path, default=Path("reports"))
    parser.add_argument("--models", type=Path, default=Path("models/checkpoints"), help="for runs")
    args = parser.parse_args()
    config = make_config(model=args.model, epochs=args.epochs, train_images=args.images)
    args.reports.mkdir(parents=True, exist_ok=True)
    table = args.reports / "checkpoints.csv"
    for _ in range(args.turns):
        for kind in KINDS:
            row = measure(config, kind, args.models / config.name)
            print(f"{kind}: {row['seconds']} s, states: {row['written']}", flush=True)
            rows = [*read_csv(table), row]
            names = (*COLUMNS, *CONDITIONS)
            write_csv(table, names, [[each[name] for name in names] for each in rows])
            write_report(rows, args.reports / "checkpoints.md")


def measure(config, kind, folder):
    """Train once, with or without states, and return the row."""
    dataset, written = load_data(config), []
    keras.utils.clear_session()
    save, save_if_due = Checkpoints.save, Recorder._save_if_due

    def counted(self, state, *given, **named):
        written.append(sum(each.nbytes for each in state.variables))
        return save(self, state, *given, **named)

    def only_as_usual(self, ends_epoch):
        if kind == "as usual":
            save_if_due(self, ends_epoch)

    with (
        mock.patch.object(Checkpoints, "save", counted),
        mock.patch.object(Recorder, "_save_if_due", only_as_usual),
    ):
        began = time.perf_counter()
        facts = train(config, folder, dataset=dataset, verbose=0, overwrite=True).facts()
        seconds = time.perf_counter() - began
    shutil.rmtree(Run(folder).path)
    return {
        **{"network": config.model, "images": config.train_images, "epochs": config.epochs},
        **{"states": kind, "seconds": f"{seconds:.1f}", "written": len(written)},
        "megabytes": str(round(max(written, default=0) / 1e6)),
        **{"precision": facts["precision"], "backend": keras.backend.backend()},
        "hardware": format_hardware(describe_hardware()),
        "commit": git_commit() or "",
    }


def write_report(rows, path):
    """Write the rows as Markdown, and what states cost each network."""
    lines = []
    same = ("network", "images", "epochs", *CONDITIONS)
    groups = collections.defaultdict(lambda: {kind: [] for kind in KINDS})
    for row in rows:
        training = tuple(str(row[name]) for name in same)
        groups[training][row["states"]].append(float(row["seconds"]))
    for (network, images, epochs, *_), times in groups.items():
        seconds = [times[kind] for kind in KINDS]
        if all(seconds):
            without, usual = map(statistics.median, seconds)
            lines.append(
                f"- {network}, {epochs} epochs of {images} images: {usual / without:.3f} times as "
                f"long with states ({usual:.1f} s for {without:.1f} s, medians of "
                f"{len(seconds[1])} and {len(seconds[0])} trainings)"
            )
    hardware = "; ".join(sorted({row["hardware"] for row in rows}))
    text = (
        "# What states cost\n\n"
        "The same training with the states that it makes by itself, and without any. Seconds are "
        f"of all that `train` does. {hardware}. Written by `python benchmarks/checkpoints.py`.\n\n"
        + "\n".join(lines)
        + "\n\n"
        f"{format_table([{name: row[name] for name in COLUMNS} for row in rows])}"
    )
    write_page(path, text)


if __name__ == "__main__":
    main()
