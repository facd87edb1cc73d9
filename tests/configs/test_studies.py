"""Studies: grids expanded exactly, every named one trainable, clear refusals."""

import dataclasses
import itertools
import json
import re
from pathlib import Path

import pytest

from cnn_cifar10.configs import Study, TrainingConfig, find_study, list_studies
from cnn_cifar10.configs import studies as named
from cnn_cifar10.configs.studies import SHORT, StudyError
from cnn_cifar10.pipelines import get_policy

REPORTS = Path(__file__).parents[2] / "reports/studies"

SMALL = {
    "name": "small",
    "question": "Is wider better?",
    "variants": {"narrow": {"model_options": {"width": 4}}, "wide": {}},
    "reference": "narrow",
}


def test_a_grid_is_every_rate_with_every_batch_size():
    study = find_study("learning_rate_batch_size")
    grid = set(itertools.product((0.05, 0.2, 0.8, 3.2), (32, 128, 512)))
    configs = [study.config(label, 1) for label in study.variants]
    assert {(config.learning_rate, config.batch_size) for config in configs} == grid
    assert len(configs) == len(grid)
    config = study.config("rate 0.05, batch 512", 7)
    assert config == TrainingConfig(
        learning_rate=0.05, batch_size=512, seed=7, model_options={"width": 16}, **SHORT
    )


def test_a_config_is_the_defaults_then_short_then_base_then_the_variant():
    study = Study(
        **{
            **SMALL,
            "base": {"epochs": 2, "augment": "none", "model_options": {"depth": 1, "width": 8}},
            "variants": {
                "narrow": {"model_options": {"width": 4}},
                "wide": {},
                "long": {"epochs": 9},
            },
        }
    )
    expected = {"epochs": 2, "train_images": 10_000, "augment": "none", "seed": 3}
    assert study.config("narrow", 3) == TrainingConfig(
        **expected, model_options={"depth": 1, "width": 4}
    )
    usual = {"depth": 1, "width": 8}
    assert study.config("wide", 3) == TrainingConfig(**expected, model_options=usual)
    long = {**expected, "epochs": 9}
    assert study.config("long", 3) == TrainingConfig(**long, model_options=usual)
    assert (study.setting("narrow", "width"), study.setting("narrow", "epochs")) == (4, 2)
    assert study.setting("wide", "dropout") is None


def test_the_named_studies_ask_what_was_asked():
    studies = {name: find_study(name) for name in list_studies()}
    assert {name: study.question for name, study in studies.items()} == list_studies()
    assert {path.stem for path in named._FOLDER.glob("*")} == set(studies)
    assert all(len(study.seeds) >= 3 for study in studies.values())
    assert len(studies["seed_variance"].seeds) >= 10
    assert set(studies["activation"].variants) == {"relu", "leaky_relu", "elu", "gelu", "silu"}
    optimizers = studies["optimizer"]
    used = [optimizers.config(label, 0).optimizer for label in optimizers.variants]
    assert {name: used.count(name) for name in used} == dict.fromkeys(
        ("sgd", "adam", "adamw", "rmsprop"), 4
    )


def test_all_regularizers_are_each_of_them_together():
    study = find_study("regularization")
    none = study.config("none", 0)
    assert (none.augment, none.label_smoothing, none.weight_decay) == ("none", 0.0, 0.0)
    assert none.model_options == {"width": 16, "batch_norm": False}
    options, fields = {}, {}
    for label in ("dropout", "batch norm", "L2", "label smoothing", "augmentation"):
        variant = study.variants[label]
        assert len(variant) == 1
        options |= variant.get("model_options", {})
        fields |= variant
    assert study.variants["all"] == {**fields, "model_options": options}


@pytest.mark.parametrize("name", list_studies())
def test_the_runs_of_a_named_study_had_its_settings(name):
    from cnn_cifar10.experiments import read_runs

    study = find_study(name)
    rows = read_runs(study, REPORTS / f"cifar10-{name}" / "runs.csv")
    assert {row["variant"] for row in rows} == set(study.variants)
    assert {row["seed"] for row in rows} == set(study.seeds)


