"""Table of results: one row per run; means and standard deviations over seeds."""

import csv
import math
import re
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from filelock import FileLock

from cnn_cifar10.evaluation import HEADLINE, METRICS, compared_metrics
from cnn_cifar10.reporting.tables import find_column, format_cell, split_and_metric
from cnn_cifar10.utils import InputError, write_csv

_MEANS = ("seconds", "images_per_second", "mflops", "megabytes", "latency_ms")
_GROUP = ("dataset", "model", "parameters", "epochs", "hardware")


def result_columns() -> tuple[str, ...]:
    """Return the columns of the table of results.

    The metrics are of the test split, and the headline's also of the others, such as
    `validation_accuracy`. `mflops` are for one image, `megabytes` on disk. `latency_ms`, from one
    image to its probabilities, is measured where the run was evaluated. `seconds` and
    `images_per_second` are of training.
    """
    compared = compared_metrics()
    further = [name for name, metric in METRICS.items() if metric.recorded and name not in compared]
    return (
        *("run", "model", "dataset", "seed", "epochs"),
        *(*compared, *further, f"validation_{HEADLINE}", f"train_{HEADLINE}"),
        *("parameters", "mflops", "megabytes", "latency_ms", "seconds", "images_per_second"),
        *("precision", "backend", "hardware", "fingerprint", "commit"),
    )


def summary_columns(metric: str = HEADLINE) -> dict[str, str]:
    """Return what a table of summaries shows: keys of `summarize_results` to headings.

    Args:
        metric: What was summarized. Metrics of the test split are shown beside one of the test
            split only.
    """
    split, name = split_and_metric(metric)
    others = [other for other in compared_metrics() if split == "test" and other != name]
    keys = (
        *("run", "dataset", "mean", "std", *others, "seeds", "epochs", "seconds"),
        *("images_per_second", "parameters", "mflops", "megabytes", "latency_ms", "hardware"),
    )
    return {key: find_column(key).heading or key for key in keys} | {
        "mean": metric.replace("_", " ")
    }


def add_result(
    results_csv: str | Path, row: dict[str, Any], columns: Iterable[str] | None = None
) -> None:
    """Add a run to a table of results, or replace the row of the same `run`.

    Rows are sorted by data set, model, seed and run. A table that lacks some of the columns
    gets them. It keeps the cells of other rows, and columns of its own, as they are.

    Args:
        results_csv: Path of the table; created where missing.
        row: Dict of columns to values, such as `result_row` returns. A missing value or
            `None` leaves the cell empty.
        columns: Columns of the table; `None` for `result_columns`.

    Raises:
        InputError: If the row has unknown columns or names no run, or the table that is
            there is malformed.
    """
    results_csv, columns = Path(results_csv), tuple(columns or result_columns())
    unknown = sorted(set(row) - set(columns))
    if unknown:
        raise InputError(f"row has unknown columns {unknown}: use {', '.join(columns)}")
    if not row.get("run"):
        raise InputError("row must name its run, received none")
    row = {column: row.get(column) for column in columns}
    row["fingerprint"] = (row["fingerprint"] or "")[:12]
    new = {column: format_cell(column, value) for column, value in row.items()}
    results_csv.parent.mkdir(parents=True, exist_ok=True)
    # Runs that end at the same moment take turns.
    with FileLock(results_csv.with_name(f".{results_csv.name}.lock")):
        header, rows = _read_table(results_csv, columns) if results_csv.exists() else ((), [])
        others = [pair for pair in rows if pair[0]["run"] != row["run"]]
        replaced: dict = next((cells for old, cells in rows if old["run"] == row["run"]), {})
        ordered = sorted([*others, (row, {**replaced, **new})], key=lambda pair: _order(pair[0]))
        header = tuple(dict.fromkeys((*header, *columns)))
        cells = [[texts.get(column, "") for column in header] for _, texts in ordered]
        write_csv(results_csv, header, cells)


def _order(row):
    seed = -1 if row["seed"] is None else row["seed"]
    return row["dataset"] or "", row["model"] or "", seed, row["run"]


def read_results(results_csv: str | Path, columns: Iterable[str] | None = None) -> list[dict]:
    """Read a table of results.

    Args:
        results_csv: Path of the table.
        columns: Columns that are known; `None` for `result_columns`.

    Returns:
        A dict per run with all known columns and those of the table. Numbers are numbers.
        An empty cell of a number and a column that the table lacks are `None`. Columns that are
        not known are text.

    Raises:
        InputError: If there is no table or it is malformed; the message says where.
    """
    _, rows = _read_table(results_csv, tuple(columns or result_columns()))
    return [row for row, _ in rows]


