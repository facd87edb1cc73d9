"""GoogLeNet (Inception-v1)."""

import keras
from keras import layers

from cnn_cifar10.architectures.blocks import classifier, conv_block, pixel_input
from cnn_cifar10.architectures.layers import AuxiliaryHeads

_MODULES = (  # name: channels of 1x1; 3x3 and before it; 5x5 and before it; after pooling
    ("stage2_inception1", 64, 96, 128, 16, 32, 32),
    ("stage2_inception2", 128, 128, 192, 32, 96, 64),
    ("stage3_inception1", 192, 96, 208, 16, 48, 64),
    ("stage3_inception2", 160, 112, 224, 24, 64, 64),
    ("stage3_inception3", 128, 128, 256, 24, 64, 64),
    ("stage3_inception4", 112, 144, 288, 32, 64, 64),
    ("stage3_inception5", 256, 160, 320, 32, 128, 128),
    ("stage4_inception1", 256, 160, 320, 32, 128, 128),
    ("stage4_inception2", 384, 192, 384, 48, 128, 128),
)
_AUXILIARY_AFTER = ("stage3_inception1", "stage3_inception4")


def build_googlenet(
    input_shape=(32, 32, 3), num_classes=10, *, width=1.0, dropout=0.4, auxiliary_heads=False
):
    """Build GoogLeNet (Inception-v1) for small images.

    The nine inception modules of [Szegedy et al.,
    2014](https://arxiv.org/abs/1409.4842). Three things differ. The stem keeps
    every pixel and pools once, where the original goes from 224x224 to 28x28
    pixels: the modules work at 16x16, 8x8 and 4x4. Batch normalization stands in
    place of local response normalization. And the auxiliary heads, which are
    optional, average over all positions before their dense layer.

    Args:
        input_shape: `(height, width, 3)`, sides of 8 pixels or more.
        num_classes: Number of classes, at least 2.
        width: Factor of every number of channels.
        dropout: Share of features dropped before the classifier, in [0, 1).
        auxiliary_heads: Whether two more classifiers, after the third and the
            sixth module, are trained along, each with 0.3 of the loss, to bring
            gradients to the early layers. `main_model` drops them.

    Returns:
        An uncompiled `keras.Model` from raw RGB pixels in [0, 255] to
        probabilities.
    """

    def scaled(channels):
        return max(1, round(width * channels))

    pixels, x = pixel_input(input_shape)
    x = conv_block(x, scaled(64), name="stem_conv1")
    x = conv_block(x, scaled(64), 1, name="stem_conv2")
    x = conv_block(x, scaled(192), pool=True, name="stem_conv3")
    heads = []
    for name, *channels in _MODULES:
        if name in ("stage3_inception1", "stage4_inception1"):
            x = layers.MaxPooling2D(2, name=f"{name}_pool")(x)
        x = _inception(x, *map(scaled, channels), name=name)
        if auxiliary_heads and name in _AUXILIARY_AFTER:
            heads.append(_auxiliary_head(x, num_classes, scaled, f"{name}_auxiliary"))
    x = layers.GlobalAveragePooling2D(name="average_pool")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    probabilities = classifier(x, num_classes)
    if heads:
        return AuxiliaryHeads(pixels, [probabilities, *heads], name="googlenet")
    return keras.Model(pixels, probabilities, name="googlenet")


def _inception(x, direct, before3, after3, before5, after5, pooled, *, name):
    """Look at the same features at four scales, and stack what was seen."""
    conv3 = conv_block(x, before3, 1, name=f"{name}_before3_conv")
    conv5 = conv_block(x, before5, 1, name=f"{name}_before5_conv")
    pool = layers.MaxPooling2D(3, strides=1, padding="same", name=f"{name}_pooled")(x)
    branches = [
        conv_block(x, direct, 1, name=f"{name}_direct_conv"),
        conv_block(conv3, after3, 3, name=f"{name}_3x3_conv"),
        conv_block(conv5, after5, 5, name=f"{name}_5x5_conv"),
        conv_block(pool, pooled, 1, name=f"{name}_pooled_conv"),
    ]
    return layers.Concatenate(name=f"{name}_concat")(branches)


def _auxiliary_head(x, num_classes, scaled, name):
    x = conv_block(x, scaled(128), 1, name=f"{name}_conv")
    x = layers.GlobalAveragePooling2D(name=f"{name}_average_pool")(x)
    x = layers.Dense(scaled(1024), activation="relu", name=f"{name}_dense")(x)
    x = layers.Dropout(0.7, name=f"{name}_dropout")(x)
    x = layers.Dense(num_classes, name=f"{name}_logits")(x)
    return layers.Activation("softmax", dtype="float32", name=f"{name}_probabilities")(x)
