"""Train every network for a short time, and see that it holds: the test of the usual recipes.

    python benchmarks/stability.py
    python benchmarks/stability.py --only vgg16 resnet50 --seeds 0 1 2

A run holds where its numbers stay finite, no epoch loses what was learned, its training loss
ends below that of its first epoch, and its validation accuracy ends at twice that of a guess.
Runs have their network's usual recipe, on a part of CIFAR-10; the test split is not read. Cheap
networks come first. A run adds its row to reports/stability.csv as soon as it is done, and
reports/stability.md is made of all rows. What has its row is passed over, so the same command
goes on where it stopped; where a setting that the table shows is another now, a new row takes
its place.
"""

import argparse
import os
import shutil
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

from cnn_cifar10.architectures import list_models
from cnn_cifar10.configs import make_config
from cnn_cifar10.reporting import format_table
from cnn_cifar10.training import Run, TrainingError, load_data, train
from cnn_cifar10.utils import (
    describe_hardware,
    format_hardware,
    git_commit,
    read_csv,
    write_csv,
    write_page,
)

# By the time that a step takes; others come last.
ORDER = (
    *("baseline_cnn", "custom_cnn", "resnet20", "fastnet", "resnet32", "resnet44", "resnet56"),
    *("vgg16", "vgg19", "resnet110", "wide_resnet16_4", "googlenet", "efficientnet_b0"),
    *("resnet18", "efficientnet_b1", "efficientnet_b2", "efficientnet_b3", "transfer"),
    *("resnet50", "resnet101", "wide_resnet28_10"),
)
SHOWN = ("optimizer", "learning_rate", "batch_size", "warmup", "clip_norm")
COLUMNS = (
    *("network", "seed", "images", "epochs", *SHOWN, "first_loss", "last_loss"),
    *("validation_accuracy", "verdict", "seconds", "precision", "backend", "hardware", "commit"),
)
_LEARNED = 2.0  # times as often right as a guess


def main():
    """Train what has no row yet, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list_models(), help="some of the networks")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--images", type=int, default=10_000, help="to train on")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--reports", type=Path, default=Path("reports"))
    parser.add_argument("--models", type=Path, default=Path("models/stability"), help="for runs")
    args = parser.parse_args()
    table = args.reports / "stability.csv"
    for seed in args.seeds:
        for name in sorted(args.only or list_models(), key=place):
            asked = {"model": name, "seed": seed, "epochs": args.epochs}
            config = make_config(**asked, train_images=args.images)
            if any(describe(config).items() <= row.items() for row in read_csv(table)):
                continue
            row = measure(config, args.models / config.name)
            print(f"{name}, seed {seed}: {row['verdict']}", flush=True)
            others = [other for other in read_csv(table) if not same_run(other, row)]
            rows = sorted([*others, row], key=lambda each: (place(each["network"]), each["seed"]))
            args.reports.mkdir(parents=True, exist_ok=True)
            write_csv(table, COLUMNS, [[row[column] for column in COLUMNS] for row in rows])
            write_report(rows, args.reports / "stability.md")


def place(name):
    """Return where a network comes in the order."""
    return ORDER.index(name) if name in ORDER else len(ORDER)


def describe(config):
    """Return the part of a row that a config decides, as the table has it."""
    fields = {"network": config.model, "seed": config.seed, "images": config.train_images}
    fields |= {name: getattr(config, name) for name in ("epochs", *SHOWN)}
    return {name: str(value) for name, value in fields.items()}


def same_run(row, other):
    """Return whether two rows are of the same network, seed and length, of any recipe."""
    return all(row[name] == other[name] for name in COLUMNS[:4])


def measure(config, folder):
    """Train a config and return its row; its run is deleted."""
    run, dataset, began = Run(folder), load_data(config), time.perf_counter()
    keras.utils.clear_session()
    reason, facts = "", {}
    try:
        facts = train(config, run.path, dataset=dataset, overwrite=True, verbose=2).facts()
        reason = facts.get("fall", {}).get("reason", "")
    except TrainingError as error:
        reason = str(error).partition(", for the second time")[0]
    history = run.history() if run.history_path.exists() else {}
    row = describe(config) | judge(history, reason, dataset.num_classes)
    row |= {
        "seconds": str(round(time.perf_counter() - began)),
        "precision": facts.get("precision", ""),
        "backend": keras.backend.backend(),
        "hardware": format_hardware(describe_hardware()),
        "commit": git_commit() or "",
    }
    shutil.rmtree(run.path)
    return row


def judge(history, reason, num_classes):
    """Return losses, accuracy and verdict of a run, as the table has them.

    Args:
        history: Columns of the run's history; empty where no epoch was finished.
        reason: Why training fell, if it did.
        num_classes: Number of classes.
    """
    losses, accuracies = history.get("loss", []), history.get("val_accuracy", [])
    if not reason and losses[-1] >= losses[0] and len(losses) > 1:
        reason = "the loss did not fall"
    if not reason and accuracies[-1] < _LEARNED / num_classes:
        reason = "at chance"
    return {
        "first_loss": f"{losses[0]:.4f}" if losses else "",
        "last_loss": f"{losses[-1]:.4f}" if losses else "",
        "validation_accuracy": f"{accuracies[-1]:.4f}" if accuracies else "",
        "verdict": reason or "holds",
    }


def write_report(rows, path):
    """Write the rows as Markdown, and what was found."""
    held = sum(row["verdict"] == "holds" for row in rows)
    shown = ("network", "seed", "images", "epochs", *SHOWN, "first_loss", "last_loss")
    shown += ("validation_accuracy", "seconds", "verdict")
    text = (
        "# Do the usual recipes hold?\n\n"
        f"{held} of {len(rows)} runs hold: numbers stay finite, no epoch loses what was learned, "
        "the loss ends below that of the first epoch, and the validation accuracy ends at twice "
        "that of a guess. Each network has its usual recipe, on a part of CIFAR-10. The "
        "accuracies are of the validation split after a very short training; they do not rank "
        f"networks. Hardware: {'; '.join(sorted({row['hardware'] for row in rows}))}, beside other "
        "work. Written by `python benchmarks/stability.py`.\n\n"
        f"{format_table([{name: row[name] for name in shown} for row in rows])}"
    )
    write_page(path, text)


if __name__ == "__main__":
    main()
