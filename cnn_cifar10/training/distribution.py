"""Data parallelism: the devices of a machine, and processes on several, that share each batch.

The engines are Keras's on JAX and TensorFlow's `MirroredStrategy`. A batch, the learning rate,
the order and the augmentation are the same on any number of devices; so are dropout and the
statistics of batch normalization, which are of the whole batch. One of several processes reads
and writes the run, and the others take part in the computation alone.
"""

import contextlib
import functools
import json
import logging
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from cnn_cifar10.configs import PROCESS_COUNTS
from cnn_cifar10.utils import InputError, first_line

logger = logging.getLogger(__name__)

_COUNT, _TASKS, _CLUSTER = PROCESS_COUNTS
_ADDRESSES, _INDEX = (f"KERAS_DISTRIBUTION_{name}" for name in ("JOB_ADDRESSES", "PROCESS_ID"))
_SILENCE = 30  # seconds without a sign of life after which a process counts as lost
_MULTI_WORKER = (
    "several processes need KERAS_BACKEND=jax, since TensorFlow's MultiWorkerMirroredStrategy does "
    "not work with Keras 3; on one machine, TensorFlow shares batches among all of its GPUs"
)


@dataclass(frozen=True)
class Process:
    """One of the processes of a training.

    Args:
        index: Which one, from 0. The first one writes.
        count: How many there are.
    """

    index: int = 0
    count: int = 1

    def share(self, files: Mapping[str, bytes]) -> dict[str, bytes]:
        """Return the files of the first process, by name, in all of them."""
        if self.count == 1:
            return dict(files)
        sizes = json.dumps({name: len(data) for name, data in files.items()}).encode()
        sizes = json.loads(self._send(sizes, int(self._send_number(len(sizes)))))
        return {name: self._send(files.get(name, b""), size) for name, size in sizes.items()}

    def _send_number(self, number):
        from jax.experimental import multihost_utils

        return multihost_utils.broadcast_one_to_all(np.int32(number))

    def _send(self, data, size):
        from jax.experimental import multihost_utils

        array = np.frombuffer(data, "uint8") if self.index == 0 else np.zeros(size, "uint8")
        return np.asarray(multihost_utils.broadcast_one_to_all(array)).tobytes()


_joined = Process()


@contextlib.contextmanager
def join_processes() -> Iterator[Process]:
    """Join the other processes of a training for a block, if the environment says there are some.

    It does so by the variables of `keras.distribution.initialize`, or as a step of SLURM that has
    several tasks. In a block of the same process it changes nothing. A process that is lost ends
    the others within a minute.

    Raises:
        InputError: If the backend cannot do so, a variable is missing, or a process was lost.
    """
    global _joined
    count = _read_variable(_COUNT) or _read_variable(_TASKS) or 1
    if _joined.count > 1 or (count == 1 and _workers_of_tensorflow() < 2):
        yield _joined
        return
    if keras.backend.backend() != "jax":
        raise InputError(_MULTI_WORKER)
    import jax

    _joined = _join(jax)
    try:
        yield _joined
        if jax.distributed.is_initialized():
            jax.distributed.shutdown()  # waits for all
    except jax.errors.JaxRuntimeError as error:
        raise InputError(
            f"process {_joined.index} of {_joined.count}: another one was lost "
            f"({first_line(error)}); the same command goes on from the last state"
        ) from error
    finally:
        _joined = Process()


def _read_variable(name):
    if not (text := os.environ.get(name)):
        return None
    if not text.isdecimal():
        raise InputError(f"{name} must be a number of processes or of one, received {text!r}")
    return int(text)


def _workers_of_tensorflow():
    text = os.environ.get(_CLUSTER) or "{}"
    try:
        return len(json.loads(text).get("cluster", {}).get("worker", ()))
    except (ValueError, AttributeError) as error:
        fault = f"{_CLUSTER} must describe a cluster in JSON, received {text!r}"
        raise InputError(fault) from error


def _join(jax):
    address, count, index = (
        os.environ.get(_ADDRESSES),
        _read_variable(_COUNT),
        _read_variable(_INDEX),
    )
    given = {_ADDRESSES: address, _COUNT: count, _INDEX: index}
    if count and (not address or index is None):
        missing = next(name for name, value in given.items() if value in (None, ""))
        raise InputError(f"{missing} is not set; several processes need {', '.join(given)}")
    try:
        # As `keras.distribution.initialize` does it, but for the seconds.
        jax.distributed.initialize(
            address and address.partition(",")[0],
            count,
            index,
            heartbeat_timeout_seconds=_SILENCE,
            shutdown_timeout_seconds=_SILENCE,
        )
    except (RuntimeError, ValueError) as error:
        raise InputError(f"the processes do not come together: {first_line(error)}") from error
    return Process(jax.process_index(), jax.process_count())


