"""Checkpoints: counters of other callbacks, the best epoch, a state to continue from."""

import keras
import numpy as np
import pytest

from cnn_cifar10.configs import TrainingConfig
from cnn_cifar10.training import Run
from cnn_cifar10.training.checkpoint import Recorder


@pytest.fixture
def tiny_model():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.optimizer.build(model.trainable_variables)
    return model


class _Plateau(keras.callbacks.Callback):
    """Counts epochs, as callbacks do whose counters Keras would begin anew."""

    def on_train_begin(self, logs=None):
        self.wait = 0

    def on_epoch_end(self, epoch, logs=None):
        self.wait += 1
        self.model.stop_training = self.wait == 3


def recorder_of(path, model, plateau, config=TrainingConfig()):  # noqa: B008 (it is frozen)
    recorder = Recorder(
        Run(path), config, images_per_epoch=1, fingerprint="data", network={}, others=[plateau]
    )
    recorder.set_model(model)
    plateau.set_model(model)
    return recorder


def end_epoch(epoch, callbacks, accuracy=0.5):
    for callback in callbacks:
        callback.on_epoch_begin(epoch)
        callback.on_test_begin()
        callback.on_epoch_end(epoch, {"loss": 1.0, "val_accuracy": accuracy})


def test_counters_of_other_callbacks_and_their_verdict_are_continued(tmp_path, tiny_model):
    plateau = _Plateau()
    recorder = recorder_of(tmp_path, tiny_model, plateau)
    for callback in (plateau, recorder):
        callback.on_train_begin()
    for epoch in range(2):
        end_epoch(epoch, (plateau, recorder))

    again = _Plateau()
    resumed = recorder_of(tmp_path, tiny_model, again)
    assert resumed.restore() == 2
    assert not resumed.stopped
    for callback in (again, resumed):
        callback.on_train_begin()
    assert again.wait == 2
    end_epoch(2, (again, resumed))
    last = recorder_of(tmp_path, tiny_model, _Plateau())
    assert last.restore() == 3
    assert last.stopped


def test_of_epochs_that_are_as_good_the_one_with_the_lower_loss_is_kept(tmp_path, tiny_model):
    recorder = recorder_of(tmp_path, tiny_model, _Plateau())
    recorder.on_train_begin()
    for epoch, (accuracy, loss) in enumerate(((0.5, 1), (0.8, 0.9), (0.8, 0.4), (0.8, 0.5))):
        recorder.on_epoch_begin(epoch)
        logs = {"loss": 1.0, "val_accuracy": accuracy, "val_loss": loss}
        recorder.on_epoch_end(epoch, logs)
    assert recorder.best_epoch == 3


def test_the_best_epoch_is_kept_not_the_last(tmp_path, tiny_model):
    model = tiny_model
    recorder = recorder_of(tmp_path, model, _Plateau())
    recorder.on_train_begin()
    for epoch, accuracy in enumerate((0.3, 0.8, 0.5)):
        model.set_weights([np.full((1, 1), epoch), np.zeros(1)])
        end_epoch(epoch, [recorder], accuracy)
    assert recorder.best_epoch == 2
    assert recorder.best_weights[0] == 1
    resumed = recorder_of(tmp_path, model, _Plateau())
    model.set_weights([np.full((1, 1), 9), np.zeros(1)])
    assert resumed.restore() == 3
    assert resumed.best_epoch == 2
    assert model.get_weights()[0] == 2
