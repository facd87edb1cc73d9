"""What becomes of predictions: rows of a CSV file, images sorted into folders, embeddings.

Each is a context manager that gives a function of a path and of what `Classifier.stream`
gives with it. What is written so far is whole whenever the block ends, however it ends.
"""

import collections
import contextlib
import csv
import itertools
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from cnn_cifar10.datasets import ImageError
from cnn_cifar10.inference.classifier import Prediction
from cnn_cifar10.utils import InputError, printable

Write = Callable[[str, Prediction | ImageError], None]

_MOST_COLUMNS = 50  # of classes; a table of more has the most probable ones
_NO_LINKS = 1314  # what Windows says to who may not make links
_UNSAFE = re.compile(r'[/\\:*?"<>|]|[. ]+$')  # in the name of a folder, on any system


@contextlib.contextmanager
def csv_rows(path: Path, class_names: Sequence[str], top: int = 5) -> Iterator[Write]:
    """Write a row an image: file, class, probability, error, and the classes' probabilities.

    Args:
        path: File to write, which must not exist.
        class_names: Name of each class. More than 50 have no columns of their own; a row then
            has the most probable ones.
        top: How many these are.
    """
    every = len(class_names) <= _MOST_COLUMNS
    ranks = range(2, 1 + min(top, len(class_names)))
    columns = (
        [f"probability of {name}" for name in class_names]
        if every
        else [f"{what} {rank}" for rank in ranks for what in ("class", "probability")]
    )
    # A line at a time, so that no row is cut off.
    with open(path, "x", newline="", encoding="utf-8", buffering=1) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["file", "class", "probability", "error", *columns])

        def write(path, answer):
            if isinstance(answer, ImageError):
                cells = ["", "", answer.reason, *("" for _ in columns)]
            else:
                best, *others = answer.top(top)
                more = [cell for each in others for cell in each.values()]
                more = answer.probabilities.tolist() if every else more
                cells = [answer.label, best["probability"], "", *more]
            rounded = (f"{cell:.6g}" if isinstance(cell, float) else cell for cell in cells)
            writer.writerow([printable(path), *rounded])

        yield write


@contextlib.contextmanager
def sorted_images(folder: Path, class_names: Sequence[str], copy: bool = False) -> Iterator[Write]:
    """Link each image into a folder of its predicted class; images themselves stay in place.

    Images of one name get numbers. Those below the threshold lie in a folder `unsure`.

    Args:
        folder: Folder of the folders, which must be empty or missing.
        class_names: Name of each class.
        copy: Whether to copy images instead of linking to them.
    """
    names = _folder_names([*class_names, "unsure"])
    taken: collections.Counter[Path] = collections.Counter()

    def place(path, answer):
        if isinstance(answer, ImageError):
            return
        label = -1 if answer.is_unsure else int(answer.probabilities.argmax())
        name = folder / names[label] / os.path.basename(path)
        for target in _numbered(name, taken[name]):
            taken[name] += 1
            if not os.path.lexists(target):
                break
        target.parent.mkdir(parents=True, exist_ok=True)
        if copy:
            with contextlib.ExitStack() as stack:
                stack.callback(target.unlink, missing_ok=True)  # half an image is none
                shutil.copy2(path, target)
                stack.pop_all()
            return
        try:
            target.symlink_to(os.path.abspath(path))
        except OSError as error:
            if getattr(error, "winerror", 0) != _NO_LINKS:
                raise
            raise InputError("--sort-into: Windows allows no links here; add --copy") from error

    yield place


def _numbered(path, start):
    """Yield `photo.jpg`, `photo-2.jpg`, `photo-3.jpg`, …, from a place in this order on."""
    for number in itertools.count(start + 1):
        stem = os.fsdecode(os.fsencode(path.stem)[:200])  # a name has 255 bytes at most
        yield path if number == 1 else path.with_name(f"{stem}-{number}{path.suffix}")


def _folder_names(names):
    """Return a name for the folder of each class, all of them different on any file system."""
    safe: list[str] = []
    known: set[str] = set()
    for name in names:
        name = _UNSAFE.sub("_", name.encode()[:200].decode(errors="ignore")) or "_"
        numbered = (f"{name}-{number}" if number > 1 else name for number in itertools.count(1))
        safe.append(next(each for each in numbered if each.casefold() not in known))
        known.add(safe[-1].casefold())
    return safe


@contextlib.contextmanager
def embeddings_file(path: Path, class_names: Sequence[str]) -> Iterator[Write]:
    """Write the embeddings of images as an archive for `numpy.load`.

    It has `paths` `(n,)`, `embeddings` float32 `(n, d)`, and `class_names`.

    Args:
        path: File to write, which must not exist.
        class_names: Name of each class.
    """
    paths: list[str] = []
    rows = bytearray()  # grows in place, where a list of arrays would be copied into one

    def add(path, answer):
        if not isinstance(answer, ImageError):
            paths.append(path)
            rows.extend(answer.embedding.tobytes())

    with open(path, "xb") as file:
        try:
            yield add
        finally:
            embeddings = np.frombuffer(rows, "float32").reshape(len(paths), -1 if paths else 0)
            np.savez(
                file,
                paths=np.array(paths, str),
                embeddings=embeddings,
                class_names=np.array(class_names),
            )
