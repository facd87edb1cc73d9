"""Names that came from files, as any console, page or table can show them."""

import os
import re
from collections.abc import Collection
from typing import Any

# Control characters, line separators, marks that turn the direction of what follows, surrogates.
_UNPRINTABLE = re.compile("[\0-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(name: str | os.PathLike) -> str:
    """Return the name of a file or a class as any console, page or table can show it.

    Bytes that are no UTF-8, and characters that would break a line or cannot be
    written, become escapes such as `\\xff`. Other names stay as they are.
    """
    return _UNPRINTABLE.sub(_escape, os.fspath(name))


def printable_document(document: Any, keep: Collection[str] = ()) -> Any:
    """Return what a JSON file held, with all text in it as `printable` gives it.

    Args:
        document: What the file held.
        keep: Keys whose values stay as they are, such as those with paths.
    """
    if isinstance(document, str):
        return printable(document)
    if isinstance(document, list):
        return [printable_document(each, keep) for each in document]
    if isinstance(document, dict):
        return {
            printable(key): value if key in keep else printable_document(value, keep)
            for key, value in document.items()
        }
    return document


def _escape(match):
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:  # how Python holds a byte of a file name that is no UTF-8
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
