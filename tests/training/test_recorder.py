"""Recorder: counters of other callbacks, the best epoch, falls, states to continue from."""

import keras
import numpy as np
import pytest

from cnn_cifar10.configs import TrainingConfig
from cnn_cifar10.training import Run, TrainingError
from cnn_cifar10.training.checkpoint import Checkpoints, State
from cnn_cifar10.training.recorder import Fallen, Recorder
from cnn_cifar10.training.run import RunError


@pytest.fixture
def tiny_model():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["accuracy"])
    model.optimizer.build(model.trainable_variables)
    return model


class _Plateau(keras.callbacks.Callback):
    """Counts epochs, as callbacks do whose counters Keras would begin anew."""

    def on_train_begin(self, logs=None):
        self.wait = 0

    def on_epoch_end(self, epoch, logs=None):
        self.wait += 1
        self.model.stop_training = self.wait == 3


def recorder_of(path, model, plateau, config=TrainingConfig(), every=0, **more):  # noqa: B008 (it is frozen)
    run = Run(path)
    usual = {"images_per_epoch": 1, "guess": 0.1, "fingerprints": ("data",), "network": {}}
    options = {**usual, "others": [plateau], **more}
    recorder = Recorder(run, config, Checkpoints(run.checkpoints_path, every), **options)
    recorder.set_model(model)
    plateau.set_model(model)
    return recorder


def end_epoch(epoch, callbacks, accuracy=0.5):
    for callback in callbacks:
        callback.on_epoch_begin(epoch)
        callback.on_test_begin()
        callback.on_epoch_end(epoch, {"loss": 1.0, "accuracy": accuracy, "val_accuracy": accuracy})
        if isinstance(callback, Recorder):
            callback._checkpoints.wait()


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
        logs = {"loss": 1.0, "accuracy": 0.5, "val_accuracy": accuracy, "val_loss": loss}
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


def test_a_state_within_an_epoch_holds_its_steps_and_metrics(tmp_path, tiny_model):
    recorder = recorder_of(tmp_path, tiny_model, _Plateau())
    recorder.on_train_begin()
    end_epoch(0, [recorder])
    recorder.on_epoch_begin(1)
    tiny_model.reset_metrics()
    tiny_model.train_on_batch(np.ones((4, 1)), np.ones((4, 1)))
    metrics = [variable.numpy() for variable in tiny_model.metrics_variables]
    for step in range(3):
        recorder.on_train_batch_begin(step)
    recorder._checkpoints.wait()

    tiny_model.reset_metrics()
    resumed = recorder_of(tmp_path, tiny_model, _Plateau())
    assert resumed.restore() == 1
    assert resumed.steps_done == 2
    resumed.on_train_begin()
    resumed.on_epoch_begin(1)
    for variable, before in zip(tiny_model.metrics_variables, metrics, strict=True):
        np.testing.assert_array_equal(variable.numpy(), before)


def test_a_log_of_some_epochs_alone_moves_no_other(tmp_path, tiny_model):
    """Also after a run went on, whose epochs before are from its state."""
    logs = ({"f1": 0.1}, {"lr": 0.2, "f1": 0.3}, {}, {"lr": 0.4})
    recorder = recorder_of(tmp_path, tiny_model, _Plateau())
    recorder.on_train_begin()
    for epoch, more in enumerate(logs):
        if epoch == 2:
            recorder = recorder_of(tmp_path, tiny_model, _Plateau())
            assert recorder.restore() == 2
            recorder.on_train_begin()
        recorder.on_epoch_begin(epoch)
        recorder.on_epoch_end(epoch, {**more, "loss": 1 - epoch / 10, "accuracy": 0.5})
        recorder._checkpoints.wait()
    history = Run(tmp_path).history()
    assert list(history)[:4] == ["epoch", "f1", "loss", "accuracy"]
    np.testing.assert_array_equal(history["f1"], [0.1, 0.3, np.nan, np.nan])
    np.testing.assert_array_equal(history["lr"], [np.nan, 0.2, np.nan, 0.4])
    assert history["loss"] == [1.0, 0.9, 0.8, 0.7]
    assert history["accuracy"] == [0.5] * 4


