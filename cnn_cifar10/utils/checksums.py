"""SHA-256 checksums of the files in a folder, as `sha256sum` writes and checks them."""

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from cnn_cifar10.utils.errors import InputError
from cnn_cifar10.utils.files import replacing

CHECKSUMS = "SHA256SUMS"
"""The file that lists them, for `sha256sum --check SHA256SUMS`."""


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


def read_checksums(folder: str | Path) -> dict[str, str]:
    """Return the checksums that a folder lists, by name; none where it has no list."""
    path = Path(folder) / CHECKSUMS
    if not path.exists():
        return {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return {name: found for found, _, name in (line.partition("  ") for line in lines)}


def read_checked(folder: str | Path, name: str, error: type[InputError] = InputError) -> bytes:
    """Return the bytes of a file, if they are those that were listed.

    Args:
        folder: Folder with the list.
        name: Name of the file.
        error: Type of the error to raise.

    Raises:
        InputError: If the file or the list is missing, or the checksum is another.
    """
    path, sums = Path(folder) / name, Path(folder) / CHECKSUMS
    for needed in (path, sums):
        if not needed.exists():
            raise error(f"{needed}: no such file; export the model again")
    data = path.read_bytes()
    if read_checksums(folder).get(name) != digest(data):
        raise error(f"{path}: not the file that {sums.name} lists; export the model again")
    return data


def remove_listed(folder: Path) -> None:
    """Delete the files that a folder's list names, folders that are empty then, and the list."""
    sums = folder / CHECKSUMS
    if not sums.exists():
        return
    folder = folder.resolve()
    paths = [folder / name for name in read_checksums(folder) if name and "\0" not in name]
    inside = [path for path in paths if folder in path.resolve().parents]
    for path in inside:
        path.unlink(missing_ok=True)
    for top in {folder / path.resolve().relative_to(folder).parts[0] for path in inside}:
        for inner, *_ in os.walk(top, topdown=False):
            if not os.listdir(inner):
                os.rmdir(inner)
    sums.unlink()
