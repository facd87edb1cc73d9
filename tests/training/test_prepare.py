"""The classifier is trained on frozen features first, then the whole network from there."""

import dataclasses

import keras
import numpy as np
import pytest

from cnn_cifar10.architectures.efficientnet import build_efficientnet_lite0
from cnn_cifar10.configs import make_config
from cnn_cifar10.datasets import Split
from cnn_cifar10.training import Run, train
from cnn_cifar10.training.prepare import prepare, start_model
from cnn_cifar10.utils import InputError

pytestmark = pytest.mark.usefixtures("short_lite0")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache folder of each test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def few(digits):
    """240 digits to train on, sixty to validate."""
    splits = {name: digits.split(name) for name in ("train", "validation")}
    return dataclasses.replace(
        digits, train=splits["train"][:240], validation=splits["validation"][:60]
    )


@pytest.fixture(scope="module")
def config(short_lite0, tmp_path_factory, settle, few):
    """A function to the config of a small fine-tuning, some fields replaced."""
    keras.utils.set_random_seed(0)
    body = build_efficientnet_lite0((32, 32, 3))
    settle(body, (few.train.images.astype("float32") - 127) / 128)
    path = tmp_path_factory.mktemp("weights") / "lite0.weights.h5"
    body.save_weights(path)
    options = {"weights": str(path), "image_size": 32}
    small = {"dataset": "digits", "epochs": 1, "batch_size": 60, "augment": "flip"}

    def config(model_options=(), **fields):
        return make_config(
            "finetune", **{**small, **fields}, model_options={**options, **dict(model_options)}
        )

    return config


def prepared(config, dataset, head=True):
    model = start_model(config, dataset, "float32")
    prepare(model, config, dataset, head=head, verbose=0)
    return model


def accuracy(model, split):
    answers = model.predict(split.images, verbose=0).argmax(axis=1)
    return np.mean(answers == split.labels)


def weights_of(model, trained):
    return [w.numpy() for w in model.weights if w.path.startswith("logits") == trained]


def test_recipe_trains_a_head_first_unless_it_has_a_start():
    assert make_config("finetune").head_epochs == 20
    assert make_config("finetune", start="models/a").head_epochs == 0
    assert make_config("finetune", start="models/a", head_epochs=3).head_epochs == 3
    assert make_config("finetune", head_epochs=0).head_epochs == 0


