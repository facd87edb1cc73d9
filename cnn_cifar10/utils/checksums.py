"""SHA-256 checksums of the files in a folder, as `sha256sum` writes and checks them."""

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from cnn_cifar10.utils.bounded import MODEL_BYTES, read_bounded
from cnn_cifar10.utils.errors import InputError
from cnn_cifar10.utils.files import replacing

CHECKSUMS = "SHA256SUMS"
"""The file that lists them, for `sha256sum --check SHA256SUMS`."""

_LIST_BYTES = 2**24  # of the list


def digest(data: bytes) -> str:
    """Return the SHA-256 of bytes, in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def write_checksums(
    folder: Path, paths: Iterable[Path], texts: Mapping[str, str] | None = None
) -> None:
    """List files of a folder, and all files in folders of it, with their checksums.

    Args:
        folder: Where the list is written.
        paths: Files and folders in it.
        texts: Names of files to what they will hold, if they are written after the list.
    """
    files = [file for path in paths for file in (path.rglob("*") if path.is_dir() else [path])]
    sums = {
        path.relative_to(folder).as_posix(): digest(path.read_bytes())
        for path in files
        if path.is_file()
    }
    sums |= {name: digest(text.encode()) for name, text in (texts or {}).items()}
    with replacing(folder / CHECKSUMS) as part:
        lines = (f"{sums[name]}  {name}\n" for name in sorted(sums))
        part.write_text("".join(lines), encoding="utf-8", newline="\n")


def read_checksums(folder: str | Path, error: type[InputError] = InputError) -> dict[str, str]:
    """Return the checksums that a folder lists, by name; none where it has no list.

    Raises:
        InputError: If the list is too large, or no text.
    """
    path = Path(folder) / CHECKSUMS
    if not path.exists():
        return {}
    try:
        lines = read_bounded(path, _LIST_BYTES, error).decode("utf-8").splitlines()
    except UnicodeDecodeError as fault:
        raise error(f"{path}: no list of checksums ({fault}); export the model again") from fault
    return {name: found for found, _, name in (line.partition("  ") for line in lines)}


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
        found, data = read_checksums(folder, error), read_bounded(path, limit, error)
        sums.stat()
    except FileNotFoundError as fault:
        raise error(f"{fault.filename}: no such file; export the model again") from fault
    except OSError as fault:
        raise error(f"{fault.filename}: cannot be read: {fault.strerror}") from fault
    if found.get(name) != digest(data):
        raise error(f"{path}: not the file that {sums.name} lists; export the model again")
    return data


def remove_listed(folder: Path) -> None:
    """Delete the files that a folder's list names, folders that are empty then, and the list.

    Raises:
        InputError: If the list cannot be read.
    """
    sums = folder / CHECKSUMS
    if not sums.exists():
        return
    folder = folder.resolve()
    paths = [folder / name for name in read_checksums(folder) if name and "\0" not in name]
    inside = [path for path in paths if folder in path.resolve().parents and not path.is_dir()]
    for path in inside:
        path.unlink(missing_ok=True)
    for top in {folder / path.resolve().relative_to(folder).parts[0] for path in inside}:
        for inner, *_ in os.walk(top, topdown=False):
            if not os.listdir(inner):
                os.rmdir(inner)
    sums.unlink()
