"""Shared by the tests of training: an interruption, and a short backbone."""

import keras
import pytest

from cnn_cifar10.architectures import efficientnet


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


@pytest.fixture(scope="module")
def short_lite0():
    """Makes EfficientNet-Lite0s of five blocks instead of sixteen: time goes by their number."""
    stages = [(*stage[:2], 1, *stage[3:]) for stage in efficientnet._STAGES]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(efficientnet, "_STAGES", (*stages[:4], stages[5]))
        yield
