"""Table of results: one row per run; means and standard deviations over seeds."""

import collections
import csv
import hashlib
import io
import itertools
import json
import math
import os
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

from cnn_cifar10.evaluation import HEADLINE, METRICS, compared_metrics
from cnn_cifar10.reporting.tables import find_column, format_cell, split_and_metric
from cnn_cifar10.utils import (
    InputError,
    clear_parts,
    digest,
    format_csv,
    printable,
    references,
    replacing,
    warn_once,
)

FULL_EPOCHS = 8
"""Epochs from which a training counts as full.

A shorter one says what its time buys, and not what the network reaches.
"""

_TIMES = ("seconds", "compile_seconds", "images_per_second")
_MEANS = (*_TIMES, "mflops", "megabytes", "latency_ms")
_SHOWN = ("dataset", "model", "parameters", "epochs", "hardware")
_HIDDEN = {"fingerprint": "data", "config": "config"}
_SAME = ("model", "seed")  # what a run without an id is known by, whatever copy of the data
_MAY_DIFFER = ("seed", "data_dir", "skip_damaged")  # of configs that are summarized as one


def result_columns() -> tuple[str, ...]:
    """Return the columns of the table of results.

    The metrics are of the test split, and the headline's also of the others, such as
    `validation_accuracy`. `mflops` are for one image, `megabytes` on disk. `latency_ms`, from one
    image to its probabilities, is measured where the run was evaluated. `seconds` and
    `images_per_second` are of training; `compile_seconds` are those of the `seconds` that
    compiling took. `id` is the run's own, and `config` a digest of what was asked for, besides
    the seed and where the data are. `note` is what a reader must know of the run, such as that
    its training lost what it had learned; you may write it into the table yourself.
    """
    compared = compared_metrics()
    further = [name for name, metric in METRICS.items() if metric.recorded and name not in compared]
    return (
        *("run", "model", "dataset", "seed", "epochs"),
        *(*compared, *further, f"validation_{HEADLINE}", f"train_{HEADLINE}"),
        *("parameters", "mflops", "megabytes", "latency_ms", *_TIMES),
        *("precision", "backend", "hardware", "fingerprint", "commit", "id", "config", "note"),
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
        *("run", "dataset", "mean", "std", "note", *others, "seeds", "epochs", *_TIMES),
        *("parameters", "mflops", "megabytes", "latency_ms", "hardware"),
    )
    return {key: find_column(key).heading or key for key in keys} | {
        "mean": metric.replace("_", " ")
    }


