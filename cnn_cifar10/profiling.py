"""What a model costs: operations and time for one picture."""

import math
import statistics
import time

import keras
import numpy as np

_MULTIPLYING = (
    keras.layers.Conv2D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv2D,
    keras.layers.Dense,
)


def profile_model(model, path):
    """Return `mflops`, `megabytes` and `latency_ms` of a model.

    Args:
        model: `keras.Model` from pictures to probabilities.
        path: The file that holds it.
    """
    return {
        "mflops": count_flops(model) / 1e6,
        "megabytes": path.stat().st_size / 1e6,
        "latency_ms": measure_latency(model.predict_on_batch, model.input_shape[1:]),
    }


def count_flops(model):
    """Return the floating-point operations for one picture, a multiply-add as two.

    Convolutions and dense layers are counted; the rest is a few percent.

    Args:
        model: Functional `keras.Model` of a fixed input size; models nested in
            it count.
    """
    total = 0
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            total += count_flops(layer)
        elif isinstance(layer, _MULTIPLYING):
            positions = math.prod(layer.output.shape[1:-1])
            kernels = [weight.shape for weight in layer.weights if len(weight.shape) > 1]
            total += 2 * positions * sum(map(math.prod, kernels))
    return total


def measure_latency(predict, input_shape, rounds=30):
    """Return the median milliseconds from one picture in memory to its probabilities.

    Args:
        predict: Function from float32 pixels `(1, height, width, 3)` to probabilities.
        input_shape: `(height, width, 3)`.
        rounds: How many times to measure, after a first call that may compile.
    """
    picture = np.zeros((1, *input_shape), "float32")
    predict(picture)
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        predict(picture)
        times.append(time.perf_counter() - began)
    return 1000 * statistics.median(times)
