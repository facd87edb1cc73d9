"""Plan of a training: what the data and the time decide, each choice with its reason."""

import dataclasses
import itertools
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import numpy as np

from cnn_cifar10.architectures import fold_normalization, head_of
from cnn_cifar10.configs import FOLDER, TrainingConfig
from cnn_cifar10.datasets import (
    DataOptions,
    Dataset,
    Split,
    find_source,
    read_image,
)
from cnn_cifar10.pipelines import training_batches
from cnn_cifar10.training.build import build_model, compile_model
from cnn_cifar10.training.limits import bytes_per_image, check_size
from cnn_cifar10.training.optimizers import build_optimizer
from cnn_cifar10.training.precision import choose_precision
from cnn_cifar10.utils import InputError

MINUTES = 10.0
"""What a training from ImageNet may take unless the command says otherwise."""

PHOTOGRAPH = 48
"""Median shorter side in pixels from which images are taken for photographs."""

SIZES = (96, 128, 160, 192, 224)
"""Sides in pixels that photographs can be trained at."""

_SAMPLE = 64  # files that are read at first
_READING, _MOST_READ = 0.3, 4096  # seconds of reading that are measured, and of so many files
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
class Look:
    """What a glance at the data shows.

    Args:
        counts: Images of each class.
        images: Images of the training, validation and test split.
        height: Median height in pixels.
        width: Median width in pixels.
        read_seconds: What it takes to read one of its files.
    """

    counts: Mapping[str, int]
    images: tuple[int, int, int]
    height: int
    width: int
    read_seconds: float = 0.0

    @property
    def side(self) -> int:
        """The shorter side in pixels."""
        return min(self.height, self.width)


@dataclass(frozen=True)
class Speed:
    """Seconds a network takes to train on and to predict an image of `size` pixels a side."""

    size: int
    train: float
    predict: float


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
    fields: dict[str, Any] = {**FOLDER} if is_folder else {}
    if given.get("use_validation"):
        fields.pop("select", None)  # no epoch is chosen
    photographs = chooses_model and min(look.side, given.get("image_size", look.side)) >= PHOTOGRAPH
    if photographs:
        views = _PATIENT if minutes else _QUICK
        ways = list(_from_imagenet(look, make, given, fields, views))
    else:
        if chooses_model and is_folder:
            fields["image_size"] = min(look.side, _OWN_SIZE)
        epochs = given.get("epochs")
        ways = [_Way(make(None, **fields), epochs or 1, epochs or _LONGEST)]
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


def _from_imagenet(look, make, given, fields, views) -> Iterator[_Way]:
    """Yield the ways to train on photographs, the best first."""

    def at(size, recipe):
        return make(recipe, **fields, image_size=size, model_options={"image_size": size})

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


def glance(config: TrainingConfig) -> Look:
    """Look at data that are image files: list them, and read some.

    Raises:
        DatasetError: If there are none, or they are laid out otherwise.
    """
    files = _list_files(config)
    some = np.unique(np.linspace(0, len(files.paths) - 1, _SAMPLE).astype(int))
    names = (files.class_names[label] for label in files.labels)
    began = time.perf_counter()
    scan = files.scan(None, config.fit, False, some)
    seconds = (time.perf_counter() - began) / len(some)
    known = scan.heights > 0
    height, width = (
        int(np.median(side[known])) if known.any() else _OWN_SIZE
        for side in (scan.heights, scan.widths)
    )
    images = Counter(dict(zip(*np.unique(files.splits, return_counts=True), strict=True)))
    tenth = images["train"] // 10
    missing = () if images["validation"] else ("validation", "test")
    for split in missing:  # which is taken from train then
        if not images[split]:
            images[split], images["train"] = tenth, images["train"] - tenth
    train = min(images["train"], config.train_images or images["train"])
    counts = (train, images["validation"], images["test"])
    return Look(Counter(names), counts, height, width, seconds)


