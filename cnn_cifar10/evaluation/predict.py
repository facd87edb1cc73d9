"""Class probabilities of a split, with or without test-time augmentation."""

import numpy as np

from cnn_cifar10.evaluation.metrics import Evaluation
from cnn_cifar10.utils import InputError


def predict_split(model, split, num_classes, batch_size=500):
    """Predict the class probabilities of every example of a split.

    Args:
        model: `keras.Model` from raw pixels to probabilities.
        split: `Split` of n examples.
        num_classes: Number of classes.
        batch_size: Images per prediction step; changes speed and memory only.

    Returns:
        Float32 array `(n, num_classes)`, in the order of `split.labels`.

    Raises:
        InputError: If the model does not return `num_classes` values per image.
    """
    from cnn_cifar10.pipelines import evaluation_batches

    batches = evaluation_batches(split, num_classes, batch_size=batch_size)
    probabilities = np.asarray(model.predict(batches, verbose=0), "float32")
    if probabilities.shape != (len(split), num_classes):
        raise InputError(
            f"model must return one row of num_classes={num_classes} values for each of "
            f"{len(split)} images, received shape {probabilities.shape}"
        )
    return probabilities


def evaluate_split(model, split, class_names):
    """Predict a split, class names in the order of its labels, and return its `Evaluation`."""
    probabilities = predict_split(model, split, len(class_names))
    return Evaluation(split.labels, probabilities, class_names)


def with_test_time_augmentation(model):
    """Return a model that averages a model's answers over six views of each image.

    The views are the image, and the image shifted by one pixel up and left, and down
    and right, with the mirror images of the three. The unshifted two count twice.
    What is averaged are logits, up to a constant: the result is the views' weighted
    geometric mean.

    Args:
        model: `keras.Model` from raw pixels to probabilities.

    Returns:
        A `keras.Model` of the same inputs and outputs.

    Reference:
        [Jordan, 2024](https://arxiv.org/abs/2404.00498)
    """
    import keras
    from keras import ops

    height, width = model.input_shape[1:3]
    image = keras.Input(model.input_shape[1:], name="pixels")
    padded = ops.pad(image, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    logits = 0.0
    for weight, view in (
        (1 / 4, image),
        (1 / 8, padded[:, 2:, 2:]),
        (1 / 8, padded[:, :height, :width]),
    ):
        for side in (view, ops.flip(view, axis=2)):
            logits = logits + weight * ops.log(ops.maximum(model(side), 1e-30))
    return keras.Model(image, ops.softmax(logits), name=f"{model.name}_six_views")
