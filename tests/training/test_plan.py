"""Plans: what the data and the time decide, and what is left as it was asked for."""

import dataclasses

import pytest

from cnn_cifar10.configs import FOLDER, make_config
from cnn_cifar10.training import Look, Speed, make_plan
from cnn_cifar10.training.plan import PHOTOGRAPH, SIZES, estimate
from cnn_cifar10.utils import InputError

PHOTOS = Look({"cat": 800, "dog": 200}, (800, 100, 100), 480, 640, read_seconds=0.01)
SPEED = Speed(128, train=0.01, predict=0.003)


def plan(look=PHOTOS, given=None, *, chooses_model=True, minutes=None, speed=SPEED, **more):
    """A plan for these data, where a step of training takes what `speed` says."""
    given = given or {}

    def make(recipe=None, **fields):
        return make_config(recipe or "standard", **{"dataset": "folder", **fields, **given})

    def measure(config, size, classes):
        assert size == config.image_size or look.height
        return dataclasses.replace(speed, size=size)

    more |= {"chooses_model": chooses_model, "minutes": minutes}
    return make_plan(look, make, given, measure=measure, **more)


def fail(*_):
    pytest.fail("measures")


def test_photographs_start_from_imagenet_and_every_choice_names_its_option():
    made = plan()
    config = made.config
    assert config.model == "transfer"
    assert config.model_options == {"trainable_layers": -1, "image_size": config.image_size}
    assert config.head_epochs > 0
    assert {name: getattr(config, name) for name in FOLDER} == FOLDER
    options = ("model", "image-size", "fit", "class-weight", "select", "head-epochs", "epochs")
    assert len(made.lines) == len(options)
    for line, option in zip(made.lines, options, strict=True):
        assert f"(--{option}" in line
    assert "of a median of 640 x 480 pixels" in made.lines[1]
    assert "the largest class has 80% of the images" in made.lines[3]


@pytest.mark.parametrize(("height", "width"), [(28, 24), (32, 32), (47, 400), (8, 9)])
def test_tiny_images_keep_their_own_size_and_nothing_is_measured(height, width):
    look = dataclasses.replace(PHOTOS, height=height, width=width)
    made = make_plan(look, lambda _=None, **fields: make_config(**fields), {}, measure=fail)
    assert (made.config.model, made.config.image_size) == ("custom_cnn", min(height, width))
    assert made.config.epochs == make_config().epochs


@pytest.mark.parametrize("size", [16, 32, PHOTOGRAPH - 1])
def test_a_small_size_that_is_asked_for_is_one_of_small_networks(size):
    made = plan(given={"image_size": size})
    assert (made.config.model, made.config.image_size) == ("custom_cnn", size)
    assert not any("image size" in line for line in made.lines)


@pytest.mark.parametrize(
    "given",
    [
        {"epochs": 3},
        {"fit": "stretch", "select": "val_loss"},
        {"class_weight": "none", "batch_size": 16, "optimizer": "sgd"},
        {"head_epochs": 2, "learning_rate": 0.01},
        {"image_size": 96, "augment": "none"},
    ],
)
def test_what_is_given_stays_and_has_no_line(given):
    made = plan(given=given)
    assert made.config.model == "transfer"
    assert {name: getattr(made.config, name) for name in given} == given
    for name in given:
        assert not any(f"(--{name.replace('_', '-')})" in line for line in made.lines)


def test_the_network_that_is_asked_for_is_left_alone():
    given = {"dataset": "folder", "model_options": {"width": 8}}
    make = lambda recipe=None, **fields: make_config(**{**fields, **given})  # noqa: E731
    made = make_plan(PHOTOS, make, given, chooses_model=False, measure=fail)
    expected = make_config(**given)
    assert {name: getattr(expected, name) for name in FOLDER} == FOLDER
    assert made.config == expected
    assert len(made.lines) == len(FOLDER)


def test_images_are_enlarged_twice_at_most():
    for side in (PHOTOGRAPH, 64, 100, 3000):
        made = plan(dataclasses.replace(PHOTOS, height=side, width=side), minutes=10_000)
        assert made.config.image_size == max(size for size in SIZES if size <= 2 * side)


def test_more_time_buys_epochs_or_pixels_and_is_not_overspent():
    before = 0
    for minutes in (2, 3, 5, 10, 30):
        made = plan(minutes=minutes)
        config = made.config
        seconds = estimate(PHOTOS, config, SPEED)
        assert seconds <= 60 * minutes
        pixels = config.image_size**2 * config.epochs * bool(config.head_epochs)
        assert pixels >= before
        before = pixels
        assert "more than" not in made.lines[-1]
    assert config.image_size == SIZES[-1]


def test_where_time_is_short_the_classifier_alone_is_trained():
    many = dataclasses.replace(PHOTOS, images=(40_000, 5_000, 5_000), read_seconds=0.001)
    made = plan(many, minutes=5)
    assert (made.config.augment, made.config.head_epochs) == ("none", 0)
    assert not made.config.model_options.get("trainable_layers")
    assert "transfer, features of efficientnet_lite0" in made.lines[0]
    short = plan(many, minutes=1)
    assert short.config.image_size == SIZES[0]
    assert "more than the 1 allowed" in short.lines[-1]


@pytest.mark.parametrize("recipe", ["fast", "tutorial", "accurate"])
def test_minutes_are_for_any_training(recipe):
    look = Look({str(i): 4_500 for i in range(10)}, (45_000, 5_000, 10_000), 32, 32)
    speed = Speed(32, train=0.0005, predict=0.0001)
    make = lambda _=None, **fields: make_config(recipe, **fields)  # noqa: E731
    made = make_plan(
        look, make, {}, is_folder=False, chooses_model=False, minutes=4, measure=lambda *_: speed
    )
    assert 0.7 * 240 < estimate(look, made.config, speed) <= 240
    assert dataclasses.replace(made.config, epochs=20, small_epochs=0) == dataclasses.replace(
        make_config(recipe), epochs=20, small_epochs=0
    )
    (line,) = made.lines
    assert line == f"epochs: {made.config.epochs} in about 4 minutes (--epochs, --minutes)"


def test_minutes_beside_epochs_leave_nothing_to_choose():
    with pytest.raises(InputError, match="leave one of them out"):
        plan(given={"epochs": 3}, minutes=5, chooses_model=False)
    with pytest.raises(InputError, match="leave one of them out"):
        plan(given={"epochs": 3, "image_size": 128}, minutes=5)
    assert plan(given={"epochs": 3}, minutes=5).config.epochs == 3  # the size is open
