"""`.keras` files of this package and of one's own pass the checks; test_hostile.py has others."""

from pathlib import Path

import keras
import numpy as np
import pytest

from cnn_cifar10.architectures import create_model, list_models
from cnn_cifar10.training import open_run
from cnn_cifar10.training.model_file import check_network, read_model_file
from cnn_cifar10.utils import InputError


def saved(model, folder):
    model.save(folder / "model.keras")
    return read_model_file(folder / "model.keras")


def test_what_a_run_keeps_needs_keras_alone(digits_run):
    models = Path(__file__).parents[2] / "models"
    for path in (digits_run.model_path, models / "custom_cnn" / "model.keras"):
        assert not read_model_file(path).others


SHOWN = ("custom_cnn", "googlenet", "fastnet")  # with what is special of layers


@pytest.mark.parametrize(
    "name",
    [
        name if name in SHOWN else pytest.param(name, marks=pytest.mark.slow)
        for name in list_models()
    ],
)
def test_every_network_passes(name, tmp_path):
    model = create_model(name, (32, 32, 3), 10)
    found = saved(model, tmp_path)
    assert found.weight_bytes >= 4 * model.count_params()
    assert all(other.startswith("cnn_cifar10>") for other in found.others)
    check_network(found, [32, 32, 3], 10)
    with pytest.raises(InputError, match=r"takes images of \(32, 32, 3\), not of \(48, 48, 3\)"):
        check_network(found, [48, 48, 3], 10)
    with pytest.raises(InputError, match=r"gives \(10,\) for an image, not one number for each"):
        check_network(found, [32, 32, 3], 7)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["efficientnet_b0", "resnet50_v2", "convnext_tiny"])
def test_a_network_with_a_backbone_passes(backbone, tmp_path):
    model = create_model("transfer", (64, 64, 3), 4, backbone=backbone, weights=None)
    check_network(saved(model, tmp_path), [64, 64, 3], 4)


def test_a_model_that_was_compiled_and_trained_in_half_precision_passes(tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = create_model("custom_cnn", (32, 32, 3), 10, width=8)
    finally:
        keras.config.set_dtype_policy("float32")
    model.compile(keras.optimizers.AdamW(keras.optimizers.schedules.CosineDecay(0.1, 10)), "mse")
    model.fit(np.zeros((2, 32, 32, 3)), np.eye(2, 10), verbose=0)
    check_network(saved(model, tmp_path), [32, 32, 3], 10)


def test_a_model_for_images_of_any_size_passes(tmp_path):
    pixels = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 3)(pixels) * 2 + keras.ops.mean(pixels, keepdims=True)
    x = keras.layers.Dense(10, "softmax")(keras.layers.GlobalMaxPooling2D()(x))
    check_network(saved(keras.Model(pixels, x), tmp_path), [32, 32, 3], 10)


@keras.saving.register_keras_serializable("mine")
class Mine(keras.Model):
    """A model that is no graph of layers, and makes a variable of a value."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = keras.layers.Dense(10, "softmax")
        self.factor = keras.Variable(np.ones(3, "float32"))

    def call(self, images):
        return self.dense(keras.ops.mean(images, (1, 2)) * self.factor)


@pytest.mark.slow
def test_a_model_of_ones_own_class_passes(tmp_path):
    model = Mine()
    model(np.zeros((1, 32, 32, 3)))
    found = saved(model, tmp_path)
    assert found.others == {"mine>Mine"}
    check_network(found, [32, 32, 3], 10)


@pytest.mark.slow
def test_checks_leave_nothing_behind(digits_run):
    """Names of layers count on, and variables that wait for values are made by no one."""
    run = open_run(digits_run.path)
    first = keras.layers.Dense(1).name
    check_network(read_model_file(run.model_path))
    second = keras.layers.Dense(1).name
    number = int(first.rpartition("_")[2]) if "_" in first else 0
    assert second == f"dense_{number + 1}"
    with keras.StatelessScope():
        pass  # makes all variables that wait
    assert run.load_model().predict(np.zeros((1, 32, 32, 3)), verbose=0).shape == (1, 10)
