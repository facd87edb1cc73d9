"""Residual networks: the CIFAR-10 family and the ImageNet family.

Every block begins as its shortcut: the scale of the last normalization in its branch begins at 0
(section 5.1 of [Goyal et al., 2017](https://arxiv.org/abs/1706.02677)). So even a deep network
begins as a shallow one, and high learning rates do it less harm.
"""

import keras
from keras import layers, ops

from cnn_cifar10.architectures.blocks import classifier, conv_block, pixel_input
from cnn_cifar10.utils import InputError

_STAGES = {  # depth: (blocks of each stage, whether they are bottlenecks)
    18: ((2, 2, 2, 2), False),
    50: ((3, 4, 6, 3), True),
    101: ((3, 4, 23, 3), True),
}


def build_cifar_resnet(input_shape=(32, 32, 3), num_classes=10, *, depth=20, width=16):
    """Build a ResNet of the CIFAR-10 family: three stages of basic blocks.

    As in section 4.2 of [He et al., 2015](https://arxiv.org/abs/1512.03385):
    where a stage begins, the shortcut skips every other pixel and fills the new
    channels with zeros, so that shortcuts have no weights.

    Args:
        input_shape: `(height, width, 3)`.
        num_classes: Number of classes, at least 2.
        depth: Layers with weights, `6n + 2`: 20, 32, 44, 56 and 110 in the paper.
        width: Channels of the first stage; each stage doubles it.

    Returns:
        An uncompiled `keras.Model` from raw RGB pixels in [0, 255] to
        probabilities.

    Raises:
        InputError: If `depth` is not `6n + 2`.
    """
    if depth < 8 or depth % 6 != 2:
        raise InputError(f"depth must be 6n + 2, such as 20, 56 or 110, received {depth}")
    pixels, x = pixel_input(input_shape)
    x = conv_block(x, width, name="stem_conv")
    for stage in range(1, 4):
        for block in range(1, depth // 6 + 1):
            x = _basic_block(
                x,
                width * 2 ** (stage - 1),
                strides=2 if stage > 1 and block == 1 else 1,
                shortcut=_padded_shortcut,
                name=f"stage{stage}_block{block}",
            )
    x = layers.GlobalAveragePooling2D(name="average_pool")(x)
    return keras.Model(pixels, classifier(x, num_classes), name=f"resnet{depth}")


def build_resnet(input_shape=(32, 32, 3), num_classes=10, *, depth=18, width=64):
    """Build a ResNet of the ImageNet family with a stem for small images.

    As in [He et al., 2015](https://arxiv.org/abs/1512.03385), with two changes
    that are customary. One 3x3 convolution stands in for the 7x7 convolution of
    stride 2 and its pooling, which would leave 8x8 pixels of 32x32. Bottlenecks
    stride in their 3x3 convolution, not in the 1x1 before it, which would drop
    three quarters of its input unseen.

    Args:
        input_shape: `(height, width, 3)`.
        num_classes: Number of classes, at least 2.
        depth: Layers with weights: 18, 50 or 101.
        width: Channels of the first stage, before a bottleneck's fourfold
            output; each stage doubles it.

    Returns:
        An uncompiled `keras.Model` from raw RGB pixels in [0, 255] to
        probabilities.

    Raises:
        InputError: If there is no ResNet of this depth.
    """
    if depth not in _STAGES:
        raise InputError(f"depth must be one of {', '.join(map(str, _STAGES))}, received {depth}")
    blocks, bottleneck = _STAGES[depth]
    residual_block = _bottleneck_block if bottleneck else _basic_block
    pixels, x = pixel_input(input_shape)
    x = conv_block(x, width, name="stem_conv")
    for stage, count in enumerate(blocks, start=1):
        for block in range(1, count + 1):
            x = residual_block(
                x,
                width * 2 ** (stage - 1),
                strides=2 if stage > 1 and block == 1 else 1,
                shortcut=_projected_shortcut,
                name=f"stage{stage}_block{block}",
            )
    x = layers.GlobalAveragePooling2D(name="average_pool")(x)
    return keras.Model(pixels, classifier(x, num_classes), name=f"resnet{depth}")


def _basic_block(x, filters, *, strides, shortcut, name):
    """Two 3x3 convolutions beside a shortcut."""
    y = conv_block(x, filters, strides=strides, name=f"{name}_conv1")
    y = conv_block(y, filters, activation=None, gamma="zeros", name=f"{name}_conv2")
    return _add(y, shortcut(x, filters, strides, name), name)


def _bottleneck_block(x, filters, *, strides, shortcut, name):
    """A 3x3 convolution between two of 1x1, which narrow and widen, beside a shortcut."""
    y = conv_block(x, filters, 1, name=f"{name}_conv1")
    y = conv_block(y, filters, strides=strides, name=f"{name}_conv2")
    y = conv_block(y, 4 * filters, 1, activation=None, gamma="zeros", name=f"{name}_conv3")
    return _add(y, shortcut(x, 4 * filters, strides, name), name)


def _add(y, shortcut, name):
    y = layers.Add(name=f"{name}_add")([y, shortcut])
    return layers.Activation("relu", name=f"{name}_activation")(y)


def _padded_shortcut(x, filters, strides, name):
    """The paper's option A."""
    if strides > 1:
        x = layers.MaxPooling2D(1, strides=strides, name=f"{name}_shortcut_stride")(x)
    if missing := filters - x.shape[-1]:
        x = ops.pad(x, ((0, 0), (0, 0), (0, 0), (0, missing)))
    return x


def _projected_shortcut(x, filters, strides, name):
    """The paper's option B."""
    if strides == 1 and x.shape[-1] == filters:
        return x
    return conv_block(x, filters, 1, strides=strides, activation=None, name=f"{name}_shortcut")