def _read_table(results_csv, columns):
    """Return the header, and for each run a pair of its values and its cells as they are."""
    try:
        with open(results_csv, newline="", encoding="utf-8") as file:
            header, *lines = list(csv.reader(file)) or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{results_csv}: cannot be read as a table of results: {error}") from error
    if "run" not in header or len(set(header)) < len(header):
        raise InputError(
            f"{results_csv}: the first line must name columns such as {','.join(columns)}, run "
            f"among them and each once, received {','.join(header)!r}"
        )
    rows = []
    for number, texts in enumerate(lines, start=2):
        place = f"{results_csv}, line {number}"
        if len(texts) != len(header):
            raise InputError(f"{place}: expected {len(header)} cells, received {len(texts)}")
        cells = dict(zip(header, texts, strict=True))
        values = {column: _parse(column, cells.get(column), place) for column in columns}
        rows.append(({**values, **{key: cells[key] for key in cells if key not in values}}, cells))
    return header, rows


def _parse(column, cell, place):
    kind = find_column(column).type
    if kind is str or not cell:
        return cell if kind is str else None
    try:
        number = kind(cell)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{place}: {column} must be a number, received {cell!r}")
    return number


def summarize_results(rows: list[dict], metric: str = HEADLINE) -> list[dict]:
    """Summarize runs that differ in their seed alone, by their names.

    Args:
        rows: What `read_results` returns.
        metric: Column to average, such as `"validation_accuracy"`. Runs without
            a value are left out.

    Returns:
        A dict per group: `run` (the name without `-seedN`), `dataset`, `model`,
        `parameters`, `epochs`, `hardware`, `mean` and `std` of the metric (sample
        standard deviation; `None` for a single run), `n`, `runs`, `seeds`, and the
        means of the metrics that are compared, of `seconds`, `images_per_second`, `mflops`,
        `megabytes` and `latency_ms`. Sorted by data set, then the highest mean first.
    """
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        if row[metric] is not None:
            name = re.sub(r"-seed\d+$", "", row["run"])
            groups.setdefault((name, *(row[key] for key in _GROUP)), []).append(row)
    averaged = [*(name for name in compared_metrics() if name != HEADLINE), *_MEANS]
    summaries = []
    for same, group in groups.items():
        values = [row[metric] for row in group]
        summaries.append(
            {
                **dict(zip(("run", *_GROUP), same, strict=True)),
                "mean": statistics.fmean(values),
                "std": statistics.stdev(values) if len(values) > 1 else None,
                "n": len(values),
                "runs": [row["run"] for row in group],
                "seeds": [row["seed"] for row in group],
                **{key: _mean(row[key] for row in group) for key in averaged},
            }
        )
    return sorted(summaries, key=lambda row: (row["dataset"], -row["mean"], row["run"]))


def _mean(values):
    given = [value for value in values if value is not None]
    return statistics.fmean(given) if given else None


def summarize_times(rows: list[dict]) -> list[dict]:
    """Summarize the accuracy and the seconds of short trainings, by recipe.

    Args:
        rows: Dicts of a recipe and a seed each, as in reports/speed/time_to_accuracy.csv:
            `recipe`, `seed`, `images`, `epochs`, `seconds`, `compile_seconds`,
            `accuracy` and `tta_accuracy`, as numbers or their text.

    Returns:
        A dict per recipe, the shortest first, for `format_table`. Several values become
        "mean ± standard deviation" over seeds; accuracies are in percent. The longest
        compilation is there where there was one.
    """
    groups: dict[str, list[dict]] = {}
    for row in rows:
        groups.setdefault(row["recipe"], []).append(row)
    shown = {"accuracy, %": ("accuracy", 100), "over six views, %": ("tta_accuracy", 100)}
    compiled = any(_numbers(rows, "compile_seconds"))
    summaries = []
    for recipe, group in groups.items():
        summary = {
            "recipe": recipe,
            "seeds": [row["seed"] for row in group],
            **{key: int(group[0][key]) for key in ("images", "epochs")},
        }
        for heading, (key, scale) in {"seconds": ("seconds", 1), **shown}.items():
            summary[heading] = _mean_and_deviation(_numbers(group, key, scale))
        if compiled:
            summary["compilation, seconds"] = max(_numbers(group, "compile_seconds")) or None
        summaries.append((statistics.fmean(_numbers(group, "seconds")), summary))
    return [summary for _, summary in sorted(summaries, key=lambda pair: pair[0])]


def _numbers(rows, key, scale=1):
    return [scale * float(row[key]) for row in rows]


def _mean_and_deviation(values):
    deviation = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.2f}{deviation}"
