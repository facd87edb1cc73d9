"""Averaged weights: what validation sees, what is kept, what training goes on with."""

import dataclasses

import keras
import numpy as np
import pytest

from cnn_cifar10.configs import make_config
from cnn_cifar10.training import train

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


@pytest.mark.parametrize("use_validation", [False, True])
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


def test_validation_sees_the_average(tmp_path, digits):
    run = train(make_config(**SMALL), tmp_path / "run", dataset=digits, verbose=0)
    history, split = run.history(), digits.validation
    predicted = run.load_model().predict(split.images, verbose=0).argmax(axis=1)
    accuracy = np.mean(predicted == split.labels)
    assert accuracy == pytest.approx(max(history["val_accuracy"]), abs=1e-3)
    without = make_config(**{**SMALL, "ema": 0.0})
    usual = train(without, tmp_path / "without", dataset=digits, verbose=0).history()
    assert history["val_loss"] != pytest.approx(usual["val_loss"], abs=1e-3)
