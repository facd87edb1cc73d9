"""Listed image files to a data set: each read once, no copies across its splits."""

import dataclasses
import functools
import hashlib
import logging
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cnn_cifar10.datasets.dataset import Dataset, DatasetError, Split, stratified_split
from cnn_cifar10.datasets.duplicates import Duplicates, connect, find_duplicates
from cnn_cifar10.datasets.grouping import Grouping, suggest_groups
from cnn_cifar10.datasets.listing import few
from cnn_cifar10.datasets.scan import NOT_COMPARED, Scan, scan_images
from cnn_cifar10.datasets.sizes import measure_sizes
from cnn_cifar10.datasets.source import DataOptions
from cnn_cifar10.utils import cache_folder, printable, write_csv

logger = logging.getLogger(__name__)

SPLITS = ("train", "validation", "test")

Row = tuple[str, str, str, str]
"""Path of a file, its class, its split, and its group, `""` for none."""


@dataclass(frozen=True, eq=False)
class Files:
    """Image files of known classes, as they are listed on disk.

    Args:
        root: The data folder.
        class_names: The name of each label; printable and distinct.
        paths: Of each file, relative to `root` with "/" between, or absolute.
        labels: `int64`, the class of each.
        splits: The split of each, of `SPLITS`.
        groups: The name of the group of each, whose images stay in one split; `""` for none.
        notes: Sentences on what was found and done.
        known: What is in each, if that is known.
        table: The table that lists them, if one does.
    """

    root: Path
    class_names: tuple[str, ...]
    paths: np.ndarray
    labels: np.ndarray
    splits: np.ndarray
    groups: np.ndarray
    notes: tuple[str, ...] = ()
    known: Scan | None = None
    table: Path | None = None

    @property
    def place(self) -> str:
        """The table or the folder, as messages name it."""
        return printable(self.table or self.root)

    def scan(
        self,
        size: tuple[int, int] | None,
        fit: str,
        progress: bool | None = None,
        index: slice | np.ndarray = slice(None),
    ) -> Scan:
        """Return what is in the files that an index names, read now unless it is known.

        Other arguments are as for `scan_images`.
        """
        if self.known:
            return self.known.take(index, size, fit)
        return scan_images(self.places(index), size=size, fit=fit, progress=progress)

    def places(self, index: slice | np.ndarray = slice(None)) -> list[str]:
        """Return what the files that an index names are read by: their whole paths, or records."""
        if self.known:
            return np.array(self.known.paths, object)[index].tolist()
        return [os.path.join(self.root, path) for path in self.paths[index]]

    def take(self, index: slice | np.ndarray, notes: Sequence[str]) -> "Files":
        """Return the files that an index names, with these notes."""
        names = ("paths", "labels", "splits", "groups")
        some = {name: getattr(self, name)[index] for name in names}
        return dataclasses.replace(self, **some, notes=tuple(notes), known=None)

    @classmethod
    def collect(cls, root: Path, rows: Iterable[Row], notes: Sequence[str] = ()) -> "Files":
        """Return files sorted by class, in the order of the rows in each."""
        table = np.array([*rows], dtype=object).reshape(-1, 4)
        meant = _same_classes({(split, name) for _, name, split, _ in table})
        classes = sorted(set(meant.values()))
        label = {name: position for position, name in enumerate(classes)}
        labels = np.array([label[meant[name]] for name in table[:, 1]], "int64")
        order = np.argsort(labels, kind="stable")
        paths, _, splits, groups = table[order].T
        shown = show_distinct(classes)
        return cls(root, shown, paths, labels[order], splits.astype("U10"), groups, tuple(notes))


