"""Batches for training and evaluation, prepared while the model works.

What makes up training step `s`, its examples and their augmentation, is a pure
function of the seed and `s`. The same steps come out of tf.data, which feeds the
TensorFlow backend, and of a `keras.utils.PyDataset`, which feeds the others; and
a run that stopped can continue at any step. Several devices share each batch, and
several processes read their own part of it, as `find_sharing` says.
"""

import atexit
import functools
import math
import os
import threading
import time
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from cnn_cifar10.datasets import Split
from cnn_cifar10.pipelines.augmentation import Policy, get_policy
from cnn_cifar10.pipelines.sharing import find_sharing


def training_batches(
    split: Split,
    num_classes: int,
    *,
    batch_size: int,
    augment: str | Policy = "none",
    seed: int = 0,
    first_step: int = 0,
    small_epochs: int = 0,
) -> Any:
    """Stream augmented batches without end, in a new order every epoch.

    An epoch is `len(split) // batch_size` steps; the few examples left over are
    others in every epoch. Pass that number to `fit` as `steps_per_epoch`.

    Args:
        split: `Split` to train on.
        num_classes: Number of classes.
        batch_size: Examples per batch; a smaller split is one batch.
        augment: Policy, or its name for `get_policy`.
        seed: Integer; decides order and augmentation.
        first_step: Step to start at, counted from the first epoch's first.
        small_epochs: Epochs, the first ones, whose images are scaled to three
            quarters of their sides.

    Returns:
        What `keras.Model.fit` takes: a `tf.data.Dataset` on the TensorFlow
        backend, elsewhere a `keras.utils.PyDataset`. Batches are pairs of images
        `(batch_size, height, width, 3)`, uint8 (float32 after mixup) in 0 to 255,
        and one-hot labels `(batch_size, num_classes)`, float32. One of several processes
        gets its part of each batch.

    Example:
        >>> batches = training_batches(digits.train, 10, batch_size=128, augment="crop")
        >>> model.fit(batches, epochs=5, steps_per_epoch=9, shuffle=False)
    """
    steps = TrainingSteps(split, num_classes, batch_size, augment, seed, small_epochs)
    if keras.backend.backend() == "tensorflow":
        return _training_dataset(steps, first_step)
    return _training_sequence(steps, first_step)


def evaluation_batches(split: Split, num_classes: int, *, batch_size: int) -> Any:
    """Stream every example once, in order and unchanged.

    Args:
        split: `Split` to read.
        num_classes: Number of classes.
        batch_size: Examples per batch; the last batch holds the rest.

    Returns:
        As `training_batches`, with an end; images are uint8. Where several devices cannot share
        the last batch evenly, it is filled up with black images, and a third array of each batch
        has the weights of its images `(batch_size,)`, with which losses and metrics are as
        without black ones.
    """
    sharing, count = find_sharing(), len(split)
    filled, size = (_up(each, sharing.devices) for each in (count, batch_size))
    starts = range(0, count, size)

    def read(start):
        rows = np.arange(start, min(start + size, filled))
        rows = rows[sharing.own(len(rows))]
        is_real = rows < count
        arrays = _load(split, num_classes, rows[is_real])
        if filled == count:
            return arrays
        images, labels = (
            np.concatenate([real, np.zeros((np.sum(~is_real), *real.shape[1:]), real.dtype)])
            for real in arrays
        )
        # Losses are means over black images too.
        return images, labels, np.float32(filled / count) * is_real

    if keras.backend.backend() == "tensorflow":
        example = _load(split, num_classes, np.arange(1))
        if filled > count:
            example = (*example, np.ones(1, "float32"))
        return _evaluation_dataset(read, starts, example)
    return _Sequence(lambda index: read(starts[index]), len(starts))


