"""Inspection of a data set before training: classes, sizes, damage, duplicates, flaws."""

import hashlib
import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from cnn_cifar10 import utils
from cnn_cifar10.datasets import (
    NOT_COMPARED,
    DataOptions,
    Dataset,
    ImageFiles,
    describe_sizes,
    measure_sizes,
    read_image,
    survey_folder,
)
from cnn_cifar10.reporting.tables import escape_markdown, format_table
from cnn_cifar10.reporting.templates import fill_template
from cnn_cifar10.utils import InputError, printable

_TEMPLATE = Path(__file__).with_name("inspection.md")
_SHOWN = 50  # classes in the table of the page
_DRAWN = 12  # pairs of duplicates, and flawed images
_SIDE = 160  # of those, in pixels
_FIGURES = ("classes.png", "sizes.png", "duplicates.png", "flaws.png")
_UNEQUAL = 3  # times the images of the smallest class make the largest one large


def describe_data(dataset: Dataset) -> list[str]:
    """Say in five lines at most what a data set holds, for the start of a training.

    Args:
        dataset: `Dataset`, whose notes are the last of the lines.
    """
    splits = {name: dataset.split(name) for name in ("train", "validation", "test")}
    labels = np.concatenate([split.labels for split in splits.values()])
    counts = np.bincount(labels, minlength=dataset.num_classes)
    sizes = {name: len(split) for name, split in splits.items()}
    lines = [_say_images(sizes, dataset.num_classes), _say_classes(dataset.class_names, counts)]
    if dataset.sizes and isinstance(dataset.train.images, ImageFiles):
        lines.append(describe_sizes(dataset.sizes, dataset.train.images.fit))
    lines += dataset.notes
    more = len(lines) - 4
    return lines if more < 2 else [*lines[:4], f"The report has {more} more notes on the data."]


def inspect_folder(
    options: DataOptions, output_dir: str | Path | None = None, progress: bool | None = None
) -> dict[str, Any]:
    """Look at a folder of images before training, and write a page of what was found.

    Beside `inspection.md`, its figures and `inspection.json`, whole lists are written:
    `classes.csv`, `images.csv`, `unusable.csv`, `duplicates.csv` and `flaws.csv`.

    Args:
        options: What a training would ask of the data.
        output_dir: Folder to write to; `None` for `reports/<name of the data>-data`.
        progress: Whether bars are shown on stderr; `None` shows them if it takes a while.

    Returns:
        The document in `inspection.json`: `title`, `headline` (five lines at most that say what
        matters, and options that help), `output`, `folder` (a digest of its path), `refusal`,
        `images`, `splits`, `classes`, `sizes`, `formats`, `unusable`, `duplicates`, `grouping`
        and `flaws`.

    Raises:
        DatasetError: If there are no images, or `group_by` finds no groups.
        InputError: If `output_dir` holds the page of another folder.
    """
    data = Path(options.data_dir or "").expanduser().resolve()
    output_dir = Path(output_dir or Path("reports") / f"{printable(data.name)}-data")
    folder = hashlib.sha256(os.fsencode(data)).hexdigest()[:12]
    _check_place(output_dir, folder)
    survey = survey_folder(options, progress)
    output_dir.mkdir(parents=True, exist_ok=True)
    document = _describe(survey, options) | {"output": str(output_dir), "folder": folder}
    figures = _figures(survey, document)
    for name in _FIGURES:
        (output_dir / name).unlink(missing_ok=True)  # that of an earlier page
    for name, figure in figures.items():
        utils.write_figure(output_dir / name, figure)
    lists = _lists(survey, document)
    for name, (header, rows) in lists.items():
        utils.write_csv(output_dir / name, header, rows)
    utils.write_page(output_dir / "inspection.md", _page(document, figures, lists))
    utils.write_json(output_dir / "inspection.json", document)
    return document


def _check_place(output_dir, folder):
    """Raise an `InputError` if a folder holds the page of another folder of the same name."""
    path = output_dir / "inspection.json"
    if path.exists():
        found = utils.read_object(path, "inspection", InputError).get("folder")
        if found != folder:
            raise InputError(f"{path}: is of another folder; name one for this with --output")


