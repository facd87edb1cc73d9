"""Training: runs on disk, repeatability, stopping and continuing."""

import dataclasses
import json
import os
import re
import shutil
import signal
import sys

import keras
import numpy as np
import pytest
from sklearn.metrics import f1_score

from cnn_cifar10.architectures import adapt_whitening, main_model
from cnn_cifar10.architectures.layers import AuxiliaryHeads
from cnn_cifar10.configs import make_config
from cnn_cifar10.datasets import Split
from cnn_cifar10.pipelines import training_batches
from cnn_cifar10.reporting import read_results, report_run
from cnn_cifar10.training import (
    Run,
    TrainingError,
    build_model,
    compile_model,
    load_data,
    open_run,
    train,
)
from cnn_cifar10.training.build import set_weights_from
from cnn_cifar10.training.checkpoint import Checkpoints
from cnn_cifar10.training.run import RunError
from cnn_cifar10.utils import InputError, Terminated, format_hardware, sigterm_raises, working_in

trains = sys.modules["cnn_cifar10.training.train"]  # of which `training.train` is the function
SPLITS = ("train", "validation", "test")

SMALL = {
    "dataset": "digits",
    "model_options": {"width": 4, "stages": 1, "depth": 1, "dropout": 0.2},
    "epochs": 3,
    "augment": "crop+cutout",
    "learning_rate": 0.05,
    "precision": "float32",
}


def test_the_test_split_is_not_read(tmp_path, digits):
    unread = dataclasses.replace(digits)
    object.__setattr__(unread, "fingerprints", digits.fingerprints)
    object.__setattr__(unread, "test", [None] * len(digits.test))
    run = train(make_config(**SMALL), tmp_path / "run", dataset=unread, verbose=0)
    assert run.is_finished


def test_a_run_says_everything(digits_run, digits):
    facts = digits_run.facts()
    assert facts["run"] == "digits-custom_cnn-seed0"
    assert facts["class_names"] == list("0123456789")
    assert facts["fingerprint"] == digits.fingerprint
    assert facts["examples"] == {"train": 1258, "validation": 180, "test": 359}
    assert facts["epochs"] == 2
    assert facts["backend"] == "tensorflow"
    assert {"python", "keras", "tensorflow", "numpy"} <= set(facts["versions"])
    assert facts["hardware"]["cores"] >= 1
    assert facts["seconds"] > 0
    assert facts["images_per_second"] > 0
    history = digits_run.history()
    assert {"epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"} < set(history)
    assert history["epoch"] == [1, 2]
    assert history["seconds"] == sorted(history["seconds"])
    assert not digits_run.checkpoints_path.exists()
    assert digits_run.config().augment == "crop"


def test_a_config_may_name_a_part_of_the_data(digits):
    assert load_data(make_config(dataset="digits")).fingerprint == digits.fingerprint
    part = load_data(make_config(dataset="digits", train_images=100))
    assert part.fingerprint == digits.subset(100).fingerprint
    assert len(part.train) == 100


def test_the_kept_model_is_the_best_epochs(digits_run, digits):
    history, facts = digits_run.history(), digits_run.facts()
    model = digits_run.load_model()
    predicted = model.predict(digits.validation.images, verbose=0).argmax(axis=1)
    accuracy = np.mean(predicted == digits.validation.labels)
    assert facts["best_epoch"] == 1 + np.argmax(history["val_accuracy"])
    # In float32 one image in a hundred may fall to the other side.
    assert accuracy == pytest.approx(max(history["val_accuracy"]), abs=0.011)
    assert model.dtype_policy.name == "float32"