def test_a_first_epoch_that_goes_on_is_the_best_so_far(tmp_path, tiny_model):
    recorder = recorder_of(tmp_path, tiny_model, _Plateau())
    recorder.on_train_begin()
    recorder.on_epoch_begin(0)
    recorder.on_train_batch_begin(1)
    recorder._checkpoints.close()
    resumed = recorder_of(tmp_path, tiny_model, _Plateau())
    assert (resumed.restore(), resumed.steps_done, resumed.best_weights) == (0, 1, None)
    resumed.on_train_begin()
    end_epoch(0, [resumed])
    assert resumed.best_epoch == 1


@pytest.mark.parametrize(
    ("logs", "reason"),
    [
        ({"loss": float("nan"), "accuracy": 0.5}, "the loss became nan in epoch 3"),
        ({"loss": 2.3, "accuracy": 0.11}, "lost what it had learned in epoch 3: accuracy 0.110"),
    ],
)
def test_after_a_fall_the_last_good_state_is_the_newest(tmp_path, tiny_model, logs, reason):
    recorder = recorder_of(tmp_path, tiny_model, _Plateau(), images_per_epoch=400)
    recorder.on_train_begin()
    for epoch, accuracy in enumerate((0.6, 0.4)):  # the second has lost much
        tiny_model.set_weights([np.full((1, 1), epoch), np.zeros(1)])
        end_epoch(epoch, [recorder], accuracy)
    recorder.on_epoch_begin(2)
    with pytest.raises(Fallen, match=reason) as error:
        recorder.on_epoch_end(2, {**logs, "val_accuracy": 0.1})
    recorder._checkpoints.close()

    fall = error.value.fall
    resumed = recorder_of(tmp_path, tiny_model, _Plateau(), images_per_epoch=400, fall=fall)
    assert resumed.restore() == 1
    assert tiny_model.get_weights()[0] == 0
    assert resumed.fall["epoch"] == 3
    resumed.on_train_begin()
    resumed.on_epoch_begin(1)
    with pytest.raises(TrainingError, match="for the second time"):
        resumed.on_epoch_end(1, {**logs, "val_accuracy": 0.1})


@pytest.mark.parametrize(
    ("images", "guess", "accuracies"),
    [
        (50_000, 0.1, (0.1, 0.25, 0.1, 0.6, 0.4)),
        (50_000, 0.7, (0.6, 0.75, 0.7, 0.95, 0.85)),
        (50_000, 0.5, (0.5, 0.6, 0.5)),
        (50_000, 0.98, (0.95, 0.988, 0.9865, 0.9805)),
        (50_000, 0.9, (0.88, 0.935, 0.9)),
        (60, 0.1, (0.3, 0.4, 0.2)),
    ],
)
def test_what_chance_may_do_is_no_fall(tmp_path, tiny_model, images, guess, accuracies):
    recorder = recorder_of(tmp_path, tiny_model, _Plateau(), images_per_epoch=images, guess=guess)
    recorder.on_train_begin()
    for epoch, accuracy in enumerate(accuracies):
        end_epoch(epoch, [recorder], accuracy)
    assert len(recorder.history) == len(accuracies)


@pytest.mark.parametrize(
    ("guess", "accuracies"),
    [
        (0.7, (0.9, 0.7)),  # always the most frequent class
        (0.1, (0.202, 0.336, 0.434, 0.474, 0.280)),  # ResNet-50 at too high a learning rate
    ],
)
def test_an_epoch_that_keeps_less_than_half_has_fallen(tmp_path, tiny_model, guess, accuracies):
    recorder = recorder_of(tmp_path, tiny_model, _Plateau(), images_per_epoch=50_000, guess=guess)
    recorder.on_train_begin()
    *before, last = accuracies
    for epoch, accuracy in enumerate(before):
        end_epoch(epoch, [recorder], accuracy)
    reason = f"lost what it had learned in epoch {len(accuracies)}: accuracy {last:.3f} after"
    with pytest.raises(Fallen, match=reason):
        end_epoch(len(before), [recorder], last)


@pytest.mark.parametrize("select", ["val_loss", "val_accuracy"])
def test_an_epoch_without_a_validation_loss_is_no_better(tmp_path, tiny_model, select):
    recorder = recorder_of(tmp_path, tiny_model, _Plateau(), TrainingConfig(select=select))
    recorder.on_train_begin()
    for epoch, loss in enumerate((float("nan"), 0.9, float("nan"))):
        recorder.on_epoch_begin(epoch)
        recorder.on_test_begin()
        logs = {"loss": 1.0, "accuracy": 0.5, "val_accuracy": 0.5, "val_loss": loss}
        recorder.on_epoch_end(epoch, logs)
    assert recorder.best_epoch == 2
    recorder._checkpoints.close()


