"""Errors of input that cannot be used."""

from cnn_cifar10.utils.printing import printable

_MOST_LETTERS = 500  # of what others wrote


class InputError(ValueError):
    """What was given cannot be used; one line says what, where and what to do.

    Messages name what stood in files. So none is shown raw: each argument becomes one line,
    without characters that would move the cursor, break the line or turn its direction.
    """

    def __str__(self):
        return "\n  ".join(printable(str(line)) for line in self.args)


def require(holds: object, error: type[Exception], expected: str, received: object) -> None:
    """Raise an error that says what was expected and what was received, unless that holds."""
    if not holds:
        raise error(f"{expected}, received {_short(repr(received))}")


def first_line(error: BaseException) -> str:
    """Return what an error of a library says in its first line; its type if it says nothing."""
    lines = (line for line in str(error).splitlines() if line.strip())
    return _short(next(lines, type(error).__name__))


def _short(text):
    return text if len(text) <= _MOST_LETTERS else f"{text[:_MOST_LETTERS]}…"
