"""Atomic writes of JSON, CSV, Markdown and figures; the cache folder."""

import contextlib
import csv
import itertools
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnn_cifar10.utils.bounded import JSON_BYTES, parse_object, read_bounded

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path to write to, which takes the place of `path` when that went well."""
    part = path.with_name(f"part{os.getpid()}.{path.name}")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_json(path: Path, document: Any) -> None:
    """Write a document as indented JSON."""
    with replacing(path) as part:
        part.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def read_object(path: str | Path, what: str, error: type[Exception]) -> dict[str, Any]:
    """Return the dict that a JSON file holds, or raise an `error` that calls it `what`."""
    try:
        data = read_bounded(path, JSON_BYTES, error)
    except OSError as fault:
        raise error(f"{path}: cannot read the {what}: {fault}") from fault
    return parse_object(data, path, what, error)


def write_page(path: Path, paragraphs: Iterable[str]) -> None:
    """Write paragraphs of Markdown."""
    with replacing(path) as part:
        part.write_text("\n\n".join(paragraphs) + "\n", encoding="utf-8")


def write_figure(path: Path, figure: "Figure", dpi: int = 110) -> None:
    """Write a figure as PNG."""
    with replacing(path) as part:
        figure.savefig(part, format="png", dpi=dpi)


def write_csv(path: Path, header: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    """Write rows of cells as CSV."""
    with replacing(path) as part, open(part, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(itertools.chain([header], rows))


def cache_folder() -> Path:
    """Return where to keep what can be computed again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cnn-cifar10"