@pytest.mark.parametrize(
    ("select", "choose"), [("val_macro_f1", np.argmax), ("val_loss", np.argmin)]
)
def test_the_kept_model_is_the_best_in_what_is_selected(tmp_path, digits, select, choose):
    config = make_config(
        **{**SMALL, "epochs": 4, "learning_rate": 0.3}, select=select, class_weight="balanced"
    )
    run = train(config, tmp_path / "run", dataset=digits, verbose=0)
    history = run.history()
    assert run.facts()["best_epoch"] == 1 + choose(history[select])
    assert ("val_macro_f1" in history) == (select == "val_macro_f1")
    if select == "val_macro_f1":
        split = digits.validation
        predicted = run.load_model().predict(split.images, verbose=0).argmax(axis=1)
        expected = f1_score(split.labels, predicted, average="macro")
        assert max(history[select]) == pytest.approx(expected, abs=0.02)


def test_early_stopping_and_plateaus_follow_what_is_selected(tmp_path, digits):
    """The loss falls in every epoch; the macro F1 of constant answers does not rise."""
    config = make_config(
        **{**SMALL, "epochs": 8, "learning_rate": 1e-9},
        schedule="reduce_on_plateau",
        select="val_macro_f1",
        early_stopping=5,
    )
    run = train(config, tmp_path / "run", dataset=digits, verbose=0)
    history = run.history()
    assert run.facts()["best_epoch"] == 1 + np.argmin(history["val_loss"])
    assert len(history["epoch"]) == 6
    np.testing.assert_allclose(history["learning_rate"], [1e-9] * 4 + [2e-10] * 2, rtol=1e-5)


def test_an_id_stays_with_a_model(tmp_path, digits, interruption):
    config = make_config(**{**SMALL, "epochs": 2})
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "run", dataset=digits, callbacks=[interruption(0, 0)], verbose=0)
    begun = (tmp_path / "run" / "id").read_text().strip()
    run = train(config, tmp_path / "run", dataset=digits, verbose=0)
    assert run.facts()["id"] == begun
    assert re.fullmatch("[0-9a-f]{12}", begun)
    (run.path / "id").unlink()  # run.json has it too
    assert run.id == begun
    places = tmp_path / "report", tmp_path / "results.csv"
    report_run(run, digits, *places, ("test",), tta=True)
    again = train(config, run.path, dataset=digits, overwrite=True, verbose=0)
    assert re.fullmatch("[0-9a-f]{12}", again.id)
    assert again.id == again.facts()["id"] == (run.path / "id").read_text().strip() != begun
    with pytest.raises(InputError, match=f"is of another run, .*{begun}"):
        report_run(again, digits, *places, ("validation",))
    report_run(again, digits, *places, ("validation",), overwrite=True)
    (row,) = read_results(places[1])
    assert (row["id"], row["tta_accuracy"]) == (again.id, None)  # which is of the model before


@pytest.mark.slow
def test_images_that_were_decoded_before_train_the_same_weights(tmp_path, digits, monkeypatch):
    from PIL import Image

    for index in range(60):
        path = tmp_path / "images" / "ab"[digits.train.labels[index] % 2] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(digits.train.images[index]).resize((40, 30)).save(path)
    config = make_config(
        **{**SMALL, "dataset": "folder", "data_dir": str(tmp_path / "images")},
        image_size=24,
        fit="pad",
        batch_size=16,
        deterministic=True,
    )
    weights = []
    for name, gigabytes in (("cold", "1"), ("warm", "1"), ("without", "0")):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.setenv("CNN_CIFAR10_CACHE_GB", gigabytes)
        run = train(config, tmp_path / name, verbose=0)
        weights.append(weights_of(run))
        assert run.facts()["fit"] == "pad"
    for cold, warm, without in zip(*weights, strict=True):
        np.testing.assert_array_equal(cold, warm)
        np.testing.assert_array_equal(cold, without)


def weights_of(run):
    return [weight.numpy() for weight in run.load_model().weights]


