"""Limits of a network: its smallest images, and the memory that a batch of them needs."""

import bisect
import math
from pathlib import Path

import keras

from cnn_cifar10.architectures import create_model, find_network, head_of
from cnn_cifar10.configs import TrainingConfig
from cnn_cifar10.datasets import find_source
from cnn_cifar10.training.features import feature_batch_size
from cnn_cifar10.training.precision import choose_precision
from cnn_cifar10.utils import InputError, gpu_names

_LARGEST = 512  # side in pixels that is tried
_MEMORY = Path("/proc/meminfo")
_CONTAINER = Path("/sys/fs/cgroup")  # of version 2


def check_size(config: TrainingConfig) -> None:
    """Raise where a network cannot take the images of a config, before they are read.

    Networks of this package are built for image files of the config's size, without their
    weights. Those that scale images themselves are built for their own `image_size`. On a
    processor the activations of one batch must fit into the memory that is free; they are
    estimated, and were a tenth to two fifths less where it was measured.

    Raises:
        InputError: If images are too small, or batches of them too large; the message says in
            pixels what works.
    """
    if ":" in config.model:
        return
    source, network = find_source(config.dataset), find_network(config.model)
    pixels = config.image_size or source.image_size
    scales = "image_size" in network.options
    size = {**network.options, **config.model_options}["image_size"] if scales else pixels
    if pixels is None or not isinstance(size, int):
        return
    own = scales and size != config.image_size
    option = "--model-options image_size=" if own else "--image-size "

    def build(side):
        options = dict(config.model_options)
        if scales:
            options["image_size"] = side
        if "weights" in network.options:
            options["weights"] = None
        given = pixels if scales else side
        with keras.StatelessScope(initialize_variables=False):
            if config.small_epochs:
                create_model(config.model, (given * 3 // 4, given * 3 // 4, 3), **options)
            return create_model(config.model, (given, given, 3), **options)

    try:
        model = build(size)
    except InputError as error:
        sizes = range(size + 1, _LARGEST + 1)
        least = bisect.bisect_left(sizes, True, key=lambda side: _works(build, side))
        if least == len(sizes):
            raise
        raise InputError(
            f"{config.model} needs images of {sizes[least]} pixels or more, image_size is {size}: "
            f"use {option}{sizes[least]}"
        ) from error
    count = config.batch_size
    with keras.StatelessScope(initialize_variables=False):
        is_frozen = config.augment == "none" and head_of(model) is not None
    if is_frozen:
        count = feature_batch_size(count, (pixels, pixels, 3))
    needed, free = count * bytes_per_image(model, config), _free_memory()
    if needed > free:
        if pixels > size:  # what is scaled down takes more than the network
            size, option = pixels, "--image-size "
        batch = int(count * free / needed)
        batch = batch and 2 ** int(math.log2(batch))
        side = int(size * math.sqrt(free / needed) / 16) * 16
        cures = [f"--batch-size {batch}"] * bool(batch) + [f"{option}{side}"] * bool(side)
        raise InputError(
            f"{config.model} needs about {needed / 1e9:.1f} GB of memory for {count} "
            f"images of {size} pixels, {free / 1e9:.1f} GB are free: use "
            f"{' or '.join(cures) or 'a smaller network'}"
        )


def _works(build, side):
    try:
        build(side)
    except InputError:
        return False
    return True


def bytes_per_image(model, config):
    """Estimate what a training step holds: all outputs from the first trained layer on, for the
    way back, and around three of the largest.
    """
    kept, largest, trained = 0, 0, False
    for layer in _layers(model):
        outputs = keras.tree.flatten(layer.output)
        size = sum(math.prod(output.shape[1:]) for output in outputs)
        trained = trained or bool(layer.trainable_weights)
        kept, largest = kept + trained * size, max(largest, size)
    size = 4 if choose_precision(config.precision, config.model) == "float32" else 2
    return size * (kept + 3 * largest)


def _layers(model):
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _layers(layer)
        else:
            yield layer


def _free_memory():
    """Return the bytes of memory that are free, infinite where they are a GPU's or unknown."""
    if gpu_names() or not _MEMORY.exists():
        return math.inf
    entries = dict(line.split(":") for line in _MEMORY.read_text(encoding="utf-8").splitlines())
    free = 1024 * int(entries["MemAvailable"].removesuffix("kB"))
    return min(free, _free_in_container())


def _free_in_container():
    """Return the bytes that a container's limit leaves free, infinite where there is none."""
    try:
        limit, used = (
            int((_CONTAINER / f"memory.{name}").read_text()) for name in ("max", "current")
        )
        lines = (_CONTAINER / "memory.stat").read_text().splitlines()
    except (OSError, ValueError):  # no container, or "max"
        return math.inf
    entries = dict(line.split() for line in lines)
    # Pages of files count as used, and are given back when memory is short.
    files = sum(int(entries.get(f"{name}_file", 0)) for name in ("active", "inactive"))
    return max(0, limit - used + files)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error of TensorFlow, JAX, PyTorch or NumPy is for want of memory."""
    kinds, message = ("ResourceExhaustedError", "OutOfMemoryError"), str(error).lower()
    words = ("resource_exhausted", "out of memory", "can't allocate memory")
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ in kinds
        or any(word in message for word in words)
    )
