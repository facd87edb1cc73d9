"""Errors of input that cannot be used."""


class InputError(ValueError):
    """What was given cannot be used; one line says what, where and what to do."""


def require(holds: object, error: type[Exception], expected: str, received: object) -> None:
    """Raise an error that says what was expected and what was received, unless that holds."""
    if not holds:
        raise error(f"{expected}, received {received!r}")
