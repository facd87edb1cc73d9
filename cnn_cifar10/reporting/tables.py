"""Rows as Markdown tables; how each column is formatted."""

import numbers

_FORMATS = {
    **dict.fromkeys(("accuracy", "top5_accuracy", "validation_accuracy", "train_accuracy"), ".4f"),
    **dict.fromkeys(("tta_accuracy", "loss", "macro_f1", "mean", "std"), ".4f"),
    **dict.fromkeys(("precision", "recall", "f1"), ".4f"),
    "validation_loss": ".4f",
    **dict.fromkeys(("seconds", "mflops", "megabytes", "latency_ms"), ".1f"),
    "images_per_second": ".0f",
    **dict.fromkeys(("share", "confidence"), ".1%"),
    "bytes": ",",
    "largest_difference": ".1e",
    "agreement": ".2%",
    "milliseconds": ".2f",
}


def format_table(rows, columns=None):
    """Format rows as a Markdown table that is aligned as plain text too.

    Args:
        rows: Dicts; a missing value or `None` gives an empty cell.
        columns: Keys to show, or a dict of keys to headings; `None` shows those
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
        [escape_cell(format_cell(column, row.get(column))) for column in headings] for row in rows
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


def _is_numeric(values):
    given = [value for value in values if value is not None]
    return bool(given) and all(isinstance(value, numbers.Real) for value in given)


def format_cell(column, value):
    """Format a value the way its column is shown everywhere; `None` is empty."""
    if value is None:
        return ""
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    is_number = isinstance(value, numbers.Real)
    default = ".4g" if isinstance(value, float) else ""
    return format(value, _FORMATS.get(column, default)) if is_number else str(value)


def escape_cell(text):
    """Return text that a Markdown table can hold."""
    return " ".join(text.split()).replace("|", "\\|")
