"""Image data sets of the Hugging Face Hub and of TensorFlow Datasets, by the names they have there.

Their images are written once, as the files that they hold, into the cache. From there on they
are image files as any others: checked, kept apart by their content, read when they are needed.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from cnn_cifar10.datasets.dataset import Dataset, DatasetError
from cnn_cifar10.datasets.listing import few, split_of
from cnn_cifar10.datasets.source import DataOptions
from cnn_cifar10.datasets.splits import SPLITS, Files, Row, load_splits
from cnn_cifar10.utils import cache_folder, printable, replacing, require_package

Example = tuple[bytes | Path | None, int]
"""An image, as a file holds it or as a file, and its label; `None` or below 0 where it has none."""


def load_hugging_face(options: DataOptions) -> Dataset:
    """images of the Hugging Face Hub by hf:owner/name, or of a folder by hf:path; extra hf.

    `hf:owner/name/config` names one of several configs, and `hf:owner/name#column` one of
    several columns of labels. `data_dir` is where the library keeps what it downloads, by
    default `~/.cache/huggingface`. Splits and images are as for `folder`.
    """
    require_package("datasets", "hf: needs", "'cnn-cifar10[hf]'")
    import datasets

    place, _, column = (options.name or "").partition("#")
    config = None
    if not os.path.isdir(os.path.expanduser(place)) and place.count("/") == 2:
        place, _, config = place.rpartition("/")
    try:
        cache = options.data_dir and os.path.expanduser(options.data_dir)
        found = datasets.load_dataset(os.path.expanduser(place), config, cache_dir=cache)
        image, label, names = _columns(next(iter(found.values())).features, column)
        parts = {
            split: part.select_columns([image, label]).cast_column(
                image, datasets.Image(decode=False)
            )
            for split, part in found.items()
        }
        licence = _licence(place)
    except DatasetError as error:
        raise DatasetError(f"hf:{options.name}: {error}") from error
    except Exception as error:  # the library raises nearly any type
        raise _cannot_load("hf", options, error) from error

    def examples(part):
        for row in part:
            data = stored = row[image]
            if stored is not None:
                data = stored["bytes"] if stored["bytes"] is not None else Path(stored["path"])
            yield data, -1 if row[label] is None else row[label]

    splits = {split: examples(part) for split, part in parts.items()}
    title = os.path.basename(place) if config is None else f"{place}/{config}"
    return _load("hf", f"{title} (Hugging Face)", names, splits, licence, options)


def load_tensorflow(options: DataOptions) -> Dataset:
    """images of TensorFlow Datasets by tfds:name; extra tfds.

    Names are as there: `tfds:name`, `tfds:name/config` or `tfds:name:version`. `data_dir` is
    where the library keeps what it prepares, by default `~/tensorflow_datasets`. Splits and
    images are as for `folder`.
    """
    require_package("tensorflow_datasets", "tfds: needs", "'cnn-cifar10[tfds]'")
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(
            options.name, data_dir=options.data_dir and os.path.expanduser(options.data_dir)
        )
        builder.download_and_prepare()
        features = builder.info.features
        keys = builder.info.supervised_keys or [*features]
        image, label, names = _columns({key: features[key] for key in keys}, "")
        decoders = {image: tfds.decode.SkipDecoding()}
        parts = {
            split: builder.as_dataset(split=split, decoders=decoders)
            for split in builder.info.splits
        }
    except DatasetError as error:
        raise DatasetError(f"tfds:{options.name}: {error}") from error
    except Exception as error:  # the library raises nearly any type
        raise _cannot_load("tfds", options, error) from error

    def examples(part):
        for row in tfds.as_numpy(part):
            yield row[image], int(row[label])

    splits = {split: examples(part) for split, part in parts.items()}
    title = f"{builder.info.full_name} (TensorFlow Datasets)"
    licence = builder.info.redistribution_info.license or ""
    return _load("tfds", title, names, splits, licence, options)


def _cannot_load(kind, options, error):
    fault = " ".join(str(error).split()) or type(error).__name__
    return DatasetError(f"{kind}:{options.name}: cannot be loaded ({fault}); check the name")


def _columns(features: dict[str, Any], column: str) -> tuple[str, str, list[str]]:
    """Return the columns of images and of labels, and the names of the classes."""
    images = [name for name, each in features.items() if type(each).__name__ == "Image"]
    labels = [name for name, each in features.items() if type(each).__name__ == "ClassLabel"]
    if column:
        labels = [name for name in labels if name == column]
    elif len(labels) > 1 and "label" in labels:
        labels = ["label"]
    if len(images) != 1 or len(labels) != 1:
        raise DatasetError(
            f"has the columns {few([*features]) or '(none)'}; one of images and one of class "
            "labels are needed; #name after the name chooses between labels"
        )
    return images[0], labels[0], features[labels[0]].names


def _licence(place: str) -> str:
    """Return the licence that the card of a data set names, "" where there is none."""
    from huggingface_hub import DatasetCard
    from huggingface_hub.errors import EntryNotFoundError

    card = Path(place).expanduser() / "README.md"
    if card.parent.is_dir() and not card.is_file():
        return ""
    try:
        found = DatasetCard.load(card if card.is_file() else place, ignore_metadata_errors=True)
    except EntryNotFoundError:
        return ""
    named = found.data.license or ""
    return named if isinstance(named, str) else ", ".join(named)


def _load(
    kind: str,
    title: str,
    names: list[str],
    splits: dict[str, Iterator[Example]],
    licence: str,
    options: DataOptions,
) -> Dataset:
    """Return the data set of examples, by the splits that their names mean."""
    meant = {name: split_of(name)[0] for name in splits}
    if len(splits) == 1:
        meant = dict.fromkeys(splits, "train")
    several = Counter(meant.values())
    notes, rows = [f"Licence: {printable(licence) or 'not stated; look it up'}."], []
    for name, examples in splits.items():
        split = meant[name]
        if split is None or (several[split] > 1 and name != split):
            notes.append(f"The split {printable(name)} is left out: it is none of {few(SPLITS)}.")
            continue
        stored = list(_store(examples, names, split))
        rows += [row for row in stored if row]
        if count := stored.count(None):
            which = f"{count:,} images of {printable(name)}"
            notes.append(f"{which} are left out: the image or its label is missing.")
    if "train" not in {split for _, _, split, _ in rows}:
        raise DatasetError(f"{kind}:{options.name}: has no train split, but {few([*splits])}")
    files = Files.collect(_folder(), rows, notes)
    return load_splits(kind, printable(title), files, options.image_size or 64, options)


def _folder() -> Path:
    return cache_folder() / "stored"


def _store(examples: Iterable[Example], names: list[str], split: str) -> Iterator[Row | None]:
    """Yield a row for each example, whose image is a file then; `None` where a part is missing."""
    for image, label in examples:
        if image is None or label < 0:
            yield None
            continue
        if isinstance(image, bytes):
            digest = hashlib.sha256(image).hexdigest()
            path = _folder() / digest[:2] / digest
            if not path.exists() or path.stat().st_size != len(image):
                path.parent.mkdir(parents=True, exist_ok=True)
                with replacing(path) as part:
                    part.write_bytes(image)
            image = path.relative_to(_folder())
        yield image.as_posix(), names[label], split, ""