def measure_reading(config: TrainingConfig, size: int) -> float:
    """Return the seconds of one core that reading and decoding an image file takes.

    What other programs do at the same time does not count, nor what a disk takes.

    Args:
        config: The config, of data that are image files.
        size: Height and width in pixels that they are read at.

    Raises:
        DatasetError: If there are none, or they are laid out otherwise.
        ImageError: If an image cannot be read.
    """
    files = _list_files(config)
    some = np.random.default_rng(0).permutation(len(files.paths))[:_MOST_READ]
    places, count = itertools.cycle(files.places(some)), 0
    read_image(next(places))  # loads the decoder
    began = time.process_time()
    while (seconds := time.process_time() - began) < _READING:
        read_image(next(places), (size, size), config.fit)  # in one thread, as a worker does
        count += 1
    return seconds / count


def _list_files(config):
    """Return the image files of a config's data."""
    list_files = find_source(config.dataset).list_files
    assert list_files is not None
    _, files = list_files(DataOptions(config.data_dir))
    return files


def look_at(dataset: Dataset) -> Look:
    """Return what is known of data that are loaded."""
    counts = Counter(dataset.train.labels.tolist())
    images = (len(dataset.train), len(dataset.validation), len(dataset.test))
    return Look(counts, images, *dataset.image_shape[:2])


def measure_speed(config: TrainingConfig, size: int, classes: int) -> Speed:
    """Measure some steps of a config's training, on generated images.

    Args:
        config: The config.
        size: Height and width of the images in pixels.
        classes: Number of classes.

    Raises:
        InputError: If the network cannot take images of the config's size.
    """
    check_size(config)
    dataset = _generate(2 * config.batch_size, size, classes)
    model = build_model(config, dataset, choose_precision(config.precision, config.model))
    model = fold_normalization(model)  # as in training
    compile_model(model, config, dataset)
    batches = training_batches(
        dataset.train, classes, batch_size=config.batch_size, augment=config.augment
    )

    def fit(steps):
        model.fit(batches, steps_per_epoch=steps, shuffle=False, verbose=0)

    train = _seconds(fit) / config.batch_size
    keras.utils.clear_session()
    # The way back takes two to four times as long as the way there.
    return Speed(size, train, predict=train if head_of(model) else train / 4)


def count_parameters(config: TrainingConfig, size: int, classes: int) -> int:
    """Return how many numbers of a config's network are trained.

    Args:
        config: The config.
        size: Height and width of the images in pixels.
        classes: Number of classes.
    """
    with keras.StatelessScope(initialize_variables=False):
        model = build_model(config, _generate(1, size, classes), "float32")
        return _count(model.trainable_variables)


def estimate_memory(config: TrainingConfig, size: int, classes: int, images: int) -> dict[str, int]:
    """Return the bytes that a device holds while it trains.

    Weights, gradients and the optimizer's state are counted, 4 bytes each. Activations are
    estimated: all outputs from the first trained layer on, and three of the largest.

    Args:
        config: The config.
        size: Height and width of the images in pixels.
        classes: Number of classes.
        images: Images of a batch that are on the device.

    Returns:
        A dict of `"weights"`, `"gradients"`, `"optimizer"` and `"activations"`.
    """
    config = dataclasses.replace(config, small_epochs=0)  # of images of a known size
    optimizer, kernel = build_optimizer(config, 0.1), keras.Variable(np.zeros((3, 3, 2, 2)))
    optimizer.build([kernel])
    # For each number that is trained; the step and the learning rate are few beside the kernel's.
    states = _count(optimizer.variables) // _count([kernel])
    with keras.StatelessScope(initialize_variables=False):
        model = build_model(config, _generate(1, size, classes), "float32")
        trained = 4 * _count(model.trainable_variables)
        return {
            "weights": 4 * _count(model.variables),
            "gradients": trained,
            "optimizer": states * trained,
            "activations": images * bytes_per_image(model, config),
        }


def _count(variables):
    return sum(math.prod(variable.shape) for variable in variables)


def _generate(count, size, classes):
    """Return a data set of generated images."""
    images = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), "uint8")
    split = Split(images, np.arange(count) % classes)
    names = tuple(map(str, range(classes)))
    return Dataset("generated", "generated", names, split, split, split)


def _seconds(run: Callable[[int], Any], least: float = 1.0) -> float:
    """Return the seconds of a step, of as many as take the least time; the first compiles."""
    run(1)
    steps, seconds = 1, 0.0
    while True:
        began = time.perf_counter()
        run(steps)
        seconds = time.perf_counter() - began
        if seconds >= least:
            return seconds / steps
        steps = max(2 * steps, int(steps * least / seconds))