def _describe(survey, options):
    files, scan = survey.files, survey.scan
    usable = scan.heights > 0
    counts = np.bincount(files.labels[usable], minlength=len(files.class_names))
    splits = Counter(files.splits[usable].tolist())
    sizes = usable.any() and measure_sizes(scan.widths[usable], scan.heights[usable])
    duplicates = _describe_duplicates(survey)
    lines = (
        _say_images(splits, len(counts)) + _say_refusal(survey.refusal),
        _say_classes(files.class_names, counts),
        sizes and describe_sizes(sizes, options.fit),
        _say_unusable(np.count_nonzero(~usable)),
        _say_duplicates(duplicates, survey.grouping),
        len(usable) > len(scan.thumbnails) and NOT_COMPARED,
    )
    order = np.argsort(-counts, kind="stable")
    return {
        "title": survey.title,
        "headline": [line for line in lines if line],
        "refusal": survey.refusal,
        "images": int(counts.sum()),
        "splits": dict(splits),
        "classes": {files.class_names[label]: int(counts[label]) for label in order},
        "sizes": sizes or None,
        "formats": dict(Counter(kind for kind in scan.formats if kind).most_common()),
        "unusable": int(np.count_nonzero(~usable)),
        "duplicates": duplicates,
        "grouping": survey.grouping and vars(survey.grouping),
        "flaws": survey.flaws and {kind: len(found) for kind, found in survey.flaws.items()},
    }


def _describe_duplicates(survey):
    sets = _sort_duplicates(survey)
    return {
        "sets": len(sets),
        "images": sum(len(members) for _, members in sets),
        "exact": len(survey.duplicates.exact),
        "across_classes": sum(_differ(survey.files.labels, members) for _, members in sets),
        "across_splits": sum(_differ(survey.files.splits, members) for _, members in sets),
    }


def _sort_duplicates(survey):
    """Return the kind and the positions of each set, those across splits and classes first."""
    found, files = survey.duplicates, survey.files
    inside = {position for members in found.near for position in members}
    sets = [("near", members) for members in found.near]
    sets += [("exact", members) for members in found.exact if members[0] not in inside]
    grave = [_differ(files.splits, m) + _differ(files.labels, m) for _, m in sets]
    return [sets[i] for i in np.argsort(np.negative(grave), kind="stable")]


def _differ(values, members):
    return len({*values[list(members)]}) > 1


def _say_images(splits, classes):
    parts = "".join(f", {count:,} {name}" for name, count in splits.items())
    return f"{sum(splits.values()):,} images of {classes:,} classes{parts}."


def _say_refusal(refusal):
    return f" A training refuses them as they are laid out: {refusal}." if refusal else ""


def _say_classes(names, counts):
    if not counts.any():
        return ""
    large, small = counts.argmax(), counts.argmin()
    line = (
        f"Always answering the largest class, {names[large]}, is right for "
        f"{counts[large] / counts.sum():.1%}; the smallest, {names[small]}, has {counts[small]:,}"
    )
    unequal = counts[large] >= _UNEQUAL * counts[small]
    return line + ("; --class-weight balanced lets each class count the same." if unequal else ".")


def _say_unusable(count):
    return count and f"{count:,} files cannot be used: repair them, or --skip-damaged."


def _say_duplicates(found, grouping):
    line = (
        f"{found['images']:,} images are copies or near duplicates, of {found['sets']:,} different "
        f"ones; {found['across_classes']:,} of these are in several classes, "
        f"{found['across_splits']:,} in several splits."
    )
    return " ".join(map(str, filter(None, (found["sets"] and line, grouping))))


