"""Whitening, auxiliary heads, frozen features, normalization, what is saved: what is apart."""

import collections
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras


def adapt_whitening(model: "keras.Model", images: Any) -> None:
    """Compute the whitening that a model begins with, if it has one, from training images.

    Args:
        model: `keras.Model` from raw pixels.
        images: uint8 array `(n, height, width, 3)`. Evenly spaced ones are used, since
            folders are listed class by class: as many as have the pixels of 5,000 of
            CIFAR-10.
    """
    import keras
    import numpy as np

    from cnn_cifar10.architectures.layers import PatchWhitening

    count = max(1, 5_000 * 32**2 // (images.shape[1] * images.shape[2]))
    chosen = np.linspace(0, len(images) - 1, min(count, len(images))).astype(int)
    for layer in model.layers:
        if isinstance(layer, PatchWhitening):
            inputs = keras.Model(model.input, layer.input)
            # Not by `predict`, which shares batches among devices.
            layer.adapt(keras.ops.convert_to_numpy(inputs(np.asarray(images[chosen]))))


def main_model(model: "keras.Model") -> "keras.Model":
    """Return the model without auxiliary heads, sharing its layers; itself if it has none."""
    import keras

    from cnn_cifar10.architectures.layers import AuxiliaryHeads

    if not isinstance(model, AuxiliaryHeads):
        return model
    return keras.Model(model.input, model.outputs[0], name=model.name)


def stock_model(model: "keras.Model") -> "keras.Model":
    """Return a model of the same weights and outputs whose layers are Keras's own, to be saved.

    Each layer of this package extends one of Keras's, and becomes that one. So plain Keras opens
    the file, on any backend. What is of one's own code or of KerasHub stays as it is.

    Args:
        model: `keras.Model` without auxiliary heads: see `main_model`.
    """
    import keras

    from cnn_cifar10.architectures import layers

    def stock(part):
        if type(part).__module__ != layers.__name__:
            return part
        kind = next(each for each in type(part).__mro__ if each.__module__.startswith("keras."))
        return kind.from_config(kind.get_config(part))

    def clone(layer):
        if isinstance(layer, keras.Model):
            return stock_model(layer)
        cloned, initializer = stock(layer), getattr(layer, "kernel_initializer", None)
        if stock(initializer) is initializer:
            return cloned
        config = {**cloned.get_config(), "kernel_initializer": stock(initializer)}
        return type(cloned).from_config(config)

    is_plain = isinstance(model, keras.Sequential) or hasattr(model, "operations")
    if not is_plain or type(model).__module__.startswith("keras_hub."):
        return model  # a class whose layers cannot be exchanged
    cloned = keras.models.clone_model(model, clone_function=clone)
    cloned.set_weights(model.get_weights())
    return cloned


def functional(model: "keras.Model", input_shape: tuple[int | None, ...] = ()) -> "keras.Model":
    """Return a model whose layers can be followed from its input to its output.

    That of a `keras.Sequential` has its layers; that of a subclass has the model as a layer. A
    model for images of any size becomes one for images of the size that is given.

    Args:
        model: Any `keras.Model`.
        input_shape: `(height, width, 3)`; left out for a model that has been built.

    Raises:
        TypeError: If it is none.
    """
    import keras

    if not isinstance(model, keras.Model):
        raise TypeError(f"it is no keras.Model but {type(model).__name__}")
    if isinstance(model, keras.Sequential):
        if not model.built:
            model.build((None, *input_shape))
        model = keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    elif not hasattr(model, "operations"):
        pixels = keras.Input(input_shape)
        model = keras.Model(pixels, model(pixels), name=model.name)
    if input_shape and None in model.input_shape[1:] and None not in input_shape:
        pixels = keras.Input(input_shape, name=model.inputs[0].name)
        model = keras.models.clone_model(model, pixels, clone_function=lambda layer: layer)
    return model


def head_of(model: "keras.Model", frozen: bool = True) -> "keras.Model | None":
    """Return what follows a model's features, or `None` if it has none such.

    Args:
        model: Any `keras.Model` of this package.
        frozen: Whether features count only where nothing in them is trained.

    Returns:
        A `keras.Model` from features `(batch, channels)` to probabilities that
        shares its layers with `model`; `None` where there is no layer `features` right after
        the input.
    """
    import keras

    first, *rest = model.layers[1:]
    if first.name != "features" or (frozen and first.trainable_weights):
        return None
    features = x = keras.Input(first.output.shape[1:], name="features")
    for layer in rest:
        x = layer(x)
    return keras.Model(features, x, name="head")


def fold_normalization(model: "keras.Model") -> "keras.Model":
    """Return a model of the same weights and outputs in which frozen normalizations cost little.

    Each batch normalization that is not trained, and alone reads a convolution without
    activation, becomes part of it: see `NormalizedConvolution`. The model itself comes back
    where there is none, or if it is no functional model. In lower precision than float32 the
    outputs would be less exact, so that layers stay as they are.
    """
    import keras

    from cnn_cifar10.architectures.layers import NormalizedConvolution

    if not hasattr(model, "operations"):
        return model  # which says not what reads what
    pairs = _folded_pairs(model)
    nested = {
        layer: fold_normalization(layer) for layer in model.layers if isinstance(layer, keras.Model)
    }
    if not pairs and all(layer is folded for layer, folded in nested.items()):
        return model
    convolutions = set(pairs.values())

    def call(layer, inputs, *args, **options):
        if layer in convolutions:
            return inputs  # which the normalization takes
        if layer in pairs:
            convolution = pairs[layer]
            same = {"name": convolution.name, "dtype": convolution.dtype_policy}
            return NormalizedConvolution(convolution, layer, **same)(inputs)
        return layer(inputs, *args, **options)

    return keras.models.clone_model(
        model, clone_function=lambda layer: nested.get(layer, layer), call_function=call
    )


def _folded_pairs(model):
    """Return the normalizations that can be folded, and the convolution of each."""
    import keras

    readers = collections.Counter(
        id(tensor) for each in model.operations for tensor in keras.tree.flatten(each.input)
    )
    convolutions = {
        id(layer.output): layer
        for layer in model.layers
        if type(layer) in (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
        and layer.activation is keras.activations.linear
        and (layer.data_format, layer.compute_dtype) == ("channels_last", "float32")
        and readers[id(layer.output)] == 1
    }
    return {
        layer: convolutions[id(layer.input)]
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
        and not layer.trainable
        and layer.axis in (-1, 3)
        and id(layer.input) in convolutions
    }
