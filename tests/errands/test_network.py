"""A network of one's own: a file and one line, or a file named on the command line."""

import json

import keras
import numpy as np
import pytest

from cnn_cifar10.architectures import NETWORKS, Network, create_model, find_network
from cnn_cifar10.cli import main
from cnn_cifar10.configs import TrainingConfig
from cnn_cifar10.evaluation import grad_cam
from cnn_cifar10.training import Run, open_run, train
from cnn_cifar10.training.run import RunError
from cnn_cifar10.utils import InputError, references

SOURCE = '''"""A network of my own."""

import keras
from helper_of_mine import SCALE


@keras.saving.register_keras_serializable("mine")
class Double(keras.layers.Layer):
    def call(self, x):
        return 2 * x


def build(input_shape, num_classes, *, units=8, activation=keras.activations.relu):
    """Build a dense layer on the mean colour."""
    pixels = keras.Input(input_shape)
    x = keras.layers.Rescaling(SCALE)(pixels)
    x = Double()(keras.layers.GlobalAveragePooling2D()(x))
    x = keras.layers.Dense(units, activation)(x)
    return keras.Model(pixels, keras.layers.Dense(num_classes, "softmax")(x), name="mine")
'''


@pytest.fixture
def my_net(tmp_path):
    """The reference of a network in a file outside of the package."""
    (tmp_path / "helper_of_mine.py").write_text("SCALE = 1 / 255\n")
    (tmp_path / "my_net.py").write_text(SOURCE)
    return f"{tmp_path / 'my_net.py'}:build"


def build_toy(input_shape, num_classes, *, units=4):
    """Build a toy."""
    pixels = keras.Input(input_shape)
    x = keras.layers.Dense(units)(keras.layers.GlobalAveragePooling2D()(pixels))
    return keras.Model(pixels, keras.layers.Dense(num_classes, "softmax")(x), name="toy")


def train_with(model, tmp_path, *more):
    """Train on digits for an epoch by the command line, and return the run and its report."""
    arguments = ["--dataset", "digits", "--model", model, "--epochs", "1", "--quiet", *more]
    places = [f"--output={tmp_path / 'run'}", f"--report={tmp_path / 'report'}"]
    assert main(["train", *arguments, *places, f"--results={tmp_path / 'results.csv'}"]) == 0
    return Run(tmp_path / "run"), json.loads((tmp_path / "report" / "report.json").read_text())


def test_one_line_makes_a_network_of_the_command_line(tmp_path, monkeypatch, capsys):
    toy = Network(build_toy, parameters=66, training={"clip_norm": 2.0})
    monkeypatch.setitem(NETWORKS, "toy", toy)
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith("toy "))
    assert lines[place].split() == ["toy", "66", "parameters", "Build", "a", "toy."]
    assert lines[place + 2].split() == ["trained", "with", "clip_norm=2.0"]
    run, report = train_with("toy", tmp_path, "--model-options", "units=3")
    assert run.facts()["parameters"] == 3 * 4 + 4 * 10
    assert run.config().clip_norm == 2.0
    assert report["facts"]["model"] == "toy"
    assert "toy," in (tmp_path / "results.csv").read_text()


def test_a_file_is_read_and_not_run_to_list_its_options(my_net):
    network = find_network(my_net)
    assert network.description == "Build a dense layer on the mean colour."
    assert network.options == {"units": 8, "activation": "keras.activations.relu"}
    with pytest.raises(InputError, match=r"my_net.py:build has no option 'depth': its options"):
        create_model(my_net, depth=3)


KINDS = """
import keras
from keras import layers


def sequential(input_shape, num_classes):
    body = [layers.Rescaling(1 / 255), layers.Conv2D(4, 3), layers.BatchNormalization()]
    return keras.Sequential([*body, layers.Flatten(), layers.Dense(num_classes, "softmax")])


def nested(input_shape, num_classes):
    pixels = keras.Input(input_shape)
    body = keras.Sequential([layers.Rescaling(1 / 255), layers.Conv2D(4, 3)])
    head = keras.Sequential([layers.GlobalMaxPooling2D(), layers.Dense(num_classes)])
    return keras.Model(pixels, layers.Softmax()(head(body(pixels))))


@keras.saving.register_keras_serializable("mine")
class Net(keras.Model):
    def __init__(self, classes, **options):
        super().__init__(**options)
        self.classes, self.inside = classes, [layers.Conv2D(4, 3), layers.GlobalMaxPooling2D()]
        self.dense = layers.Dense(classes, "softmax")

    def call(self, images):
        for layer in self.inside:
            images = layer(images)
        return self.dense(images)

    def get_config(self):
        return {**super().get_config(), "classes": self.classes}


def subclass(input_shape, num_classes):
    return Net(num_classes)


def nothing(input_shape, num_classes):
    return None
"""


