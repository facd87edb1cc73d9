"""Optimizers, schedules and losses that a config can name: one entry each.

An entry is data: what builds it is named as `"module:name"` and loaded when a training
needs it, so that the command line lists the names without Keras. An entry may also hold
the function or class itself.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

FITS = ("crop", "pad", "stretch")
"""Ways to fit an image file into a square: see `datasets.read_image`."""

CLASS_WEIGHTS = ("none", "balanced")
"""Weights of the classes in the loss; balanced: each class counts the same in sum."""

BATCH_SIZE = 128
"""Images in a batch that the learning rates of `OPTIMIZERS` are for."""

BANDWIDTH = 50.0
"""Bytes a device sends in a second, in 10^9: a link of 400 Gbit/s, as InfiniBand NDR has."""

SELECTIONS = {"val_accuracy": "max", "val_macro_f1": "max", "val_loss": "min"}
"""What the epoch whose weights are kept is best in, and whether that is the highest or lowest."""


@dataclass(frozen=True)
class Optimizer:
    """An optimizer.

    Args:
        build: Class or function of `learning_rate` and `weight_decay` (`None` for none), and of
            what `fields` and `options` name, that returns a `keras.optimizers.Optimizer`; also of
            Keras's `global_clipnorm`, `use_ema` and `ema_momentum`, where the config asks for them.
        learning_rate: Highest learning rate where the config says none, for batches of 128.
        weight_decay: Weight decay where the config says none.
        fields: Fields of the config that are passed on, such as `"momentum"`.
        options: Further arguments.
        scaling: The power of the batch size that this learning rate grows with: 1 where a step is
            as long as the gradient ([Goyal et al., 2017](https://arxiv.org/abs/1706.02677)), 0.5
            where gradients are scaled first, as in Adam
            ([Malladi et al., 2022](https://arxiv.org/abs/2205.10287)).
    """

    build: str | Callable
    learning_rate: float
    weight_decay: float = 0.0
    fields: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    scaling: float = 0.5

    def scaled(self, learning_rate: float, batch_size: int) -> float:
        """Return a learning rate for batches of 128 as it is for this size, to four digits."""
        return float(f"{learning_rate * (batch_size / BATCH_SIZE) ** self.scaling:.4g}")


@dataclass(frozen=True)
class Schedule:
    """A schedule of the learning rate.

    Args:
        build: Function of the highest learning rate, the steps of the run and the steps of
            warm-up. It returns a number, or a `keras.optimizers.schedules.LearningRateSchedule`.
        callback: Function of an entry of `SELECTIONS`, such as `("val_loss", "min")`, that
            returns a Keras callback which changes the learning rate by it; `None` for none. Of
            what it counts with, a run that continues restores `wait`, `best` and
            `cooldown_counter`, as Keras's callbacks name them.
        fields: Fields of the config that `build` makes use of.
    """

    build: str | Callable
    callback: str | Callable | None = None
    fields: tuple[str, ...] = ("warmup",)


@dataclass(frozen=True)
class Loss:
    """A loss function of one-hot labels and probabilities.

    Args:
        build: Class or function of what `fields` and `options` name that returns a
            `keras.losses.Loss`.
        fields: Fields of the config that are passed on.
        options: Further arguments.
    """

    build: str | Callable
    fields: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)


OPTIMIZERS = {
    "sgd": Optimizer(
        "keras.optimizers:SGD", 0.2, 0.005, ("momentum",), {"nesterov": True}, scaling=1
    ),
    "adam": Optimizer("keras.optimizers:Adam", 0.001),
    "adamw": Optimizer("keras.optimizers:Adam", 0.002, 0.05),
    "rmsprop": Optimizer("keras.optimizers:RMSprop", 0.001, fields=("momentum",)),
    "muon": Optimizer("cnn_cifar10.training:Muon", 0.1, fields=("momentum",)),
}
"""sgd: with Nesterov momentum ([Sutskever et al., 2013](https://proceedings.mlr.press/v28/sutskever13.html)).
adam: [Kingma and Ba, 2014](https://arxiv.org/abs/1412.6980).
adamw: Adam with decoupled weight decay
    ([Loshchilov and Hutter, 2017](https://arxiv.org/abs/1711.05101)).
rmsprop: [Hinton, 2012](https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf).
muon: for the kernels of convolutions, see `training.Muon`.
"""

SCHEDULES = {
    "constant": Schedule("cnn_cifar10.training.schedules:constant", fields=()),
    "step": Schedule("cnn_cifar10.training.schedules:step", fields=()),
    "cosine": Schedule("cnn_cifar10.training.schedules:cosine"),
    "one_cycle": Schedule("cnn_cifar10.training.schedules:OneCycle"),
    "reduce_on_plateau": Schedule(
        "cnn_cifar10.training.schedules:constant",
        callback="cnn_cifar10.training.schedules:reduce_on_plateau",
        fields=(),
    ),
}
"""constant: the learning rate itself.
step: a tenth of it from one half of the run on, a hundredth from three quarters on.
cosine: a linear rise, then half a cosine to 0
    ([Loshchilov and Hutter, 2016](https://arxiv.org/abs/1608.03983), without restarts).
one_cycle: a linear rise, then a linear fall to 0
    ([Smith and Topin, 2017](https://arxiv.org/abs/1708.07120)).
reduce_on_plateau: a fifth of it after three epochs without progress in what `select` names.
"""

LOSSES = {
    "cross_entropy": Loss("keras.losses:CategoricalCrossentropy", ("label_smoothing",)),
    "focal": Loss(
        "keras.losses:CategoricalFocalCrossentropy", ("label_smoothing",), {"alpha": 1.0}
    ),
}
"""cross_entropy: the negative logarithm of the probability of the label.
focal: the same times (1 - probability)², so that images which the network gets right already
    count less; for data where some classes are rare
    ([Lin et al., 2017](https://arxiv.org/abs/1708.02002)).
"""
