"""Models on the Hugging Face Hub, named `hf://owner/name@revision`: their files, checked."""

import re
from collections.abc import Sequence
from pathlib import Path

from cnn_cifar10.utils.bounded import MODEL_BYTES, check_file_size
from cnn_cifar10.utils.checksums import CHECKSUMS, read_checked
from cnn_cifar10.utils.environment import require_package
from cnn_cifar10.utils.errors import InputError, first_line

HUB = "hf://"
"""How the name of a model on the Hub begins."""

_NAME = re.compile(r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")
_EXTRA = "'cnn-cifar10[hub]'"


def split_hub_name(name: str) -> tuple[str, str | None]:
    """Return the repository and the revision of a name; `None` where it names no revision.

    Raises:
        InputError: If it is no name of a model on the Hub.
    """
    found = _NAME.fullmatch(name.removeprefix(HUB)) if name.startswith(HUB) else None
    if not found:
        raise InputError(f"{name}: no model of the Hub: write {HUB}owner/name@revision")
    return found[1], found[2]


def is_pinned(name: str) -> bool:
    """Return whether a name has the commit as its revision, which always is the same files."""
    return bool(re.fullmatch("[0-9a-f]{40}", split_hub_name(name)[1] or ""))


def fetch_from_hub(name: str, files: Sequence[str]) -> Path:
    """Return a folder with files of a model on the Hub, which are those that its list names.

    They stay in the library's cache, in a folder named as the commit. The Hub is asked for what
    is not there yet, and for the commit of a revision that is none.

    Args:
        name: `hf://owner/name@revision`; without a revision its newest.
        files: Names of the files that are needed.

    Raises:
        InputError: If they cannot be had, or are others than `SHA256SUMS` beside them lists.
    """
    repository, revision = split_hub_name(name)
    require_package("huggingface_hub", f"{HUB} needs", _EXTRA)
    import huggingface_hub

    try:
        found = huggingface_hub.snapshot_download(
            repository, revision=revision, allow_patterns=[*files, CHECKSUMS]
        )
    except Exception as error:  # of the library, of HTTP, of the system
        raise InputError(
            f"{name}: cannot be fetched: {first_line(error)}; check the name, the revision, and "
            "for a private model HF_TOKEN"
        ) from error
    folder = Path(found)
    for file in files:
        if not (folder / file).is_file():
            raise InputError(f"{name}: has no {file}: upload what `export --hub` writes")
        check_file_size(folder / file, MODEL_BYTES)
        read_checked(folder, file)
    return folder
