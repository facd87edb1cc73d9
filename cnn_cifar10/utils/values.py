"""Values as people type them: `true`, `None`, `0.5`, `1,2,3`, JSON."""

import contextlib
import json
from typing import Any

from cnn_cifar10.utils.errors import InputError

_TYPES = (bool, int, float, str, list, tuple)
_NONE = ("none", "null")
_WORDS = {
    **dict.fromkeys(("true", "yes", "on"), True),
    **dict.fromkeys(("false", "no", "off"), False),
    **dict.fromkeys(_NONE, None),
}


def read_assignment(text: str) -> tuple[str, str]:
    """Return the name and the value of `NAME=VALUE`.

    Raises:
        InputError: If one of them is missing.
    """
    name, _, value = text.partition("=")
    if not (name and value):
        raise InputError(f"{text!r} is not NAME=VALUE")
    return name, value


def read_value(text: str, like: Any = None, optional: bool = False) -> Any:
    """Return the value that a text stands for.

    Args:
        text: Words for true, false and none in any case, numbers, lists, text, or JSON.
        like: A value of the wanted type. A float may also be an int; a list or tuple has
            items like its first; a single value is a list of one, and none an empty one.
            `None` takes any value, by its looks.
        optional: Whether the value may be `None`. Where text is wanted, `none` is else text.

    Raises:
        InputError: If the text cannot be read as the wanted type.

    Example:
        >>> read_value("yes", False), read_value("64,128", ()), read_value("none", "", True)
        (True, [64, 128], None)
    """
    word = text.strip()
    if isinstance(like, (list, tuple)):
        return read_list("" if word.lower() in _NONE else text, like[0] if like else None)
    value = _WORDS.get(word.lower(), text)
    if type(like) is str and not (word.startswith('"') or (value is None and optional)):
        return text
    for read in (float, json.loads):  # float knows .5 and 5., JSON knows whole numbers
        with contextlib.suppress(ValueError):
            value = read(word)
    return _checked(value, like, optional, text)


def read_list(text: str, like: Any = None, optional: bool = False) -> list:
    """Return the values that a text stands for: `1,2,3`, `[1,2,3]` or one value.

    Args:
        text: Values as `read_value` takes them, with commas between them.
        like: A value of the type of each.
        optional: Whether each may be `None`.

    Raises:
        InputError: If one cannot be read as the wanted type.
    """
    for candidate in (text, f"[{text}]"):
        with contextlib.suppress(ValueError):
            if isinstance(values := json.loads(candidate), list):
                return [_checked(value, like, optional, json.dumps(value)) for value in values]
    parts = text.strip().removeprefix("[").removesuffix("]").split(",")
    return [read_value(part.strip(), like, optional) for part in parts if part.strip()]


def _checked(value, like, optional, text):
    """Return a value if it is of the wanted type; a single one for a list as a list of one."""
    if type(like) not in _TYPES or (value is None and optional):
        return value
    if isinstance(like, (list, tuple)):
        values, item = value if isinstance(value, list) else [value], like[0] if like else None
        return [_checked(each, item, False, text) for each in values]
    kind = type(like)
    fits = isinstance(value, (int, float) if kind is float else kind)
    if not fits or isinstance(value, bool) is not (kind is bool):
        raise InputError(f"expected {kind.__name__}, received {text!r}")
    return value
