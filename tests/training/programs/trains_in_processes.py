"""Trains digits as one of several processes, or alone; the first one prints what came of it."""

import without_tensorflow  # noqa: F401 (which takes long to import)

# isort: split
import json
import os
import signal
import sys
from pathlib import Path
from unittest import mock

import keras
import numpy as np

from cnn_cifar10.configs import make_config
from cnn_cifar10.datasets import load_dataset
from cnn_cifar10.training import train

output, how, stop = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
dataset = load_dataset("digits")
config = make_config(
    dataset="digits",
    epochs=2,
    batch_size=48,
    augment="crop+mixup",
    model_options={
        **{"width": 8, "stages": 2, "depth": 1},
        **{"dropout": 0.3, "activation": "silu", "batch_norm": False},
    },
    learning_rate=0.01,
    precision="float32",
    deterministic=True,
)


class Weights(keras.callbacks.Callback):
    """Keeps the final weights, and kills the process after some steps if it should."""

    def __init__(self):
        super().__init__()
        self.steps = 0

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        if self.steps == stop:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_train_end(self, logs=None):
        self.weights = np.concatenate([array.ravel() for array in self.model.get_weights()])


weights, training = Weights(), sys.modules["cnn_cifar10.training.train"]
with mock.patch.object(training, "can_compile_epochs", return_value=how == "compiled"):
    run = train(
        config,
        output,
        dataset=dataset,
        callbacks=[weights],
        save_every=0,
        verbose=0,
    )
if os.environ.get("KERAS_DISTRIBUTION_PROCESS_ID", "0") == "0":
    facts = run.facts()
    np.save(output / "weights.npy", weights.weights)
    found = {name: facts.get(name) for name in ("devices", "epochs")}
    print(json.dumps({**found, "steps": weights.steps, "history": run.history()}))
