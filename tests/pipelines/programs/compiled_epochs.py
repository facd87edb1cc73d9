"""Trains step by step and with compiled epochs, on JAX; prints both histories."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from unittest import mock

import jax
import keras

from cnn_cifar10.configs import make_config
from cnn_cifar10.datasets import load_dataset
from cnn_cifar10.pipelines import can_compile_epochs, jax_epochs
from cnn_cifar10.training import train

folder = Path(sys.argv[1])
dataset = load_dataset("digits")
config = make_config(
    dataset="digits",
    model="fastnet",
    model_options={"filters": [4, 4, 8, 8]},
    epochs=3,
    small_epochs=1,
    batch_size=256,
    learning_rate=0.05,
    augment="small_crop+alternating_flip",
    class_weight="balanced",
    select="val_macro_f1",
    precision="float32",
)

assert not can_compile_epochs(dataset.train)  # on a processor
with mock.patch.object(jax, "default_backend", return_value="gpu"):
    assert can_compile_epochs(dataset.train)
    with mock.patch.object(jax_epochs, "_LARGEST", dataset.train.images.nbytes - 1):
        assert not can_compile_epochs(dataset.train)
    assert not can_compile_epochs(replace(dataset.train, images=list(dataset.train.images)))
    devices = keras.distribution.list_devices()
    mesh = keras.distribution.DeviceMesh((1, 1), ("batch", "model"), devices)
    layouts = keras.distribution.LayoutMap(mesh)
    with keras.distribution.ModelParallel(layout_map=layouts, batch_dim_name="batch").scope():
        assert not can_compile_epochs(dataset.train)

stepwise = train(config, folder / "stepwise", dataset=dataset, verbose=0)
training = sys.modules["cnn_cifar10.training.train"]
with mock.patch.object(training, "can_compile_epochs", return_value=True):
    compiled = train(config, folder / "compiled", dataset=dataset, verbose=0)

runs = (stepwise, compiled)
print(
    json.dumps(
        {
            "histories": [run.history() for run in runs],
            "compile_seconds": [run.facts()["compile_seconds"] for run in runs],
        }
    )
)
