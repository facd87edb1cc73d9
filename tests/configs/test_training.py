"""Configs: defaults that work, recipes, round trips, clear refusals."""

import dataclasses
import json
import typing

import pytest

from cnn_cifar10.architectures import NETWORKS, Network, list_models
from cnn_cifar10.configs import (
    FITS,
    FOLDER,
    OPTIMIZERS,
    RECIPES,
    ConfigError,
    TrainingConfig,
    make_config,
    read_config,
)
from cnn_cifar10.datasets import images
from cnn_cifar10.exporting import model_card
from cnn_cifar10.serving.schemas import ModelDescription
from cnn_cifar10.training import plan


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_rate_and_decay_follow_the_optimizer_unless_said(optimizer):
    config = TrainingConfig(optimizer=optimizer)
    entry = OPTIMIZERS[optimizer]
    assert (config.learning_rate, config.weight_decay) == (entry.learning_rate, entry.weight_decay)
    assert TrainingConfig(optimizer=optimizer, weight_decay=0.5).weight_decay == 0.5
    assert TrainingConfig(optimizer=optimizer, learning_rate=0.7).learning_rate == 0.7


@pytest.mark.parametrize(
    ("optimizer", "batch_size", "factor"),
    [("sgd", 512, 4), ("sgd", 32, 0.25), ("adam", 512, 2), ("adamw", 32, 0.5), ("muon", 512, 2)],
)
def test_a_learning_rate_that_nobody_names_grows_with_the_batch(optimizer, batch_size, factor):
    config = TrainingConfig(optimizer=optimizer, batch_size=batch_size)
    assert config.learning_rate == pytest.approx(factor * OPTIMIZERS[optimizer].learning_rate)
    named = TrainingConfig(optimizer=optimizer, batch_size=batch_size, learning_rate=0.3)
    assert named.learning_rate == 0.3


def test_a_folder_has_its_own_defaults_where_nothing_is_said():
    folder = {"dataset": "folder", "data_dir": "photos"}
    config = make_config(**folder)
    assert {name: getattr(config, name) for name in FOLDER} == FOLDER
    assert config == dataclasses.replace(TrainingConfig(**folder), **FOLDER)
    assert make_config(**folder, fit="pad", select="val_loss").fit == "pad"
    assert make_config(**folder, select="val_loss").select == "val_loss"
    assert make_config(**folder, use_validation=True).select == "val_accuracy"
    assert make_config(dataset="digits") == TrainingConfig(dataset="digits")


def test_each_way_to_fit_an_image_is_known_wherever_one_is_named():
    offered = typing.get_args(ModelDescription.model_fields["fit"].annotation)
    for names in (images.FITS, plan._FITS, model_card._FITS, offered):
        assert tuple(names) == FITS


def test_recipes_name_their_learning_rates_unless_their_batches_are_of_128():
    for name, fields in RECIPES.items():
        assert "learning_rate" in fields or "batch_size" not in fields, name
    rates = {name: make_config(name).learning_rate for name in RECIPES}
    assert (rates["standard"], rates["tutorial"], rates["transfer"]) == (0.2, 0.001, 0.002)


@pytest.fixture
def toy(monkeypatch):
    """The name of a network whose training differs from the standard recipe."""
    training = {"clip_norm": 2.0, "warmup": 0.5, "learning_rate": 0.01}
    monkeypatch.setitem(NETWORKS, "toy", Network("nowhere:build", training=training))
    return "toy"


@pytest.mark.parametrize(
    ("recipe", "given", "expected"),
    [
        ("standard", {}, {"clip_norm": 2.0, "warmup": 0.5, "learning_rate": 0.01}),
        ("standard", {"batch_size": 512}, {"learning_rate": 0.04}),
        ("standard", {"learning_rate": 0.3, "warmup": 0.1}, {"learning_rate": 0.3, "warmup": 0.1}),
        ("standard", {"learning_rate": None}, {"learning_rate": 0.01}),
        ("standard", {"clip_norm": 0.0}, {"clip_norm": 0.0}),
        ("standard", {"optimizer": "adam"}, {"learning_rate": 0.001, "clip_norm": 2.0}),
        ("tutorial", {}, {"learning_rate": 0.001, "clip_norm": 2.0}),
        ("fast", {}, {"learning_rate": 0.15, "warmup": 0.0}),
    ],
)
def test_a_networks_training_comes_after_what_is_given_and_named_recipes(
    toy, recipe, given, expected
):
    config = make_config(recipe, model=toy, **given)
    assert {name: getattr(config, name) for name in expected} == expected


