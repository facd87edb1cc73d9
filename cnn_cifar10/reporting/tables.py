"""Columns of tables: type, format and heading. Markdown tables."""

import numbers
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from cnn_cifar10.evaluation import METRICS
from cnn_cifar10.utils import printable, require_package


@dataclass(frozen=True)
class Column:
    """Declares how the values of a column are read and written.

    Args:
        type: What a cell of a file is read as: `float`, `int` or `str`.
        format: How numbers are written, as for Python's `format`; `None` writes whole numbers
            in full and others with four digits.
        heading: Heading in tables of several runs; the name of the column where it is empty.
    """

    type: Callable[[str], Any] = float
    format: str | None = None
    heading: str = ""


_TEXT, _COUNT, _SCORE = Column(str), Column(int), Column(format=".4f")

COLUMNS: dict[str, Column] = {
    **dict.fromkeys(("run", "model", "dataset", "backend", "hardware", "fingerprint"), _TEXT),
    **dict.fromkeys(("commit", "variant", "settings", "failure", "id", "config", "note"), _TEXT),
    "precision": Column(str, ".4f"),  # of a run, a number format; of a class, a number
    **dict.fromkeys(("seed", "epochs", "parameters", "train_images"), _COUNT),
    **dict.fromkeys(("mean", "std", "recall", "recall_low", "recall_high", "f1"), _SCORE),
    **dict.fromkeys(("share", "confidence"), Column(format=".1%")),
    "seconds": Column(format=".1f"),
    "compile_seconds": Column(format=".1f", heading="compiling"),
    "images_per_second": Column(format=".0f", heading="images/s"),
    "mflops": Column(format=".1f", heading="MFLOPs"),
    "megabytes": Column(format=".1f", heading="MB"),
    "latency_ms": Column(format=".1f", heading="ms/image"),
    "milliseconds": Column(format=".2f"),
    "bytes": Column(int, ","),
    "largest_difference": Column(format=".1e"),
    "agreement": Column(format=".2%"),
}
"""Columns of all tables by name, besides the metrics, which `METRICS` declares."""


def find_column(name: str) -> Column:
    """Return the declaration of a column; a metric of a split, `validation_loss`, is as `loss`."""
    metric = METRICS.get(name) or METRICS.get(split_and_metric(name)[1])
    if metric:
        return Column(metric.type, metric.format, metric.short or metric.heading)
    return COLUMNS.get(name, Column())


def split_and_metric(column: str) -> tuple[str, str]:
    """Return what a column is of: `validation_loss`, the split and its metric `loss`."""
    split, _, name = column.partition("_")
    return (split, name) if split in ("train", "validation") else ("test", column)


def format_table(rows: list[dict], columns: Iterable[str] | None = None) -> str:
    """Format rows as a Markdown table, aligned for reading as plain text.

    Args:
        rows: Dicts; a missing value or `None` gives an empty cell. Text is shown as it is,
            unless it is `Markdown`.
        columns: Keys to show, or a dict of keys to headings; `None` shows the keys
            of the first row.

    Returns:
        The table, without a newline at its end.
    """
    if columns is None:
        columns = list(rows[0]) if rows else []
    headings = columns if isinstance(columns, dict) else {column: column for column in columns}
    numeric = [_is_numeric([row.get(column) for row in rows]) for column in headings]
    cells = [list(headings.values())]
    cells += [
        [escape_markdown(format_cell(column, row.get(column))) for column in headings]
        for row in rows
    ]
    widths = [max(3, *map(len, column)) for column in zip(*cells, strict=True)]
    rules = ["-" * (w - 1) + ":" if n else "-" * w for w, n in zip(widths, numeric, strict=True)]
    lines = [
        " | ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(line, widths, numeric, strict=True)
        )
        for line in (cells[0], rules, *cells[1:])
    ]
    return "\n".join(f"| {line} |" for line in lines)


def show_table(rows: list[dict], columns: Iterable[str] | None = None) -> None:
    """Show rows as a table in a notebook.

    Args:
        rows: As for `format_table`.
        columns: As for `format_table`.

    Raises:
        InputError: If IPython is not installed.
    """
    require_package("IPython", "tables in notebooks need", "jupyter")
    from IPython import display

    display.display(display.Markdown(format_table(rows, columns)))


def _is_numeric(values):
    given = [value for value in values if value is not None]
    return bool(given) and all(isinstance(value, numbers.Real) for value in given)


def format_cell(column: str, value: Any) -> str:
    """Format a value as its column is declared; `None` is empty."""
    if value is None:
        return ""
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    if not isinstance(value, numbers.Real):
        return value if isinstance(value, str) else str(value)
    default = ".4g" if isinstance(value, float) else ""
    declared = find_column(column).format
    return format(value, default if declared is None else declared)


class Markdown(str):
    """Text that is Markdown already, such as a link in a table."""


_SPECIAL = re.compile(r"[\\`*|<$~]|(?<![^\W_])_|_(?![^\W_])|\](?=\()|&(?=#?\w+;)")


def escape_markdown(text: str) -> str:
    """Return text on one line, such as a name, so that Markdown shows it as it is."""
    if isinstance(text, Markdown):
        return text
    return _SPECIAL.sub(r"\\\g<0>", printable(" ".join(text.splitlines())))
