"""What a training takes, measured on this machine: seconds, reading, memory."""

import dataclasses
import itertools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from cnn_cifar10.architectures import fold_normalization, head_of
from cnn_cifar10.configs import TrainingConfig
from cnn_cifar10.datasets import Dataset, Split, read_image
from cnn_cifar10.pipelines import training_batches
from cnn_cifar10.training.build import build_model, compile_model
from cnn_cifar10.training.limits import bytes_per_image, check_size
from cnn_cifar10.training.look import list_files
from cnn_cifar10.training.optimizers import build_optimizer
from cnn_cifar10.training.precision import choose_precision

_READING, _MOST_READ = 0.3, 4096  # seconds of reading that are measured, and of so many files


@dataclass(frozen=True)
class Speed:
    """Seconds a network takes to train on and to predict an image of `size` pixels a side."""

    size: int
    train: float
    predict: float


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
    files = list_files(config)
    some = np.random.default_rng(0).permutation(len(files.paths))[:_MOST_READ]
    places, count = itertools.cycle(files.places(some)), 0
    read_image(next(places))  # loads the decoder
    began = time.process_time()
    while (seconds := time.process_time() - began) < _READING:
        read_image(next(places), (size, size), config.fit)  # in one thread, as a worker does
        count += 1
    return seconds / count


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


def estimate_memory(config: TrainingConfig, size: int, classes: int, images: int) -> dict[str, int]:
    """Return the bytes that a device holds while it trains.

    Weights, gradients and the optimizer's state are counted, 4 bytes each; so a fourth of the
    gradients is how many numbers are trained. Activations are estimated: all outputs from the
    first trained layer on, and three of the largest.

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
