"""Searches as data: what a space may say, and the configs that come of it."""

import json

import pytest

from cnn_cifar10.configs import (
    OPTIMIZERS,
    SPACE,
    Search,
    TrainingConfig,
    changed_space,
    parse_values,
    read_space,
)
from cnn_cifar10.configs.searches import SearchError
from cnn_cifar10.utils import InputError


@pytest.mark.parametrize(
    ("text", "name", "values"),
    [
        ("dropout=0,0.1", "dropout", [0, 0.1]),
        ("augment=crop+flip,none", "augment", ["crop+flip", "none"]),
        ("batch_norm=true,false", "batch_norm", [True, False]),
        ("optimizer=sgd", "optimizer", ["sgd"]),
        ("width=16:64", "width", {"low": 16, "high": 64, "sampling": "linear"}),
        (
            "learning_rate=5e-2:0.4:log",
            *("learning_rate", {"low": 0.05, "high": 0.4, "sampling": "log"}),
        ),
        ("dense_units=[[],[128]]", "dense_units", [[], [128]]),
        ('dropout={"low":0,"high":0.5}', "dropout", {"low": 0, "high": 0.5}),
    ],
)
def test_words_of_the_command_line_are_lists_and_ranges(text, name, values):
    assert parse_values(text) == (name, values)


@pytest.mark.parametrize("text", ["dropout", "dropout=", "=1"])
def test_words_without_name_or_values_are_refused(text):
    with pytest.raises(InputError, match=r"is not NAME=VALUE$"):
        parse_values(text)


OPTIONS = {"width": 32, "dropout": 0.0, "batch_norm": True, "weights": "imagenet", "units": ()}


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("batch_norm=yes,No", [True, False]),
        ("weights=none,imagenet", [None, "imagenet"]),
        ("augment=none", ["none"]),
        ("units=64,[64,64]", [[64], [64, 64]]),
        ("dropout=0:1", {"low": 0.0, "high": 1.0, "sampling": "linear"}),
        ("learning_rate_factor=.5:2:log", {"low": 0.5, "high": 2.0, "sampling": "log"}),
        ("deterministic=on", [True]),
        ("image_size=none,48", [None, 48]),
    ],
)
def test_values_are_of_the_type_of_the_option_or_the_field(text, values):
    (_, read) = parse_values(text, OPTIONS)
    assert json.dumps(read) == json.dumps(values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("width=16,two", "width=16,two: expected int, received 'two'"),
        ("width=1.5:3", "width=1.5:3: expected int, received '1.5'"),
        ("batch_norm=3", "batch_norm=3: expected bool, received '3'"),
        ("learning_rate=fast", "learning_rate=fast: expected float, received 'fast'"),
        ("batch_size=none", "batch_size=none: expected int, received 'none'"),
    ],
)
def test_a_value_of_another_type_is_refused(text, message):
    with pytest.raises(InputError, match=f"^{message}$"):
        parse_values(text, OPTIONS)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"space": {}}, "space must name something"),
        ({"space": {"width": []}}, "width: values must be given, each once"),
        ({"space": {"width": [8, 8]}}, "width: values must be given, each once"),
        ({"space": {"width": 8}}, "width: expected a list, or"),
        ({"space": {"width": {"low": 1}}}, "width: expected a list, or"),
        ({"space": {"width": {"low": 1, "high": 2, "step": 1}}}, "width: expected a list, or"),
        ({"space": {"width": {"low": "1", "high": 2}}}, "width: expected a list, or"),
        ({"space": {"width": {"low": 2, "high": 2}}}, "low must be below high"),
        ({"space": {"width": {"low": 0, "high": 2, "sampling": "log"}}}, "low must be above 0"),
        ({"space": {"width": {"low": 1, "high": 2, "sampling": "cube"}}}, "linear or log"),
        ({"space": {"epochs": [1, 2]}}, "space cannot have, received 'epochs'"),
        ({"space": {"seed": [1, 2]}}, "space cannot have, received 'seed'"),
        ({"space": {"use_validation": [True]}}, "space cannot have, received 'use_validation'"),
        ({"space": SPACE | {"learning_rate": [0.1]}}, "not both"),
        ({"algorithm": "guess"}, "algorithm must be one of random, grid"),
        ({"trials": 0}, "trials must be 1 or more, received 0"),
        ({"seed": -1}, "seed must be 0 or more"),
        ({"trial": {"batch_size": 3}}, "trial has epochs, train_images, early_stopping"),
        ({"base": {"use_validation": True}}, "leave validation images to judge by"),
        ({"base": {"colour": 1}}, "unknown config key 'colour'"),
        ({"space": {"optimizer": ["sgd", "sgdd"]}}, "optimizer must be one of sgd"),
        ({"space": {"momentum": {"low": 0.5, "high": 1.0}}}, "momentum must be in"),
        ({"algorithm": "grid", "space": {"momentum": {"low": 0, "high": 0.9}}}, "needs a list"),
        (
            {"algorithm": "grid", "trials": 5, "space": {"width": [1, 2, 3], "depth": [1, 2]}},
            "the grid has 6 points, more than 5 trials",
        ),
    ],
)
def test_a_search_that_cannot_be_run_is_refused(given, message):
    with pytest.raises(SearchError, match=message) as caught:
        Search(**{"space": {"width": [8]}} | given)
    assert "\n" not in str(caught.value)


