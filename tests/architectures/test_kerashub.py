"""Backbones of KerasHub: features, what is saved, and errors. Presets are folders made here."""

import importlib.util

import keras
import numpy as np
import pytest

from cnn_cifar10.architectures import create_model, stock_model
from cnn_cifar10.evaluation import grad_cam
from cnn_cifar10.exporting import FORMATS
from cnn_cifar10.training.model_file import check_network, read_model_file
from cnn_cifar10.utils import InputError

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype("float32")


@pytest.fixture(scope="module")
def keras_hub():
    return pytest.importorskip("keras_hub", reason="pip install 'cnn-cifar10[kerashub]'")


@pytest.fixture(scope="module")
def presets(keras_hub, tmp_path_factory):
    """A folder with a preset of a transformer, and one of a convolutional network."""
    folder, models = tmp_path_factory.mktemp("presets"), keras_hub.models
    sizes = {"hidden_dim": 16, "mlp_dim": 32, "num_layers": 2, "num_heads": 2, "patch_size": 8}
    models.ViTBackbone(image_shape=(32, 32, 3), **sizes).save_to_preset(folder / "vit")
    keras_hub.layers.ViTImageConverter(
        image_size=(32, 32), scale=1 / 127.5, offset=-1.0
    ).save_to_preset(folder / "vit")
    models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64],
        stackwise_num_blocks=[1],
        stackwise_num_strides=[1],
        block_type="basic_block",
        image_shape=(32, 32, 3),
    ).save_to_preset(folder / "resnet")
    keras_hub.layers.ResNetImageConverter(
        image_size=(32, 32), scale=[0.01, 0.02, 0.03], offset=[0.1, -0.2, 0.3]
    ).save_to_preset(folder / "resnet")
    return folder


def build(preset, **options):
    return create_model("transfer", backbone=f"kerashub:{preset}", image_size=32, **options)


@pytest.mark.parametrize("name", ["vit", "resnet"])
def test_features_are_the_mean_of_what_kerashub_gives(keras_hub, presets, name):
    model = build(presets / name)
    assert [weight.path for weight in model.trainable_weights] == ["logits/kernel", "logits/bias"]
    pixels = keras_hub.layers.ImageConverter.from_preset(str(presets / name))(IMAGES)
    given = np.asarray(keras_hub.models.Backbone.from_preset(str(presets / name))(pixels))
    expected = given[:, 1:].mean(1) if name == "vit" else given.mean((1, 2))  # without the class
    np.testing.assert_allclose(model.get_layer("features")(IMAGES), expected, atol=1e-5)


@pytest.mark.parametrize("name", ["vit", "resnet"])
def test_what_is_saved_passes_the_checks_and_gives_the_same(presets, name, tmp_path):
    model = build(presets / name, trainable_layers=-1)
    model.get_layer("logits").kernel.assign(
        keras.random.normal((model.layers[1].output.shape[1], 10))
    )
    stock_model(model).save(tmp_path / "model.keras")
    found = read_model_file(tmp_path / "model.keras")
    assert found.others == ({"keras_hub>ViTBackbone"} if name == "vit" else set())
    with pytest.raises(InputError, match=r"takes images of \(32, 32, 3\), not of \(48, 48, 3\)"):
        check_network(found, [48, 48, 3], 10)
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(IMAGES), model(IMAGES), atol=1e-6)


def test_a_transformer_shows_where_it_looks(presets):
    model = build(presets / "vit")
    model.get_layer("logits").kernel.assign(keras.random.normal((16, 10)))
    maps = grad_cam(model, IMAGES)
    assert maps.shape == (3, 32, 32)
    assert maps.std() > 0


@pytest.mark.slow
def test_a_transformer_is_exported_to_onnx(presets, tmp_path):
    pytest.importorskip("tf2onnx")
    model = build(presets / "vit")
    model.get_layer("logits").kernel.assign(keras.random.normal((16, 10)))
    export = FORMATS["onnx"].export
    predict = export(model, tmp_path / "model.onnx", tuple("0123456789"), IMAGES.astype("uint8"))
    np.testing.assert_allclose(predict(IMAGES.astype("uint8")), model(IMAGES), atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 64}, r"vit: not to be had for image_size=64 \(.*image_size=32$"),
        ({"weights": "some.h5"}, r"vit brings its own; leave 'some\.h5' out"),
        ({"backbone": "kerashub:no_such"}, r"^kerashub:no_such: not to be had for image_size=128"),
    ],
)
def test_what_cannot_be_had_is_one_line(presets, options, message):
    with pytest.raises(InputError, match=message) as raised:
        create_model("transfer", **{"backbone": f"kerashub:{presets / 'vit'}", **options})
    assert "\n" not in str(raised.value)


def test_random_weights_have_any_size(presets):
    model = create_model(
        "transfer", backbone=f"kerashub:{presets / 'vit'}", weights=None, image_size=64
    )
    assert model.get_layer("features").layers[-2].output.shape == (None, 8, 8, 16)


def test_what_is_missing_is_named_with_its_extra(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"keras_hub: pip install 'cnn-cifar10\[kerashub\]'$"):
        create_model("transfer", backbone="kerashub:vit_base_patch16_224_imagenet")
