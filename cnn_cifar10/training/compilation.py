"""Compilation: programs that JAX keeps on disk, and the seconds that compiling takes."""

import time

import keras
import numpy as np

from cnn_cifar10.utils import cache_folder

_LARGEST = 2 * 2**30  # bytes of programs; those that were used least recently leave first


def keep_programs() -> None:
    """Keep what JAX compiles in the cache folder, for other processes to start at once.

    A folder that JAX_COMPILATION_CACHE_DIR names is left as it is. Other backends keep nothing.
    """
    if keras.backend.backend() != "jax":
        return
    import jax

    if not jax.config.values["jax_compilation_cache_dir"]:
        jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "jax"))
        jax.config.update("jax_compilation_cache_max_size", _LARGEST)


class CompileClock(keras.callbacks.Callback):
    """Measure how much longer a first step takes than the second, in training and validation.

    Args:
        epochs: Epochs, counted from 0, whose first step compiles; validation does once.

    Attributes:
        seconds: Their sum.
    """

    def __init__(self, epochs: set[int]):
        super().__init__()
        self._epochs = epochs
        self._marks: list[float] = []
        self._measured = self._validated = False
        self.seconds = 0.0

    def on_epoch_begin(self, epoch, logs=None):
        self._measured, self._marks = epoch in self._epochs, []

    def on_train_batch_begin(self, batch, logs=None):
        self._mark()

    def on_test_begin(self, logs=None):
        self._add()
        self._measured, self._validated = not self._validated, True

    def on_test_batch_begin(self, batch, logs=None):
        self._mark()

    def on_epoch_end(self, epoch, logs=None):
        self._add()

    def _mark(self):
        if self._measured and len(self._marks) < 3:
            self._marks.append(time.perf_counter())

    def _add(self):
        if self._measured and len(self._marks) > 1:
            first, *others = np.diff(self._marks)
            self.seconds += max(0.0, first - sum(others))
        self._marks = []
