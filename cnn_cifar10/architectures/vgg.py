"""VGG-16 and VGG-19."""

import keras
from keras import layers

from cnn_cifar10.architectures.blocks import classifier, conv_block, pixel_input, smallest_side
from cnn_cifar10.utils import InputError

_STAGES = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}  # depth: convolutions of each stage


def build_vgg(
    input_shape=(32, 32, 3), num_classes=10, *, depth=16, width=64, dropout=0.0, batch_norm=True
):
    """Build VGG-16 or VGG-19 with batch normalization and one dense layer.

    The convolutions are configurations D and E of [Simonyan and Zisserman,
    2014](https://arxiv.org/abs/1409.1556). Two things differ. Batch
    normalization, published a year later, follows every convolution. And the end
    is smaller: five poolings leave 1x1 of 32x32 pixels, not 7x7 of 224x224, so
    that two dense layers of 4096 units would hold more weights than all
    convolutions and see nothing that these did not; an average over what is left
    feeds the classifier, for images of any size.

    Args:
        input_shape: `(height, width, 3)`, sides of 32 pixels or more.
        num_classes: Number of classes, at least 2.
        depth: Layers with weights as the paper counts them: 16 or 19.
        width: Channels of the first stage; the next three double it, and the
            last has as many as the fourth.
        dropout: Share of features dropped before the classifier, in [0, 1).
        batch_norm: Whether to normalize after every convolution.

    Returns:
        An uncompiled `keras.Model` from raw RGB pixels in [0, 255] to
        probabilities.

    Raises:
        InputError: If there is no VGG of this depth, or `input_shape` is too small.
    """
    if depth not in _STAGES:
        raise InputError(f"depth must be one of {', '.join(map(str, _STAGES))}, received {depth}")
    if smallest_side(input_shape) < 32:
        raise InputError(
            f"input_shape={tuple(input_shape)} is too small for VGG, which halves it five times: "
            "use sides of 32 pixels or more"
        )
    pixels, x = pixel_input(input_shape)
    for stage, convolutions in enumerate(_STAGES[depth], start=1):
        for conv in range(1, convolutions + 1):
            x = conv_block(
                x,
                width * min(2 ** (stage - 1), 8),
                batch_norm=batch_norm,
                pool=conv == convolutions,
                name=f"stage{stage}_conv{conv}",
            )
    x = layers.GlobalAveragePooling2D(name="average_pool")(x)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    return keras.Model(pixels, classifier(x, num_classes), name=f"vgg{depth}")