def evaluation_batch_size(image_shape: tuple[int, ...]) -> int:
    """Return how many images are evaluated at once, so that these need little memory.

    Args:
        image_shape: `(height, width, channels)` in pixels; of features, `(channels,)`.

    Returns:
        1 to 1,024 images, of 524,288 pixels in all where that is more than one.
    """
    return max(1, min(1024, 2**19 // math.prod(image_shape[:-1])))


def _up(number, step):
    """Return the multiple of `step` that is nearest above."""
    return -(-number // step) * step


def steps_per_epoch(split: Split, batch_size: int) -> int:
    """Return the number of training steps in an epoch."""
    return max(1, len(split) // batch_size)


@dataclass(frozen=True)
class TrainingSteps:
    """What makes up each training step; arguments as for `training_batches`."""

    split: Split
    num_classes: int
    batch_size: int
    augment: str | Policy = "none"
    seed: int = 0
    small_epochs: int = 0

    def __post_init__(self):
        object.__setattr__(self, "policy", get_policy(self.augment))

    def plan(self, step):
        """Return which examples a step reads, `(batch_size,)`, and the augmentation's draws."""
        epoch, position = divmod(step, steps_per_epoch(self.split, self.batch_size))
        size = min(self.batch_size, len(self.split))
        chosen = _epoch_order(len(self.split), self.seed, epoch)[position * size :][:size]
        rng = np.random.default_rng((self.seed, epoch, position))
        return chosen, self.policy.draw_for(rng, chosen, epoch, self.split.images.shape[1:])

    def load(self, step, rows=slice(None)):
        """Return images, labels and the augmentation's draws of a step, as NumPy arrays."""
        chosen, draws = keras.tree.map_structure(lambda array: array[rows], self.plan(step))
        return *_load(self.split, self.num_classes, chosen), draws

    @property
    def small_steps(self):
        """The number of steps, the first ones, whose images are small."""
        return self.small_epochs * steps_per_epoch(self.split, self.batch_size)

    def transform(self, images, labels, draws, small):
        """Augment a batch, then make its images small or not."""
        images, labels = self.policy.transform(images, labels, draws)
        return (_shrink(images) if small else images), labels


@functools.lru_cache(maxsize=4)
def _epoch_order(count, seed, epoch):
    return np.random.default_rng((seed, epoch)).permutation(count)


def _shrink(images):
    """Scale images to three quarters of their sides; each pixel is a mean."""
    height, width = images.shape[1:3]
    small = keras.ops.image.resize(
        images, (height * 3 // 4, width * 3 // 4), antialias=True, data_format="channels_last"
    )
    return keras.ops.cast(keras.ops.round(small), images.dtype)


def _load(split, num_classes, chosen):
    labels = np.zeros((len(chosen), num_classes), "float32")
    labels[np.arange(len(chosen)), split.labels[chosen]] = 1
    return split.images[chosen], labels


def _training_dataset(steps, first_step):
    import tensorflow as tf

    example = steps.load(first_step)
    specs = tf.nest.map_structure(lambda array: tf.TensorSpec(array.shape, array.dtype), example)

    def load(step):
        return _call(lambda s: steps.load(int(s)), step, specs)

    def read(first, last, small):
        transform = functools.partial(steps.transform, small=small)
        return _read_ahead(tf.data.Dataset.range(first, last), load, transform)

    dataset = read(max(first_step, steps.small_steps), np.iinfo("int64").max, small=False)
    if first_step < steps.small_steps:
        return read(first_step, steps.small_steps, small=True).concatenate(dataset)
    return dataset


def _evaluation_dataset(read, starts, example):
    import tensorflow as tf

    specs = tuple(tf.TensorSpec((None, *array.shape[1:]), array.dtype) for array in example)
    dataset = tf.data.Dataset.range(starts.start, starts.stop, starts.step)
    return _read_ahead(dataset, lambda start: _call(lambda s: read(int(s)), start, specs))


def _read_ahead(dataset, *functions):
    """Map functions over a tf.data dataset in parallel, a few batches ahead."""
    import tensorflow as tf

    for function in functions:
        dataset = dataset.map(function, num_parallel_calls=os.cpu_count())
    options = tf.data.Options()
    # Its thread sleeps twice as long each time, up to a minute, and whoever ends
    # the iteration waits for it to wake.
    options.autotune.enabled = False
    return dataset.prefetch(4).with_options(options)


def _call(function, argument, specs):
    """Call a Python function from a tf.data graph; it returns arrays of these specs."""
    import tensorflow as tf

    flat_specs = tf.nest.flatten(specs)

    def call(value):
        with _calls:
            if _calls.refused:
                shapes = [[size or 0 for size in spec.shape] for spec in flat_specs]
                types = [spec.dtype.as_numpy_dtype for spec in flat_specs]
                return list(map(np.zeros, shapes, types))
            return tf.nest.flatten(function(value))

    arrays = tf.numpy_function(call, [argument], [spec.dtype for spec in flat_specs])
    for array, spec in zip(arrays, flat_specs, strict=True):
        array.set_shape(spec.shape)
    return tf.nest.pack_sequence_as(specs, arrays)


class _Calls:
    """Calls of Python by tf.data's threads: how many there were, and how many go on."""

    def __init__(self):
        self._lock = threading.Lock()
        self._begun = self._going_on = 0
        self.refused = False

    def __enter__(self):
        with self._lock:
            self._begun += 1
            self._going_on += 1

    def __exit__(self, *_):
        with self._lock:
            self._going_on -= 1

    def end(self):
        """Refuse further calls, and wait until none has come for a while."""
        self.refused = True
        seen = None
        while self._going_on or seen != self._begun:
            seen = self._begun
            time.sleep(0.02)


# tf.data reads ahead. A thread of its that asks for the interpreter while that
# shuts down never gets it, and the process waits for the thread for ever; so the
# reading ahead ends before.
_calls = _Calls()
atexit.register(_calls.end)


def _training_sequence(steps, first_step):
    sharing = find_sharing()
    own = sharing.own(min(steps.batch_size, len(steps.split)))
    # Images that are mixed with others of the batch need them all.
    before, after = (slice(None), own) if steps.policy.mixes_images else (own, slice(None))

    def load(index):
        step = first_step + index
        arrays = steps.load(step, before)
        tensors = keras.tree.map_structure(keras.ops.convert_to_tensor, arrays)
        images, labels = steps.transform(*tensors, small=step < steps.small_steps)
        return images[after], labels[after]

    return _Sequence(load, None)


class _Sequence(keras.utils.PyDataset):
    def __init__(self, load, num_batches):
        super().__init__(workers=2, max_queue_size=4)
        self._load = load
        self._num_batches = num_batches

    @property
    def num_batches(self):
        return self._num_batches

    def __getitem__(self, index):
        return self._load(index)
