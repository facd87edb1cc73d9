"""What is in a folder of images, whether or not a model can be trained on it."""

import os
from dataclasses import dataclass

from cnn_cifar10.datasets.dataset import DatasetError
from cnn_cifar10.datasets.duplicates import Duplicates
from cnn_cifar10.datasets.flaws import find_flaws
from cnn_cifar10.datasets.folders import list_files, open_place
from cnn_cifar10.datasets.grouping import Grouping
from cnn_cifar10.datasets.listing import find_images
from cnn_cifar10.datasets.scan import Scan
from cnn_cifar10.datasets.source import DataOptions
from cnn_cifar10.datasets.splits import Files, asked_groups, find_refusal, find_related


@dataclass(frozen=True, eq=False)
class Survey:
    """What was found in a folder of images.

    Args:
        title: What captions call the data.
        files: Each file with its class, its split on disk and its group.
        refusal: Why the folder cannot be trained on as it is laid out, or for its classes with
            too few images; `None` if it can.
        scan: What is in each file.
        duplicates: Exact and near duplicates among the files.
        grouping: Groups that file names suggest; `None` for none, or with `group_by`.
        flaws: As `find_flaws` returns.
    """

    title: str
    files: Files
    refusal: str | None
    scan: Scan
    duplicates: Duplicates
    grouping: Grouping | None
    flaws: dict[str, list[int]] | None


def survey_folder(options: DataOptions, progress: bool | None = None) -> Survey:
    """Read every image of a folder, table or archive, and look for what may harm a training.

    Where a training would refuse the folder for how it is laid out, each image is of the class
    that the name of its folder says.

    Args:
        options: What a training would ask of the data.
        progress: Whether progress is shown on stderr; `None` shows it if it takes a while.

    Raises:
        DatasetError: If there is nothing, or it holds no images, or `group_by` finds no groups.
    """
    refusal = None
    try:
        title, files = list_files(options)
    except DatasetError as error:
        title, files = _list_anyway(options, error)
        refusal = str(error)
    groups = asked_groups(files, options.group_by)
    scan = files.scan(None, options.fit, progress)
    usable = scan.heights > 0
    refusal = refusal or find_refusal(files, usable, groups, options.split_seed)
    duplicates, grouping = find_related(files, scan, usable, options.group_by)
    return Survey(title, files, refusal, scan, duplicates, grouping, find_flaws(scan, progress))


def _list_anyway(options, error):
    """Return the title and the images of a folder, by the folders that they are in."""
    title, place = open_place(options)
    found = list(find_images(place)) if place.is_dir() else []
    if not found:
        raise error
    rows = [(os.path.relpath(path, place), path.parent.name, "train", "") for path in found]
    return title, Files.collect(place, rows)