def test_a_trial_is_the_config_made_short_and_the_best_is_at_full_length():
    search = Search(
        {"width": [8, 16], "batch_size": [32], "optimizer": ["sgd", "adamw"]},
        base={"dataset": "digits", "model_options": {"depth": 1}, "early_stopping": 9},
        trial={"epochs": 2},
    )
    values = {"width": 16, "batch_size": 32, "optimizer": "adamw"}
    shared = {
        **{"dataset": "digits", "batch_size": 32, "optimizer": "adamw"},
        "model_options": {"depth": 1, "width": 16},
    }
    trial = TrainingConfig(**shared, epochs=2, train_images=20_000, early_stopping=3)
    assert search.config(values) == trial
    assert search.config(values, epochs=5).epochs == 5
    assert search.full_config(values) == TrainingConfig(**shared, early_stopping=9)


def test_the_factor_multiplies_the_rate_of_the_optimizer_or_of_the_base():
    space = {"optimizer": ["sgd", "adamw"], "learning_rate_factor": [0.5, 2.0]}
    search = Search(space)
    for optimizer in space["optimizer"]:
        config = search.config({"optimizer": optimizer, "learning_rate_factor": 2.0})
        assert config.learning_rate == 2 * OPTIMIZERS[optimizer].learning_rate
        assert "learning_rate_factor" not in config.model_options
    values = {"optimizer": "sgd", "learning_rate_factor": 0.5}
    assert Search(space, base={"learning_rate": 0.3}).config(values).learning_rate == 0.15


def test_a_rate_takes_the_place_of_its_factor_and_the_other_way_round():
    changed = changed_space(SPACE, {"learning_rate": [0.1], "warmup": [0.0]})
    assert set(changed) == set(SPACE) - {"learning_rate_factor"} | {"learning_rate", "warmup"}
    back = changed_space(changed, {"learning_rate_factor": [1.0]})
    assert set(back) == set(SPACE) | {"warmup"}
    assert changed_space(SPACE, {"width": [8]}) == SPACE | {"width": [8]}


def test_corners_hold_every_value_and_both_ends():
    search = Search({"width": [8, 16, 32], "momentum": {"low": 0.1, "high": 0.9}})
    corners = search.corners()
    assert corners == [
        {"width": 8, "momentum": 0.1},
        {"width": 16, "momentum": 0.1},
        {"width": 32, "momentum": 0.1},
        {"width": 8, "momentum": 0.9},
    ]


def test_choices_are_places_and_numbers_have_four_digits():
    space = {"dense_units": [[], [8]], "width": {"low": 8, "high": 64}}
    search = Search(space | {"momentum": {"low": 0.1, "high": 0.9}})
    chosen = {"dense_units": 1, "width": 12345, "momentum": 0.123456}
    assert search.decode(chosen) == (
        {"dense_units": [8], "width": 12345, "momentum": 0.1235},
        {},
    )
    assert search.decode(chosen | {"tuner/epochs": 3})[1] == {"epochs": 3}


def test_a_grid_has_no_more_trials_than_points():
    assert Search({"width": [1, 2], "depth": [1, 2, 3]}, "grid", trials=30).trials == 6


def test_a_space_is_read_from_a_file(tmp_path):
    path = tmp_path / "space.json"
    path.write_text(json.dumps(SPACE))
    assert Search(read_space(path)).space == SPACE
    for text, message in (("[1]", "holds no space"), ("{", "cannot read the space")):
        path.write_text(text)
        with pytest.raises(SearchError, match=message):
            read_space(path)
    with pytest.raises(SearchError, match="cannot read the space"):
        read_space(tmp_path / "absent.json")
