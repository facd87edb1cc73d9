"""Building a config's model, and starting it from another run's weights."""

import dataclasses
import shutil
import sys

import keras
import numpy as np
import pytest

from cnn_cifar10.architectures import main_model
from cnn_cifar10.configs import make_config
from cnn_cifar10.datasets import Split
from cnn_cifar10.training import build_model, compile_model, train
from cnn_cifar10.training.run import RunError
from cnn_cifar10.utils import InputError

START = {  # the same network as `digits_run`'s
    "dataset": "digits",
    "model_options": {"width": 8, "depth": 1},
    "epochs": 1,
    "augment": "none",
    "precision": "float32",
    "seed": 3,
}


class _Started(Exception):
    """Carries the weights that training would start from."""


def weights_at_start(monkeypatch, path, dataset, **options):
    def stop(model, *_):
        raise _Started([(w.path, w.numpy()) for w in main_model(model).weights])

    monkeypatch.setattr(sys.modules["cnn_cifar10.training.prepare"], "compile_model", stop)
    with pytest.raises(_Started) as raised:
        train(make_config(**{**START, **options}), path, dataset=dataset, verbose=0)
    monkeypatch.undo()
    return raised.value.args[0]


def test_start_brings_every_weight(tmp_path, digits_run, digits, monkeypatch):
    started = weights_at_start(monkeypatch, tmp_path / "run", digits, start=str(digits_run.path))
    fresh = weights_at_start(monkeypatch, tmp_path / "run", digits)
    source = digits_run.load_model().weights
    assert [path for path, _ in started] == [w.path for w in source]
    for (path, value), (_, other), weight in zip(started, fresh, source, strict=True):
        np.testing.assert_array_equal(value, weight, err_msg=path)
        assert (value != other).any(), path


def test_training_goes_on_from_start(tmp_path, digits_run, digits):
    config = make_config(**START, start=str(digits_run.path), learning_rate=1e-9, weight_decay=0.0)
    run = train(config, tmp_path / "run", dataset=digits, verbose=0)
    source, model = digits_run.load_model(), run.load_model()
    for a, b in zip(model.trainable_weights, source.trainable_weights, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6, err_msg=a.path)
    assert run.config().start == str(digits_run.path)
    assert run.facts()["epochs"] == 1


def test_another_number_of_classes_gets_a_new_head(tmp_path, digits_run, digits, monkeypatch):
    def of_five(split):
        chosen = split.labels < 5
        return Split(split.images[chosen], split.labels[chosen], split.ids[chosen])

    five = dataclasses.replace(
        digits,
        class_names=tuple("01234"),
        **{name: of_five(getattr(digits, name)) for name in ("train", "validation", "test")},
    )
    source = digits_run.load_model().weights
    started = weights_at_start(monkeypatch, tmp_path / "run", five, start=str(digits_run.path))
    for (path, value), other in zip(started, source, strict=True):
        if path.startswith("logits"):
            assert value.shape[-1] == 5
        else:
            np.testing.assert_array_equal(value, other, err_msg=path)
    fresh = dict(weights_at_start(monkeypatch, tmp_path / "run", five))
    np.testing.assert_array_equal(dict(started)["logits/kernel"], fresh["logits/kernel"])
    assert np.abs(fresh["logits/kernel"]).max() > 0

    config = make_config(**START, start=str(digits_run.path))
    run = train(config, tmp_path / "run", dataset=five, verbose=0)
    assert run.load_model().output_shape == (None, 5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "baseline_cnn", "model_options": {}}, "start: holds another network than base"),
        (
            {"model_options": {"width": 8, "depth": 2}},
            "start: holds another network than custom_cnn",
        ),
        (
            {"model_options": {"width": 4, "depth": 1}},
            "start: its stage1_conv1/kernel is of shape (3, 3, 3, 8), not (3, 3, 3, 4); use ",
        ),
    ],
)
def test_start_refuses_another_network(tmp_path, digits_run, digits, options, message):
    config = make_config(**{**START, **options}, start=str(digits_run.path))
    with pytest.raises(RunError) as raised:
        train(config, tmp_path / "run", dataset=digits, verbose=0)
    assert str(raised.value).startswith(f"{digits_run.path}: {message}")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "run").exists()


def test_start_refuses_what_is_no_finished_run(tmp_path, digits_run, digits):
    shutil.copytree(digits_run.path, tmp_path / "unfinished")
    (tmp_path / "unfinished" / "checkpoints").mkdir()
    state = tmp_path / "unfinished" / "checkpoints" / "00000001-0123.npz"
    (tmp_path / "unfinished" / "run.json").rename(state)
    for start, message in (
        ("absent", "no such folder; train a model first"),
        ("unfinished", "holds an unfinished training run; finish it with"),
    ):
        config = make_config(**START, start=str(tmp_path / start))
        with pytest.raises(RunError) as raised:
            train(config, tmp_path / "run", dataset=digits, verbose=0)
        assert str(raised.value).startswith(f"{tmp_path / start}: {message}")
    assert not (tmp_path / "run").exists()


def test_a_model_is_built_from_its_seed_at_its_precision(digits):
    config = make_config(**START)
    model, again = (build_model(config, digits, "mixed_bfloat16") for _ in range(2))
    assert keras.config.dtype_policy().name == "float32"
    assert model.get_layer("stage1_conv1").dtype_policy.name == "mixed_bfloat16"
    for a, b in zip(model.weights, again.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(InputError, match="no model is named 'x'"):
        build_model(make_config(model="x"), digits, "mixed_bfloat16")
    assert keras.config.dtype_policy().name == "float32"


def test_compiling_leaves_a_model_as_it_was_built(digits):
    config = make_config(**START)
    model = build_model(config, digits, "float32")
    before = model.get_weights()
    compile_model(model, config, digits)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert model.optimizer.iterations == 0
    assert model.get_metrics_result()["accuracy"] == 0
    assert model.loss.get_config()["label_smoothing"] == 0.1
