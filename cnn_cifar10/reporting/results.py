"""The table of record: one row a run, written by the code that measured it."""

import csv
import math
import re
import statistics
from pathlib import Path

from filelock import FileLock

from cnn_cifar10.reporting.tables import format_cell
from cnn_cifar10.utils import InputError, write_csv

RESULT_COLUMNS = (
    "run", "model", "dataset", "seed", "epochs", "accuracy", "tta_accuracy", "macro_f1", "loss",
    "top5_accuracy", "validation_accuracy", "train_accuracy", "parameters", "mflops", "megabytes",
    "latency_ms", "seconds", "images_per_second", "precision", "backend", "hardware",
    "fingerprint", "commit",
)  # fmt: skip
"""Columns of the table of record.

`accuracy` to `top5_accuracy` are of the test split, `tta_accuracy` with test-time
augmentation. `mflops` are for one picture,
`megabytes` on disk, and `latency_ms` from one picture to its probabilities, where the
run was evaluated. `seconds` and `images_per_second` are of training.
"""

SUMMARY_COLUMNS = {
    "run": "run",
    "dataset": "dataset",
    "mean": "accuracy",
    "std": "std",
    "tta_accuracy": "with TTA",
    "macro_f1": "macro F1",
    "seeds": "seeds",
    "epochs": "epochs",
    "seconds": "seconds",
    "images_per_second": "images/s",
    "parameters": "parameters",
    "mflops": "MFLOPs",
    "megabytes": "MB",
    "latency_ms": "ms/image",
    "hardware": "hardware",
}
"""What a table of summaries shows: keys of `summarize_results` to headings."""


def summary_columns(metric="accuracy"):
    """Return `SUMMARY_COLUMNS` for a metric; those of the test split only with `"accuracy"`."""
    columns = {**SUMMARY_COLUMNS, "mean": metric.replace("_", " ")}
    if metric != "accuracy":
        del columns["macro_f1"], columns["tta_accuracy"]
    return columns


_MEANS = (
    "tta_accuracy", "macro_f1", "seconds", "images_per_second", "mflops", "megabytes", "latency_ms",
)  # fmt: skip

_TEXTS = (
    *("run", "model", "dataset", "precision", "backend", "hardware", "fingerprint", "commit"),
    *("variant", "settings", "failure"),
)
_INTEGERS = ("seed", "epochs", "parameters", "train_images")


def add_result(results_csv, row, columns=RESULT_COLUMNS):
    """Add a run to the table of record, or replace the row of the same `run`.

    Rows are sorted by data set, model, seed and run.

    Args:
        results_csv: Path of the table; created where missing.
        row: Dict of columns to values, such as `result_row` returns; what is
            missing or `None` is left empty.
        columns: Columns of the table.

    Raises:
        InputError: If a column is unknown, the row names no run, or the table
            that is there is malformed.
    """
    results_csv = Path(results_csv)
    unknown = sorted(set(row) - set(columns))
    if unknown:
        raise InputError(f"row has unknown columns {unknown}: use {', '.join(columns)}")
    if not row.get("run"):
        raise InputError("row must name its run, received none")
    row = {column: row.get(column) for column in columns}
    row["fingerprint"] = (row["fingerprint"] or "")[:12]
    results_csv.parent.mkdir(parents=True, exist_ok=True)
    # Runs that end at the same moment take turns.
    with FileLock(results_csv.with_name(f".{results_csv.name}.lock")):
        rows = read_results(results_csv, columns) if results_csv.exists() else []
        rows = [other for other in rows if other["run"] != row["run"]] + [row]
        rows.sort(key=_result_order)
        cells = [[format_cell(column, row[column]) for column in columns] for row in rows]
        write_csv(results_csv, columns, cells)


def _result_order(row):
    seed = -1 if row["seed"] is None else row["seed"]
    return row["dataset"] or "", row["model"] or "", seed, row["run"]


