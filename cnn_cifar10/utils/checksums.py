"""SHA-256 checksums of the files in a folder, as `sha256sum` writes and checks them."""

import hashlib
from pathlib import Path

from cnn_cifar10.utils.errors import InputError
from cnn_cifar10.utils.files import replacing

CHECKSUMS = "SHA256SUMS"
"""The file that lists them, for `sha256sum --check SHA256SUMS`."""


def write_checksums(folder):
    """List every file in a folder, and in the folders in it, with its checksum."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != CHECKSUMS)
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder).as_posix()}\n"
        for path in files
    ]
    with replacing(folder / CHECKSUMS) as part:
        part.write_text("".join(lines), encoding="utf-8", newline="\n")


def read_checked(folder, name, error=InputError):
    """Return the bytes of a file, if they are those that were listed.

    Args:
        folder: Folder with the list.
        name: Name of the file.
        error: Type of the error to raise.

    Raises:
        InputError: If the file or the list is missing, or the checksum is another.
    """
    path, sums = Path(folder) / name, Path(folder) / CHECKSUMS
    try:
        data, lines = path.read_bytes(), sums.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as fault:
        raise error(f"{fault.filename}: no such file; export the model again") from fault
    if f"{hashlib.sha256(data).hexdigest()}  {name}" not in lines:
        raise error(f"{path}: not the file that {sums.name} lists; export the model again")
    return data


def remove_listed(folder):
    """Delete the files that a folder's list names, the folders that this empties, and the list."""
    sums = Path(folder) / CHECKSUMS
    if not sums.exists():
        return
    for line in sums.read_text(encoding="utf-8").splitlines():
        path = folder / line.partition("  ")[2]
        if not path.resolve().is_relative_to(folder.resolve()):
            continue
        path.unlink(missing_ok=True)
        for parent in path.relative_to(folder).parents:
            if parent.parts and (folder / parent).is_dir() and not any((folder / parent).iterdir()):
                (folder / parent).rmdir()
    sums.unlink()
