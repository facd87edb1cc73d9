"""Moving average of the weights (Polyak averaging), for validation and for what is kept."""

import math
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np
from keras import layers

from cnn_cifar10.datasets import Split

_IMAGES = 2_000  # of 32x32 pixels, for the statistics of normalization


class AveragedWeights(keras.callbacks.Callback):
    """Validate the average of the weights that the optimizer keeps, and train on without it.

    The statistics of batch normalization are of what the weights in training give, and do not fit
    averaged weights. So they are computed anew from training images, as in stochastic weight
    averaging, for validation and for what is kept. Training goes on with its own.

    Args:
        split: `Split` that is trained on.
        batch_size: Images at once.

    Attributes:
        kept: `model.get_weights()` as validation saw them in the last epoch.

    Reference:
        [Polyak and Juditsky, 1992](https://doi.org/10.1137/0330046);
        [Izmailov et al., 2018](https://arxiv.org/abs/1803.05407)
    """

    def __init__(self, split: Split, batch_size: int):
        super().__init__()
        self._split, self._batch_size = split, batch_size
        self._own: list[np.ndarray] = []
        self.kept: list[np.ndarray] = []

    def on_train_begin(self, logs=None):
        self._own, self.kept = copies_of(self.model.variables), []

    def on_epoch_begin(self, epoch, logs=None):
        self.kept = []

    def on_test_begin(self, logs=None):
        self._average()

    def on_test_end(self, logs=None):
        self._put_back()

    def on_epoch_end(self, epoch, logs=None):
        if not self.kept:  # nothing was validated
            self._average()
            self._put_back()

    def on_train_end(self, logs=None):
        self._put_back()  # Keras's `fit` leaves the average in the model

    def _average(self):
        """Put the average into the model, with statistics that fit it."""
        model, self._own = self.model, copies_of(self.model.variables)
        model.optimizer.finalize_variable_values(model.trainable_variables)
        # A backend may give the memory of one variable to another, here of the optimizer's averages
        # to the weights: so these are set again, from copies.
        model.set_weights(copies_of(model.weights))
        if normalizations := list(_normalizations(model)):
            self._renew_statistics(normalizations)
        self.kept = copies_of(model.weights)

    def _renew_statistics(self, normalizations):
        momentums = [layer.momentum for layer in normalizations]
        for step, images in enumerate(self._batches()):
            for layer in normalizations:
                layer.momentum = step / (step + 1)  # the mean over all batches
            self.model(images, training=True)
        for layer, momentum in zip(normalizations, momentums, strict=True):
            layer.momentum = momentum

    def _batches(self):
        """Yield batches of images that are evenly spaced, since folders are listed by class."""
        images, size = self._split.images, self._batch_size
        pixels = math.prod(images.shape[1:-1])
        count = min(len(images), max(size, _IMAGES * 32**2 // pixels))
        chosen = np.linspace(0, len(images) - 1, count).astype(int)
        for first in range(0, count - count % size or 1, size):
            batch = np.asarray(images[chosen[first : first + size]], "float32")
            yield keras.ops.convert_to_tensor(batch)

    def _put_back(self):
        for variable, array in zip(self.model.variables, self._own, strict=True):
            variable.assign(array)


def _normalizations(model) -> Iterator[layers.BatchNormalization]:
    """Yield the batch normalizations that are trained, those inside of layers too."""
    for layer in model._flatten_layers():
        if isinstance(layer, layers.BatchNormalization) and layer.trainable:
            yield layer


def copies_of(variables: Iterable[Any]) -> list[np.ndarray]:
    """Return the values of variables in memory of their own, which no backend writes to."""
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]