@pytest.mark.parametrize(
    "kind",
    [
        "subclass",
        *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("sequential", "nested")),
    ],
)
def test_a_network_may_be_any_keras_model(kind, tmp_path, digits):
    (tmp_path / "nets.py").write_text(KINDS)
    run, report = train_with(f"{tmp_path / 'nets.py'}:{kind}", tmp_path)
    assert (report["facts"]["parameters"] > 0, report["metrics"]["test"]["loss"] > 0) == (
        True,
        True,
    )
    model = run.load_model()
    assert model.predict(digits.test.images[:2], verbose=0).shape == (2, 10)
    if kind != "subclass":
        assert grad_cam(model, digits.test.images[:2]).shape == (2, 32, 32)


def test_a_function_that_returns_no_model_is_told_so(tmp_path):
    (tmp_path / "nets.py").write_text(KINDS)
    with pytest.raises(InputError, match=r"nets.py:nothing .* it is no keras.Model but NoneType"):
        create_model(f"{tmp_path / 'nets.py'}:nothing")


@pytest.mark.slow
def test_a_run_records_the_file_and_says_when_it_changed(my_net, tmp_path, caplog, digits):
    run, _ = train_with(my_net, tmp_path)
    network = run.facts()["network"]
    assert network["source"] == my_net
    assert len(network["sha256"]) == 64
    model = open_run(run.path).load_model()
    assert model.predict(digits.test.images[:2], verbose=0).shape == (2, 10)
    assert not caplog.records

    (tmp_path / "my_net.py").write_text(SOURCE + "\n# another thought\n")
    Run(run.path).load_model()
    assert "my_net.py:build changed since this run was trained" in caplog.text
    (tmp_path / "my_net.py").unlink()
    caplog.clear()
    Run(run.path).load_model()
    assert "the code of its network is not at hand" in caplog.text


def test_a_run_of_a_changed_file_does_not_continue(my_net, tmp_path, digits):
    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

    config = TrainingConfig(dataset="digits", model=my_net, epochs=2)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "run", dataset=digits, callbacks=[Stop()], verbose=0)
    source = tmp_path / "my_net.py"
    source.write_text(SOURCE.replace("2 * x", "3 * x"))
    with pytest.raises(RunError, match=r"my_net.py:build changed since this run began"):
        train(config, tmp_path / "run", dataset=digits, verbose=0)
    source.write_text(SOURCE)
    train(config, tmp_path / "run", dataset=digits, verbose=0)


def test_a_function_is_passed_in_python(tmp_path, digits):
    config = TrainingConfig(dataset="digits", model=build_toy, epochs=1)
    assert config.model == f"{__name__}:build_toy"
    assert config.name.endswith("_build_toy-seed0")
    run = train(config, tmp_path / "run", dataset=digits, verbose=0)
    assert run.config() == config
    assert np.isfinite(run.history()["loss"]).all()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("nowhere/net.py:build", r"net\.py: no such file"),
        ("no_such_module_of_mine:build", "cannot be loaded: No module named"),
        ("json:no_such_function", "has no function 'no_such_function' at its top level"),
        ("rasnet20", "no model is named 'rasnet20': choose from .* path/to/file.py:build"),
    ],
)
def test_what_is_no_network_is_refused_in_a_line(model, message):
    with pytest.raises(InputError, match=message) as raised:
        create_model(model)
    assert "\n" not in str(raised.value)


def test_a_missing_file_is_said_once():
    with pytest.raises(InputError, match=r"^\S+net\.py: no such file$"):
        references.load("nowhere/net.py:build")


def test_a_function_inside_another_cannot_be_found_again():
    def build(input_shape, num_classes):
        pass

    with pytest.raises(InputError, match="must be a function at the top level of a module"):
        TrainingConfig(model=build)