def _same_classes(found: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the class that each name means.

    A name with an accent has two forms in Unicode, of which macOS makes the other: they are
    one class, unless a split holds both.
    """
    composed = {name: unicodedata.normalize("NFC", name) for _, name in found}
    count = Counter((split, composed[name]) for split, name in found)
    both = {key for (_, key), times in count.items() if times > 1}
    return {name: name if key in both else key for name, key in composed.items()}


def show_distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Return names that can be printed; those that would look alike get escapes."""
    shown = [printable(name) for name in names]
    looks = [unicodedata.normalize("NFC", name) for name in shown]
    count = Counter(looks)
    escaped = [ascii(name)[1:-1] for name in names]
    mixed = [
        name if count[look] == 1 else escape
        for name, look, escape in zip(shown, looks, escaped, strict=True)
    ]
    return tuple(mixed if len(set(mixed)) == len(mixed) else escaped)


def load_splits(name: str, title: str, files: Files, size: int, options: DataOptions) -> Dataset:
    """Return the data set of image files, which stay on disk until they are indexed.

    A validation split is 10 % of train where there is none, and so is a test split where
    neither is; beside a validation split, a missing test split stays empty. Copies of an
    image, and images of one group, stay in one split. What splits on disk share is left
    out of train in favor of the others, and of validation in favor of test.

    Args:
        name: A key of `DATASETS`.
        title: What captions call the data.
        files: The files.
        size: Height and width of the images in pixels.
        options: What is asked of the data set.

    Raises:
        DatasetError: If there are too few classes, images or groups, or files cannot be used.
    """
    given, made = _given_and_made(files)
    needed = 1 + len(made)  # images of each class in train
    splits = files.splits.copy()  # "" once a file is left out
    _check(files, splits, given, needed)

    scan = files.scan((size, size), options.fit)
    splits[[fault is not None for fault in scan.faults]] = ""
    notes = report_unusable(files, scan.faults, options.skip_damaged)
    _check(files, splits, given, needed)

    usable = splits != ""
    sizes = measure_sizes(scan.widths[usable], scan.heights[usable])
    digests = np.where(usable, scan.digests, b"")
    duplicates, suggested = find_related(files, scan, usable, options.group_by)
    notes += [str(suggested)] if suggested else []
    notes += [] if len(scan.thumbnails) else [NOT_COMPARED]
    asked = asked_groups(files, options.group_by)
    copies, alike = _loosen(files, splits, duplicates.groups, digests, asked, given, needed)
    groups = _join(copies, asked)
    shared = _shared(splits, groups)
    found = _report_copies(files, splits, digests, copies, groups, shared)
    splits[shared] = ""
    _check(files, splits, given, needed, found)
    notes = [*found, *notes, *alike, *files.notes]  # those of where files lie matter least

    if made:
        _part_train(files, splits, made, groups, options.split_seed)
        _check(files, splits, SPLITS, 1, found)
    elif "test" not in given:
        notes.append(
            "There is no test split: figures are of validation, which chose the epoch too."
        )
    assert scan.images is not None  # as a size was asked for
    whole = Split(scan.images, files.labels, files.paths)
    three = (whole[splits == split] for split in SPLITS)
    return Dataset(name, title, files.class_names, *three, notes=tuple(notes), sizes=sizes)


def find_related(
    files: Files, scan: Scan, usable: np.ndarray, group_by: str | None
) -> tuple[Duplicates, Grouping | None]:
    """Return copies of images among files, and groups that the names of the files suggest.

    Args:
        files: The files.
        scan: What is in each.
        usable: Which of them count, a boolean array.
        group_by: What was asked for; as with groups of the files, none are suggested then.
    """
    duplicates = find_duplicates(np.where(usable, scan.digests, b""), scan.thumbnails)
    if not len(scan.thumbnails) or group_by is not None or files.groups.any():
        return duplicates, None
    columns = (files.paths, files.labels, files.splits, duplicates.groups, scan.thumbnails)
    return duplicates, suggest_groups(*(each[usable] for each in columns))


def _part_train(
    files: Files, splits: np.ndarray, made: Sequence[str], groups: np.ndarray, seed: int
) -> None:
    """Change the split of some images of train to those that are made of it."""
    train = np.flatnonzero(splits == "train")
    weights = (10 - len(made), *(1 for _ in made))
    parts = stratified_split(files.labels[train], weights, seed, groups[train])
    for split, part in zip(("train", *made), parts, strict=True):
        splits[train[part]] = split


def find_refusal(
    files: Files, usable: np.ndarray, groups: np.ndarray, split_seed: int = 0
) -> str | None:
    """Return what `load_splits` says of too few images in a class, copies not considered.

    Args:
        files: The files.
        usable: Which of them can be read, a boolean array.
        groups: As `asked_groups` returns.
        split_seed: As for `load_dataset`.
    """
    given, made = _given_and_made(files)
    splits, needed = np.where(usable, files.splits, ""), 1 + len(made)
    _, groups = np.unique(groups, return_inverse=True)
    try:
        _check(files, splits, given, needed)
        splits[_shared(splits, groups)] = ""
        _check(files, splits, given, needed)
        if made:
            _part_train(files, splits, made, groups, split_seed)
            _check(files, splits, SPLITS, 1)
    except DatasetError as error:
        return str(error)
    return None


def _given_and_made(files):
    """Return the splits that files have, and those that are made of train."""
    given = [split for split in SPLITS if split == "train" or split in files.splits]
    return given, [] if "validation" in given else ["validation", "test"][: 3 - len(given)]


def _check(
    files: Files,
    splits: np.ndarray,
    names: Sequence[str],
    needed: int,
    notes: Sequence[str] = (),
) -> None:
    """Raise a `DatasetError` unless there are two classes, with images of each in each split."""
    classes = files.class_names
    if len(classes) < 2:
        raise DatasetError(f"{files.place}: {len(classes)} classes ({few(classes)}), 2 needed")
    for split in names:
        least = needed if split == "train" else 1
        counts = np.bincount(files.labels[splits == split], minlength=len(classes))
        if short := [f"{classes[k]} ({counts[k]})" for k in np.flatnonzero(counts < least)]:
            raise DatasetError(
                f"{files.place}: {split} has too few images of {few(short)}; {least} or "
                "more of each class are needed (copies of an image, or a group, count once): add "
                "some, or remove the class" + "".join(f". {note.rstrip('.')}" for note in notes)
            )


def report_unusable(files: Files, faults: Sequence[str | None], skip: bool) -> list[str]:
    """Return a note on files that cannot be used, or raise an error if they are not skipped."""
    unusable = [
        (printable(path), fault) for path, fault in zip(files.paths, faults, strict=True) if fault
    ]
    if not unusable:
        return []
    count = f"{len(unusable):,} of {len(faults):,} files cannot be used"
    listed = _list_whole(files, "unusable.csv", ("path", "reason"), unusable)
    lines = [f"{path}: {reason}" for path, reason in unusable[:20]]
    lines += [f"and {len(unusable) - 20:,} more"] * (len(unusable) > 20)
    if not skip:
        cure = "repair them or leave them out with skip_damaged:"
        raise DatasetError(f"{files.place}: {count}{listed}; {cure}", *lines)
    logger.warning(
        "%s: %s and are left out%s", files.place, count, "\n  ".join([f"{listed}:", *lines])
    )
    return [f"{count} and are left out{listed}."]


def _list_whole(files: Files, name: str, header: Sequence[str], rows: Iterable[Sequence]) -> str:
    """Write a list to a CSV in the cache, and return words that say where it is."""
    place = hashlib.sha256(os.fsencode(files.root.resolve())).hexdigest()[:12]
    path = cache_folder() / "found" / place / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_csv(path, header, rows)
    except OSError as error:
        logger.warning("%s cannot be written (%s)", path, error)
        return ""
    home = Path.home()
    shown = Path("~", path.relative_to(home)) if path.is_relative_to(home) else path
    return f" (all are listed in {printable(shown)})"


def asked_groups(files: Files, pattern: str | None) -> np.ndarray:
    """Return a number for each file, equal for those of one group by the table or the pattern.

    Raises:
        DatasetError: If the pattern is none, or finds no groups.
    """
    groups = _numbers(files.groups)
    if pattern is None:
        return groups
    try:
        search = re.compile(pattern).search
    except re.error as error:
        raise DatasetError(f"group_by: {pattern!r} is no regular expression ({error})") from error
    found = [
        match[min(1, match.re.groups)] or "" if (match := search(path)) else ""
        for path in files.paths
    ]
    if len(distinct := set(found)) == 1:
        fault = "all images in one group" if distinct.pop() else "no group in any path"
        raise DatasetError(
            f"group_by: {pattern!r} finds {fault}, such as {printable(files.paths[0])}; its first "
            "group, or all that it matches, is what images of one group have in common"
        )
    return _join(groups, _numbers(found))


def _numbers(names: Sequence[str] | np.ndarray) -> np.ndarray:
    """Return a number for each name: equal names have one, each `""` has one of its own."""
    known: dict[str, int] = {}
    alone = range(-len(names), 0)
    return np.array(
        [known.setdefault(n, len(known)) if n else a for n, a in zip(names, alone, strict=True)]
    )


def _join(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return a number for each image, equal for those that share one in either, or in turn."""
    _, first = np.unique(first, return_inverse=True)
    _, second = np.unique(second, return_inverse=True)
    second += first.max() + 1  # nodes are the numbers of both, links the images
    return connect(first, second, second.max() + 1)[first]


def _loosen(
    files: Files,
    splits: np.ndarray,
    copies: np.ndarray,
    digests: np.ndarray,
    asked: np.ndarray,
    given: Sequence[str],
    needed: int,
) -> tuple[np.ndarray, list[str]]:
    """Return copies without near duplicates in classes that these would leave too small."""

    def too_small(copies):
        groups = _join(copies, asked)
        kept = np.where(_shared(splits, groups), "", splits)
        train = kept == "train"
        pairs = np.unique(np.stack([files.labels[train], groups[train]]), axis=1)
        small = [count(pairs[0]) < needed]
        for split in given:
            small.append(
                2 * count(files.labels[kept == split]) < count(files.labels[splits == split])
            )
        return np.any(small, axis=0)

    count = functools.partial(np.bincount, minlength=len(files.class_names))
    if not (alike := too_small(copies)).any():
        return copies, []
    _, equal = np.unique(digests, return_inverse=True)
    unread = digests == b""
    equal[unread] = len(equal) + np.flatnonzero(unread)  # each of which is its own
    copies = _join(np.where(alike[files.labels], -1 - equal, copies), equal)
    alike &= ~too_small(copies)
    if not (names := [files.class_names[label] for label in np.flatnonzero(alike)]):
        return copies, []
    note = f"Images of {few(names)} are too much alike to keep near duplicates in one split."
    return copies, [note]


def _shared(splits: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return whether another image of the group of each is in a later split."""
    rank = np.select([splits == split for split in SPLITS], range(3), -1)
    latest = np.full(groups.max() + 1, -1)
    np.maximum.at(latest, groups, rank)
    return (rank >= 0) & (rank < latest[groups])


def _report_copies(
    files: Files,
    splits: np.ndarray,
    digests: np.ndarray,
    copies: np.ndarray,
    groups: np.ndarray,
    shared: np.ndarray,
) -> list[str]:
    """Return notes on copies of images, and on what is left out as splits share it."""
    used = splits != ""
    several = used & (np.bincount(copies[used], minlength=copies.max() + 1)[copies] > 1)
    listed = np.flatnonzero(several | shared)
    if not len(listed):
        return []
    header = ("group", "path", "class", "split", "left_out", "sha256")
    rows = (
        (groups[i], printable(files.paths[i]), files.class_names[files.labels[i]], splits[i],
         "yes" if shared[i] else "", digests[i].ljust(32, b"\0").hex())
        for i in listed[np.argsort(groups[listed], kind="stable")]
    )  # fmt: skip
    where = _list_whole(files, "duplicates.csv", header, rows)
    notes = []
    if count := several.sum() - len(np.unique(copies[several])):
        notes.append(f"{count:,} of {used.sum():,} images are copies or near duplicates of others")
    label = np.empty(copies.max() + 1, int)
    label[copies[used]] = files.labels[used]  # that of one of the copies
    mixed = copies[used & (files.labels != label[copies])]
    if count := (used & np.isin(copies, mixed)).sum():
        notes.append(f"{count:,} images have copies in another class")
    for split in ("train", "validation"):
        if count := (shared & (splits == split)).sum():
            notes.append(
                f"{count:,} images of {split} are left out: a copy, or one of their group, is in "
                "a split that is judged"
            )
    return ["; ".join(notes) + where + "."]
