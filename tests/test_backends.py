"""The library without TensorFlow: another backend, and its import blocked."""

import importlib.util
import os
import subprocess
import sys

import pytest

SCRIPT = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "tensorflow":
            raise ModuleNotFoundError("blocked: " + name, name="tensorflow")

sys.meta_path.insert(0, Blocker())

import json
from pathlib import Path
import keras
import numpy as np
from cnn_cifar10.configs import make_config
from cnn_cifar10.datasets import load_dataset
from cnn_cifar10.reporting import report_run
from cnn_cifar10.training import train

output = Path(sys.argv[1])
dataset = load_dataset("digits")
config = make_config(
    dataset="digits", epochs=3, augment="crop+rotation+cutout+randaugment+mixup+cutmix",
    model_options={"width": 8, "depth": 1}, learning_rate=0.1, precision="float32",
)
run = train(config, output / "run", dataset=dataset, verbose=0)
report = report_run(run, dataset, output / "report", output / "results.csv")
loaded = run.load_model()
assert "tensorflow" not in sys.modules
print(json.dumps({
    "backend": keras.backend.backend(),
    "losses": run.history()["loss"],
    "accuracy": report["metrics"]["test"]["accuracy"],
    "report": (output / "report" / "report.md").exists(),
    "output": list(loaded.output_shape),
}))
"""


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_trains_evaluates_and_saves_without_tensorflow(backend, tmp_path):
    import json

    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"needs {backend}: pip install 'cnn-cifar10[{backend}]'")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        env={**os.environ, "KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["backend"] == backend
    assert result["losses"][-1] < result["losses"][0]
    assert result["accuracy"] > 0.2
    assert result["report"]
    assert result["output"] == [None, 10]
