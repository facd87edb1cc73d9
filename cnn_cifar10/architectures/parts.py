"""Whitening, auxiliary heads and frozen features: what training treats apart."""

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
            layer.adapt(inputs.predict(images[chosen], batch_size=100, verbose=0))


def main_model(model: "keras.Model") -> "keras.Model":
    """Return the model without auxiliary heads, sharing its layers; itself if it has none."""
    import keras

    from cnn_cifar10.architectures.layers import AuxiliaryHeads

    if not isinstance(model, AuxiliaryHeads):
        return model
    return keras.Model(model.input, model.outputs[0], name=model.name)


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
