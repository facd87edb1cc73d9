"""Cost of a model: floating-point operations, size, latency."""

import math
import statistics
import time
import timeit
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cnn_cifar10.utils import InputError

if TYPE_CHECKING:
    import keras


def profile_model(model: "keras.Model", path: Path) -> dict[str, float | None]:
    """Return `mflops` (`None` where they cannot be counted), `megabytes` and `latency_ms`.

    Args:
        model: `keras.Model` from images to probabilities.
        path: File that holds the model.
    """
    try:
        mflops = count_flops(model) / 1e6
    except InputError:
        mflops = None
    return {
        "mflops": mflops,
        "megabytes": path.stat().st_size / 1e6,
        "latency_ms": measure_latency(model.predict_on_batch, model.input_shape[1:]),
    }


def count_flops(model: "keras.Model") -> int:
    """Return the floating-point operations for one image; a multiply-add counts as two.

    Convolutions and dense layers are counted; other layers add a few percent. A layer
    that is called several times counts once.

    Args:
        model: Functional `keras.Model` of a fixed input size; nested models count too.

    Raises:
        InputError: If it has a layer of another kind that multiplies, such as attention.
    """
    return sum(flops for _, flops in _layer_flops(model))


def count_training_flops(model: "keras.Model") -> int:
    """Return the floating-point operations of one image in training.

    Three things take equally many operations: the output of a layer, the gradient of its
    kernel (if the layer is trained), and the gradient of its input (if a layer before it
    is trained).

    Args:
        model: As for `count_flops`.

    Raises:
        InputError: As for `count_flops`.
    """
    total, trained_before = 0, False
    for layer, flops in _layer_flops(model):
        trained = bool(layer.trainable_weights)
        total += (1 + trained + trained_before) * flops
        trained_before |= trained
    return total


def _layer_flops(model):
    """Yield the layers that multiply, in order, with their operations for one image."""
    import keras

    layers = keras.layers
    multiplying = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D, layers.Dense)
    scaling = (layers.Normalization, layers.LayerNormalization, layers.PReLU)
    for layer in model.layers:
        if isinstance(layer, keras.Sequential) or hasattr(layer, "operations"):
            yield from _layer_flops(layer)
        elif isinstance(layer, multiplying):
            positions = math.prod(layer.output.shape[1:-1])
            kernels = [weight.shape for weight in layer.weights if len(weight.shape) > 1]
            yield layer, 2 * positions * sum(map(math.prod, kernels))
        elif not isinstance(layer, scaling) and any(len(each.shape) > 1 for each in layer.weights):
            raise InputError(
                f"{model.name}: operations of {layer.name} ({type(layer).__name__}) are not counted"
            )


def measure_latency(
    predict: Callable, input_shape: tuple[int, int, int], rounds: int = 30
) -> float:
    """Return the median milliseconds from one image in memory to its probabilities.

    Args:
        predict: Function from float32 pixels `(1, height, width, 3)` to probabilities.
        input_shape: `(height, width, 3)`.
        rounds: Number of measurements, after a first call that may compile.
    """
    image = np.zeros((1, *input_shape), "float32")
    predict(image)
    times = timeit.repeat(lambda: predict(image), timer=time.perf_counter, repeat=rounds, number=1)
    return 1000 * statistics.median(times)
