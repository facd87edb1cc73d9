"""What a model costs: operations and time for one picture."""

import math
import statistics
import time

import numpy as np


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

    Convolutions and dense layers are counted; the rest is a few percent. A layer
    that is called several times counts once.

    Args:
        model: Functional `keras.Model` of a fixed input size; models nested in
            it count.
    """
    return sum(flops for _, flops in _layer_flops(model))


def count_training_flops(model):
    """Return the floating-point operations that one picture takes in training.

    A layer's output, its kernel's gradient where it is trained, and its input's
    gradient where something before it is trained, take as many operations each.

    Args:
        model: As for `count_flops`.
    """
    total, trained_before = 0, False
    for layer, flops in _layer_flops(model):
        trained = bool(layer.trainable_weights)
        total += (1 + trained + trained_before) * flops
        trained_before |= trained
    return total


def _layer_flops(model):
    """Yield the layers that multiply, in order, with their operations for one picture."""
    import keras

    kinds = ("Conv2D", "DepthwiseConv2D", "SeparableConv2D", "Dense")
    multiplying = tuple(getattr(keras.layers, kind) for kind in kinds)
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _layer_flops(layer)
        elif isinstance(layer, multiplying):
            positions = math.prod(layer.output.shape[1:-1])
            kernels = [weight.shape for weight in layer.weights if len(weight.shape) > 1]
            yield layer, 2 * positions * sum(map(math.prod, kernels))


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