@pytest.mark.parametrize("name", list_studies())
def test_every_variant_of_a_named_study_can_be_trained(name):
    import keras

    from cnn_cifar10.architectures import create_model

    study, seen, built = find_study(name), [], []
    for label in study.variants:
        config = study.config(label, study.seeds[0])
        assert json.loads(json.dumps(config.to_dict())) == config.to_dict()  # as a run keeps it
        get_policy(config.augment)
        network = (config.model, config.model_options)
        if network not in built:
            with keras.StatelessScope(initialize_variables=False):
                model = create_model(config.model, (32, 32, 3), 10, **config.model_options)
            assert model.output_shape == (None, 10)
            built.append(network)
        seen.append(config)
    assert all(one != other for one, other in itertools.combinations(seen, 2))


def test_overrides_reach_every_variant_but_not_what_it_sets():
    study = find_study("epochs").with_base(dataset="digits", train_images=100)
    assert study.config("10 epochs", 0) == TrainingConfig(
        dataset="digits", train_images=100, epochs=10, model_options={"width": 16}
    )
    assert find_study("epochs").config("10 epochs", 0).dataset == "cifar10"
    with pytest.raises(StudyError, match="study 'epochs': epochs must be left to its variants"):
        study.with_base(epochs=1)


def test_a_file_declares_a_study(tmp_path):
    path = tmp_path / "width.json"
    declared = {**SMALL, "seeds": [4, 5], "axes": []}
    del declared["name"]
    path.write_text(json.dumps(declared))
    study = find_study(str(path))
    assert study == Study(**{**SMALL, "name": "width", "seeds": (4, 5)})
    path.write_text(json.dumps(dataclasses.asdict(study)))
    assert find_study(path) == study


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reference": "wider"}, "study 'small': reference must be a variant, received 'wider'"),
        ({"variants": {}}, "reference must be a variant"),
        ({"variants": []}, "variants must be of type dict"),
        ({"question": 3}, "question must be of type str"),
        ({"seeds": []}, "seeds must be given, each once"),
        ({"seeds": [1, 1]}, "seeds must be given, each once, received (1, 1)"),
        ({"seeds": ["a"]}, "seeds must be a list of type int, received ('a',)"),
        ({"seeds": [-1]}, "variant 'narrow': seed must be in [0, 2"),
        ({"axes": ["a", "b", "c"]}, "axes must be one or two"),
        ({"axes": ["width"]}, "axis 'width' must be a number in 'wide', received None"),
        ({"axes": ["augment"]}, "axis 'augment' must be a number in 'narrow'"),
        ({"name": "../up"}, "names must be of letters, digits, spaces and .,+=_-, received '../up"),
        ({"variants": {"narrow": {}, "a/b": {}}}, "received 'a/b'"),
        ({"variants": {"narrow": 3}}, "'narrow' must be an object of a config's fields"),
        ({"variants": {"narrow": {"model_options": 3}}}, "'narrow' must be an object"),
        ({"base": {"seed": 1}}, "'base' must leave the seed to seeds"),
        ({"base": {"use_validation": True}}, "'base' must leave validation to compare by"),
        ({"variants": {"narrow": {"width": 4}}}, "variant 'narrow': unknown config key 'width'"),
        ({"base": {"epochs": 0}}, "variant 'narrow': epochs must be 1 or more, received 0"),
    ],
)
def test_a_malformed_study_is_one_line_that_says_where(changes, message):
    with pytest.raises(StudyError) as raised:
        Study(**{**SMALL, **changes})
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "study.json: cannot read the study: "),
        ("[]", "study.json: holds no study: expected a JSON object"),
        ('{"question": "?", "variants": {}}', "study.json: no key 'reference'; a study has name,"),
        ('{"query": "?"}', "study.json: unknown key 'query'"),
    ],
)
def test_a_file_that_declares_none_is_named(tmp_path, text, message):
    path = tmp_path / "study.json"
    path.write_text(text)
    with pytest.raises(StudyError) as raised:
        find_study(path)
    assert message in str(raised.value)
    with pytest.raises(StudyError, match=r"absent\.json: cannot read"):
        find_study(tmp_path / "absent.json")
    with pytest.raises(StudyError, match="no study is named 'sizes': choose from learning_rate"):
        find_study("sizes")


def test_nothing_is_read_until_a_study_is_asked_for(run_program):
    assert int(run_program("reads_no_file.py")) > 10


def test_the_study_in_the_docs_can_be_run(tmp_path):
    text = (Path(__file__).parents[2] / "docs/studies.md").read_text(encoding="utf-8")
    path = tmp_path / "width.json"
    path.write_text(re.search(r"```json\n(.*?)```", text, re.DOTALL)[1])
    study = find_study(path)
    assert [study.setting(label, "width") for label in study.variants] == [16, 32, 64]
    assert study.reference == "width 32"
