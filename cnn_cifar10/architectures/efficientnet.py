"""EfficientNet for small images, and EfficientNet-Lite0 as published."""

import math

import keras
from keras import layers

from cnn_cifar10.architectures.blocks import classifier, conv_block, norm_activation, pixel_input
from cnn_cifar10.utils import InputError

_STAGES = (  # expansion, channels, blocks, strides, kernel size
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
_VARIANTS = {  # width, depth, dropout
    "b0": (1.0, 1.0, 0.2),
    "b1": (1.0, 1.1, 0.2),
    "b2": (1.1, 1.2, 0.3),
    "b3": (1.2, 1.4, 0.3),
    "b4": (1.4, 1.8, 0.4),
    "b5": (1.6, 2.2, 0.4),
    "b6": (1.8, 2.6, 0.5),
    "b7": (2.0, 3.1, 0.5),
}


def build_efficientnet(
    input_shape=(32, 32, 3), num_classes=10, *, variant="b0", dropout=None, drop_connect=0.2
):
    """Build an EfficientNet whose first convolution keeps every pixel.

    As in [Tan and Le, 2019](https://arxiv.org/abs/1905.11946), without the
    stride of the stem, which would leave 1x1 of 32x32 pixels before the last
    stages could look at them: they see 2x2. The paper's larger images for the
    larger variants are up to `input_shape`.

    Args:
        input_shape: `(height, width, 3)`.
        num_classes: Number of classes, at least 2.
        variant: `"b0"` to `"b7"`, the paper's steps of width and depth.
        dropout: Share of features dropped before the classifier; `None` takes
            the variant's.
        drop_connect: Share of examples for which the last block is left out in
            training; it falls linearly to 0 for the first block.

    Returns:
        An uncompiled `keras.Model` from raw RGB pixels in [0, 255] to
        probabilities.

    Raises:
        InputError: If there is no such variant.
    """
    if variant not in _VARIANTS:
        raise InputError(f"variant must be one of {', '.join(_VARIANTS)}, received {variant!r}")
    width, depth, usual_dropout = _VARIANTS[variant]
    pixels, x = pixel_input(input_shape)
    x = conv_block(x, _round_channels(32 * width), activation="silu", name="stem_conv")
    stages = [
        (expansion, _round_channels(channels * width), math.ceil(blocks * depth), *shape)
        for expansion, channels, blocks, *shape in _STAGES
    ]
    x = _inverted_stages(x, stages, activation="silu", squeeze=0.25, drop_connect=drop_connect)
    x = conv_block(x, _round_channels(1280 * width), 1, activation="silu", name="stage8_conv")
    x = layers.GlobalAveragePooling2D(name="average_pool")(x)
    x = layers.Dropout(usual_dropout if dropout is None else dropout, name="dropout")(x)
    return keras.Model(pixels, classifier(x, num_classes), name=f"efficientnet_{variant}")


def build_efficientnet_lite0(input_shape):
    """Build the convolutions of EfficientNet-Lite0, to be loaded with published weights.

    B0 as changed by [its authors](https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite)
    for processors without floating point: ReLU6 in place of SiLU, and no
    squeeze and excitation.

    Args:
        input_shape: `(height, width, 3)`, 32 pixels or more; 224 as published.

    Returns:
        An uncompiled `keras.Model` from pixels scaled to
        [-1, 1) to features `(batch, height / 32, width / 32, 1280)`.
    """
    inputs = keras.Input(input_shape, name="scaled_pixels")
    x = conv_block(inputs, 32, strides=2, activation="relu6", name="stem_conv")
    x = _inverted_stages(x, _STAGES, activation="relu6", squeeze=0.0, drop_connect=0.0)
    x = conv_block(x, 1280, 1, activation="relu6", name="stage8_conv")
    return keras.Model(inputs, x, name="efficientnet_lite0")


def _inverted_stages(x, stages, *, activation, squeeze, drop_connect):
    total, done = sum(stage[2] for stage in stages), 0
    for stage, (expansion, channels, blocks, strides, kernel_size) in enumerate(stages, start=1):
        for block in range(1, blocks + 1):
            x = _inverted_block(
                x,
                channels,
                kernel_size,
                expansion=expansion,
                strides=strides if block == 1 else 1,
                activation=activation,
                squeeze=squeeze,
                drop=drop_connect * done / total,
                name=f"stage{stage}_block{block}",
            )
            done += 1
    return x


def _inverted_block(
    x, filters, kernel_size, *, expansion, strides, activation, squeeze, drop, name
):
    """Widen, convolve each channel by itself, narrow, beside an identity shortcut."""
    channels = x.shape[-1]
    y = x
    if expansion > 1:
        y = conv_block(
            y, channels * expansion, 1, activation=activation, name=f"{name}_expand_conv"
        )
    y = layers.DepthwiseConv2D(
        kernel_size,
        strides=strides,
        padding="same",
        use_bias=False,
        depthwise_initializer="he_normal",
        name=f"{name}_depthwise_conv",
    )(y)
    y = norm_activation(y, activation, name=f"{name}_depthwise_conv")
    if squeeze:
        y = _squeeze_excitation(y, max(1, int(channels * squeeze)), activation, name)
    y = conv_block(y, filters, 1, activation=None, name=f"{name}_project_conv")
    if strides > 1 or channels != filters:
        return y
    if drop:
        y = layers.Dropout(drop, noise_shape=(None, 1, 1, 1), name=f"{name}_drop")(y)
    return layers.Add(name=f"{name}_add")([y, x])


def _squeeze_excitation(x, units, activation, name):
    """Weigh channels by what all positions hold ([Hu et al., 2017](https://arxiv.org/abs/1709.01507))."""
    y = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_squeeze")(x)
    y = layers.Conv2D(units, 1, activation=activation, name=f"{name}_squeeze_conv")(y)
    y = layers.Conv2D(x.shape[-1], 1, activation="sigmoid", name=f"{name}_excite_conv")(y)
    return layers.Multiply(name=f"{name}_excite")([x, y])


def _round_channels(channels):
    """Round to a multiple of 8, by at most a tenth downwards."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded
