"""Archives of images: zip and tar files, unpacked once into the cache."""

import functools
import hashlib
import os
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from cnn_cifar10.datasets.dataset import DatasetError
from cnn_cifar10.datasets.listing import is_hidden
from cnn_cifar10.utils import cache_folder, printable

MAX_RATIO = 200
"""How many times its size an archive of more than 5 MB may hold."""

MAX_FILES = 5_000_000
"""How many files an archive may hold."""


def is_archive(path: Path) -> bool:
    """Return whether a file is a zip file, or a tar file of any compression."""
    try:
        return zipfile.is_zipfile(path) or tarfile.is_tarfile(path)
    except EOFError:  # of compressed files that are cut off
        return False


def unpack(path: Path) -> Path:
    """Return the folder in the cache with the files of an archive, which is unpacked once.

    Hidden files are left out.

    Raises:
        DatasetError: If the archive is damaged, holds links or paths that lead out of it, or
            more than is safe; or if there is no room for it.
    """
    from filelock import FileLock

    status, digest = path.stat(), hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:16]
    home = cache_folder() / "unpacked" / digest
    folder, part = home / f"{status.st_size}-{status.st_mtime_ns}", home / "part"
    try:
        home.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{home}.lock"):  # for runs that begin together
            if not folder.is_dir():
                for old in home.iterdir():  # of the archive before it changed
                    shutil.rmtree(old)
                part.mkdir()
                try:
                    _extract(path, part)
                    part.rename(folder)
                finally:  # while no other process has the lock
                    shutil.rmtree(part, ignore_errors=True)
    except DatasetError:
        raise
    except Exception as error:  # libraries raise nearly any type on broken archives
        raise DatasetError(
            f"{printable(path)}: cannot be unpacked into {home} ({error}); replace it, set "
            "XDG_CACHE_HOME to a folder with room, or unpack it yourself and name its folder"
        ) from error
    return folder


def _extract(path: Path, folder: Path) -> None:
    from tqdm import tqdm

    free, size = shutil.disk_usage(folder).free, path.stat().st_size
    limit = min(free, MAX_RATIO * max(size, 5_000_000))
    total = count = 0
    with (
        open(path, "rb") as raw,
        tqdm(total=size, desc="Unpacking", unit="B", unit_scale=True, disable=None) as bar,
    ):
        for name, declared, regular, open_member in _members(raw):
            parts = [part for part in name.split("/") if part not in ("", ".")]
            if ".." in parts or name.startswith("/") or name[1:2] == ":" or not regular:
                fault = f"{name!r} is a link, a device or a path that leads out of it"
                raise DatasetError(
                    f"{printable(path)}: {fault}; unpack it yourself and name its folder"
                )
            total, count = total + declared, count + 1
            if total > limit or count > MAX_FILES:
                raise DatasetError(
                    f"{printable(path)}: holds more than {limit / 1e9:.1f} GB or {MAX_FILES:,} "
                    "files, which is not safe to unpack; unpack it yourself and name its folder"
                )
            if not any(map(is_hidden, parts)):
                target = folder.joinpath(*parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                # Both libraries give no more bytes of a file than are declared.
                with open_member() as source, open(target, "xb") as file:
                    shutil.copyfileobj(source, file)
            bar.update(raw.tell() - bar.n)


def _members(raw: IO[bytes]) -> Iterator[tuple[str, int, bool, Callable[[], Any]]]:
    """Yield name, bytes, whether it is a regular file, and a function that opens it."""
    if zipfile.is_zipfile(raw):
        with _open_zip(raw) as archive:
            for info in archive.infolist():
                name = info.filename.replace("\\", "/")
                if not name.endswith("/"):  # a folder
                    kind = stat.S_IFMT(info.external_attr >> 16)  # 0: none is given
                    opened = functools.partial(archive.open, info)
                    yield name, info.file_size, kind in (0, stat.S_IFREG), opened
    else:
        raw.seek(0)
        with tarfile.open(fileobj=raw) as tar:
            for member in tar:
                if not member.isdir():
                    opened = functools.partial(tar.extractfile, member)
                    yield member.name, member.size, member.isreg(), opened


def _open_zip(raw):
    try:
        return zipfile.ZipFile(raw, metadata_encoding="utf-8")  # macOS does not declare it
    except UnicodeDecodeError:
        return zipfile.ZipFile(raw)
