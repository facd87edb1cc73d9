"""Building blocks: input, convolution block, activation, classifier."""

import math

import keras
from keras import layers

from cnn_cifar10.architectures.layers import FusedBatchNormalization


def pixel_input(input_shape):
    """Return the input of a model and the same pixels scaled to [-2, 2].

    Photographs come out with a mean near 0 and a variance near 1, for which
    weights are initialized.

    Args:
        input_shape: `(height, width, 3)`.

    Returns:
        A pair of tensors: the input, raw RGB pixels in [0, 255], and the scaled
        pixels.
    """
    pixels = keras.Input(input_shape, name="pixels")
    return pixels, layers.Rescaling(1 / 64, offset=-2.0, name="rescaling")(pixels)


def smallest_side(input_shape):
    """Return the smaller side of images, infinite where they are of several sizes (`None`)."""
    return min(side or math.inf for side in input_shape[:2])


def conv_block(
    x,
    filters,
    kernel_size=3,
    *,
    name,
    strides=1,
    activation="relu",
    batch_norm=True,
    l2=0.0,
    pool=False,
    gamma="ones",
):
    """Apply a convolution, pooling, batch normalization and an activation.

    Pooling comes before normalization, so that what the next layer sees is
    normalized, and at a quarter of the positions.

    Args:
        x: Tensor of shape `(batch, height, width, channels)`.
        filters: Number of output channels.
        kernel_size: Side of the kernel.
        name: Name of the convolution; the other layers append to it.
        strides: Step of the convolution in pixels.
        activation: Name of a Keras activation, such as `"leaky_relu"`; `None`
            for none.
        batch_norm: Whether to normalize; a bias stands in where not.
        l2: Strength of the L2 penalty on the kernel; 0 for none.
        pool: Whether to halve height and width by 2x2 max pooling.
        gamma: Initializer of the normalization's scale; with `"zeros"` the block
            returns its offset, 0, until it is trained.

    Returns:
        Tensor of shape `(batch, height / strides, width / strides, filters)`;
        half of that high and wide after pooling.
    """
    x = convolution(
        x, filters, kernel_size, strides=strides, use_bias=not batch_norm, l2=l2, name=name
    )
    if pool:
        x = layers.MaxPooling2D(2, name=f"{name}_pool")(x)
    return norm_activation(x, activation, batch_norm=batch_norm, gamma=gamma, name=name)


def convolution(x, filters, kernel_size=3, *, name, strides=1, use_bias=False, l2=0.0):
    """Apply a convolution alone; arguments as for `conv_block`."""
    return layers.Conv2D(
        filters,
        kernel_size,
        strides=strides,
        padding="same",
        use_bias=use_bias,
        kernel_initializer="he_normal",
        kernel_regularizer=keras.regularizers.L2(l2) if l2 else None,
        name=name,
    )(x)


def norm_activation(x, activation="relu", *, name, batch_norm=True, gamma="ones"):
    """Apply batch normalization and an activation; arguments as for `conv_block`."""
    if batch_norm:
        x = FusedBatchNormalization(momentum=0.9, gamma_initializer=gamma, name=f"{name}_norm")(x)
    if activation is None:
        return x
    return activation_layer(activation, name=f"{name}_activation")(x)


def activation_layer(activation, name):
    """Return a layer for an activation's Keras name; leaky ReLU leaks a tenth."""
    if activation == "leaky_relu":
        return layers.LeakyReLU(negative_slope=0.1, name=name)
    return layers.Activation(activation, name=name)


def classifier(x, num_classes, kernel_initializer="glorot_uniform"):
    """Turn features into class probabilities, in float32 under mixed precision too.

    Args:
        x: Tensor of shape `(batch, features)`.
        num_classes: Number of classes, at least 2.
        kernel_initializer: Name of a Keras initializer.

    Returns:
        Tensor of shape `(batch, num_classes)`, rows summing to 1.
    """
    x = layers.Dense(num_classes, kernel_initializer=kernel_initializer, name="logits")(x)
    return layers.Activation("softmax", dtype="float32", name="probabilities")(x)
