"""Names from files, as they are shown: by errors, and of whole documents."""

import pytest

from cnn_cifar10.utils import InputError, first_line, printable_document, require

HOSTILE = "cat\x1b[2J\u202egpj.\n\x9b31m\r\x07"
SHOWN = r"cat\x1b[2J\u202egpj.\x0a\x9b31m\x0d\x07"


class Fault(InputError):
    """A kind of error, as rooms have."""


@pytest.mark.parametrize("kind", [InputError, Fault])
def test_an_error_shows_no_name_raw_and_is_one_line(kind):
    assert str(kind(f"{HOSTILE}: no such class")) == f"{SHOWN}: no such class"
    assert str(kind("über 猫: no such class")) == "über 猫: no such class"


def test_each_argument_of_an_error_is_a_line():
    assert str(InputError(f"a: {HOSTILE}", "b: damaged")) == f"a: {SHOWN}\n  b: damaged"


def test_what_was_received_is_shown_in_part_where_it_is_long():
    with pytest.raises(InputError) as raised:
        require(False, InputError, "names must be few", ["x" * 100_000])
    assert len(str(raised.value)) < 1000
    assert str(raised.value).startswith("names must be few, received ['xxx")


def test_the_first_line_of_another_error_that_says_something():
    assert first_line(ValueError("\n  \nwhat\nmore")) == "what"
    assert first_line(MemoryError()) == "MemoryError"


def test_all_text_of_a_document_is_made_printable():
    document = {HOSTILE: [HOSTILE, 1, None, {"a": HOSTILE}], "config": {"data_dir": HOSTILE}}
    shown = {SHOWN: [SHOWN, 1, None, {"a": SHOWN}], "config": {"data_dir": HOSTILE}}
    assert printable_document(document, keep=("config",)) == shown
