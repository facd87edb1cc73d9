"""Values of options, typed as people type them."""

from pathlib import Path

import pytest

from cnn_cifar10.utils import InputError, printable, read_assignment, read_list, read_value


@pytest.mark.parametrize(
    ("text", "like", "value"),
    [
        *((word, False, True) for word in ("true", "True", "TRUE", "yes", "YES", "on")),
        *((word, True, False) for word in ("false", "False", "no", "off", "OFF")),
        ("64", 32, 64),
        ("-1", 0, -1),
        ("0.25", 0.0, 0.25),
        (".5", 0.0, 0.5),
        ("1e-4", 0.0, 1e-4),
        ("3", 0.0, 3),
        ("relu", "gelu", "relu"),
        ("3", "gelu", "3"),
        ("none", "crop", "none"),
        ('"relu"', "gelu", "relu"),
        ("1,2,3", (), [1, 2, 3]),
        ("[1,2,3]", (), [1, 2, 3]),
        ("64, 64 ,128", (32, 32), [64, 64, 128]),
        ("64", (32, 32), [64]),
        ("64,", (), [64]),
        ("[]", (), []),
        ("none", (), []),
        ("[a,b]", ("",), ["a", "b"]),
        ("3", None, 3),
        ("0.5", None, 0.5),
        ("off", None, False),
        ("None", None, None),
        ("relu", None, "relu"),
        ("[1,2]", None, [1, 2]),
        ('{"low":1}', None, {"low": 1}),
    ],
)
def test_words_mean_what_people_mean(text, like, value):
    read = read_value(text, like)
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize("word", ["none", "None", "null"])
def test_none_is_text_unless_a_value_may_be_missing(word):
    assert read_value(word, "imagenet", optional=True) is None
    assert read_value(word, "imagenet") == word
    assert read_value(f'"{word}"', "imagenet", optional=True) == word
    assert read_value(word, 0.1, optional=True) is None


@pytest.mark.parametrize(
    ("text", "like", "message"),
    [
        ("two", 3, "expected int, received 'two'"),
        ("1.5", 3, "expected int, received '1.5'"),
        ("true", 3, "expected int, received 'true'"),
        ("none", 3, "expected int, received 'none'"),
        ("big", 0.1, "expected float, received 'big'"),
        ("yes", 0.1, "expected float, received 'yes'"),
        ("3", True, "expected bool, received '3'"),
        ("maybe", True, "expected bool, received 'maybe'"),
        ("64,two", (32,), "expected int, received 'two'"),
        ("64,1.5", (32,), "expected int, received '1.5'"),
        ("[64,[1]]", (32,), "expected int, received '\\[1\\]'"),
    ],
)
def test_another_type_is_refused_by_name(text, like, message):
    with pytest.raises(InputError, match=f"^{message}$"):
        read_value(text, like)


@pytest.mark.parametrize(
    ("text", "like", "values"),
    [
        ("yes,no", True, [True, False]),
        ("none,0.1", None, [None, 0.1]),
        ("relu,gelu", "", ["relu", "gelu"]),
        ('["relu","none"]', "", ["relu", "none"]),
        ("64,128", (), [[64], [128]]),
        ("[64],[64,128]", (), [[64], [64, 128]]),
        ("[[64],[]]", (), [[64], []]),
        ("0.1", 0.0, [0.1]),
    ],
)
def test_a_list_has_values_of_the_type(text, like, values):
    assert read_list(text, like) == values


def test_an_assignment_needs_a_name_and_a_value():
    assert read_assignment("width=a=b") == ("width", "a=b")
    for text in ("width", "width=", "=3"):
        with pytest.raises(InputError, match=f"^'{text}' is not NAME=VALUE$"):
            read_assignment(text)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("über $5_$6 猫 كلب 👩‍👧", "über $5_$6 猫 كلب 👩‍👧"),
        (b"caf\xe9".decode("utf-8", "surrogateescape"), r"caf\xe9"),
        ("a\nb\t\x1b[31m", r"a\x0ab\x09\x1b[31m"),
        ("gnp\u202egpj", r"gnp\u202egpj"),
        ("half \ud83d", r"half \ud83d"),
    ],
)
def test_any_name_can_be_printed(name, shown):
    assert printable(name) == shown
    assert printable(Path(name)) == shown
    shown.encode()
