"""Learning-rate schedules."""

import keras


def build_schedule(config, total_steps):
    """Return the learning rate: a number, or a schedule over `total_steps`.

    constant and reduce_on_plateau: the rate itself. step: a tenth of it from one
    half of the run on, a hundredth from three quarters. cosine: a linear rise,
    then half a cosine to 0. one_cycle: a linear rise, then a linear fall to 0.
    """
    rate, rise = config.learning_rate, int(config.warmup * total_steps)
    if config.schedule == "step":
        return keras.optimizers.schedules.PiecewiseConstantDecay(
            [total_steps // 2, total_steps * 3 // 4], [rate, rate / 10, rate / 100]
        )
    if config.schedule == "cosine":
        return keras.optimizers.schedules.CosineDecay(
            0.0 if rise else rate,
            total_steps - rise,
            warmup_target=rate if rise else None,
            warmup_steps=rise,
        )
    if config.schedule == "one_cycle":
        return OneCycle(rate, total_steps, rise)
    return rate


@keras.saving.register_keras_serializable("cnn_cifar10")
class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """A linear rise to the highest rate and a linear fall to 0.

    Args:
        learning_rate: The highest rate.
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
