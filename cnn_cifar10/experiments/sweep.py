"""Running a study: every variant with every seed, one row a run."""

import dataclasses
import json
import math
import shutil
from pathlib import Path
from typing import Any

from cnn_cifar10.configs import Study, TrainingConfig
from cnn_cifar10.experiments.trainings import Progress, Trainer, data_of, many_models
from cnn_cifar10.reporting import add_result, read_results
from cnn_cifar10.training import Run, TrainingError
from cnn_cifar10.utils import (
    InputError,
    clear_parts,
    describe_hardware,
    format_hardware,
    git_commit,
    references,
    require,
    running_study,
    write_json,
)

RUN_COLUMNS = (
    "run", "variant", "seed", "dataset", "model", "train_images", "epochs", "validation_accuracy",
    "validation_loss", "train_accuracy", "parameters", "seconds", "images_per_second", "precision",
    "backend", "hardware", "fingerprint", "commit", "settings", "failure",
)  # fmt: skip
"""Columns of a study's table, one row a run.

The accuracies and the loss are those of the last epoch: the best epoch's would favour
variants that swing, or that have more epochs to choose from. `train_accuracy` is the
mean over that epoch, of images as augmentation left them. `settings` is where the
config differs from `TrainingConfig`'s defaults, as JSON; `failure` says why a run has
no results.
"""


def run_study(
    study: Study,
    output: str | Path,
    models: str | Path,
    *,
    keep: bool = False,
    shard: tuple[int, int] = (1, 1),
    progress: bool = True,
) -> list[dict[str, Any]]:
    """Train the runs of a study that its table lacks, one after the other.

    Stopped at any moment and called again, it goes on where it stopped, even in the
    middle of a run. A run whose loss is no longer a number gets its row as
    well. The test split is not used.

    All runs share this process, in which TensorFlow keeps the training step of
    each, and with it the weights: 5 MB a run for `custom_cnn`.

    Args:
        study: `Study`.
        output: Folder of the table, `runs.csv`, and of the study itself, `study.json`, as
            `find_study` reads it; created where missing.
        models: Folder that runs are in while they train.
        keep: Whether runs stay there afterwards; the table holds what is compared.
        shard: Which part of the runs, from 1, of how many: parts run at the same time, on any
            machines with one file system, and add to one table.
        progress: Whether to show a bar with the time left, and where there is no terminal
            a line for each run that ended.

    Returns:
        The rows of the study's variants, as `read_runs` returns them.

    Raises:
        InputError: If another process runs the study or this part of it, a variant cannot be
            trained, or the table is of another study or of other data.
    """
    output = Path(output)
    table, (part, parts) = output / "runs.csv", shard
    require(1 <= part <= parts, InputError, "shard must be 1/1 to n/n", f"{part}/{parts}")
    with running_study(output, shard), many_models():
        if parts == 1:
            clear_parts(output)  # of others that run now there may be some
        _train_missing(study, table, Path(models), keep, progress, part, parts)
    return read_runs(study, table)


def _train_missing(study, table, models, keep, progress, part, parts):
    rows, trainer = read_runs(study, table), Trainer()
    done = {(row["variant"], row["seed"]) for row in rows}
    wanted = study.runs[part - 1 :: parts]
    missing = [each for each in wanted if each not in done]
    for label, seed in dict(missing).items():
        trainer.check(study.config(label, seed))
    if not missing:
        _declare(study, table)
    with Progress(len(wanted), "run", progress) as bar:
        bar.show(len(wanted) - len(missing))
        for label, seed in missing:
            run = Run(models / f"{label}-seed{seed}")
            bar.set_description(run.path.name)
            config = study.config(label, seed)
            dataset, source = trainer.load(config), data_of(config)
            same = (each for each in rows if data_of(study.config(each["variant"], seed)) == source)
            fingerprints = {each[:12] for each in dataset.fingerprints}
            if row := next(
                (each for each in same if each["fingerprint"] not in fingerprints), None
            ):
                raise InputError(
                    f"{table}: the data changed since {row['variant']!r} was run; restore them or "
                    "choose another --output"
                )
            row = _train_run(trainer, config, label, dataset, run)
            _declare(study, table)  # with its rows: what is refused leaves no trace
            add_result(table, row, RUN_COLUMNS)
            if not keep:
                shutil.rmtree(run.path)
            reached = row.get("failure") or f"{row['validation_accuracy']:.2%}"
            bar.show(bar.n + 1, f"{run.path.name}: {reached}")


def _declare(study, table):
    """Write the study beside its table."""
    declared = json.dumps(dataclasses.asdict(study), default=references.name_of)
    write_json(table.with_name("study.json"), json.loads(declared))


def _train_run(trainer, config, label, dataset, run):
    """Train a run, or what is left of it, and return its row."""
    row = {
        "run": run.path.name,
        "variant": label,
        "seed": config.seed,
        "dataset": dataset.title,
        "model": config.model,
        "train_images": len(dataset.train),
        "hardware": format_hardware(describe_hardware()),
        "fingerprint": dataset.fingerprint,
        "commit": git_commit(),
        "settings": _settings(config),
    }
    try:
        trainer.train(config, run)
    except TrainingError as error:
        return {**row, "failure": str(error)}
    facts, history = run.facts(), run.history()
    if not math.isfinite(loss := history["val_loss"][-1]):
        return {**row, "failure": f"the validation loss became {loss} in the last epoch"}
    known = ("epochs", "parameters", "seconds", "images_per_second", "precision", "backend")
    return {
        **row,
        **{column: facts[column] for column in known},
        "validation_accuracy": history["val_accuracy"][-1],
        "validation_loss": loss,
        "train_accuracy": history["accuracy"][-1],
    }


def _settings(config):
    """Return where a config differs from the defaults, but for the seed and the place of data."""
    defaults = {field.name: field.default for field in dataclasses.fields(TrainingConfig)}
    defaults |= {"model_options": {}, "seed": config.seed, "data_dir": config.data_dir}
    given = {key: value for key, value in config.to_dict().items() if value != defaults[key]}
    return json.dumps(given, sort_keys=True)


def read_runs(study: Study, table: str | Path) -> list[dict[str, Any]]:
    """Read the rows of a study's variants.

    Args:
        study: `Study`.
        table: Path of its `runs.csv`; where there is none, there are no rows.

    Returns:
        Dicts of `RUN_COLUMNS` to values.

    Raises:
        InputError: If the table is malformed, or its runs had other settings.
    """
    table = Path(table)
    if not table.exists():
        return []
    rows = [row for row in read_results(table, RUN_COLUMNS) if row["variant"] in study.variants]
    for row in rows:
        settings = _settings(study.config(row["variant"], row["seed"]))
        if row["settings"] not in (None, settings):
            raise InputError(
                f"{table}: {row['run']} had the settings {row['settings']}, not those of the study "
                f"now, {settings}; choose another --output"
            )
    return rows
