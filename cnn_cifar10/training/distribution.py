"""Data parallelism: the devices of a machine, and processes on several, that share each batch.

The engines are Keras's on JAX and TensorFlow's `MirroredStrategy`. A batch, the learning rate,
the order and the augmentation are the same on any number of devices; so are dropout and the
statistics of batch normalization, which are of the whole batch.
"""

import contextlib
import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras

from cnn_cifar10.utils import InputError

logger = logging.getLogger(__name__)


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
            import tensorflow as tf

            with tf.distribute.MirroredStrategy(self.names).scope():
                yield
        else:
            # Each process makes its own part of a batch.
            distribution = keras.distribution.DataParallel(
                devices=list(self.names), auto_shard_dataset=False
            )
            with distribution.scope():
                yield


def find_devices(distribute: str | int, batch: int) -> Devices:
    """Return the devices that share batches.

    Args:
        distribute: `"auto"` for all devices of a kind, `"none"` for one, or how many.
        batch: Images in a batch, of which every device takes the same number: where that
            does not come out even, `"auto"` leaves out devices.

    Raises:
        InputError: If there are not so many devices, or a batch cannot be shared evenly.
    """
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
            f"--batch-size {max(1, round(batch / distribute)) * distribute} or "
            f"--distribute {math.gcd(batch, distribute)}"
        )
    return Devices(names[:distribute])


def _is_set():
    """Return whether the program shares batches by itself."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

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
        elif type(layer) is keras.layers.Dropout:
            layer.__class__ = _WholeDropout  # of the same weights and seeds


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
