"""Loss functions."""

import keras

from cnn_cifar10.configs import LOSSES, TrainingConfig
from cnn_cifar10.utils import references


def build_loss(config: TrainingConfig) -> keras.losses.Loss:
    """Return the config's loss of one-hot labels and probabilities."""
    entry = LOSSES[config.loss]
    fields = {name: getattr(config, name) for name in entry.fields}
    return references.load(entry.build)(**fields, **entry.options)
