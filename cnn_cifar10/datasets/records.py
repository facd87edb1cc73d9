"""Records: the image files of a data set packed into few large files, and read by position.

A folder of records holds shards and `index.npz`, which says what a listing and a scan of the
files would find. Whatever is made of files is made of records in the same way.
"""

import contextlib
import hashlib
import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cnn_cifar10.datasets.dataset import DatasetError
from cnn_cifar10.datasets.images import content_digest, read_file
from cnn_cifar10.datasets.listing import few
from cnn_cifar10.datasets.scan import Scan, progress_bar
from cnn_cifar10.datasets.shards import import_array_record, place_of, write_shard
from cnn_cifar10.datasets.splits import Files, report_unusable
from cnn_cifar10.utils import clear_parts, printable, replacing, working_in

SHARD_BYTES = 2**28
"""Bytes of images in a shard."""

INDEX = "index.npz"
_SOURCE = ".source"  # a digest of where the images were
_REMOVE = "remove it, and convert the images again"


def write_records(
    files: Files, folder: Path, *, skip_damaged: bool = False, progress: bool | None = None
) -> int:
    """Pack image files into records, as they are, with all that is known of them.

    A shard is written whole or not at all, and named after what it holds. So the same call goes
    on where an earlier one ended, and writes the same bytes again.

    Args:
        files: The files.
        folder: Folder to write to.
        skip_damaged: Whether files that cannot be read are left out; by default they are an error.
        progress: Whether progress is shown on stderr; `None` shows it if it takes a while.

    Returns:
        The number of records.

    Raises:
        DatasetError: If files cannot be used, are changed meanwhile, or the folder holds others.
    """
    import_array_record()
    source = hashlib.sha256(os.fsencode((files.table or files.root).resolve())).hexdigest()
    _check_folder(folder, source)
    with working_in(folder):
        clear_parts(folder)
        scan = files.scan(None, "crop", progress)
        notes = [*files.notes, *report_unusable(files, scan.faults, skip_damaged)]
        usable = scan.heights > 0
        files, scan = files.take(usable, notes), scan.take(usable, None, "crop")
        shards = {
            _name(number, scan.digests[members]): members
            for number, members in enumerate(np.split(np.arange(len(scan)), _starts(scan.bytes)))
        }
        (folder / _SOURCE).write_text(source, encoding="utf-8", newline="\n")
        try:
            with progress_bar(len(scan), progress, "Writing records") as bar:
                for name, members in shards.items():
                    if not (folder / name).exists():
                        write_shard(folder / name, _contents(scan, members))
                    bar.update(len(members))
        finally:
            if not any(folder.glob("*.array_record")):  # nothing came of it
                (folder / _SOURCE).unlink()
        for path in {*folder.glob("*.array_record")} - {folder / name for name in shards}:
            path.unlink()  # of images that have changed
        _write_index(folder, files, scan, {name: len(shards[name]) for name in shards})
    return len(scan)


def _check_folder(folder, source):
    others = [
        path.name
        for path in (folder.iterdir() if folder.is_dir() else ())
        if path.suffix != ".array_record" and path.name != INDEX and path.name[0] != "."
    ]
    if others or folder.is_file():
        found = f"holds {few(sorted(others))}" if others else "is a file"
        raise DatasetError(f"{printable(folder)}: {found}; name a new folder for records")
    holds_records = folder.is_dir() and any(path.name[0] != "." for path in folder.iterdir())
    with contextlib.suppress(OSError):
        if (folder / _SOURCE).read_text(encoding="utf-8") == source:
            return
    if holds_records:
        raise DatasetError(
            f"{printable(folder)}: holds the records of other images; name a new folder for records"
        )


def _starts(sizes):
    """Return where shards after the first begin."""
    shard = (np.cumsum(sizes) - sizes) // SHARD_BYTES
    return np.flatnonzero(np.diff(shard)) + 1


def _name(number, digests):
    return f"{number:05}-{hashlib.sha256(digests.tobytes()).hexdigest()[:16]}.array_record"


def _contents(scan, members) -> Iterator[bytes]:
    for i in members:
        data = read_file(scan.paths[i])
        if content_digest(data) != scan.digests[i]:
            fault = "was changed while it was converted; give the same command again"
            raise DatasetError(f"{printable(scan.paths[i])}: {fault}")
        yield data


_OF_FILES = ("labels", "splits")
_OF_SCAN = ("digests", "heights", "widths", "bytes", "thumbnails")


def _write_index(folder, files, scan, shards):
    about = {
        "class_names": files.class_names,
        "notes": files.notes,
        "shards": [(name, n, os.path.getsize(folder / name)) for name, n in shards.items()],
    }
    texts = {"paths": files.paths, "groups": files.groups, "about": [json.dumps(about)]}
    columns = {name: getattr(files, name) for name in _OF_FILES}
    columns |= {name: getattr(scan, name) for name in _OF_SCAN}
    columns |= {name: _pack(each) for name, each in texts.items()}
    with replacing(folder / INDEX) as part, open(part, "wb") as file:
        np.savez(file, formats=np.array(scan.formats), **columns)


def _pack(texts):
    """Return texts, none of which holds a zero, as bytes."""
    return np.frombuffer(b"\0".join(map(os.fsencode, texts)), "uint8")


def _unpack(packed):
    return [os.fsdecode(text) for text in packed.tobytes().split(b"\0")]


def is_records(place: Path) -> bool:
    """Return whether a folder is one of records, finished or not."""
    return (place / INDEX).is_file() or any(place.glob("*.array_record"))


def list_records(folder: Path) -> Files:
    """Return the files that a folder of records was made of, with what is known of them.

    Raises:
        DatasetError: If the records are unfinished, incomplete or damaged.
    """
    import_array_record()
    path = folder / INDEX
    try:
        with np.load(path, allow_pickle=False) as index:
            about = json.loads(_unpack(index["about"])[0])
            names, notes, shards = (about[name] for name in ("class_names", "notes", "shards"))
            own: dict[str, Any] = {name: index[name] for name in _OF_FILES}
            own |= {name: np.array(_unpack(index[name]), object) for name in ("paths", "groups")}
            found = {name: index[name] for name in _OF_SCAN}
            formats = index["formats"].tolist()
        if sum(count for _, count, _ in shards) != len(formats):
            raise ValueError("shards and images do not agree")
    except FileNotFoundError as error:
        fault = "records that are not finished; convert the images again to go on"
        raise DatasetError(f"{printable(folder)}: {fault}") from error
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DatasetError(f"{printable(path)}: damaged ({error}); {_REMOVE}") from error
    places = []
    for name, count, size in shards:
        shard = os.path.join(folder, name)
        if not os.path.exists(shard):
            raise DatasetError(f"{printable(shard)}: missing; convert the images again")
        if (length := os.path.getsize(shard)) != size:
            fault = f"has {length:,} bytes, not {size:,}"
            raise DatasetError(f"{printable(shard)}: {fault}; {_REMOVE}")
        places += [place_of(shard, position) for position in range(count)]
    scan = Scan(places, [None] * len(places), formats=formats, **found)
    return Files(folder, tuple(names), **own, notes=tuple(notes), known=scan)