@pytest.mark.slow
def test_fine_tuning_starts_from_a_trained_classifier(few, config):
    untrained = prepared(config(), few, head=False)
    assert accuracy(untrained, few.train) < 0.3
    model = prepared(config(), few)
    assert accuracy(model, few.train) > 0.9
    for before, after in zip(weights_of(untrained, False), weights_of(model, False), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.slow
def test_a_run_goes_on_above_its_classifier(tmp_path, few, config, capsys):
    run = train(config(learning_rate=1e-6), tmp_path / "run", dataset=few, verbose=2)
    printed = capsys.readouterr().out
    (line,) = [line for line in printed.splitlines() if line.startswith("classifier alone:")]
    assert line.startswith("classifier alone: 20 epochs on features, val_accuracy 0.")
    head = float(line.split()[7].rstrip(","))
    assert run.history()["val_accuracy"][0] == pytest.approx(head, abs=0.05)
    assert run.history()["seconds"][0] > float(line.split()[-2])


@pytest.mark.slow
def test_where_no_epoch_is_better_the_classifier_is_kept(tmp_path, few, config, interruption):
    ruinous = config(epochs=3, learning_rate=0.5, schedule="constant", deterministic=True)
    with pytest.raises(KeyboardInterrupt):
        train(ruinous, tmp_path / "run", dataset=few, callbacks=[interruption(1, 0)], verbose=0)
    run = train(ruinous, tmp_path / "run", dataset=few, verbose=0)
    assert run.facts()["best_epoch"] == 0
    assert run.history()["epoch"] == [1, 2, 3]
    kept, alone = run.load_model(), prepared(ruinous, few)
    assert accuracy(kept, few.validation) > max(run.history()["val_accuracy"])
    for a, b in zip(kept.weights, alone.weights, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=a.path)


@pytest.mark.parametrize(
    "options",
    [
        {"select": "val_macro_f1", "class_weight": "balanced"},
        pytest.param({"select": "val_loss", "loss": "focal"}, marks=pytest.mark.slow),
        pytest.param({"use_validation": True}, marks=pytest.mark.slow),
        pytest.param({"model_options": {"dropout": 0.3}}, marks=pytest.mark.slow),
        pytest.param({"model_options": {"trainable_layers": 3}}, marks=pytest.mark.slow),
        # Here it is trained twice.
        pytest.param({"model_options": {"trainable_layers": 0}}, marks=pytest.mark.slow),
    ],
)
def test_the_classifier_is_trained_however_the_run_is(few, config, options):
    few = few.with_validation_in_train() if options.get("use_validation") else few
    assert accuracy(prepared(config(**options), few), few.train) > 0.8


@pytest.mark.slow
def test_it_is_the_same_with_and_without_caches(few, config, cache, monkeypatch):
    asked = config(deterministic=True, model_options={"dropout": 0.3})
    first = prepared(asked, few)
    assert list(cache.rglob("*.npz"))
    again = prepared(asked, few)
    monkeypatch.setenv("XDG_CACHE_HOME", __file__)
    without = prepared(asked, few)
    other = prepared(dataclasses.replace(asked, seed=1), few)
    for a, b, c in zip(first.weights, again.weights, without.weights, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)
    assert (first.weights[-2].numpy() != other.weights[-2].numpy()).any()


@pytest.mark.slow
def test_a_run_that_continues_trains_no_classifier(tmp_path, few, config, capsys, interruption):
    small = config(epochs=2, deterministic=True)
    whole = train(small, tmp_path / "whole", dataset=few, verbose=0)
    with pytest.raises(KeyboardInterrupt):
        train(small, tmp_path / "parts", dataset=few, callbacks=[interruption(1, 0)], verbose=0)
    assert not Run(tmp_path / "parts").is_finished
    parts = train(small, tmp_path / "parts", dataset=few, verbose=2)
    assert "classifier alone" not in capsys.readouterr().out
    pairs = zip(whole.load_model().weights, parts.load_model().weights, strict=True)
    for a, b in pairs:
        np.testing.assert_array_equal(a, b, err_msg=a.path)


@pytest.mark.parametrize("model", ["custom_cnn", "resnet20", "fastnet"])
def test_networks_without_features_have_no_head_to_train(tmp_path, few, model):
    with pytest.raises(InputError, match=f"head_epochs: {model} has no pretrained features"):
        train(
            make_config(dataset="digits", model=model, head_epochs=2), tmp_path / "run", dataset=few
        )
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_data_may_have_no_test_images(tmp_path, few, config):
    bare = dataclasses.replace(few, test=few.test[:0], notes=("Nothing was found.",))
    assert bare.judged == "validation"
    facts = train(config(), tmp_path / "run", dataset=bare, verbose=0).facts()
    assert facts["examples"]["test"] == 0
    assert facts["notes"] == ["Nothing was found."]


@pytest.mark.slow
def test_two_thousand_classes_are_trained(tmp_path, few, config):
    labels = np.arange(2000)
    images = np.resize(few.train.images, (2000, 32, 32, 3))
    split = Split(images, labels)
    many = dataclasses.replace(
        few, class_names=tuple(map(str, labels)), train=split, validation=split[:50], test=split[:0]
    )
    small = config(augment="none", model_options={"trainable_layers": 0}, select="val_macro_f1")
    run = train(small, tmp_path / "run", dataset=many, verbose=0)
    assert run.load_model().output_shape == (None, 2000)


def test_features_are_of_images_of_one_size(tmp_path, few, config):
    frozen = config({"trainable_layers": 0}, head_epochs=0, augment="none", small_epochs=1)
    (tmp_path / "run").mkdir()
    (tmp_path / "run/README.md").touch()
    with pytest.raises(InputError, match="small_epochs: features of a frozen network"):
        train(frozen, tmp_path / "run", dataset=few, overwrite=True, verbose=0)
