"""Image files on disk: what lies in folders, what systems leave behind, what is a split."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from cnn_cifar10.datasets.dataset import DatasetError
from cnn_cifar10.datasets.images import IMAGE_FORMATS, looks_like_image
from cnn_cifar10.utils import printable

_LEFT_BEHIND = {
    *("__macosx", "icon\r"),  # macOS, besides .DS_Store and ._*
    *("thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information"),
    *("@eadir", "@recycle", "@__thumb", "#recycle", "#snapshot", "lost+found", "__pycache__"),
}


def is_hidden(name: str) -> bool:
    """Return whether a file or folder of this name is left behind by a system, not by people."""
    return name.startswith(".") or name.casefold() in _LEFT_BEHIND


def find_images(root: str | os.PathLike) -> Iterator[Path]:
    """Yield the image files in a folder and the folders below it, sorted in each.

    Files are told by suffix, or else by their first bytes. Hidden files are left out.
    Links are followed, but no folder is entered twice.

    Raises:
        DatasetError: If a folder cannot be listed.
    """
    return (Path(root, name) for name in files_below(root) if is_image(os.path.join(root, name)))


def is_image(path: str) -> bool:
    """Return whether a file is meant as an image, by its suffix or its first bytes."""
    return suffix_of(path) in IMAGE_FORMATS or looks_like_image(path)


def suffix_of(path: str) -> str:
    """Return the suffix of a file in lower case, such as `".jpg"`."""
    return os.path.splitext(path)[1].lower()


def files_below(root: str | os.PathLike, place: str = "") -> Iterator[str]:
    """Yield all files below a folder, relative to `root`, without hidden ones."""
    path = os.path.abspath(os.path.join(root, place))
    entered = {_identity(parent) for parent in Path(path).parents}  # which a link may lead to
    folders = [place]
    while folders:
        place = folders.pop()
        inside, files = list_entries(root, place)
        if (identity := _identity(os.path.join(root, place))) not in entered:
            entered.add(identity)
            yield from files
            folders += reversed(inside)


def _identity(folder):
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def list_entries(root: str | os.PathLike, place: str = "") -> tuple[list[str], list[str]]:
    """Return folders and files in a folder, sorted, relative to `root`, without hidden ones.

    Raises:
        DatasetError: If the folder cannot be listed.
    """
    folders: list[str] = []
    files: list[str] = []
    folder = os.path.join(root, place)
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not is_hidden(entry.name):
                    name = f"{place}/{entry.name}" if place else entry.name
                    # A link that leads to itself is no folder, and no error.
                    is_folder = os.path.isdir(entry) if entry.is_symlink() else entry.is_dir()
                    (folders if is_folder else files).append(name)
    except OSError as error:
        raise DatasetError(
            f"{printable(folder)}: cannot be listed ({error.strerror}); allow it or move the folder"
        ) from error
    return sorted(folders), sorted(files)


def split_of(name: str) -> tuple[str | None, str]:
    """Return the split that a name stands for, and what else it says.

    Example:
        >>> split_of("Seg_Train"), split_of("flowers-test-set"), split_of("blood")
        (('train', ''), ('test', 'flowers'), (None, 'blood'))
    """
    spaced = re.sub("(?<=[a-z])(?=[A-Z])", " ", name).casefold()
    words = re.findall(r"[^\W\d_]+", re.sub(r"hold\W*out", "holdout", spaced.replace("_", " ")))
    others = [word for word in words if not re.fullmatch(_FILLERS, word)]
    splits = [match for word in others if (match := _SPLIT.fullmatch(word))]
    if len(splits) != 1:
        return None, " ".join(others)
    others.remove(splits[0].string)
    return splits[0].lastgroup, " ".join(others)


_FILLERS = "(?:seg|split|set|sub|data|images?|imgs?|photos?|pictures?|files?|samples?)*"
_SPLIT = re.compile(
    f"{_FILLERS}(?:(?P<train>train(?:ing)?|trn)|(?P<validation>val(?:id(?:ation)?)?|dev(?:elopment)?)"
    f"|(?P<test>test(?:ing|s)?|tst|holdout|eval(?:uation)?)){_FILLERS}"
)


def few(names: Sequence[str]) -> str:
    """Return the first twenty names, and how many more there are."""
    more = f" and {len(names) - 20:,} more" if len(names) > 20 else ""
    return ", ".join(map(printable, names[:20])) + more
