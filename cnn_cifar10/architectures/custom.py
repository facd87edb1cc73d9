"""Plain convolutional networks: a tutorial's baseline, and this project's custom CNN."""

import keras
from keras import layers

from cnn_cifar10.architectures.blocks import (
    activation_layer,
    classifier,
    conv_block,
    pixel_input,
    smallest_side,
)
from cnn_cifar10.utils import InputError


def build_baseline_cnn(input_shape=(32, 32, 3), num_classes=10):
    """Build the convolution-pooling-dense network of a first tutorial.

    Nothing in it works against overfitting: no augmentation, no normalization,
    no dropout, and three quarters of its weights in one dense layer.

    Args:
        input_shape: `(height, width, 3)`, sides of 8 pixels or more.
        num_classes: Number of classes, at least 2.

    Returns:
        An uncompiled `keras.Model` from raw RGB pixels in [0, 255] to
        probabilities.
    """
    pixels, x = pixel_input(input_shape)
    for stage, filters in enumerate((32, 64, 128), start=1):
        x = layers.Conv2D(
            filters, 3, padding="same", activation="relu", name=f"stage{stage}_conv1"
        )(x)
        x = layers.MaxPooling2D(2, name=f"stage{stage}_pool")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(128, activation="relu", name="dense1")(x)
    return keras.Model(pixels, classifier(x, num_classes), name="baseline_cnn")


def build_custom_cnn(
    input_shape=(32, 32, 3),
    num_classes=10,
    *,
    stages=3,
    depth=2,
    width=32,
    activation="leaky_relu",
    batch_norm=True,
    dropout=0.0,
    l2=0.0,
    dense_units=(),
):
    """Build the custom CNN: stages of 3x3 convolutions, then global average pooling.

    The pattern of VGG ([Simonyan and Zisserman,
    2014](https://arxiv.org/abs/1409.1556)), with batch normalization after every
    convolution and global average pooling
    ([Lin et al., 2013](https://arxiv.org/abs/1312.4400)) in place of VGG's large
    dense layers, which are where a small network overfits.

    Args:
        input_shape: `(height, width, 3)`, sides of `2**stages` pixels or more.
        num_classes: Number of classes, at least 2.
        stages: Number of stages; the last convolution of each is pooled 2x2, and
            each doubles the width of the one before.
        depth: Convolutions per stage.
        width: Channels of the first stage.
        activation: Name of a Keras activation.
        batch_norm: Whether to normalize after every convolution.
        dropout: Share of activations dropped after every stage and dense layer,
            in [0, 1).
        l2: Strength of the L2 penalty on every kernel; 0 for none.
        dense_units: Width of each extra dense layer before the classifier.

    Returns:
        An uncompiled `keras.Model` from raw RGB pixels in [0, 255] to
        probabilities.

    Raises:
        InputError: If `input_shape` is too small for `stages`.
    """
    if smallest_side(input_shape) < 2**stages:
        raise InputError(
            f"input_shape={tuple(input_shape)} is too small for stages={stages}, which halve "
            f"it to nothing: use sides of {2**stages} pixels or more, or fewer stages"
        )
    pixels, x = pixel_input(input_shape)
    for stage in range(1, stages + 1):
        for conv in range(1, depth + 1):
            x = conv_block(
                x,
                width * 2 ** (stage - 1),
                activation=activation,
                batch_norm=batch_norm,
                l2=l2,
                pool=conv == depth,
                name=f"stage{stage}_conv{conv}",
            )
        if dropout:
            x = layers.Dropout(dropout, name=f"stage{stage}_dropout")(x)
    x = layers.GlobalAveragePooling2D(name="average_pool")(x)
    for number, units in enumerate(dense_units, start=1):
        x = layers.Dense(
            units,
            kernel_regularizer=keras.regularizers.L2(l2) if l2 else None,
            name=f"dense{number}",
        )(x)
        x = activation_layer(activation, name=f"dense{number}_activation")(x)
        if dropout:
            x = layers.Dropout(dropout, name=f"dense{number}_dropout")(x)
    return keras.Model(pixels, classifier(x, num_classes), name="custom_cnn")
