"""Tables of images: a CSV of files, their labels, and optionally splits and groups."""

import csv
import dataclasses
import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

from cnn_cifar10.datasets.dataset import DatasetError
from cnn_cifar10.datasets.listing import few, split_of, suffix_of
from cnn_cifar10.datasets.splits import Files, Row
from cnn_cifar10.utils import printable

_COLUMNS = {
    "file": "file|filename|filepath|path|(image|img)(file|name|path)?",
    "label": "labels?|(class|category)(name)?|target|y",
    "split": "split|subset|partition|set|usage",
    "group": "(group|patient|subject)(id)?",
}  # as they are written without spaces, hyphens and underscores


def is_named_table(path: Path) -> bool:
    """Return whether a file is a table by its name."""
    return suffix_of(path.name) in (".csv", ".tsv")


def is_table(path: Path) -> bool:
    """Return whether a file is a table with files and labels."""
    try:
        return is_named_table(path) and path.is_file() and bool(_columns(path, next(_lines(path))))
    except DatasetError:
        return False


def read_table(path: Path, notes: Sequence[str] = ()) -> Files:
    """Return the files that a table lists.

    Args:
        path: A CSV with a header: `file,label` and, if wanted, `split` and `group`, in any
            order, or with other usual names. Paths are relative to its folder, or absolute.
            `;` or tabs may stand for `,`.
        notes: What was found before.

    Raises:
        DatasetError: If it cannot be read, or lines are not as they should be.
    """
    lines = _lines(path)
    columns = _columns(path, next(lines))
    rows: dict[str, tuple[int, Row]] = {}
    faults, repeated = [], 0
    for number, cells in lines:
        cell = {name: cells[at] if at < len(cells) else "" for name, at in columns.items()}
        label = unicodedata.normalize("NFC", cell["label"].strip())
        split, rest = split_of(cell.get("split", "train"))
        if (file := _find(path.parent, cell["file"])) is None:
            fault = f"no such file {cell['file']!r}"
        elif not label or re.search("[\ud800-\udfff]", label):
            fault = "a label that is no UTF-8" if label else "no label"
        elif split is None or rest:
            fault = f"split {cell['split']!r} is none of train, validation and test"
        else:
            row = (file, label, split, cell.get("group", "").strip())
            first, known = rows.setdefault(file, (number, row))
            repeated += first != number
            if known == row:
                continue
            fault = f"{printable(file)!r} is told otherwise in line {first}"
        faults.append(f"line {number}: {fault}")
    if faults:
        raise DatasetError(f"{printable(path)}: {few(faults)}")
    if repeated:
        notes = [*notes, f"{repeated:,} lines of {printable(path.name)} repeat others."]
    files = Files.collect(path.parent, sorted(row for _, row in rows.values()), notes)
    return dataclasses.replace(files, table=path)


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield number and cells of each line that is not empty."""
    reader, is_empty = None, True
    try:
        # Names of files may hold bytes that are no UTF-8.
        with open(path, newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            first = file.readline(100_000)
            file.seek(0)
            reader = csv.reader(file, delimiter=max(",;\t", key=first.count))
            for cells in reader:
                if any(cells):
                    is_empty = False
                    yield reader.line_num, cells
    except (OSError, csv.Error) as error:
        line = f" line {reader.line_num}:" if reader else ""
        raise DatasetError(f"{printable(path)}:{line} cannot be read ({error})") from error
    if is_empty:
        raise DatasetError(f"{printable(path)}: is empty")


def _columns(path: Path, line: tuple[int, list[str]]) -> dict[str, int]:
    """Return the position of each column that the header names."""
    header = [re.sub(r"[\W_]", "", cell).casefold() for cell in line[1]]
    found = {}
    for name, pattern in _COLUMNS.items():
        at = [k for k, cell in enumerate(header) if re.fullmatch(pattern, cell)]
        if name in header:
            at = [header.index(name)]
        if len(at) > 1:
            names = few([line[1][k] for k in at])
            raise DatasetError(
                f"{printable(path)}: the columns {names} may each be the {name}; name one {name}"
            )
        if at:
            found[name] = at[0]
    if not {"file", "label"} <= found.keys():
        raise DatasetError(
            f"{printable(path)}: has the columns {few(line[1])}; it needs `file` and `label`, and "
            "may have `split` and `group`"
        )
    return found


def _find(folder: Path, name: str) -> str | None:
    """Return the path of a file as it is on disk, or `None` where there is none."""
    for path in (name, name.strip(), name.strip().replace("\\", "/")):
        if path and os.path.exists(os.path.join(folder, path)):
            return os.path.normpath(path).replace(os.sep, "/")
    return None
