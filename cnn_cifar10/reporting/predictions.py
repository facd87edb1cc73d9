"""Predictions of a split as files: of every image, of mistakes, for comparisons."""

import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cnn_cifar10 import utils
from cnn_cifar10.datasets import Split
from cnn_cifar10.evaluation import Evaluation, confident_mistakes, confusion_matrix
from cnn_cifar10.utils import InputError, printable

_ALL_CLASSES, _TOP = 50, 5
_AT_ONCE = 2_000  # images, so that memory stays flat
_ARRAYS = ("labels", "predictions", "confidences")
_MOST_BYTES = 2**28
# What reading a broken or hostile archive of arrays raises.
_FAULTS = (OSError, EOFError, ValueError, KeyError, TypeError, MemoryError, RuntimeError)
_KEYS = ("true_class", "predicted_class", "confidence", "true_probability")


def describe_images(split: Split, evaluation: Evaluation, indices: np.ndarray) -> list[dict]:
    """Return a row per image: what it is and what it is taken for.

    Args:
        split: `Split`.
        evaluation: `Evaluation` of the split.
        indices: Positions in the split.

    Returns:
        Dicts of `index` (the position), `file` (relative to the data folder, of images that are
        files), `true_class`, `predicted_class`, its `confidence`, and the `true_probability`,
        that of the true class.
    """
    labels, names = evaluation.labels[indices], np.array(evaluation.class_names, dtype=object)
    columns = {
        "index": np.asarray(indices).tolist(),
        image_key(split): _name_images(split, indices),
        "true_class": names[labels].tolist(),
        "predicted_class": names[evaluation.predictions[indices]].tolist(),
        "confidence": evaluation.confidences[indices].tolist(),
        "true_probability": evaluation.probabilities[indices, labels].tolist(),
    }
    rows = zip(*columns.values(), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in rows]


def image_key(split: Split) -> str:
    """Return what tables name the images of a split by: `file`, or `index` without files."""
    return "index" if split.ids.dtype.kind in "iu" else "file"


def _name_images(split, indices):
    """Return the files of images, or their positions where there are no files."""
    if image_key(split) == "index":
        return np.asarray(indices).tolist()
    return [printable(file) for file in split.ids[indices].tolist()]


def write_images(path: Path, rows: Iterable[dict], columns: dict[str, str]) -> None:
    """Write rows of `describe_images` as CSV.

    Args:
        path: Path of the file.
        rows: The rows.
        columns: Keys of the rows to headings.
    """
    cells = (
        [round(row[key], 4) if isinstance(row[key], float) else row[key] for key in columns]
        for row in rows
    )
    utils.write_csv(path, columns.values(), cells)


def write_predictions(folder: Path, split: Split, evaluation: Evaluation) -> None:
    """Write `predictions.csv` and `mistakes.csv`: of every image, and of those taken wrongly.

    The probabilities of all classes are in `predictions.csv`; of more than 50 classes, those
    of the five most probable ones. Mistakes are the most confident first.
    """
    wrong, keys = confident_mistakes(evaluation, len(split)), (image_key(split), *_KEYS)
    parts = (wrong[start : start + _AT_ONCE] for start in range(0, len(wrong), _AT_ONCE))
    rows = (row for part in parts for row in describe_images(split, evaluation, part))
    write_images(folder / "mistakes.csv", rows, dict(zip(keys, keys, strict=True)))
    names = evaluation.class_names
    header = [*keys[:-1], *(f"p({name})" for name in names)]
    if len(names) > _ALL_CLASSES:
        places = range(2, _TOP + 1)
        header = [*keys[:-1], *(f"{what}_{n}" for n in places for what in ("class", "confidence"))]
    utils.write_csv(folder / "predictions.csv", header, _predictions(split, evaluation))


def _predictions(split, evaluation) -> Iterator[list]:
    """Yield the rows of predictions.csv."""
    names = np.array(evaluation.class_names, dtype=object)
    for start in range(0, len(split), _AT_ONCE):
        part = np.arange(start, min(start + _AT_ONCE, len(split)))
        probabilities = evaluation.probabilities[part].astype("float64")
        columns = [
            _name_images(split, part),
            names[evaluation.labels[part]].tolist(),
            names[evaluation.predictions[part]].tolist(),
            probabilities.max(axis=1).round(4).tolist(),
        ]
        if len(names) <= _ALL_CLASSES:
            columns += probabilities.T.round(4).tolist()
        else:
            # Of the same probability the first counts as more probable, as for predictions.
            order = np.argsort(-probabilities, axis=1, kind="stable")[:, 1:_TOP]
            shares = np.take_along_axis(probabilities, order, axis=1).round(4)
            for place in range(_TOP - 1):
                columns += [names[order[:, place]].tolist(), shares[:, place].tolist()]
        yield from zip(*columns, strict=True)


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a report keeps of its split: integer arrays `(n,)`, and confidences in [0, 1]."""

    split: str
    labels: np.ndarray
    predictions: np.ndarray
    confidences: np.ndarray
    class_names: tuple[str, ...]

    @property
    def confusion_matrix(self) -> np.ndarray:
        """As for `Evaluation`."""
        return confusion_matrix(self.labels, self.predictions, len(self.class_names))


def read_predictions(path: str | Path) -> Predictions:
    """Return the `Predictions` in the `predictions.npz` of a report.

    Raises:
        InputError: If the file cannot be read, or holds no predictions.
    """
    try:
        utils.check_file_size(path, _MOST_BYTES)
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > _MOST_BYTES:
                raise ValueError(f"more than {_MOST_BYTES:,} bytes")
        with open(path, "rb") as opened, np.load(opened) as file:
            arrays = {key: file[key] for key in _ARRAYS}
            names = tuple(map(printable, file["class_names"].tolist()))
            _check_arrays(arrays, len(names))
            return Predictions(printable(file["split"].item()), **arrays, class_names=names)
    except (*_FAULTS, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(
            f"{path}: holds no predictions ({utils.first_line(error)}); evaluate again"
        ) from error


def _check_arrays(arrays, classes):
    sizes = {each.shape for each in arrays.values()}
    whole = all(arrays[key].dtype.kind in "iu" for key in _ARRAYS[:2])
    numbers = arrays[_ARRAYS[2]].dtype.kind in "fiu"
    if len(sizes) != 1 or len(*sizes) != 1 or not (whole and numbers):
        raise ValueError("arrays of other types or sizes")
    if any(((arrays[key] < 0) | (arrays[key] >= classes)).any() for key in _ARRAYS[:2]):
        raise ValueError("labels of more classes than it names")


def save_predictions(path: Path, split: str, evaluation: Evaluation) -> None:
    """Write the file that `read_predictions` reads.

    Args:
        path: Path of the file.
        split: Name of the split.
        evaluation: `Evaluation` of the split.
    """
    with utils.replacing(path) as part:
        np.savez_compressed(
            part,
            split=split,
            labels=evaluation.labels.astype("uint16"),
            predictions=evaluation.predictions.astype("uint16"),
            confidences=evaluation.confidences.astype("float16"),
            class_names=np.array(evaluation.class_names),
        )
