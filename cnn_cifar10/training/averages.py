"""Moving average of the weights (Polyak averaging), for validation and for what is kept."""

import keras
import numpy as np


class AveragedWeights(keras.callbacks.Callback):
    """Validate the average of the weights that the optimizer keeps, and train on without it.

    Statistics of batch normalization are not averaged: they are moving averages already, of what
    the weights in training give. At a high learning rate they fit the averaged weights less well,
    and validation may be worse than it would be; at the end of a schedule that falls to 0, both
    agree.

    Reference:
        [Polyak and Juditsky, 1992](https://doi.org/10.1137/0330046)
    """

    def on_train_begin(self, logs=None):
        self._own = _copies(self.model.trainable_variables)

    def on_test_begin(self, logs=None):
        self._own = _copies(self.model.trainable_variables)
        self.model.set_weights(kept_weights(self.model))

    def on_test_end(self, logs=None):
        self._put_back()

    def on_epoch_end(self, epoch, logs=None):
        self._own = _copies(self.model.trainable_variables)

    def on_train_end(self, logs=None):
        self._put_back()  # Keras's `fit` leaves the average in the model

    def _put_back(self):
        for variable, array in zip(self.model.trainable_variables, self._own, strict=True):
            variable.assign(array)


def kept_weights(model: keras.Model) -> list[np.ndarray]:
    """Return `model.get_weights()`, with the averages of the optimizer where it keeps them."""
    optimizer, trained = model.optimizer, model.trainable_variables
    if not getattr(optimizer, "inner_optimizer", optimizer).use_ema:
        return model.get_weights()
    own = _copies(trained)
    optimizer.finalize_variable_values(trained)
    kept = _copies(model.weights)
    for variable, array in zip(trained, own, strict=True):
        variable.assign(array)
    return kept


def _copies(variables):
    # Copies, since a backend may give the memory of one variable to another.
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]