@pytest.mark.parametrize("model", list_models())
def test_every_networks_usual_training_is_a_config(model):
    config, usual = make_config(model=model), NETWORKS[model].training
    assert {name: getattr(config, name) for name in usual} == dict(usual)


def test_a_saved_config_stays_as_it_is(tmp_path):
    path = tmp_path / "config.json"
    values = TrainingConfig(model="vgg16", batch_size=512, learning_rate=0.4).to_dict()
    del values["clip_norm"], values["ema"]  # as written before there were these
    path.write_text(json.dumps(values))
    config = read_config(path)
    assert (config.learning_rate, config.clip_norm, config.ema) == (0.4, 0.0, 0.0)


def test_recipes_are_starting_points():
    assert make_config() == TrainingConfig()
    tutorial = make_config("tutorial", epochs=3)
    assert (tutorial.optimizer, tutorial.augment, tutorial.epochs) == ("adam", "none", 3)
    fast = {name for name in RECIPES if make_config(name).model == "fastnet"}
    assert fast == {"fast", "faster", "accurate"}
    assert set(RECIPES) - fast == {"standard", "tutorial", "transfer", "finetune"}
    for recipe in RECIPES:
        assert json.loads(json.dumps(make_config(recipe).to_dict()))["seed"] == 0


def test_transfer_and_fine_tuning_train_the_same_network():
    frozen, all_of_it = make_config("transfer"), make_config("finetune")
    assert frozen.model == all_of_it.model == "transfer"
    assert frozen.augment == "none"  # so that features can be computed once
    assert all_of_it.augment == "crop+flip"
    unnamed = make_config(model="transfer")
    same = ("optimizer", "augment", "label_smoothing", "weight_decay")
    assert [getattr(unnamed, name) for name in same] == [getattr(frozen, name) for name in same]
    assert (frozen.model_options, all_of_it.model_options) == ({}, {"trainable_layers": -1})
    assert all_of_it.learning_rate < frozen.learning_rate


def test_model_options_add_to_those_of_the_recipe():
    options = {"backbone": "mobilenet_v2", "dropout": 0.2}
    merged = make_config("finetune", model_options=options)
    assert merged.model_options == {"trainable_layers": -1, **options}
    replaced = make_config("finetune", model_options={"trainable_layers": 20})
    assert replaced.model_options == {"trainable_layers": 20}
    assert options == {"backbone": "mobilenet_v2", "dropout": 0.2}
    make_config("finetune").model_options["dropout"] = 0.5
    assert make_config("finetune").model_options == {"trainable_layers": -1}


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"model": "baseline_cnn", "seed": 4}, "cifar10-baseline_cnn-seed4"),
        ({"dataset": "folder", "data_dir": "/somewhere/photos/"}, "photos-custom_cnn-seed0"),
        ({"recipe": "transfer", "dataset": "digits"}, "digits-transfer-seed0"),
        (
            {"recipe": "transfer", "model_options": {"backbone": "resnet50"}},
            "cifar10-transfer-resnet50-seed0",
        ),
        ({"recipe": "finetune", "start": "models/a"}, "cifar10-transfer-finetuned-seed0"),
        (
            {"recipe": "finetune", "start": "models/a", "model_options": {"backbone": "xception"}},
            "cifar10-transfer-xception-finetuned-seed0",
        ),
        ({"start": "models/a", "seed": 2}, "cifar10-custom_cnn-finetuned-seed2"),
        ({"recipe": "finetune"}, "cifar10-transfer-finetuned-seed0"),  # not in transfer's folder
        (
            {"recipe": "transfer", "model_options": {"trainable_layers": 0}},
            "cifar10-transfer-seed0",
        ),
        ({"model": "pkg.a:build"}, "cifar10-a_build-seed0"),
        ({"model": "pkg.b:build"}, "cifar10-b_build-seed0"),
        ({"model": "nets:build"}, "cifar10-nets_build-seed0"),
        ({"model": "nets/my_net.py:build"}, "cifar10-my_net_build-seed0"),
        ({"model": "my nets/net 2.py:build"}, "cifar10-net-2_build-seed0"),
        (
            {"recipe": "transfer", "model_options": {"backbone": "kerashub:/home/u/preset"}},
            "cifar10-transfer-kerashub-home-u-preset-seed0",
        ),
    ],
)
def test_the_name_tells_runs_apart(values, name):
    config = make_config(**values)
    assert config.name == name
    assert name.startswith(f"{config.source}-")