def test_the_same_seed_repeats_every_weight_and_another_does_not(tmp_path, digits):
    def run(name, seed):
        config = make_config(**SMALL, seed=seed, deterministic=True)
        return weights_of(train(config, tmp_path / name, dataset=digits, verbose=0))

    one, same, other = run("one", 1), run("same", 1), run("other", 2)
    for a, b in zip(one, same, strict=True):
        np.testing.assert_array_equal(a, b)
    assert any((a != b).any() for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("save_every", [0, pytest.param(None, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="sgd"),
        pytest.param({"ema": 0.9, "clip_norm": 0.5}, id="ema", marks=pytest.mark.slow),
        pytest.param({"precision": "mixed_float16"}, id="mixed_float16", marks=pytest.mark.slow),
        pytest.param(
            {"schedule": "reduce_on_plateau", "early_stopping": 2, "optimizer": "adamw"},
            id="plateau",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {
                "model": "fastnet",
                "model_options": {"filters": [4, 4, 8, 8]},
                "optimizer": "muon",
                "augment": "alternating_flip",
                "small_epochs": 3,
                "use_validation": True,
                "ema": 0.9,
            },
            id="fastnet",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_an_interrupted_run_continues_as_if_it_had_not_been(
    tmp_path, digits, interruption, options, save_every
):
    """With a state of every step the third epoch goes on in its middle, without from the first."""
    config = make_config(**{**SMALL, "epochs": 4, **options}, deterministic=True)
    whole = train(config, tmp_path / "whole", dataset=digits, verbose=0)
    stop, saving = [interruption(2, 4)], {"save_every": save_every, "verbose": 0}
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "parts", dataset=digits, callbacks=stop, **saving)
    parts = Run(tmp_path / "parts")
    assert not parts.is_finished
    assert len(parts.history()["epoch"]) == 2
    with pytest.raises(RunError, match="unfinished training run"):
        open_run(parts.path)
    with pytest.raises(RunError, match="unfinished run of another config"):
        train(make_config(**SMALL), parts.path, dataset=digits, verbose=0)
    other = dataclasses.replace(digits, train=digits.validation)
    with pytest.raises(RunError, match="the data changed since this run began"):
        train(config, parts.path, dataset=other, verbose=0)

    seen = Steps()
    train(config, parts.path, dataset=digits, callbacks=[seen], **saving)
    assert seen.epochs[0] == (2 if save_every == 0 else 1)
    count = len(digits.train) + len(digits.validation) * config.use_validation
    steps = count // config.batch_size
    assert seen.steps[0] < steps if save_every == 0 else seen.steps[0] == steps
    for a, b in zip(weights_of(whole), weights_of(parts), strict=True):
        np.testing.assert_array_equal(a, b)
    for key, values in whole.history().items():
        if key not in ("seconds", "images_per_second"):
            assert parts.history()[key] == values, key
    assert parts.facts()["best_epoch"] == whole.facts()["best_epoch"]


class Steps(keras.callbacks.Callback):
    """Counts the steps of each epoch."""

    def __init__(self):
        super().__init__()
        self.epochs, self.steps = [], []

    def on_epoch_begin(self, epoch, logs=None):
        self.epochs.append(epoch)
        self.steps.append(self.params["steps"])


class Send(keras.callbacks.Callback):
    """Sends this process a signal in the second epoch, after a step or before validation."""

    def __init__(self, number, batch):
        super().__init__()
        self._number, self._batch, self._epoch = number, batch, 0

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self._epoch, batch) == (1, self._batch):
            os.kill(os.getpid(), self._number)

    def on_test_begin(self, logs=None):
        if self._epoch == 1 and self._batch is None:
            os.kill(os.getpid(), self._number)


@pytest.mark.parametrize(
    ("number", "batch", "kind"),
    [
        (signal.SIGINT, 3, KeyboardInterrupt),
        pytest.param(signal.SIGTERM, 8, Terminated, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, None, Terminated, marks=pytest.mark.slow),
    ],
)
def test_a_signal_waits_for_a_state_and_nothing_is_lost(tmp_path, digits, number, batch, kind):
    config = make_config(**SMALL, deterministic=True)
    whole = train(config, tmp_path / "whole", dataset=digits, verbose=0)
    parts = Run(tmp_path / "parts")
    send = {"callbacks": [Send(number, batch)], "save_every": 1e9}
    with sigterm_raises(), pytest.raises(kind):
        train(config, parts.path, dataset=digits, verbose=0, **send)
    state = Checkpoints(parts.checkpoints_path).load().facts
    assert len(state["history"]) == 1
    assert state["steps_done"] == (9 if batch in (8, None) else batch + 1)
    seen = Steps()
    train(config, parts.path, dataset=digits, callbacks=[seen], verbose=0)
    for a, b in zip(weights_of(whole), weights_of(parts), strict=True):
        np.testing.assert_array_equal(a, b)
    history = parts.history()
    for key, values in whole.history().items():
        if key not in ("seconds", "images_per_second"):
            assert history[key] == pytest.approx(values, rel=1e-6), key
    assert history["seconds"] == sorted(history["seconds"])


def test_two_trainings_of_one_run_are_refused(tmp_path, digits):
    import threading

    refused = []

    def again():
        try:
            train(make_config(**SMALL), tmp_path / "run", dataset=digits, overwrite=True, verbose=0)
        except ValueError as error:
            refused.append(str(error))

    with working_in(tmp_path / "run"):
        other = threading.Thread(target=again)
        other.start()
        other.join()
    said = f"{tmp_path / 'run'}: is being written by process {os.getpid()} on"
    assert refused[0].startswith(said)
    assert not (tmp_path / "run" / "config.json").exists()


def test_too_small_a_disk_is_said_before_the_first_step(tmp_path, digits, monkeypatch):
    monkeypatch.setattr("cnn_cifar10.utils.files.free_space", lambda path: 1000)
    with pytest.raises(RunError, match=r"checkpoints: about .* KB are needed there, 1 KB are free"):
        train(make_config(**SMALL), tmp_path / "run", dataset=digits, verbose=0)
    assert not Run(tmp_path / "run").is_begun


def test_an_unfinished_run_of_version_0_1_is_not_begun_anew_in_silence(tmp_path, digits):
    (tmp_path / "checkpoint.npz").touch()
    with pytest.raises(RunError, match=r"holds an unfinished run of version 0\.1"):
        train(make_config(**SMALL), tmp_path, dataset=digits, verbose=0)


def test_early_stopping_stops_and_a_run_killed_after_it_trains_no_further(
    tmp_path, digits, monkeypatch
):
    config = make_config(
        **{**SMALL, "epochs": 9, "learning_rate": 1e-9}, schedule="constant", early_stopping=1
    )
    monkeypatch.setattr(sys.modules["cnn_cifar10.training.train"], "_save_artifact", _killed)
    with pytest.raises(SystemExit):
        train(config, tmp_path / "run", dataset=digits, verbose=0)
    monkeypatch.undo()
    before = len(Run(tmp_path / "run").history()["epoch"])
    assert before < 9
    assert train(config, tmp_path / "run", dataset=digits, verbose=0).facts()["epochs"] == before


def _killed(*_):
    raise SystemExit


def test_fit_reads_the_first_batch_first(digits, monkeypatch):
    config = make_config(**SMALL, deterministic=True)
    model = build_model(config, digits, "float32")
    compile_model(model, config, digits)
    read = []
    model.run_eagerly = True
    compute = model.compute_loss

    def record(x, y, *more, **options):
        read.append(np.asarray(y))
        return compute(x, y, *more, **options)

    monkeypatch.setattr(model, "compute_loss", record)
    batches = training_batches(digits.train, 10, batch_size=128, seed=0)
    expected = [labels.numpy() for _, labels in batches.take(2)]
    model.fit(batches, steps_per_epoch=2, epochs=1, verbose=0, shuffle=False)
    np.testing.assert_array_equal(read, expected)


def test_a_damaged_checkpoint_is_named(tmp_path, digits):
    config = make_config(**SMALL)
    run = Run(tmp_path / "run")
    run.path.mkdir()
    run.config_path.write_text(json.dumps(config.to_dict()))
    run.checkpoints_path.mkdir()
    (run.checkpoints_path / "00000001-0123.npz").write_bytes(b"not a state")
    with pytest.raises(RunError, match=r"checkpoints: all states are damaged; .*--overwrite"):
        train(config, run.path, dataset=digits, verbose=0)


def test_a_finished_run_is_not_overwritten_unasked(tmp_path, digits_run, digits):
    copy = Run(tmp_path / "copy")
    shutil.copytree(digits_run.path, copy.path)
    before = copy.model_path.read_bytes()
    assert train(copy.config(), copy.path, dataset=digits, verbose=0) == copy
    assert copy.model_path.read_bytes() == before
    copy.finish({**copy.facts(), "fingerprint": digits.fingerprints[1]})  # as of an older run
    assert train(copy.config(), copy.path, dataset=digits, verbose=0) == copy
    other = dataclasses.replace(digits, train=digits.validation)
    with pytest.raises(RunError, match="the data changed since this run was trained"):
        train(copy.config(), copy.path, dataset=other, verbose=0)
    with pytest.raises(RunError, match="holds a finished run of another config"):
        train(make_config(**SMALL), copy.path, dataset=digits, verbose=0)
    again = make_config(**{**SMALL, "epochs": 1})
    assert train(again, copy.path, dataset=digits, overwrite=True, verbose=0).facts()["epochs"] == 1


def test_overwriting_spares_what_is_no_runs(tmp_path, digits):
    (tmp_path / "README.md").write_text("mine")
    run = train(make_config(**SMALL), tmp_path, dataset=digits, overwrite=True, verbose=0)
    assert run.is_finished
    assert (tmp_path / "README.md").read_text() == "mine"


def test_opening_what_is_not_there(tmp_path):
    with pytest.raises(RunError, match="no such folder; train a model first"):
        open_run(tmp_path / "absent")
    with pytest.raises(RunError, match="holds no training run"):
        open_run(tmp_path)


def test_a_loss_that_is_no_number_twice_ends_training_in_one_line(tmp_path, digits, caplog):
    config = make_config(**{**SMALL, "learning_rate": 1e30})
    with pytest.raises(TrainingError, match=r"in epoch 1, for the second time, .* 5e\+29 at most"):
        train(config, tmp_path / "run", dataset=digits, verbose=0)
    assert "it goes on from the last good state, at half the learning rate" in caplog.text


class Spoil(keras.callbacks.Callback):
    """Makes weights infinite, once."""

    def __init__(self, epoch, value=np.inf):
        super().__init__()
        self._at, self._value, self.fell = epoch, value, False

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self._at and not self.fell:
            self.fell = True
            weights = [np.full_like(weight, self._value) for weight in self.model.get_weights()]
            self.model.set_weights(weights)


@pytest.mark.parametrize("value", [pytest.param(np.inf, marks=pytest.mark.slow), 0.0])
@pytest.mark.parametrize(
    "schedule", [pytest.param("constant", marks=pytest.mark.slow), "one_cycle"]
)
def test_after_a_fall_training_goes_on_at_half_the_learning_rate(
    tmp_path, digits, value, schedule, caplog
):
    network = {"width": 16, "stages": 2, "depth": 1}  # has learned something after three epochs
    learns = {"model_options": network, "augment": "none", "batch_size": 32, "learning_rate": 0.1}
    config = make_config(**{**SMALL, **learns, "epochs": 5}, schedule=schedule)
    run = train(
        config,
        tmp_path / "run",
        dataset=digits,
        callbacks=[Spoil(3, value)],
        save_every=0,
        verbose=0,
    )
    history, fall = run.history(), run.facts()["fall"]
    assert history["epoch"] == [1, 2, 3, 4, 5]
    assert (fall["epoch"], run.config()) == (4, config)
    assert fall["reason"] in caplog.text
    usual = train(config, tmp_path / "usual", dataset=digits, verbose=0).history()["learning_rate"]
    begin = next(i for i in range(5) if history["learning_rate"][i] < 0.9 * usual[i])
    expected = [*usual[:begin], *(rate / 2 for rate in usual[begin:])]
    np.testing.assert_allclose(history["learning_rate"], expected, rtol=1e-5)
    assert max(history["val_accuracy"]) > 0.3


@pytest.fixture
def few(digits):
    """The digits, with 96 images to train on."""
    train = Split(digits.train.images[:96], digits.train.labels[:96])
    return dataclasses.replace(digits, train=train)


HEADS = {
    "dataset": "digits",
    "model": "googlenet",
    "model_options": {"width": 0.125, "auxiliary_heads": True},
    "epochs": 1,
    "batch_size": 32,
    "precision": "float32",
}


@pytest.mark.usefixtures("short_googlenet")
@pytest.mark.slow
def test_auxiliary_heads_are_trained_and_not_saved(tmp_path, few):
    run = train(make_config(**HEADS), tmp_path / "run", dataset=few, verbose=0)
    history, artifact = run.history(), run.load_model()
    assert not isinstance(artifact, AuxiliaryHeads)
    assert artifact.output_shape == (None, 10)
    assert not any("auxiliary" in layer.name for layer in artifact.layers)
    assert run.facts()["parameters"] == artifact.count_params()
    # In training the loss is that of three classifiers, each about log(10).
    assert 1.4 < history["loss"][0] / np.log(10) < 2.5
    predicted = artifact.predict(few.validation.images, verbose=0).argmax(axis=1)
    accuracy = np.mean(predicted == few.validation.labels)
    assert accuracy == pytest.approx(history["val_accuracy"][0], abs=0.011)


@pytest.mark.slow
@pytest.mark.usefixtures("short_googlenet")
@pytest.mark.parametrize("heads", [True, False])
def test_a_run_starts_from_one_with_auxiliary_heads(tmp_path, few, heads):
    run = train(make_config(**HEADS), tmp_path / "run", dataset=few, verbose=0)
    options = {**HEADS["model_options"], "auxiliary_heads": heads}
    config = make_config(**{**HEADS, "seed": 4, "model_options": options})
    model = build_model(config, few, "float32")
    set_weights_from(run.path, model)
    for a, b in zip(main_model(model).weights, run.load_model().weights, strict=True):
        np.testing.assert_array_equal(a, b)


FAST = {
    "dataset": "digits",
    "augment": "small_crop+alternating_flip",
    "epochs": 3,
    "small_epochs": 2,
    "batch_size": 100,
    "model_options": {"filters": [8, 8, 16, 16]},
}


def test_whitening_comes_from_the_training_images_and_stays(tmp_path, digits):
    config = make_config("fast", **FAST)
    run = train(config, tmp_path / "run", dataset=digits, verbose=0)
    assert run.load_model().input_shape == (None, *digits.image_shape)
    fresh = build_model(config, digits, "float32")
    adapt_whitening(fresh, digits.train.images)
    kernel = fresh.get_layer("stem_whitening").kernel
    trained = run.load_model().get_layer("stem_whitening").kernel
    # Trained in bfloat16, whose pixels have three digits.
    np.testing.assert_allclose(trained, kernel, atol=0.02 * np.abs(kernel).max())


def test_with_the_validation_images_the_last_epoch_is_kept(tmp_path, digits):
    config = make_config(**{**SMALL, "epochs": 2}, use_validation=True)
    run = train(config, tmp_path / "run", dataset=digits, verbose=0)
    history, facts = run.history(), run.facts()
    assert facts["best_epoch"] == 2
    assert (facts["notes"], facts["fit"]) == ([], "crop")
    assert not any(key.startswith("val_") for key in history)
    both = len(digits.train) + len(digits.validation)
    assert facts["examples"] == {"train": both, "validation": 0, "test": len(digits.test)}
    report = report_run(run, digits, tmp_path / "report", tmp_path / "results.csv", tta=True)
    assert set(report["metrics"]) == {"train", "test"}
    (row,) = read_results(tmp_path / "results.csv")
    assert row["validation_accuracy"] is None
    assert row["tta_accuracy"] == pytest.approx(report["metrics"]["test"]["tta_accuracy"], abs=1e-4)
    assert "accuracy over six views" in (tmp_path / "report/report.md").read_text()


def test_a_run_does_not_start_from_itself(tmp_path, digits):
    config = make_config(**SMALL)
    run = train(config, tmp_path / "run", dataset=digits, verbose=0)
    before = run.model_path.read_bytes()
    again = dataclasses.replace(config, start=str(tmp_path / "." / "run"))
    with pytest.raises(InputError, match="is the run to start from too"):
        train(again, run.path, dataset=digits, overwrite=True, verbose=0)
    assert run.model_path.read_bytes() == before
    assert run.is_finished


def test_a_run_that_has_begun_needs_its_start_no_more(tmp_path, digits, interruption):
    first = train(
        make_config(**{**SMALL, "epochs": 1}), tmp_path / "first", dataset=digits, verbose=0
    )
    config = make_config(**SMALL, start=str(first.path))
    whole = train(config, tmp_path / "whole", dataset=digits, verbose=0)
    stop = {"callbacks": [interruption(1, 0)], "save_every": 0}
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "parts", dataset=digits, verbose=0, **stop)
    shutil.rmtree(first.path)
    parts = train(config, tmp_path / "parts", dataset=digits, verbose=0)
    assert parts.config() == config
    assert parts.history()["loss"] == pytest.approx(whole.history()["loss"], rel=1e-3)


def test_a_run_goes_on_in_its_number_format_on_another_machine(
    tmp_path, digits, interruption, monkeypatch
):
    """Here a machine with bfloat16, then one without."""
    config = make_config(**{**SMALL, "precision": "auto"})
    with monkeypatch.context() as patch:
        patch.setattr(trains, "choose_precision", lambda *_: "mixed_bfloat16")
        patch.setattr(trains, "describe_hardware", lambda: {"cpu": "One", "cores": 2})
        stop = {"callbacks": [interruption(1, 0)], "save_every": 0}
        with pytest.raises(KeyboardInterrupt):
            train(config, tmp_path / "run", dataset=digits, verbose=0, **stop)
        patch.setattr(trains, "choose_precision", lambda *_: "float32")
        patch.setattr(trains, "describe_hardware", lambda: {"cpu": "Other", "cores": 1})
        run = train(config, tmp_path / "run", dataset=digits, verbose=0)
    facts = run.facts()
    assert (facts["precision"], run.config()) == ("mixed_bfloat16", config)
    assert format_hardware(facts["hardware"]) == "Other, 1 core; before on One, 2 cores"


def test_lines_of_a_log_count_all_epochs(tmp_path, digits, interruption, capsys):
    config = make_config(**SMALL)
    stop = {"callbacks": [interruption(1, 2)], "save_every": 0}
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "run", dataset=digits, verbose=2, **stop)
    train(config, tmp_path / "run", dataset=digits, verbose=2)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch ")]
    assert [line.partition(":")[0] for line in lines] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]


def test_a_start_of_other_classes_says_that_the_classifier_is_new(tmp_path, digits, caplog):
    run = train(make_config(**{**SMALL, "epochs": 1}), tmp_path / "run", dataset=digits, verbose=0)
    config = make_config(**SMALL)
    set_weights_from(run.path, build_model(config, digits, "float32"))
    assert not caplog.records
    fewer = dataclasses.replace(
        digits,
        **{name: digits.split(name)[digits.split(name).labels < 4] for name in SPLITS},
        class_names=digits.class_names[:4],
    )
    model = build_model(config, fewer, "float32")
    set_weights_from(run.path, model)
    assert "training begins with a new classifier; with --head-epochs 20" in caplog.text
