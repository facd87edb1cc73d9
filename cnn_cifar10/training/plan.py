"""Plan of a training: what the data and the time decide, each choice with its reason."""

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from cnn_cifar10.configs import TrainingConfig
from cnn_cifar10.training.look import Look
from cnn_cifar10.training.measure import Speed
from cnn_cifar10.utils import InputError

MINUTES = 10.0
"""What a training from ImageNet may take unless the command says otherwise."""

PHOTOGRAPH = 48
"""Median shorter side in pixels from which images are taken for photographs."""

SIZES = (96, 128, 160, 192, 224)
"""Sides in pixels that photographs can be trained at."""

_OWN_SIZE = 64  # the side that other images are read at, at most
_FEWEST, _MOST = 5, 20  # epochs of fine-tuning
_QUICK, _PATIENT = 4_000, 20_000  # images seen in all epochs if these are few; with --minutes
_LONGEST = 200  # epochs of other trainings
_FIXED = 20.0  # seconds of loading, building and drawing
_HEAD_STEP = 0.0001  # seconds for an image on its features
_FITS = {
    "crop": "the ends of long images are cut",
    "pad": "with grey bars beside long images",
    "stretch": "long images are distorted",
}


@dataclass(frozen=True)
class Plan:
    """A config, and one line for each choice in it: what, why, and the option that overrides."""

    config: TrainingConfig
    lines: tuple[str, ...]


class _Way(NamedTuple):
    """A way to train: a config, and what its epochs may be."""

    config: TrainingConfig
    fewest: int
    most: int


def make_plan(
    look: Look,
    make: Callable[..., TrainingConfig],
    given: Mapping[str, Any],
    *,
    is_folder: bool = True,
    chooses_model: bool = True,
    minutes: float | None = None,
    measure: Callable[[TrainingConfig, int, int], Speed],
) -> Plan:
    """Choose what a command leaves open.

    Args:
        look: What the data are.
        make: Function of a recipe, `None` for the command's, and of fields to a config; what is
            given overrides them.
        given: Fields of the config that the command gives.
        is_folder: Whether the images are files, of any size and number.
        chooses_model: Whether the network is open.
        minutes: What the command may take, from now to the end of its report.
        measure: `measure_speed`, or another function of its arguments.

    Returns:
        A `Plan`.

    Raises:
        InputError: If `minutes` leaves nothing to choose.
    """
    began = time.perf_counter()
    photographs = chooses_model and min(look.side, given.get("image_size", look.side)) >= PHOTOGRAPH
    if photographs:
        views = _PATIENT if minutes else _QUICK
        ways = list(_from_imagenet(look, make, given, views))
    else:
        chosen = {"image_size": min(look.side, _OWN_SIZE)} if chooses_model and is_folder else {}
        epochs = given.get("epochs")
        ways = [_Way(make(None, **chosen), epochs or 1, epochs or _LONGEST)]
    config, seconds = ways[0].config, None
    settled = len(ways) == 1 and ways[0].fewest == ways[0].most
    if minutes and settled:
        raise InputError("--minutes has nothing to choose beside --epochs: leave one of them out")
    if minutes or (photographs and not settled):
        # Time goes with the area of images: measured at one size, it is known for all.
        middle = min((way.config for way in ways), key=lambda c: abs((c.image_size or 0) - 128))
        size = middle.image_size or (_OWN_SIZE if is_folder else look.height)
        speed = measure(middle, size, len(look.counts))
        left = 60 * (minutes or MINUTES) - (time.perf_counter() - began)
        config, seconds = _fit_time(look, ways, speed, left)
    reasons = _reasons(look, config, chooses_model) if is_folder else {}
    if seconds is not None:
        over = f", more than the {minutes or MINUTES:g} allowed" if seconds > 1.1 * left else ""
        spent = f"{seconds / 60:.0f} minutes" if seconds > 90 else f"{seconds:.0f} seconds"
        reasons["epochs"] = f"epochs: {config.epochs} in about {spent}{over} (--epochs, --minutes)"
    return Plan(config, tuple(line for name, line in reasons.items() if name not in given))


def _from_imagenet(look, make, given, views) -> Iterator[_Way]:
    """Yield the ways to train on photographs, the best first."""

    def at(size, recipe):
        return make(recipe, image_size=size, model_options={"image_size": size})

    sizes = [size for size in reversed(SIZES) if size <= 2 * look.side]
    if "image_size" in given:
        sizes = [given["image_size"]]
    tuned = [at(size, "finetune") for size in sizes]
    if epochs := given.get("epochs"):
        yield from (_Way(config, epochs, epochs) for config in tuned)
        return
    most = int(np.clip(views // look.images[0], _FEWEST, _MOST))
    yield from (_Way(config, _FEWEST, most) for config in tuned)
    yield _Way(tuned[-1], 1, most)
    for config in (at(size, "transfer") for size in sizes):
        yield _Way(config, config.epochs, config.epochs)


def _fit_time(look, ways, speed, budget):
    """Return the config of the first way that time allows, or of the last, and its seconds."""
    for way in ways:
        first, second = (estimate(look, _with(way.config, n), speed) for n in (1, 2))
        epochs = 1 + int((budget - first) // (second - first))
        if epochs >= way.fewest:
            break
    config = _with(way.config, max(way.fewest, min(epochs, way.most)))
    return config, estimate(look, config, speed)


def _with(config, epochs):
    small = min(epochs, config.small_epochs)
    return dataclasses.replace(config, epochs=epochs, small_epochs=small)


def estimate(look: Look, config: TrainingConfig, speed: Speed) -> float:
    """Return the seconds that a training and its report take."""
    train, validation, test = look.images
    area = ((config.image_size or speed.size) / speed.size) ** 2
    predict, epochs, head = area * speed.predict, config.epochs, config.head_epochs
    frozen = config.model == "transfer" and not config.model_options.get("trainable_layers")
    if frozen and config.augment == "none":
        epochs, head = 0, epochs
    return (
        _FIXED
        + sum(look.images) * look.read_seconds
        + (train + validation) * predict * bool(head)
        + head * train * _HEAD_STEP
        + epochs * (train * area * speed.train + validation * predict)
        + (min(train, 5_000) + validation + test) * predict  # the report's
    )


def _reasons(look, config, chooses_model):
    """Return a line for each field that the data decide."""
    share = max(look.counts.values()) / sum(look.counts.values())
    reasons = {
        "fit": f"fit: {config.fit}, {_FITS[config.fit]} (--fit)",
        "class_weight": f"class weights: {config.class_weight}, the largest class has {share:.0%} "
        "of the images (--class-weight)",
        "select": f"epoch kept: the best in {config.select} (--select)",
    }
    if not chooses_model:
        return reasons
    model = config.model
    if model == "transfer":
        what = "features of " * (not config.model_options.get("trainable_layers"))
        model = f"transfer, {what}efficientnet_lite0 from ImageNet"
    if config.head_epochs:
        head = f"head epochs: {config.head_epochs} of the classifier alone (--head-epochs)"
        reasons["head_epochs"] = head
    size = f"{config.image_size} of a median of {look.width} x {look.height} pixels"
    first = {"model": f"model: {model} (--model)"}
    return first | {"image_size": f"image size: {size} (--image-size)"} | reasons