def test_a_start_is_kept_as_it_was_given(tmp_path):
    config = make_config("finetune", start="models/cifar10-transfer-seed0")
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config.to_dict()))
    assert read_config(path).start == "models/cifar10-transfer-seed0"
    assert make_config().start is None
    # Configs written before there were starts stay readable.
    path.write_text(json.dumps({key: v for key, v in config.to_dict().items() if key != "start"}))
    assert read_config(path).start is None


def test_json_round_trip(tmp_path):
    config = make_config("tutorial", model="baseline_cnn", model_options={"width": 3}, seed=4)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config.to_dict()))
    assert read_config(path) == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 0}, "epochs must be 1 or more, received 0"),
        ({"epochs": 2, "small_epochs": 3}, "small_epochs must be 0 to epochs, received 3"),
        ({"use_validation": True, "early_stopping": 2}, "no images to judge epochs by"),
        ({"use_validation": True, "schedule": "reduce_on_plateau"}, "another schedule"),
        ({"batch_size": 0}, "batch_size must be 1 or more"),
        ({"image_size": -1}, "image_size must be 1 or more"),
        ({"train_images": 0}, "train_images must be 1 or more, received 0"),
        (
            {"optimizer": "sdg"},
            f"optimizer must be one of {', '.join(OPTIMIZERS)}, received 'sdg'",
        ),
        ({"schedule": "linear"}, "schedule must be one of constant, step"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
        ({"momentum": 1.0}, r"momentum must be in \[0, 1\)"),
        ({"weight_decay": -1.0}, "weight_decay must be 0 or more"),
        ({"clip_norm": -1.0}, "clip_norm must be 0 or more, received -1.0"),
        ({"ema": 1.0}, r"ema must be in \[0, 1\), received 1.0"),
        ({"warmup": 1.0}, r"warmup must be in \[0, 1\)"),
        ({"label_smoothing": -0.1}, "label_smoothing must be"),
        ({"early_stopping": -1}, "early_stopping must be"),
        ({"seed": -1}, "seed must be"),
        ({"epochs": "5"}, "epochs must be of type int, received '5'"),
        ({"epochs": 2.5}, "epochs must be of type int"),
        ({"augment": None}, "augment must be of type str"),
        ({"model_options": 3}, "model_options must be of type dict"),
        ({"start": 3}, "start must be of type str"),
        ({"seed": True}, "seed must be of type int"),
        ({"precision": "bf16"}, "precision must be one of auto, float32"),
        ({"learning_speed": 1}, "unknown config key 'learning_speed'"),
    ],
)
def test_impossible_values_are_named(values, message):
    with pytest.raises(ConfigError, match=message):
        make_config(**values)


def test_unknown_recipe():
    with pytest.raises(ConfigError, match="no recipe is named 'slow': choose from standard"):
        make_config("slow")


@pytest.mark.parametrize(("text", "message"), [("{", "cannot read"), ("[]", "holds no config")])
def test_a_damaged_file_is_named(tmp_path, text, message):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as error:
        read_config(path)
    assert str(path) in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"absent\.json: cannot read"):
        read_config(tmp_path / "absent.json")


def test_every_option_has_help():
    for field in dataclasses.fields(TrainingConfig):
        assert field.metadata["help"]
