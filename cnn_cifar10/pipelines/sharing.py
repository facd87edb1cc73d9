"""How many devices and processes share a batch: what Keras's distribution or TensorFlow's says."""

from typing import NamedTuple

import keras


class Sharing(NamedTuple):
    """Who shares a batch.

    Args:
        devices: How many devices, of all processes.
        process: Which of the processes this is, from 0.
        processes: How many processes.
    """

    devices: int = 1
    process: int = 0
    processes: int = 1

    def own(self, count: int) -> slice:
        """Return which of `count` rows are this process's, equally many for each."""
        share = count // self.processes
        return slice(self.process * share, (self.process + 1) * share)


def find_sharing() -> Sharing:
    """Return who shares the batches that are made now: one device, unless a scope says otherwise.

    Scopes are those of `keras.distribution` on JAX, and of `tf.distribute` on TensorFlow.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return Sharing(tf.distribute.get_strategy().num_replicas_in_sync)
    distribution = keras.distribution.distribution()
    if distribution is None:
        return Sharing()
    import jax

    processes = distribution.num_processes
    return Sharing(distribution.num_model_replicas, jax.process_index(), processes)
