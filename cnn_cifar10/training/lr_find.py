"""Learning-rate range test."""

import math
from dataclasses import dataclass

import keras
import numpy as np
from scipy.ndimage import gaussian_filter1d
from tqdm import tqdm

from cnn_cifar10.configs import OPTIMIZERS, TrainingConfig
from cnn_cifar10.datasets import Dataset
from cnn_cifar10.pipelines import training_batches
from cnn_cifar10.training.build import compile_model
from cnn_cifar10.training.precision import choose_precision
from cnn_cifar10.training.prepare import prepare, start_model
from cnn_cifar10.utils import InputError

_SMOOTHING = 4  # standard deviation in steps
_DIVERGED = 4  # times the lowest loss


@dataclass(frozen=True)
class RangeTest:
    """Losses of a training at rising learning rates.

    Args:
        learning_rates: Of each step.
        losses: Of each step's batch.
        smoothed: The losses, smoothed over some steps.
        suggestion: A highest learning rate for a schedule: halfway between the one at which
            the loss falls fastest and the one at which it is lowest, on a logarithmic axis.
    """

    learning_rates: list[float]
    losses: list[float]
    smoothed: list[float]
    suggestion: float


def find_learning_rate(
    config: TrainingConfig, dataset: Dataset, *, steps: int = 100, verbose: int = 1
) -> RangeTest:
    """Train a new model for some steps at learning rates that rise from one to the next.

    They rise exponentially, from a thousandth to a hundredfold of the optimizer's usual
    one, until the loss diverges. The model is thrown away.

    Args:
        config: What would be trained.
        dataset: Its data.
        steps: How many at most.
        verbose: 0 is silent.

    Raises:
        InputError: If the loss does not fall at any learning rate.

    Reference:
        [Smith, 2017](https://arxiv.org/abs/1506.01186)
    """
    model = start_model(config, dataset, choose_precision(config.precision, config.model))
    model, examples, *_ = prepare(model, config, dataset, head=True, verbose=verbose)
    usual = OPTIMIZERS[config.optimizer].learning_rate
    rates = np.geomspace(usual / 1000, usual * 100, steps)
    rise = keras.optimizers.schedules.ExponentialDecay(rates[0], steps - 1, rates[-1] / rates[0])
    compile_model(model, config, examples, rise)
    batches = training_batches(
        examples.train,
        examples.num_classes,
        batch_size=config.batch_size,
        augment=config.augment,
        seed=config.seed,
    )
    losses: list[float] = []
    bar = tqdm(rates, desc="Range test", unit="step", disable=None if verbose else True)
    for _, batch in zip(bar, batches, strict=False):
        model.reset_metrics()
        loss = float(model.train_on_batch(*batch, return_dict=True)["loss"])
        if not math.isfinite(loss) or loss > _DIVERGED * min(losses, default=loss):
            break
        losses.append(loss)
    bar.close()
    return read_range_test(rates[: len(losses)].tolist(), losses)


def read_range_test(learning_rates: list[float], losses: list[float]) -> RangeTest:
    """Return the range test that these losses are of, with its suggestion.

    Raises:
        InputError: If the loss does not fall.
    """
    smoothed = gaussian_filter1d(losses, _SMOOTHING, mode="nearest") if losses else np.zeros(1)
    lowest = int(np.argmin(smoothed))
    if lowest == 0:
        raise InputError(
            "the loss does not fall at any learning rate: look at labels and images, or try a "
            "smaller network"
        )
    steepest = int(np.argmin(np.diff(smoothed[: lowest + 1])))
    suggestion = math.sqrt(learning_rates[steepest] * learning_rates[lowest])
    return RangeTest(learning_rates, losses, smoothed.tolist(), suggestion)
