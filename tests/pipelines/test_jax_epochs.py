"""Epochs as one program: the same training as step by step, on JAX."""

import json
import os
import subprocess
import sys

import pytest

SCRIPT = """
import json, sys
from dataclasses import replace
from pathlib import Path
from unittest import mock

import jax
import keras
import numpy as np

import cnn_cifar10.pipelines.jax_epochs as compiled
from cnn_cifar10.configs import make_config
from cnn_cifar10.datasets import load_dataset
from cnn_cifar10.pipelines import AUGMENTATIONS, CompiledEpochs, can_compile_epochs
from cnn_cifar10.pipelines.batches import TrainingSteps
from cnn_cifar10.training import build_model, compile_model, train

folder = Path(sys.argv[1])
dataset = load_dataset("digits")
config = make_config(
    dataset="digits", model="fastnet", model_options={"filters": [4, 4, 8, 8]}, epochs=3,
    small_epochs=1, batch_size=256, learning_rate=0.05, augment="small_crop+alternating_flip",
    precision="float32",
)
assert not can_compile_epochs(dataset.train)  # on a processor
with mock.patch.object(jax, "default_backend", return_value="gpu"):
    assert can_compile_epochs(dataset.train)
    with mock.patch.object(compiled, "_LARGEST", dataset.train.images.nbytes - 1):
        assert not can_compile_epochs(dataset.train)
    assert not can_compile_epochs(replace(dataset.train, images=list(dataset.train.images)))
    with keras.distribution.DataParallel().scope():
        assert not can_compile_epochs(dataset.train)
stepwise = train(config, folder / "stepwise", dataset=dataset, verbose=0)
with mock.patch.object(sys.modules["cnn_cifar10.training.train"], "can_compile_epochs", return_value=True):
    at_once = train(config, folder / "compiled", dataset=dataset, verbose=0)

# Every augmentation can be compiled.
small = make_config(
    dataset="digits", model_options={"width": 2, "stages": 1, "depth": 1, "dropout": 0.2},
    batch_size=64, precision="float32",
)
every = "crop+flip+rotation+zoom+color+cutout+randaugment+mixup+cutmix"
assert set(every.split("+")) >= set(AUGMENTATIONS) - {"small_crop", "alternating_flip"}
model = build_model(small, dataset, "float32")
compile_model(model, small, dataset)
options = {"batch_size": 32, "augment": every, "seed": 3}
part = dataset.train[np.arange(64)]
epochs = CompiledEpochs(model, part, 10, first_epoch=2, small_epochs=4, **options)
for index, small in ((0, True), (1, True), (2, False)):  # two steps each, from the third on
    steps = TrainingSteps(part, 10, **options)
    plans = [steps.plan(2 * (2 + index) + step) for step in (0, 1)]
    expected = keras.tree.map_structure(lambda *arrays: np.stack(arrays), *plans)
    keras.tree.map_structure(np.testing.assert_array_equal, epochs[index][0], (small, *expected))
epochs = CompiledEpochs(model, part, 10, **options)
assert np.isfinite(model.fit(epochs, steps_per_epoch=1, verbose=0).history["loss"]).all()

print(json.dumps({
    "histories": [run.history() for run in (stepwise, at_once)],
    "compile_seconds": [run.facts()["compile_seconds"] for run in (stepwise, at_once)],
}))
"""


def test_a_compiled_epoch_trains_as_its_steps_do(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        env={**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    stepwise, compiled = found["histories"]
    for name in ("loss", "val_loss"):
        assert compiled[name][0] == pytest.approx(stepwise[name][0], abs=1e-4)
        assert compiled[name] == pytest.approx(stepwise[name], abs=0.02)  # rounding grows
    assert found["compile_seconds"][0] == 0
    assert found["compile_seconds"][1] > 0
