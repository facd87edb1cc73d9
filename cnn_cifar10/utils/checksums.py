"""SHA-256 checksums of the files in a folder, as `sha256sum` writes and checks them."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from cnn_cifar10.utils.bounded import MODEL_BYTES, read_bounded
from cnn_cifar10.utils.errors import InputError
from cnn_cifar10.utils.files import replacing

CHECKSUMS = "SHA256SUMS"
"""The file that lists them, for `sha256sum --check SHA256SUMS`."""

_LIST_BYTES = 2**24  # of the list


def write_checksums(folder: Path, paths: Iterable[Path]) -> None:
    """List files of a folder, and all files in folders of it, with their checksums.

    Args:
        folder: Where the list is written.
        paths: Files and folders in it.
    """
    files = [file for path in paths for file in (path.rglob("*") if path.is_dir() else [path])]
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder).as_posix()}\n"
        for path in sorted(files)
        if path.is_file()
    ]
    with replacing(folder / CHECKSUMS) as part:
        part.write_text("".join(lines), encoding="utf-8", newline="\n")


def read_checked(
    folder: str | Path,
    name: str,
    error: type[InputError] = InputError,
    limit: int = MODEL_BYTES,
) -> bytes:
    """Return the bytes of a file, if they are those that were listed.

    Args:
        folder: Folder with the list.
        name: Name of the file.
        error: Type of the error to raise.
        limit: Bytes that it may have.

    Raises:
        InputError: If the file or the list is missing, is no regular file or too large, or the
            checksum is another.
    """
    path, sums = Path(folder) / name, Path(folder) / CHECKSUMS
    try:
        lines = _read_list(sums, error)
        data = read_bounded(path, limit, error)
    except FileNotFoundError as fault:
        raise error(f"{fault.filename}: no such file; export the model again") from fault
    except OSError as fault:
        raise error(f"{fault.filename}: cannot be read: {fault.strerror}") from fault
    if f"{hashlib.sha256(data).hexdigest()}  {name}" not in lines:
        raise error(f"{path}: not the file that {sums.name} lists; export the model again")
    return data


def _read_list(sums, error=InputError):
    """Return the lines of a list of checksums."""
    try:
        return read_bounded(sums, _LIST_BYTES, error).decode("utf-8").splitlines()
    except UnicodeDecodeError as fault:
        raise error(f"{sums}: no list of checksums ({fault}); export the model again") from fault


def remove_listed(folder: Path) -> None:
    """Delete the files that a folder's list names, folders that are empty then, and the list.

    Raises:
        InputError: If the list cannot be read.
    """
    sums = folder / CHECKSUMS
    if not sums.exists():
        return
    folder = folder.resolve()
    names = (line.partition("  ")[2] for line in _read_list(sums))
    paths = [folder / name for name in names if "\0" not in name]
    inside = [path for path in paths if folder in path.resolve().parents and not path.is_dir()]
    for path in inside:
        path.unlink(missing_ok=True)
    for top in {folder / path.resolve().relative_to(folder).parts[0] for path in inside}:
        for inner, *_ in os.walk(top, topdown=False):
            if not os.listdir(inner):
                os.rmdir(inner)
    sums.unlink()
