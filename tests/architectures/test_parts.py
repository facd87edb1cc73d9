"""Frozen normalizations become part of convolutions; what is saved holds Keras's own layers."""

import json

import keras
import numpy as np
import pytest
from keras import layers, ops

from cnn_cifar10.architectures import (
    create_model,
    fold_normalization,
    list_models,
    main_model,
    stock_model,
)
from cnn_cifar10.architectures.layers import FusedBatchNormalization, NormalizedConvolution
from cnn_cifar10.architectures.parts import functional

pytestmark = pytest.mark.usefixtures("short_lite0")

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype("float32")


@pytest.fixture(scope="module")
def transfer(short_lite0, settle):
    """A small network with frozen normalizations, and its folded twin."""
    keras.utils.set_random_seed(0)
    model = create_model("transfer", weights=None, image_size=32, trainable_layers=-1)
    settle(model, IMAGES)
    return model, fold_normalization(model)


def folded_layers(model):
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from folded_layers(layer)
        elif isinstance(layer, NormalizedConvolution):
            yield layer


def small(convolution, normalization=None, **options):
    """One convolution and one normalization, whose weights are random."""
    inputs = keras.Input((8, 8, 3))
    normalization = normalization or FusedBatchNormalization(trainable=False, **options)
    model = keras.Model(inputs, normalization(convolution(inputs)))
    rng = np.random.default_rng(1)
    for weight in model.weights:
        weight.assign(rng.uniform(0.5, 2, weight.shape))
    return model


@pytest.mark.slow
def test_the_whole_network_gives_the_same_with_the_same_weights(transfer):
    model, folded = transfer
    convolutions = 16
    assert len(list(folded_layers(folded))) == convolutions
    assert {id(w) for w in model.weights} == {id(w) for w in folded.weights}
    assert model.count_params() == folded.count_params()
    assert folded.name == model.name
    expected = model.predict(IMAGES, verbose=0)
    assert expected.std(axis=0).max() > 1e-3
    np.testing.assert_allclose(folded.predict(IMAGES, verbose=0), expected, rtol=1e-3, atol=1e-6)


@pytest.mark.slow
def test_gradients_are_the_same(transfer):
    import tensorflow as tf

    labels, gradients = np.eye(10, dtype="float32")[:4], []
    for model in transfer:
        with tf.GradientTape() as tape:
            loss = ops.mean(keras.losses.categorical_crossentropy(labels, model(IMAGES)))
        found = tape.gradient(loss, [w.value for w in model.trainable_weights])
        pairs = zip(model.trainable_weights, found, strict=True)
        gradients.append({weight.path: np.array(gradient) for weight, gradient in pairs})
    assert gradients[0].keys() == gradients[1].keys()
    for path, gradient in gradients[0].items():
        largest = np.abs(gradient).max()
        np.testing.assert_allclose(gradients[1][path], gradient, atol=0.01 * largest, err_msg=path)


@pytest.mark.parametrize(
    "convolution",
    [
        layers.Conv2D(5, 3, strides=2, padding="same", use_bias=False),
        layers.Conv2D(6, 1, groups=3),
        layers.Conv2D(4, 3, dilation_rate=2, trainable=False),
        layers.DepthwiseConv2D(3, depth_multiplier=2),
    ],
    ids=["strided", "grouped, with bias", "dilated, frozen", "depthwise"],
)
@pytest.mark.parametrize("options", [{}, {"scale": False, "center": False, "epsilon": 0.1}])
def test_every_kind_of_convolution_is_folded(convolution, options):
    model = small(convolution.from_config(convolution.get_config()), **options)
    folded = fold_normalization(model)
    assert len(list(folded_layers(folded))) == 1
    images = IMAGES[:, :8, :8] / 255
    np.testing.assert_allclose(folded(images), model(images), rtol=1e-4, atol=1e-4)


SEQUENCE = [keras.Input((8, 8, 3)), layers.Conv2D(4, 3), layers.BatchNormalization(trainable=False)]


class Subclassed(keras.Model):
    """A model that says what it computes in `call` alone."""

    def __init__(self):
        super().__init__()
        self.convolution = layers.Conv2D(4, 3)

    def call(self, images):
        return self.convolution(images)


