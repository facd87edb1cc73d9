"""Class probabilities of a split; test-time augmentation."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cnn_cifar10.datasets import Split
from cnn_cifar10.evaluation.metrics import Evaluation
from cnn_cifar10.utils import InputError

if TYPE_CHECKING:
    import keras


def evaluate_split(model: "keras.Model", split: Split, class_names: Sequence[str]) -> Evaluation:
    """Predict the class probabilities of every example of a split.

    Args:
        model: `keras.Model` from raw pixels to probabilities.
        split: `Split` of n examples.
        class_names: One name per class, in the order of labels.

    Returns:
        Their `Evaluation`, in the order of `split.labels`.

    Raises:
        InputError: If the model does not return one value per class for each image.
    """
    from cnn_cifar10.pipelines import evaluation_batch_size, evaluation_batches

    size, count = evaluation_batch_size(split.images.shape[1:]), len(class_names)
    batches = evaluation_batches(split, count, batch_size=size)
    probabilities = np.asarray(model.predict(batches, verbose=0), "float32")
    if probabilities.shape != (len(split), count):
        raise InputError(
            f"model must return one row of {count} values, one per class, for each of "
            f"{len(split)} images, received shape {probabilities.shape}"
        )
    return Evaluation(split.labels, probabilities, tuple(class_names))


def with_test_time_augmentation(model: "keras.Model") -> "keras.Model":
    """Return a model that averages the predictions of a model over six views of each image.

    Three views are the image, the image shifted by one pixel up and left, and by one pixel
    down and right; the others are their mirror images. The two unshifted views count twice.
    The mean is of logits (up to a constant), so that the result is a weighted geometric mean
    of probabilities.

    Args:
        model: `keras.Model` from raw pixels to probabilities.

    Returns:
        A `keras.Model` of the same inputs and outputs.

    Reference:
        [Jordan, 2024](https://arxiv.org/abs/2404.00498)
    """
    import keras
    from keras import ops

    image = keras.Input(model.input_shape[1:], name="pixels")
    padded = ops.pad(image, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    logits = 0.0
    for weight, view in (
        (1 / 4, image),
        (1 / 8, padded[:, 2:, 2:]),
        (1 / 8, padded[:, :-2, :-2]),
    ):
        for side in (view, ops.flip(view, axis=2)):
            logits = logits + weight * ops.log(ops.maximum(model(side), 1e-30))
    return keras.Model(image, ops.softmax(logits), name=f"{model.name}_six_views")