def _figures(survey, document):
    """Return `{file name: figure}`."""
    from cnn_cifar10 import plotting

    title, scan = document["title"], survey.scan
    if not document["images"]:
        return {}
    usable = scan.heights > 0
    figures = {
        "classes.png": plotting.plot_class_counts(document["classes"], f"{title}: images"),
        "sizes.png": plotting.plot_image_sizes(
            scan.widths[usable], scan.heights[usable], f"{title}: sizes of images"
        ),
    }
    pairs = [
        (f"{number}, {kind}", members[:2])
        for number, (kind, members) in enumerate(_sort_duplicates(survey)[:_DRAWN], 1)
    ]
    shown = [(kind, i) for kind, members in pairs for i in members]
    if shown:
        figures["duplicates.png"] = _draw(survey, shown, f"{title}: duplicates")
    flaws = survey.flaws or {}
    each = -(-_DRAWN // max(sum(map(bool, flaws.values())), 1))
    shown = [(kind.replace("_", " "), i) for kind, found in flaws.items() for i in found[:each]]
    if shown:
        figures["flaws.png"] = _draw(survey, shown, f"{title}: the worst of each kind")
    return figures


def _draw(survey, rows, title):
    """Draw images with what is said of each, their classes and their file names."""
    from cnn_cifar10 import plotting

    files = survey.files
    images = [read_image(survey.scan.paths[i], (_SIDE, _SIDE), "pad") for _, i in rows]
    captions = [
        f"{words}\n{printable(files.paths[i].rpartition('/')[2])}\n"
        f"{files.class_names[files.labels[i]]}, {files.splits[i]}"
        for words, i in rows
    ]
    return plotting.plot_images(images, captions, columns=6, title=title)


def _lists(survey, document):
    """Return the heading and the rows of each CSV."""
    files, scan = survey.files, survey.scan

    def rows(positions, *columns):
        for i in positions:
            name = files.class_names[files.labels[i]]
            yield printable(files.paths[i]), name, files.splits[i], *(each[i] for each in columns)

    whose = "path", "class", "split"
    usable, unusable = np.flatnonzero(scan.heights), np.flatnonzero(scan.heights == 0)
    sets = enumerate(_sort_duplicates(survey), 1)
    return {
        "classes.csv": (("class", "images"), document["classes"].items()),
        "images.csv": (
            (*whose, "width", "height", "format", "bytes"),
            rows(usable, scan.widths, scan.heights, scan.formats, scan.bytes),
        ),
        "unusable.csv": ((*whose, "reason"), rows(unusable, scan.faults)),
        "duplicates.csv": (
            ("set", "kind", *whose),
            ((number, kind, *row) for number, (kind, members) in sets for row in rows(members)),
        ),
        "flaws.csv": (
            ("flaw", *whose),
            ((kind, *row) for kind, found in (survey.flaws or {}).items() for row in rows(found)),
        ),
    }


def _page(document, figures, lists):
    """Return the text of `inspection.md`."""
    return fill_template(
        _TEMPLATE,
        figures,
        title=escape_markdown(document["title"]),
        headline="\n".join(f"- {escape_markdown(line)}" for line in document["headline"]),
        classes=_format_classes(document),
        sizes=format_table(
            [{"format": kind, "images": count} for kind, count in document["formats"].items()]
        ),
        duplicates=_format_duplicates(document, figures),
        flaws=_format_flaws(document["flaws"], figures),
        lists="\n".join(f"- [{name}]({name})" for name in lists),
    )


def _format_classes(document):
    rows = [
        {"class": name, "images": count, "share": count / max(document["images"], 1)}
        for name, count in document["classes"].items()
    ]
    more = len(rows) - _SHOWN
    if more <= 0:
        return format_table(rows)
    rows[_SHOWN // 2 : -_SHOWN // 2] = [{"class": f"{more:,} classes between, in classes.csv"}]
    return format_table(rows)


def _format_duplicates(document, figures):
    found = document["duplicates"]
    if not found["sets"]:
        return "There are none."
    table = format_table([{key.replace("_", " "): count for key, count in found.items()}])
    paragraphs = [_DUPLICATES, table]
    if "duplicates.png" in figures:
        paragraphs.append("![Images, each beside a duplicate](duplicates.png)")
    return "\n\n".join(paragraphs)


_DUPLICATES = """\
Copies of an image in two splits make a figure too good; of copies in two classes, one has a wrong \
label. A training keeps copies in one split. Mirrored images and other colors do not count."""


def _format_flaws(flaws, figures):
    if flaws is None:
        return "To find blurred, dark, light and odd images: `pip install 'cnn-cifar10[inspect]'`."
    rows = [{"flaw": kind.replace("_", " "), "images": count} for kind, count in flaws.items()]
    paragraphs = [
        "What CleanVision found; whether it harms depends on the task.",
        format_table(rows),
    ]
    if "flaws.png" in figures:
        paragraphs.append("![The worst images of each kind](flaws.png)")
    return "\n\n".join(paragraphs)
