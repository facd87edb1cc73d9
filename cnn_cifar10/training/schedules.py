"""Learning-rate schedules."""

from typing import Any

import keras

from cnn_cifar10.configs import SCHEDULES, TrainingConfig
from cnn_cifar10.utils import references


def build_schedule(config: TrainingConfig, total_steps: int) -> Any:
    """Return the learning rate of a run: a number, or a schedule over its steps."""
    build = references.load(SCHEDULES[config.schedule].build)
    return build(config.learning_rate, total_steps, int(config.warmup * total_steps))


def constant(learning_rate: float, total_steps: int, warmup_steps: int) -> Any:
    """Return the learning rate itself."""
    return learning_rate


def step(learning_rate: float, total_steps: int, warmup_steps: int) -> Any:
    """Return a tenth of it from one half of the run on, a hundredth from three quarters on."""
    return keras.optimizers.schedules.PiecewiseConstantDecay(
        [total_steps // 2, total_steps * 3 // 4],
        [learning_rate, learning_rate / 10, learning_rate / 100],
    )


def cosine(learning_rate: float, total_steps: int, warmup_steps: int) -> Any:
    """Return a linear rise, then half a cosine to 0."""
    return keras.optimizers.schedules.CosineDecay(
        0.0 if warmup_steps else learning_rate,
        total_steps - warmup_steps,
        warmup_target=learning_rate if warmup_steps else None,
        warmup_steps=warmup_steps,
    )


def reduce_on_plateau(monitor: str, mode: str) -> keras.callbacks.Callback:
    """Return a callback: a fifth of it after three epochs without progress in `monitor`."""
    return keras.callbacks.ReduceLROnPlateau(monitor, factor=0.2, patience=3, mode=mode)


@keras.saving.register_keras_serializable("cnn_cifar10")
class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """A linear rise to the highest learning rate and a linear fall to 0.

    Args:
        learning_rate: The highest learning rate.
        total_steps: Steps until 0 is reached.
        warmup_steps: Steps of the rise.

    Reference:
        [Smith and Topin, 2017](https://arxiv.org/abs/1708.07120), without their
        second, slower fall.
    """

    def __init__(self, learning_rate, total_steps, warmup_steps):
        self.learning_rate = learning_rate
        self.total_steps = total_steps
        self.warmup_steps = warmup_steps

    def __call__(self, step):
        step = keras.ops.cast(step, "float32")
        rise = (step + 1) / (self.warmup_steps + 1)
        fall = (self.total_steps - step) / max(1, self.total_steps - self.warmup_steps)
        return self.learning_rate * keras.ops.maximum(keras.ops.minimum(rise, fall), 0.0)

    def get_config(self):
        return {
            "learning_rate": self.learning_rate,
            "total_steps": self.total_steps,
            "warmup_steps": self.warmup_steps,
        }
