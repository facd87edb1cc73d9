"""Averaged weights: what validation sees, what is kept, what training goes on with."""

import dataclasses

import keras
import numpy as np
import pytest

from cnn_cifar10.configs import make_config
from cnn_cifar10.datasets import Split
from cnn_cifar10.training import train
from cnn_cifar10.training.averages import AveragedWeights

SMALL = {
    "dataset": "digits",
    "model_options": {"width": 4, "stages": 1, "depth": 1},
    "epochs": 3,
    "learning_rate": 0.05,
    "precision": "float32",
    "ema": 0.9,
}


class Record(keras.callbacks.Callback):
    """Keeps the weights after each step and each epoch."""

    def __init__(self):
        super().__init__()
        self.steps, self.epochs = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.steps.append([np.array(weight) for weight in self.model.trainable_variables])

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append(len(self.steps))


def average(steps, momentum):
    found = steps[0]
    for weights in steps[1:]:
        pairs = zip(found, weights, strict=True)
        found = [momentum * a + (1 - momentum) * b for a, b in pairs]
    return found


@pytest.mark.parametrize("use_validation", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_average_is_kept_and_training_goes_on_with_its_own(tmp_path, digits, use_validation):
    config = make_config(**SMALL, use_validation=use_validation, deterministic=True)
    record, plain = Record(), Record()
    run = train(config, tmp_path / "run", dataset=digits, callbacks=[record], verbose=0)
    without = dataclasses.replace(config, ema=0.0)
    train(without, tmp_path / "without", dataset=digits, callbacks=[plain], verbose=0)
    for a, b in zip(record.steps[-1], plain.steps[-1], strict=True):
        np.testing.assert_array_equal(a, b)

    best = record.epochs[run.facts()["best_epoch"] - 1]
    kept = run.load_model().trainable_weights
    for a, b in zip(kept, average(record.steps[:best], 0.9), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    differences = zip(kept, record.steps[best - 1], strict=True)
    assert max(np.abs(a - b).max() for a, b in differences) > 1e-4


@pytest.fixture
def normalized():
    """A small model with normalization, inside another too, and an average of its weights."""
    inside = keras.Sequential(
        [keras.Input((4, 4, 3)), keras.layers.Conv2D(5, 1), keras.layers.BatchNormalization()]
    )
    pixels = keras.Input((4, 4, 3))
    x = keras.layers.Dropout(0.5)(inside(pixels))
    x = keras.layers.BatchNormalization(name="last")(x)
    model = keras.Model(pixels, keras.layers.GlobalAveragePooling2D()(x))
    model.compile(keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5), "mse")
    return model


def test_statistics_are_those_of_the_averaged_weights(normalized):
    images = np.random.default_rng(0).normal(3, 2, (96, 4, 4, 3)).astype("float32")
    normalized.fit(images, np.zeros((96, 5)), batch_size=32, epochs=2, verbose=0)
    callback = AveragedWeights(Split(images, np.zeros(96, int)), batch_size=32)
    callback.set_model(normalized)
    before = [np.array(variable) for variable in normalized.variables]
    callback.on_train_begin()
    callback.on_epoch_begin(0)
    callback.on_test_begin()
    inside = normalized.layers[1]
    outputs = keras.ops.convert_to_numpy(inside.layers[0](images))
    found = inside.layers[1]
    np.testing.assert_allclose(found.moving_mean, outputs.mean((0, 1, 2)), rtol=1e-4)
    expected = np.mean([part.var((0, 1, 2)) for part in np.split(outputs, 3)], axis=0)
    np.testing.assert_allclose(found.moving_variance, expected, rtol=1e-3)
    assert found.momentum == 0.99
    for a, b in zip(callback.kept, normalized.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)

    callback.on_test_end()
    for a, b in zip(before, normalized.variables, strict=True):
        np.testing.assert_array_equal(a, b)


def test_validation_sees_the_average(tmp_path, digits):
    run = train(make_config(**SMALL), tmp_path / "run", dataset=digits, verbose=0)
    history, split = run.history(), digits.validation
    predicted = run.load_model().predict(split.images, verbose=0).argmax(axis=1)
    accuracy = np.mean(predicted == split.labels)
    assert accuracy == pytest.approx(max(history["val_accuracy"]), abs=1e-3)
    without = make_config(**{**SMALL, "ema": 0.0})
    usual = train(without, tmp_path / "without", dataset=digits, verbose=0).history()
    assert history["val_loss"] != pytest.approx(usual["val_loss"], abs=1e-3)


class Block(keras.layers.Layer):
    """A layer of one's own, with a normalization in it."""

    def __init__(self):
        super().__init__()
        self.norm = keras.layers.BatchNormalization()

    def build(self, shape):
        self.norm.build(shape)

    def call(self, inputs, training=False):
        return self.norm(inputs, training=training)


def test_normalizations_inside_of_layers_are_renewed_too():
    pixels = keras.Input((4, 4, 3))
    block = Block()
    pooled = keras.layers.GlobalAveragePooling2D()(block(pixels))
    model = keras.Model(pixels, pooled)
    model.compile(keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5), "mse")
    images = np.random.default_rng(0).normal(3, 2, (96, 4, 4, 3)).astype("float32")
    model.fit(images, np.zeros((96, 3)), batch_size=32, epochs=1, verbose=0)
    callback = AveragedWeights(Split(images, np.zeros(96, int)), batch_size=32)
    callback.set_model(model)
    callback.on_train_begin()
    callback.on_epoch_begin(0)
    callback.on_test_begin()
    np.testing.assert_allclose(block.norm.moving_mean, images.mean((0, 1, 2)), rtol=1e-4)