@pytest.mark.parametrize("accuracy", [0.55, 0.4])
def test_after_an_interruption_too_a_fall_goes_back_to_a_good_epoch(tmp_path, tiny_model, accuracy):
    """An epoch at 0.4 kept less than 90% of what the one before had learned; 0.55 is good."""
    options = {"images_per_epoch": 50_000}
    recorder = recorder_of(tmp_path, tiny_model, _Plateau(), **options)
    recorder.on_train_begin()
    for epoch, reached in enumerate((0.55, accuracy)):
        end_epoch(epoch, [recorder], reached)
    recorder._checkpoints.close()
    resumed = recorder_of(tmp_path, tiny_model, _Plateau(), **options)
    assert resumed.restore() == 2
    resumed.on_train_begin()
    with pytest.raises(Fallen):
        end_epoch(2, [resumed], 0.1)
    resumed._checkpoints.close()
    assert recorder_of(tmp_path, tiny_model, _Plateau()).restore() == (2 if accuracy > 0.5 else 1)


def test_a_fall_goes_back_to_an_epoch_that_is_nearly_the_best(tmp_path, tiny_model):
    recorder = recorder_of(tmp_path, tiny_model, _Plateau(), images_per_epoch=50_000)
    recorder.on_train_begin()
    for epoch, accuracy in enumerate((0.5, 0.6, 0.59, 0.58)):
        end_epoch(epoch, [recorder], accuracy)
    with pytest.raises(Fallen):
        end_epoch(4, [recorder], 0.1)
    recorder._checkpoints.close()
    resumed = recorder_of(tmp_path, tiny_model, _Plateau())
    assert (resumed.restore(), resumed.best_epoch) == (4, 2)


@pytest.mark.parametrize("good", [0, 1])
def test_the_seconds_of_what_was_lost_in_a_fall_count(tmp_path, tiny_model, good):
    recorder = recorder_of(tmp_path, tiny_model, _Plateau())
    recorder.on_train_begin()
    for epoch in range(good):
        end_epoch(epoch, [recorder])
    recorder._train_began -= 100
    recorder.on_epoch_begin(good)
    with pytest.raises(Fallen) as error:
        recorder.on_epoch_end(good, {"loss": float("inf"), "accuracy": 0.5, "val_accuracy": 0.5})
    recorder._checkpoints.close()
    resumed = recorder_of(tmp_path, tiny_model, _Plateau(), fall=error.value.fall)
    assert resumed.restore() == good
    resumed.on_train_begin()
    end_epoch(good, [resumed])
    assert resumed.history[-1]["seconds"] > 100


def test_a_state_that_says_too_little_is_refused(tmp_path, tiny_model):
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    checkpoints.save(State({"fingerprint": "data", "history": []}, [np.zeros(1)]))
    checkpoints.close()
    with pytest.raises(RunError, match=r"states do not say batch_size, .*; start again with"):
        recorder_of(tmp_path, tiny_model, _Plateau()).restore()


@pytest.mark.parametrize("at", ["state", "best"])
def test_no_state_holds_a_number_that_is_not_finite(tmp_path, tiny_model, at):
    recorder = recorder_of(tmp_path, tiny_model, _Plateau(), every=0 if at == "state" else 1e9)
    recorder.on_train_begin()
    end_epoch(0, [recorder])
    recorder.on_epoch_begin(1)
    tiny_model.set_weights([np.full((1, 1), np.inf), np.zeros(1)])
    logs = {"loss": 1.0, "accuracy": 0.5, "val_accuracy": 0.7}
    go_on, arguments = recorder.on_train_batch_begin, (1,)
    if at == "best":
        go_on, arguments = recorder.on_epoch_end, (1, logs)
    with pytest.raises(Fallen, match="no longer finite"):
        go_on(*arguments)
    recorder._checkpoints.close()
    kept = Checkpoints(tmp_path / "checkpoints").load().variables
    assert all(np.isfinite(array).all() for array in kept)
