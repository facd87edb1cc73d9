"""The examples of docs/trackers.md run as they stand there, where their trackers are installed."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = [
    code
    for code in re.findall(
        r"```python\n(.*?)```", (ROOT / "docs" / "trackers.md").read_text(), re.S
    )
    if "..." not in code
]


def tracker_of(code):
    return next(name for name in ("mlflow", "wandb") if f"import {name}\n" in code)


def test_there_is_an_example_for_each_tracker():
    assert [tracker_of(code) for code in EXAMPLES] == ["mlflow", "wandb", "wandb"]


@pytest.mark.slow
@pytest.mark.parametrize(("place", "backend"), [(0, "tensorflow"), (1, "tensorflow"), (2, "jax")])
def test_an_example_records_every_epoch(place, backend, tmp_path):
    code = EXAMPLES[place]
    tracker = tracker_of(code)
    if importlib.util.find_spec(tracker) is None:
        pytest.skip(f"needs {tracker}: pip install 'cnn-cifar10[trackers]'")
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "WANDB_SILENT": "true", "WANDB_MODE": "offline"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, **quiet, "KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "models" / f"digits-{tracker}" / "run.json").exists()
    if tracker == "wandb":
        (folder,) = (tmp_path / "wandb").glob("offline-run-*")
        assert list(folder.glob("*.wandb"))
    else:
        assert mlflow_steps(tmp_path) == {"loss": [0, 1, 2], "val_accuracy": [0, 1, 2]}


@pytest.mark.slow
def test_the_command_line_logs_to_mlflow(tmp_path):
    if importlib.util.find_spec("mlflow") is None:
        pytest.skip("needs mlflow: pip install 'cnn-cifar10[trackers]'")
    words = "train --dataset digits --epochs 3 --model-options width=4 --quiet --track mlflow"
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"}
    done = subprocess.run(
        [sys.executable, "-m", "cnn_cifar10", *words.split()],
        cwd=tmp_path,
        env={**os.environ, **quiet, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert mlflow_steps(tmp_path) == {"loss": [0, 1, 2], "val_accuracy": [0, 1, 2]}


def mlflow_steps(folder):
    """Return the steps of two metrics in MLflow's database."""
    import sqlite3

    with sqlite3.connect(folder / "mlflow.db") as database:
        rows = database.execute("select key, step from metrics order by step").fetchall()
    names = ("loss", "val_accuracy")
    return {name: [step for key, step in rows if key == name] for name in names}
