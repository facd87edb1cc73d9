"""The error that everything here raises for input that cannot be used."""


class InputError(ValueError):
    """What was given cannot be used; one line says what, where and what to do."""
