"""Loss functions, and weights of unequal classes."""

import logging
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from cnn_cifar10.configs import LOSSES, TrainingConfig
from cnn_cifar10.datasets import Dataset
from cnn_cifar10.utils import references

logger = logging.getLogger(__name__)


def build_loss(config: TrainingConfig) -> keras.losses.Loss:
    """Return the config's loss of one-hot labels and probabilities."""
    entry = LOSSES[config.loss]
    fields = {name: getattr(config, name) for name in entry.fields}
    return references.load(entry.build)(**fields, **entry.options)


def balanced_weights(dataset: Dataset) -> np.ndarray:
    """Return a weight for each class with which all count the same in training.

    A class has `n / (classes * count)`, of n training images of that many classes, so that the
    mean over the images is 1. A class without images has 0, which is said in a warning.
    """
    labels, names = dataset.train.labels, dataset.class_names
    counts = np.bincount(labels, minlength=len(names))
    if missing := [name for name, count in zip(names, counts, strict=True) if not count]:
        few = ", ".join(missing[:5]) + (", …" if len(missing) > 5 else "")
        logger.warning("no training images of %d classes, of weight 0: %s", len(missing), few)
    weights = len(labels) / (np.count_nonzero(counts) * np.maximum(counts, 1))
    return np.where(counts, weights, 0).astype("float32")


@keras.saving.register_keras_serializable("cnn_cifar10")
class ClassWeighted(keras.losses.Loss):
    """Another loss, each example of it times the weight of its class.

    Args:
        loss: `keras.losses.Loss` of one-hot labels, which may be mixed, and probabilities.
        weights: As many numbers as there are classes.
    """

    def __init__(self, loss: Any, weights: ArrayLike):
        self.loss, self.weights = keras.losses.get(loss), np.asarray(weights, "float32")
        super().__init__(f"class_weighted_{self.loss.name}", self.loss.reduction)

    def call(self, y_true, y_pred):
        return self.loss.call(y_true, y_pred) * ops.matmul(y_true, self.weights)

    def get_config(self):
        return {"loss": keras.losses.serialize(self.loss), "weights": self.weights.tolist()}
