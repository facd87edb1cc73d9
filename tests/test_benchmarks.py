"""The parts of benchmarks that judge and that go on: `stability` and the table of architectures."""

import csv
import importlib.util
import sys
from pathlib import Path

import pytest

from cnn_cifar10.architectures import list_models
from cnn_cifar10.configs import make_config
from cnn_cifar10.training import TrainingError


def load(name):
    path = Path(__file__).parents[1] / "benchmarks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def stability():
    return load("stability")


@pytest.mark.parametrize(
    ("losses", "accuracies", "reason", "verdict"),
    [
        ([2.0, 1.5], [0.3, 0.4], "", "holds"),
        ([2.3, 2.3], [0.1, 0.3], "", "the loss did not fall"),
        ([2.3, 2.2], [0.3, 0.1], "", "at chance"),
        ([2.0, 1.5], [0.3, 0.4], "training fell back to chance in epoch 2", "training fell"),
        ([], [], "the loss became nan in epoch 1", "the loss became nan"),
    ],
)
def test_a_run_holds_or_its_fault_is_named(stability, losses, accuracies, reason, verdict):
    history = {"loss": losses, "val_accuracy": accuracies} if losses else {}
    assert stability.judge(history, reason, 10)["verdict"].startswith(verdict)


def test_every_network_has_its_place(stability):
    assert set(stability.ORDER) == set(list_models())


def run(stability, monkeypatch, tmp_path, *words):
    """Run the program with trainings that are not done, and return what would be trained."""
    trained = []

    def measure(config, folder):
        trained.append((config.model, config.seed))
        rest = dict.fromkeys(stability.COLUMNS, "")
        return rest | stability.describe(config) | {"verdict": "holds"}

    monkeypatch.setattr(stability, "measure", measure)
    monkeypatch.setattr(sys, "argv", ["stability.py", "--reports", str(tmp_path), *words])
    stability.main()
    return trained


def test_rows_that_are_there_are_passed_over_unless_the_recipe_changed(
    stability, monkeypatch, tmp_path
):
    words = ("--only", "vgg16", "custom_cnn", "--seeds", "0", "1")
    expected = [("custom_cnn", 0), ("vgg16", 0), ("custom_cnn", 1), ("vgg16", 1)]
    assert run(stability, monkeypatch, tmp_path, *words) == expected
    assert run(stability, monkeypatch, tmp_path, *words) == []

    def make_another(**fields):
        changed = {"clip_norm": 9.0} if fields["model"] == "vgg16" else {}
        return make_config(**fields, **changed)

    monkeypatch.setattr(stability, "make_config", make_another)
    assert run(stability, monkeypatch, tmp_path, *words) == [("vgg16", 0), ("vgg16", 1)]
    with open(tmp_path / "stability.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["clip_norm"] for row in rows] == ["0.0", "0.0", "9.0", "9.0"]
    assert "4 of 4 runs hold" in (tmp_path / "stability.md").read_text()


def test_a_run_that_falls_twice_gets_its_row(stability, monkeypatch, tmp_path, digits):
    def fall(*_, **__):
        (tmp_path / "run").mkdir()
        raise TrainingError("the loss became nan in epoch 1, for the second time, at a rate")

    monkeypatch.setattr(stability, "train", fall)
    monkeypatch.setattr(stability, "load_data", lambda config: digits)
    row = stability.measure(make_config(model="vgg16", train_images=10), tmp_path / "run")
    assert row["verdict"] == "the loss became nan in epoch 1"
    assert set(row) == set(stability.COLUMNS)
    assert not (tmp_path / "run").exists()


def test_the_gpu_table_trains_each_network_by_its_own_recipe():
    table = load("architectures").GPU
    configs = {name: make_config(model=name, **fields) for name, fields in table.items()}
    assert (configs["vgg16"].learning_rate, configs["vgg16"].clip_norm) == (0.2, 1.0)
    assert configs["custom_cnn"].learning_rate == 0.8