def read_results(results_csv, columns=RESULT_COLUMNS):
    """Read the table of record.

    Args:
        results_csv: Path of the table.
        columns: Columns that it must have.

    Returns:
        A dict per run, with numbers as numbers and empty cells of them as `None`.

    Raises:
        InputError: If there is no table or it is malformed; the message says where.
    """
    try:
        with open(results_csv, newline="", encoding="utf-8") as file:
            header, *lines = list(csv.reader(file)) or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{results_csv}: cannot be read as a table of results: {error}") from error
    if tuple(header) != tuple(columns):
        raise InputError(
            f"{results_csv}: the first line must be {','.join(columns)}, "
            f"received {','.join(header)!r}"
        )
    rows = []
    for number, cells in enumerate(lines, start=2):
        place = f"{results_csv}, line {number}"
        if len(cells) != len(columns):
            raise InputError(f"{place}: expected {len(columns)} cells, received {len(cells)}")
        named = zip(columns, cells, strict=True)
        rows.append({column: _parse_result(column, cell, place) for column, cell in named})
    return rows


def _parse_result(column, cell, place):
    if column in _TEXTS:
        return cell
    if not cell:
        return None
    try:
        number = int(cell) if column in _INTEGERS else float(cell)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{place}: {column} must be a number, received {cell!r}")
    return number


def summarize_results(rows, metric="accuracy"):
    """Summarize runs that differ in their seed alone, by their names.

    Args:
        rows: What `read_results` returns.
        metric: Column to average, such as `"validation_accuracy"`; runs without
            it are left out.

    Returns:
        A dict per group: `run` (the name without `-seedN`), `dataset`, `model`,
        `parameters`, `epochs`, `hardware`, `mean` and `std` of the metric (sample
        standard deviation; `None` for a single run), `n`, `runs`, `seeds`, and the
        means of `tta_accuracy`, `macro_f1`, `seconds`, `images_per_second`, `mflops`, `megabytes`
        and `latency_ms`. Sorted by data set, then the highest mean first.
    """
    groups = {}
    for row in rows:
        if row[metric] is not None:
            name = re.sub(r"-seed\d+$", "", row["run"])
            same = tuple(row[key] for key in ("dataset", "model", "epochs", "parameters"))
            groups.setdefault((name, *same, row["hardware"]), []).append(row)
    summaries = []
    for (name, dataset, model, epochs, parameters, hardware), group in groups.items():
        values = [row[metric] for row in group]
        summaries.append(
            {
                "run": name,
                "dataset": dataset,
                "model": model,
                "parameters": parameters,
                "epochs": epochs,
                "hardware": hardware,
                "mean": statistics.fmean(values),
                "std": statistics.stdev(values) if len(values) > 1 else None,
                "n": len(values),
                "runs": [row["run"] for row in group],
                "seeds": [row["seed"] for row in group],
                **{key: _mean(row[key] for row in group) for key in _MEANS},
            }
        )
    return sorted(summaries, key=lambda row: (row["dataset"], -row["mean"], row["run"]))


def _mean(values):
    given = [value for value in values if value is not None]
    return statistics.fmean(given) if given else None


def summarize_times(rows):
    """Summarize how accurate short trainings of each recipe are, and how long they take.

    Args:
        rows: Dicts of a recipe and a seed each, as in reports/speed/time_to_accuracy.csv:
            `recipe`, `seed`, `images`, `epochs`, `seconds`, `compile_seconds`,
            `accuracy` and `tta_accuracy`, as numbers or their text.

    Returns:
        A dict a recipe, the shortest first, for `format_table`: what has several values
        as "mean ± standard deviation" over seeds, accuracies in percent. The longest
        compilation is there where there was one.
    """
    groups = {}
    for row in rows:
        groups.setdefault(row["recipe"], []).append(row)
    compiled = any(_numbers(rows, "compile_seconds"))
    summaries = []
    for group in sorted(
        groups.values(), key=lambda group: statistics.fmean(_numbers(group, "seconds"))
    ):
        summary = {
            "recipe": group[0]["recipe"],
            "seeds": [row["seed"] for row in group],
            "images": int(group[0]["images"]),
            "epochs": int(group[0]["epochs"]),
            "seconds": _mean_and_deviation(_numbers(group, "seconds")),
            "accuracy, %": _mean_and_deviation(_numbers(group, "accuracy", 100)),
            "over six views, %": _mean_and_deviation(_numbers(group, "tta_accuracy", 100)),
        }
        if compiled:
            summary["compilation, seconds"] = max(_numbers(group, "compile_seconds")) or None
        summaries.append(summary)
    return summaries


def _numbers(rows, key, scale=1):
    return [scale * float(row[key]) for row in rows]


def _mean_and_deviation(values):
    deviation = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.2f}{deviation}"
