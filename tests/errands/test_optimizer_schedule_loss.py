"""An optimizer, a schedule and a loss of one's own are one entry each."""

import keras
import numpy as np
import pytest

from cnn_cifar10.cli import main
from cnn_cifar10.configs import (
    LOSSES,
    OPTIMIZERS,
    SCHEDULES,
    ConfigError,
    Loss,
    Optimizer,
    Schedule,
    TrainingConfig,
)
from cnn_cifar10.training import Run, train

SMALL = ["--dataset", "digits", "--model-options", "width=4", "depth=1", "--quiet"]


def places(folder):
    paths = {"output": "run", "report": "report", "results": "results.csv"}
    return [f"--{name}={folder / path}" for name, path in paths.items()]


def halving(learning_rate, total_steps, warmup_steps):
    """Return half the learning rate after each half of the run."""
    return keras.optimizers.schedules.ExponentialDecay(
        learning_rate, total_steps // 2, 0.5, staircase=True
    )


class SquaredError(keras.losses.Loss):
    """Squared distance of probabilities and labels (the Brier score)."""

    def call(self, y_true, y_pred):
        return keras.ops.sum(keras.ops.square(y_true - y_pred), axis=-1)


def test_an_entry_is_seen_in_help_training_and_report(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(OPTIMIZERS, "lion", Optimizer("keras.optimizers:Lion", 3e-4, 0.1))
    monkeypatch.setitem(SCHEDULES, "halving", Schedule(halving))
    monkeypatch.setitem(LOSSES, "brier", Loss(SquaredError, fields=()))
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for name in ("lion", "halving", "brier"):
        assert name in text

    chosen = ["--optimizer", "lion", "--schedule", "halving", "--loss", "brier", "--epochs", "2"]
    assert main(["train", *SMALL, *chosen, *places(tmp_path)]) == 0
    run = Run(tmp_path / "run")
    config = run.config()
    assert (config.learning_rate, config.weight_decay) == (3e-4, 0.1)
    # Recorded after the last step of an epoch.
    assert run.history()["learning_rate"] == pytest.approx([1.5e-4, 0.75e-4])
    assert max(run.history()["loss"]) < 2  # of squared distances
    page = (tmp_path / "report" / "report.md").read_text()
    for name in ("lion", "halving", "brier"):
        assert name in page


@pytest.mark.parametrize("name", ["optimizer", "schedule", "loss"])
def test_what_has_no_entry_is_refused(name):
    with pytest.raises(ConfigError, match=f"{name} must be one of .*, received 'toy'"):
        TrainingConfig(**{name: "toy"})


def test_focal_loss_is_the_papers():
    """(1 - p)² times the cross-entropy (Lin et al., 2017, equation 4)."""
    from cnn_cifar10.training.losses import build_loss

    probabilities = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]], "float32")
    labels = np.eye(3, dtype="float32")[[0, 1]]
    loss = build_loss(TrainingConfig(loss="focal", label_smoothing=0.0))
    true = np.array([0.7, 0.1])
    expected = np.mean(-np.log(true) * (1 - true) ** 2)
    assert float(loss(labels, probabilities)) == pytest.approx(expected, rel=1e-5)


def test_focal_loss_trains(tmp_path, digits):
    config = TrainingConfig(
        dataset="digits", loss="focal", epochs=6, model_options={"width": 16, "depth": 1}
    )
    run = train(config, tmp_path / "run", dataset=digits, verbose=0)
    assert run.history()["val_accuracy"][-1] > 0.5