def add_result(
    results_csv: str | Path, row: dict[str, Any], columns: Iterable[str] | None = None
) -> None:
    """Add a run to a table of results, or replace the row of the same `run`.

    Rows are sorted by data set, model, seed and run. A table that lacks columns gets those
    that the row fills. It keeps the cells of other rows, and columns of its own, as they are.
    Of a row that it replaces, it keeps a note that says no less than the new one, and of a row
    of the same run all that was not measured again.

    Args:
        results_csv: Path of the table; created where missing.
        row: Dict of columns to values, such as `result_row` returns. A missing value or
            `None` leaves the cell empty.
        columns: Columns of the table; `None` for `result_columns`.

    Raises:
        InputError: If the row has unknown columns or names no run, or the table that is
            there is malformed or has another run of that name.
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
    with _lock(results_csv):
        header, rows = _read_table(results_csv, columns) if results_csv.exists() else (columns, [])
        others = [pair for pair in rows if pair[0]["run"] != row["run"]]
        same = (pair for pair in rows if pair[0]["run"] == row["run"])
        known, replaced = next(same, (row, dict[str, str]()))
        refuse_other_run(f"{results_csv}: the row", known, row)
        again = bool(row.get("id")) and known.get("id") == row["id"]
        if again:
            new |= {name: replaced.get(name, "") for name, text in new.items() if not text}
        if new.get("note", "") in (note := replaced.get("note", "")):
            new["note"] = note
        ordered = sorted([*others, (row, {**replaced, **new})], key=lambda pair: _order(pair[0]))
        header = tuple(dict.fromkeys((*header, *(column for column in columns if new[column]))))
        cells = [[texts.get(column, "") for column in header] for _, texts in ordered]
        _write_table(results_csv, header, cells)


def _lock(results_csv):
    return FileLock(results_csv.with_name(f".{results_csv.name}.lock"))


def _write_table(results_csv, header, cells):
    """Write a table, and before it the checksums of what is there and of what comes."""
    clear_parts(results_csv.parent, f"{results_csv.name}*")
    text = format_csv(header, cells)
    known = [results_csv.read_bytes()] if results_csv.exists() else []
    sums = [f"{digest(data)}  {results_csv.name}\n" for data in (text.encode(), *known)]
    with replacing(_checksum_path(results_csv)) as part:
        part.write_text("".join(sums), encoding="utf-8", newline="\n")
    with replacing(results_csv) as part:
        part.write_bytes(text.encode())


def _checksum_path(results_csv):
    return results_csv.with_name(f"{results_csv.name}.sha256")


def _check_table(results_csv, data):
    """Say where a table is not as it was written: people edit it, and disks fail."""
    sums = _checksum_path(results_csv)
    known = sums.read_text(encoding="utf-8", errors="replace") if sums.exists() else ""
    if known and digest(data) not in known:
        said = "changed since it was written, by hand or by damage; check its figures"
        warn_once(f"{results_csv}: {said}")


def remove_result(results_csv: str | Path, run: str) -> None:
    """Remove the row of a run from a table of results, if there is one."""
    results_csv = Path(results_csv)
    if results_csv.exists():
        with _lock(results_csv):
            header, rows = _read_table(results_csv, result_columns())
            kept = [cells for row, cells in rows if row["run"] != run]
            _write_table(results_csv, header, [[*cells.values()] for cells in kept])


def refuse_other_run(what: str, known: Mapping[str, Any], run: Mapping[str, Any]) -> None:
    """Raise if what is there is of another run than the one that would replace it.

    Args:
        what: What is there, such as the report in a folder.
        known: The `id` of its run, or of an older one its `model` and `seed`.
        run: The same of the run now.

    Raises:
        InputError: If the runs differ.
    """
    same = ("id",) if known.get("id") else _SAME
    if any((known.get(key) or "") != (run.get(key) or "") for key in same):
        raise InputError(
            f"{what} is of another run, {_describe_run(known)}, than {_describe_run(run)}: name "
            "other places with --report and --results, train with another --output, or replace it "
            "with --overwrite"
        )


def _describe_run(run):
    known = {"seed": run.get("seed"), "id": run.get("id")}
    details = [f"{key} {value}" for key, value in known.items() if value not in (None, "")]
    return f"{run.get('run')} ({run.get('model')} on {run.get('dataset')}, {', '.join(details)})"


def digest_config(facts: Mapping[str, Any]) -> str:
    """Return 8 hexadecimal digits that are the same for runs that differ in the seed alone.

    Args:
        facts: What `run.json` holds.
    """
    asked = {key: value for key, value in facts["config"].items() if key not in _MAY_DIFFER}
    network = facts.get("network", {"source": ""})
    changed = {"batch_size": facts["batch_size"]} if "batch_size" in facts else {}
    network = {} if references.is_own(network) else network
    text = json.dumps([{**asked, **changed}, network], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


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
        InputError: If there is no table or it is malformed; the message says where. Where it was
            changed since it was written, a warning says so.
    """
    _, rows = _read_table(results_csv, tuple(columns or result_columns()))
    return [row for row, _ in rows]


def _read_table(results_csv, columns):
    """Return the header, and for each run a pair of its values and its cells as they are."""
    try:
        data = Path(results_csv).read_bytes()
        _check_table(Path(results_csv), data)
        text = io.StringIO(data.decode("utf-8"), newline="")
        header, *lines = list(csv.reader(text)) or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        fault = f"{results_csv}: cannot be read as a table of results: {reason}"
        raise InputError(fault) from error
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
        others = {key: printable(cells[key]) for key in cells if key not in values}
        rows.append(({**values, **others}, cells))
    return header, rows


