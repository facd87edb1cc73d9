"""Shared by the tests of training: an interruption."""

import keras
import pytest


class _Interrupt(keras.callbacks.Callback):
    def __init__(self, epoch, batch):
        super().__init__()
        self._at, self._epoch = (epoch, batch), 0

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self._epoch, batch) == self._at:
            raise KeyboardInterrupt


@pytest.fixture
def interruption():
    """A function to a callback that ends training as Ctrl-C does, after a batch of an epoch."""
    return _Interrupt
