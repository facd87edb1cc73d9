"""Wide residual networks."""

import keras
from keras import layers

from cnn_cifar10.architectures.blocks import (
    classifier,
    conv_block,
    convolution,
    norm_activation,
    pixel_input,
)
from cnn_cifar10.utils import InputError


def build_wide_resnet(
    input_shape=(32, 32, 3), num_classes=10, *, depth=28, widen_factor=10, dropout=0.0
):
    """Build a Wide-ResNet: shallow, wide and, of the classic networks, the most accurate.

    As in [Zagoruyko and Komodakis, 2016](https://arxiv.org/abs/1605.07146):
    blocks normalize and activate before each of their two convolutions
    ([He et al., 2016](https://arxiv.org/abs/1603.05027)).

    Branches begin as in the paper, not at 0 as those of `build_resnet` do. They end in a
    convolution, and what they add to stays as it is: it grows from block to block, while each
    branch sees it normalized. So a branch counts less the deeper it is, and the network begins
    close to its shortcuts by itself ([De and Smith, 2020](https://arxiv.org/abs/2002.10444)).

    Args:
        input_shape: `(height, width, 3)`.
        num_classes: Number of classes, at least 2.
        depth: Convolutions on the main path, `6n + 4`: 16, 22, 28 and 40 in the paper.
        widen_factor: Channels of the first stage in multiples of 16; each stage
            doubles it.
        dropout: Share dropped between the convolutions of a block, in [0, 1).

    Returns:
        An uncompiled `keras.Model` from raw RGB pixels in [0, 255] to
        probabilities.

    Raises:
        InputError: If `depth` is not `6n + 4`.
    """
    if depth < 10 or depth % 6 != 4:
        raise InputError(f"depth must be 6n + 4, such as 16, 28 or 40, received {depth}")
    pixels, x = pixel_input(input_shape)
    x = convolution(x, 16, name="stem_conv")
    for stage in range(1, 4):
        for block in range(1, depth // 6 + 1):
            x = _preactivated_block(
                x,
                16 * widen_factor * 2 ** (stage - 1),
                strides=2 if stage > 1 and block == 1 else 1,
                dropout=dropout,
                name=f"stage{stage}_block{block}",
            )
    x = norm_activation(x, name="stage3")
    x = layers.GlobalAveragePooling2D(name="average_pool")(x)
    name = f"wide_resnet{depth}_{widen_factor}"
    return keras.Model(pixels, classifier(x, num_classes), name=name)


def _preactivated_block(x, filters, *, strides, dropout, name):
    activated = norm_activation(x, name=name)
    if x.shape[-1] != filters:
        x = convolution(activated, filters, 1, strides=strides, name=f"{name}_shortcut")
    y = conv_block(activated, filters, strides=strides, name=f"{name}_conv1")
    if dropout:
        y = layers.Dropout(dropout, name=f"{name}_dropout")(y)
    y = convolution(y, filters, name=f"{name}_conv2")
    return layers.Add(name=f"{name}_add")([y, x])
