"""Backbones of `transfer`: published weights give the published answers."""

import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from cnn_cifar10.architectures import (
    list_backbones,
)
from cnn_cifar10.architectures.backbones import APPLICATIONS, SMALLEST
from cnn_cifar10.architectures.layers import FusedBatchNormalization
from cnn_cifar10.architectures.torch_weights import read_torch_weights
from cnn_cifar10.architectures.transfer import _scale, build_transfer

CLASSES = {
    name: (scaling, class_name)
    for scaling, group in APPLICATIONS.items()
    for name, class_name in group.items()
}


def pixels(count=4, side=32):
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3)).astype("float32")


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


@pytest.mark.parametrize(
    "backbone",
    [
        "vgg16",
        pytest.param("mobilenet_v2", marks=pytest.mark.slow),
        pytest.param("densenet121", marks=pytest.mark.slow),
        pytest.param("efficientnet_v2_b0", marks=pytest.mark.slow),
    ],
)
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


@pytest.mark.slow
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


def test_the_smallest_images_are_those_that_keras_allows():
    for name, side in SMALLEST.items():
        build = getattr(keras.applications, CLASSES[name][1])
        with pytest.raises(ValueError, match=f"at least {side}x{side}"):
            build(include_top=False, weights=None, input_shape=(side - 1, side - 1, 3))