def read_tables(tables: Sequence[str | Path]) -> list[dict]:
    """Read several tables of results as one.

    Args:
        tables: Paths of the tables.

    Returns:
        The rows. A run of another folder than the first table's is named with the path to it,
        as in `gpu/cifar10-resnet18-seed0`, which leads to its report.

    Raises:
        InputError: As for `read_results`, or if two tables have the same run.
    """
    rows, first = [], Path(tables[0]).parent
    for table in map(Path, tables):
        folder = Path(os.path.relpath(table.parent, first))
        rows += [
            row | {"run": row["run"] if folder == Path() else f"{folder.as_posix()}/{row['run']}"}
            for row in read_results(table)
        ]
    ((run, times),) = collections.Counter(row["run"] for row in rows).most_common(1) or [("", 0)]
    if times > 1:
        places = ", ".join(map(str, tables))
        raise InputError(f"{places}: more than one has the run {run}; name one of them")
    return rows


def _parse(column, cell, place):
    kind = find_column(column).type
    if not cell:
        return cell if kind is str else None
    if kind is str:
        return printable(cell)
    try:
        number = kind(cell)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{place}: {column} must be a number, received {cell!r}")
    return number


def summarize_results(rows: list[dict], metric: str = HEADLINE) -> list[dict]:
    """Summarize runs that differ in their seed alone, by their names.

    Runs of the same name that were trained on other data, or with another config, are apart;
    what tells them apart follows their name.

    Args:
        rows: What `read_results` returns.
        metric: Column to average, such as `"validation_accuracy"`. Runs without
            a value are left out.

    Returns:
        A dict per group: `run` (the name without `-seedN`), `dataset`, `model`,
        `parameters`, `epochs` (of runs that stopped early, their mean), `hardware`,
        `fingerprint` and `config`, `full` (whether it had `FULL_EPOCHS` epochs or more, or an
        unknown number), `mean` and `std` of the metric
        (sample standard deviation; `None` for a single run), `n`, `runs`, `seeds`, `note` (the
        different notes of the runs), and the means of the metrics that are compared, of
        `seconds`, `compile_seconds`, `images_per_second`, `mflops`, `megabytes` and
        `latency_ms`. Sorted by data set, full trainings first, then the highest mean first.
    """
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        if row[metric] is not None:
            name = re.sub(r"-seed\d+$", "", row["run"])
            shown = {key: row[key] for key in _SHOWN}
            if row.get("config"):
                shown["epochs"] = None  # which are the same, but for early stopping
            hidden = (row.get(key) or "" for key in _HIDDEN)
            groups.setdefault((name, *shown.values(), *hidden), []).append(row)
    averaged = [*(name for name in compared_metrics() if name != HEADLINE), *_MEANS]
    summaries = []
    for same, group in groups.items():
        values = [row[metric] for row in group]
        epochs = _mean(row["epochs"] for row in group)
        summaries.append(
            {
                **dict(zip(("run", *_SHOWN, *_HIDDEN), same, strict=True)),
                "epochs": None if epochs is None else round(epochs),
                "full": epochs is None or epochs >= FULL_EPOCHS,
                "mean": statistics.fmean(values),
                "std": statistics.stdev(values) if len(values) > 1 else None,
                "n": len(values),
                "runs": [row["run"] for row in group],
                "seeds": [row["seed"] for row in group],
                "note": "; ".join(dict.fromkeys(row["note"] for row in group if row["note"])),
                **{key: _mean(row[key] for row in group) for key in averaged},
            }
        )
    _tell_apart(summaries)
    return sorted(
        summaries, key=lambda row: (row["dataset"], not row["full"], -row["mean"], row["run"])
    )


def _tell_apart(summaries):
    """Add to the names of runs that would look the same what they differ in."""
    alike = collections.defaultdict(list)
    for row in summaries:
        alike[tuple(row[key] for key in ("run", *_SHOWN))].append(row)
    for rows, (key, what) in itertools.product(alike.values(), _HIDDEN.items()):
        if len({row[key] for row in rows}) > 1:
            for row in rows:
                row["run"] += f" ({what} {row[key] or 'unknown'})"


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
