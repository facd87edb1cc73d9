"""Grad-CAM, class activation mapping."""

from typing import TYPE_CHECKING

import numpy as np

from cnn_cifar10.architectures import functional, main_model
from cnn_cifar10.utils import InputError

if TYPE_CHECKING:
    import keras


def grad_cam(
    model: "keras.Model", images: np.ndarray, classes: np.ndarray | None = None
) -> np.ndarray:
    """Return heatmaps of the parts of images that support a class, by Grad-CAM.

    A heatmap is a sum over the channels of the last feature map before pooling. Each channel
    is weighted by the mean gradient of the logit of the class, and negative values become 0.
    The feature map may be inside a nested backbone.

    Args:
        model: Functional `keras.Model` from raw pixels to probabilities, as every
            model of this package.
        images: Array `(n, height, width, 3)`, RGB in [0, 255], of the model's size.
            They are one batch.
        classes: One class per image, integers `(n,)`; `None` takes the predicted classes.

    Returns:
        float32 array `(n, height, width)` in [0, 1]. The highest value of each image is 1, or
        all are 0 where nothing supports the class.

    Raises:
        InputError: If the model does not end in a softmax, or has no feature map on which
            its whole output depends.

    Reference:
        [Selvaraju et al., 2016](https://arxiv.org/abs/1610.02391)

    Example:
        >>> maps = grad_cam(run.load_model(), dataset.test.images[:8])
        >>> plot_grad_cam(dataset.test.images[:8], maps)
    """
    from keras import ops

    featurizer, *heads = _split(_without_softmax(main_model(model)))
    if not heads:
        raise InputError(f"{model.name} has no feature map that it pools")

    def logits(features):
        for head in heads:
            features = head(features, training=False)
        return features

    features = featurizer(np.asarray(images, "float32"), training=False)
    classes = ops.argmax(logits(features), axis=-1) if classes is None else classes
    classes = ops.cast(classes, "int32")[:, None]

    def score(features):
        return ops.sum(ops.take_along_axis(logits(features), classes, axis=1))

    gradients = _gradient(score, features)
    weights = ops.mean(gradients, axis=(1, 2), keepdims=True)
    maps = ops.cast(ops.sum(weights * features, axis=-1, keepdims=True), "float32")
    maps = ops.image.resize(ops.relu(maps), images.shape[1:3])[..., 0]
    maps = ops.convert_to_numpy(maps)
    return maps / np.maximum(maps.max(axis=(1, 2), keepdims=True), np.finfo("float32").tiny)


def with_class_activation(model: "keras.Model") -> "keras.Model":
    """Return a model that also returns class activation maps and embeddings, where it has them.

    The maps are what `grad_cam` returns, without a gradient. They need a model in which one
    dense layer follows the mean of the last feature map. The gradient of a logit is then the
    same everywhere in the map, and the weights of the channels are those of the dense layer.
    An embedding is what the dense layer at the end takes.

    Args:
        model: As for `grad_cam`.

    Returns:
        `keras.Model` from pixels to a dict: `probabilities` `(n, classes)`; if the model ends in
        a dense layer, `embedding` `(n, d)`; and if it ends as above and its feature map has
        more than one position, `class_activation` `(n, height, width, classes)`, positive where
        the feature map supports the class.

    Reference:
        [Zhou et al., 2015](https://arxiv.org/abs/1512.04150)
    """
    import keras

    model = main_model(model)
    try:
        featurizer, *heads = _split(_without_softmax(model))
    except InputError:
        heads = []
    passed = (keras.layers.InputLayer, keras.layers.Dropout)
    head = [layer for part in heads for layer in part.layers if not isinstance(layer, passed)]
    kinds = [type(layer) for layer in head]
    if (
        kinds != [keras.layers.GlobalAveragePooling2D, keras.layers.Dense]
        or (dense := head[-1]).activation is not keras.activations.linear
        or featurizer.output.shape[1:3] == (1, 1)
    ):
        return keras.Model(model.input, {"probabilities": model.output, **_embedding(model)})
    logits = features = featurizer.output
    for part in heads:
        logits = part(logits)
    weighted = keras.layers.Conv2D(dense.units, 1, use_bias=False, dtype="float32")
    outputs = {
        "probabilities": keras.layers.Softmax(dtype="float32")(logits),
        "embedding": head[0](features),
        "class_activation": weighted(features),
    }
    weighted.set_weights([dense.get_weights()[0][None, None]])
    return keras.Model(featurizer.input, outputs)


def _embedding(model):
    """Return a dict of what the dense layer takes on which alone a model's output depends."""
    import keras

    last = next((layer for layer in reversed(model.layers) if layer.weights), None)
    if not isinstance(last, keras.layers.Dense) or len(last.input.shape) != 2:
        return {}
    try:
        _rest(last.input, model)
    except InputError:
        return {}
    return {"embedding": last.input}


def _without_softmax(model):
    import keras

    last = model.layers[-1]
    if isinstance(last, keras.layers.Softmax):
        return keras.Model(model.input, last.input)
    if getattr(last, "activation", None) is not keras.activations.softmax:
        raise InputError(f"{model.name} must end in a softmax, not in {last.name}")
    if not last.weights:
        return keras.Model(model.input, last.input)
    linear = type(last).from_config({**last.get_config(), "activation": "linear"})
    logits = linear(last.input)
    linear.set_weights(last.get_weights())
    return keras.Model(model.input, logits)


def _split(model):
    """Return models to call in turn, the first of which ends at the last feature map."""
    import keras

    model = functional(model) if isinstance(model, keras.Sequential) else model
    if not hasattr(model, "operations"):
        return [model]
    for operation in reversed(model.operations):
        # `input` and `output` of a nested model are the tensors inside it.
        inputs, outputs = (
            getattr(keras.Operation, end).fget(operation) for end in ("input", "output")
        )
        if len(outputs.shape) == 4:
            stages = [keras.Model(model.input, outputs)]
        elif isinstance(operation, keras.Model) and len(inner := _split(operation)) > 1:
            stages = [keras.Model(model.input, inner[0](inputs)), *inner[1:]]
        else:
            continue
        return stages if outputs is model.output else [*stages, _rest(outputs, model)]
    return [model]


def _rest(features, model):
    import keras

    try:
        return keras.Model(features, model.output)
    except ValueError as error:
        raise InputError(
            f"{model.name}: its output does not depend on one feature map alone"
        ) from error


def _gradient(function, inputs):
    """Return the gradient of a function of a tensor that returns a number."""
    import keras

    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(inputs)
            number = function(inputs)
        return tape.gradient(number, inputs)
    if backend == "jax":
        import jax

        return jax.grad(function)(inputs)
    import torch

    inputs = inputs.detach().requires_grad_()
    return torch.autograd.grad(function(inputs), inputs)[0]