@dataclass(frozen=True)
class Devices:
    """Devices that share each batch.

    Args:
        names: As the backend names them.
    """

    names: tuple[str, ...]

    @contextlib.contextmanager
    def scope(self) -> Iterator[None]:
        """Put what is built in a block on all devices, and share the batches that are made."""
        if len(self.names) == 1:
            yield
        elif keras.backend.backend() == "tensorflow":
            with _mirrored(self.names).scope():
                yield
        else:
            # Each process makes its own part of a batch.
            distribution = keras.distribution.DataParallel(
                devices=list(self.names), auto_shard_dataset=False
            )
            with distribution.scope():
                yield


@functools.cache  # a second strategy of one process would take the first one's keys for its sums
def _mirrored(names):
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(names)


def find_devices(distribute: str | int, batch: int) -> Devices:
    """Return the devices that share batches.

    Args:
        distribute: `"auto"` for all devices of a kind, `"none"` for one, or how many.
        batch: Images in a batch, of which every device takes the same number: where that
            does not come out even, `"auto"` leaves out devices.

    Raises:
        InputError: If there are not so many devices, or a batch cannot be shared evenly.
    """
    if _joined.count > 1:
        if distribute != "auto":
            raise InputError("--distribute: several processes use all of their devices; leave it")
        names = _names()
        if batch % len(names):
            raise InputError(
                f"batches of {batch} images are not shared evenly by {len(names)} devices of "
                f"{_joined.count} processes; use --batch-size {_near(batch, len(names))}"
            )
        return Devices(names)
    if isinstance(distribute, str):
        if distribute == "none" or _is_set():
            return Devices(_names()[:1])
        names = _names()
        count = max(n for n in range(1, len(names) + 1) if batch % n == 0)
        if count < len(names):
            logger.warning(
                "batches of %d images are not shared evenly by %d devices: %d are used; choose "
                "another --batch-size",
                *(batch, len(names), count),
            )
        return Devices(names[:count])
    names = _names()
    if not 1 <= distribute <= len(names):
        raise InputError(
            f"--distribute {distribute}: Keras on {keras.backend.backend()} has {len(names)} "
            f"device{'s' if len(names) > 1 else ''} here ({', '.join(names)})"
        )
    if batch % distribute:
        raise InputError(
            f"--distribute {distribute}: batches of {batch} images are not shared evenly; use "
            f"--batch-size {_near(batch, distribute)} or "
            f"--distribute {math.gcd(batch, distribute)}"
        )
    return Devices(names[:distribute])


def _near(batch, count):
    return max(1, round(batch / count)) * count


def _is_set():
    """Return whether the program shares batches by itself."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if isinstance(tf.distribute.get_strategy(), tf.distribute.MultiWorkerMirroredStrategy):
            raise InputError(_MULTI_WORKER)
        return tf.distribute.has_strategy()
    return keras.distribution.distribution() is not None


def _names():
    backend = keras.backend.backend()
    if backend == "jax":
        return tuple(keras.distribution.list_devices())
    if backend == "torch":
        return ("its one",)
    import tensorflow as tf

    found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tuple(f"{device.device_type}:{device.name.rpartition(':')[2]}" for device in found)


def see_whole_batches(model: keras.Model) -> None:
    """Let layers of TensorFlow's replicas see whole batches, as they do on one device.

    Batch normalization computes statistics, and dropout draws, for all of them. On JAX all layers
    do so anyway. Other layers that draw random numbers, those of your own, draw the same ones on
    each device.

    Args:
        model: `keras.Model` that was built in the scope of its devices.
    """
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf

    if tf.distribute.get_strategy().num_replicas_in_sync == 1:
        return
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True
            axes = layer._reduction_axes
            layer._moments = functools.partial(_whole_moments, layer._moments, axes)
        elif type(layer) is keras.layers.Dropout:
            layer.__class__ = _WholeDropout  # of the same weights and seeds


def _whole_moments(of_keras, axes, inputs, mask):
    """Return mean and variance of a whole batch, the variance by its deviations.

    Keras takes E(x^2) - E(x)^2 there, which has fewer right digits than that of one device.
    """
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    if context is None or mask is not None:
        return of_keras(inputs, mask)

    def whole_mean(values):
        return context.all_reduce(tf.distribute.ReduceOp.MEAN, tf.reduce_mean(values, axes, True))

    mean = whole_mean(inputs)
    variance = whole_mean(tf.math.squared_difference(inputs, mean))
    return tf.squeeze(mean, axes), tf.squeeze(variance, axes)


class _WholeDropout(keras.layers.Dropout):
    """Dropout that draws for a whole batch, and applies what belongs to a replica's part."""

    def call(self, inputs: Any, training: bool = False) -> Any:
        import tensorflow as tf

        context = tf.distribute.get_replica_context()
        if not training or context is None or context.num_replicas_in_sync == 1:
            return super().call(inputs, training=training)
        count = tf.shape(inputs)[0]
        whole = tf.concat([[count * context.num_replicas_in_sync], tf.shape(inputs)[1:]], 0)
        mask = super().call(tf.ones(whole, inputs.dtype), training=True)
        first = count * context.replica_id_in_sync_group
        return inputs * mask[first : first + count]
