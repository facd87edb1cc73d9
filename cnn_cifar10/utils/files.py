"""Writing files so that a reader finds the old one or the new one, never half of one."""

import contextlib
import csv
import json
import os
from pathlib import Path


@contextlib.contextmanager
def replacing(path):
    """Give a path to write to, which takes the place of `path` when that went well."""
    part = path.with_name(f"part{os.getpid()}.{path.name}")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_json(path, document):
    """Write a document as indented JSON."""
    with replacing(path) as part:
        part.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def read_object(path, what, error):
    """Return the dict that a JSON file holds, or raise an `error` that calls it `what`."""
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise error(f"{path}: cannot read the {what}: {fault}") from fault
    if not isinstance(found, dict):
        raise error(f"{path}: holds no {what}: expected a JSON object")
    return found


def write_page(path, paragraphs):
    """Write paragraphs of Markdown."""
    with replacing(path) as part:
        part.write_text("\n\n".join(paragraphs) + "\n", encoding="utf-8")


def write_figure(path, figure, dpi=110):
    """Write a figure as PNG."""
    with replacing(path) as part:
        figure.savefig(part, format="png", dpi=dpi)


def write_csv(path, header, rows):
    """Write rows of cells as CSV."""
    with replacing(path) as part, open(part, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def cache_folder():
    """Return where to keep what can be computed again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cnn-cifar10"