def any_size():
    pixels = keras.Input((None, None, 3))
    x = layers.BatchNormalization()(layers.Conv2D(4, 3)(pixels))
    x = layers.Add()([x, layers.Conv2D(4, 1)(x)])
    return keras.Model(pixels, layers.GlobalAveragePooling2D()(x), name="own")


def test_a_network_for_images_of_any_size_becomes_one_for_the_size_that_is_asked_for(tmp_path):
    model, images = any_size(), IMAGES[:, :8, :6] / 255
    found = functional(model, (8, 6, 3))
    assert (found.name, found.input_shape) == ("own", (None, 8, 6, 3))
    np.testing.assert_allclose(found(images), model(images), atol=1e-6)
    found.save(tmp_path / "model.keras")
    assert keras.saving.load_model(tmp_path / "model.keras").input_shape == (None, 8, 6, 3)
    assert functional(model, (None, None, 3)) is model
    of_one_size = small(layers.Conv2D(4, 3))
    assert functional(of_one_size, (8, 8, 3)) is of_one_size


@pytest.mark.parametrize(
    "model",
    [
        lambda: small(layers.Conv2D(4, 3), layers.BatchNormalization()),  # which is trained
        lambda: small(layers.Conv2D(4, 3, activation="relu"), None),
        lambda: small(layers.Conv2D(4, 3), None, axis=1),
        lambda: small(layers.Conv2D(4, 3, dtype="mixed_bfloat16"), None),
        lambda: small(layers.MaxPooling2D(), None),
        lambda: create_model("resnet20"),
        lambda: keras.Sequential(SEQUENCE),
        lambda: small(keras.Sequential(SEQUENCE), None),
        lambda: Subclassed(),
    ],
)
def test_what_cannot_be_folded_stays_as_it_is(model):
    model = model()
    assert fold_normalization(model) is model


def test_a_convolution_that_others_read_too_stays_as_it_is():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3)(inputs)
    model = keras.Model(inputs, layers.Add()([x, layers.BatchNormalization(trainable=False)(x)]))
    assert fold_normalization(model) is model


def test_a_folded_network_can_be_saved_as_callbacks_do(transfer, tmp_path):
    _, folded = transfer
    folded.save(tmp_path / "folded.keras")
    loaded = keras.saving.load_model(tmp_path / "folded.keras")
    np.testing.assert_allclose(loaded(IMAGES), folded(IMAGES), atol=1e-6)


QUICK = ("custom_cnn", "fastnet")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        pytest.param(name, {}, marks=() if name in QUICK else pytest.mark.slow)
        for name in list_models()
        if name != "transfer"
    ]
    + [pytest.param("googlenet", {"auxiliary_heads": True, "width": 0.125}, marks=pytest.mark.slow)]
    + [
        pytest.param("transfer", {"backbone": name, "weights": None}, marks=pytest.mark.slow)
        for name in ("efficientnet_lite0", "resnet50", "mobilenet_v3_small", "convnext_tiny")
    ],
)
def test_what_is_saved_names_classes_of_keras_alone(name, options, settle):
    model = main_model(create_model(name, (32, 32, 3), 10, **options))
    settle(model, IMAGES)
    stock = stock_model(model)
    assert "cnn_cifar10" not in json.dumps(keras.saving.serialize_keras_object(stock))
    assert [layer.name for layer in stock.layers] == [layer.name for layer in model.layers]
    assert [w.path for w in stock.weights] == [w.path for w in model.weights]
    trained = [w.path for w in model.trainable_weights]
    assert [w.path for w in stock.trainable_weights] == trained
    if name in QUICK:  # with weights by chance, deep networks enlarge what is rounded
        expected = model.predict(IMAGES, verbose=0)
        assert expected.std(axis=0).max() > 1e-3
        np.testing.assert_allclose(stock.predict(IMAGES, verbose=0), expected, atol=1e-5)


def test_layers_of_ones_own_are_saved_as_they_are():
    class Doubled(layers.Layer):
        def call(self, inputs):
            return 2 * inputs

    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.norm = FusedBatchNormalization()

        def call(self, inputs):
            return self.norm(inputs)

    inputs, own = keras.Input((8, 8, 3)), Doubled()
    model = keras.Model(inputs, FusedBatchNormalization()(own(inputs)))
    assert stock_model(model).layers[1] is own
    assert type(stock_model(model).layers[2]) is layers.BatchNormalization
    whole = Own()
    assert stock_model(whole) is whole
