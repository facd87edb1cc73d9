"""fastnet: a small network that trains in minutes."""

import keras
from keras import layers

from cnn_cifar10.architectures.blocks import activation_layer, pixel_input
from cnn_cifar10.architectures.layers import (
    FusedBatchNormalization,
    PartialIdentity,
    PatchWhitening,
)

_LOGITS_SCALE = 0.25


def build_fastnet(
    input_shape=(32, 32, 3),
    num_classes=10,
    *,
    filters=(64, 64, 128, 256, 256, 256),
    activation="relu",
):
    """Build the network of the shortest trainings.

    The network of airbench94: a first convolution that whitens patches of pixels and
    is not trained, and stages of two convolutions, pooled before the first
    normalization, so that most of the arithmetic is done on few positions. Every
    convolution begins as the identity, as far as it has inputs, normalizations have
    no scale, and the classifier's inputs are the maxima over all positions.

    What differs saves time on a processor (benchmarks/NOTES.md): the second stage
    grows to its 256 filters in two steps, airbench94's being
    `(64, 64, 256, 256, 256, 256)`; activations are ReLU, not GELU; and the whitening
    has no bias, which saves the gradient of the first stage's inputs.

    Args:
        input_shape: `(height, width, 3)`, sides of `2**stages + 1` pixels or more, or
            `None` for images of several sizes.
        num_classes: Number of classes, at least 2.
        filters: Of each convolution, two a stage.
        activation: Name of a Keras activation.

    Returns:
        An uncompiled `keras.Model` from raw RGB pixels in [0, 255] to probabilities.
        Before training, `adapt_whitening` computes its first convolution.

    Reference:
        [Jordan, 2024](https://arxiv.org/abs/2404.00498); with Muon
        [airbench94_muon.py](https://github.com/KellerJordan/cifar10-airbench)
    """
    pixels, x = pixel_input(input_shape)
    x = PatchWhitening(name="stem_whitening")(x)
    x = activation_layer(activation, name="stem_activation")(x)
    for number, width in enumerate(filters):
        stage, conv = number // 2 + 1, number % 2 + 1
        name = f"stage{stage}_conv{conv}"
        x = layers.Conv2D(
            width,
            3,
            padding="same",
            use_bias=False,
            kernel_initializer=PartialIdentity(),
            name=name,
        )(x)
        if conv == 1:
            x = layers.MaxPooling2D(2, name=f"{name}_pool")(x)
        # Few steps are made, so statistics must follow fast.
        x = FusedBatchNormalization(momentum=0.6, scale=False, name=f"{name}_norm")(x)
        x = activation_layer(activation, name=f"{name}_activation")(x)
    x = layers.GlobalMaxPooling2D(name="max_pool")(x)
    # Training begins from small logits, so nearly equal probabilities. The scale decides
    # how fast the classifier learns beside the convolutions.
    x = layers.Rescaling(_LOGITS_SCALE, name="scaling")(x)
    x = layers.Dense(
        num_classes,
        use_bias=False,
        kernel_initializer=keras.initializers.RandomNormal(
            stddev=1 / (_LOGITS_SCALE * filters[-1])
        ),
        name="logits",
    )(x)
    x = layers.Activation("softmax", dtype="float32", name="probabilities")(x)
    return keras.Model(pixels, x, name="fastnet")
