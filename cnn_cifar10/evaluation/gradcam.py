"""Where in a picture a model sees what speaks for a class."""

import numpy as np

from cnn_cifar10.architectures import main_model
from cnn_cifar10.utils import InputError


def grad_cam(model, images, classes=None):
    """Return what parts of pictures speak for a class, by Grad-CAM.

    The channels of the last feature map before pooling are added up, each weighted
    by the mean gradient of the class's logit; what speaks against the class is cut
    off. The feature map is found inside a nested backbone too.

    Args:
        model: Functional `keras.Model` from raw pixels to probabilities, as every
            model of this package.
        images: Array `(n, height, width, 3)`, RGB in [0, 255], of the model's size.
            All are computed at once.
        classes: One class per picture, integers `(n,)`; `None` takes the predicted
            ones.

    Returns:
        float32 array `(n, height, width)` in [0, 1]: the highest value of each picture
        is 1, or all are 0 where nothing speaks for the class.

    Raises:
        InputError: If the model does not end in a softmax, or has no feature map
            that all of its answer comes from.

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


def with_class_activation(model):
    """Return a model that, where it can, also gives what `grad_cam` needs a gradient for.

    Where one dense layer follows on the mean of the last feature map, the gradient of a
    logit is the same all over the map, so that Grad-CAM is class activation mapping: the
    channels added up, weighted by the dense layer.

    Args:
        model: As for `grad_cam`.

    Returns:
        `keras.Model` from pixels to a dict: `probabilities` `(n, classes)` and, if the
        model ends in this way, `class_activation` `(n, height, width, classes)`,
        positive where the feature map, of more than one position, speaks for the class.

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
        return keras.Model(model.input, {"probabilities": model.output})
    logits = features = featurizer.output
    for part in heads:
        logits = part(logits)
    weighted = keras.layers.Conv2D(dense.units, 1, use_bias=False, dtype="float32")
    outputs = {
        "probabilities": model.layers[-1](logits),
        "class_activation": weighted(features),
    }
    weighted.set_weights([dense.get_weights()[0][None, None]])
    return keras.Model(featurizer.input, outputs)


def _without_softmax(model):
    import keras

    last = model.layers[-1]
    if getattr(last, "activation", None) is not keras.activations.softmax or last.weights:
        raise InputError(
            f"{model.name} must end in an Activation layer of softmax, not {last.name}"
        )
    return keras.Model(model.input, last.input)


def _split(model):
    """Return models to call in turn, the first of which ends at the last feature map."""
    import keras

    for operation in reversed(model.operations):
        # A nested model's own `input` and `output` are those inside of it.
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
            f"{model.name}: no feature map is all that its answer comes from"
        ) from error


def _gradient(function, inputs):
    """Return the gradient of a number that a function makes of a tensor."""
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
