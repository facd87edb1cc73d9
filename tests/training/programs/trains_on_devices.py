"""Trains digits for 50 steps on one device and on several; prints how far they are apart."""

import os

if os.environ["KERAS_BACKEND"] == "jax":
    import without_tensorflow  # noqa: F401 (which takes long to import)

# isort: split
import contextlib
import dataclasses
import json
import sys
from pathlib import Path
from unittest import mock

import keras
import numpy as np

from cnn_cifar10.configs import make_config
from cnn_cifar10.datasets import load_dataset
from cnn_cifar10.training import Run, train
from cnn_cifar10.training.distribution import find_devices, see_whole_batches

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    (processor,) = tf.config.list_physical_devices("CPU")
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(processor, two)

output, counts = Path(sys.argv[1]), [int(word) for word in sys.argv[2].split(",")]
dataset, rng = load_dataset("digits"), np.random.default_rng(0)
# Noise, since in flat backgrounds rounding decides which of equal pixels is the largest of a pool.
splits = {
    name: dataclasses.replace(split, images=rng.integers(0, 256, split.images.shape, "uint8"))
    for name, split in ((name, dataset.split(name)) for name in ("train", "validation"))
}
dataset = dataclasses.replace(dataset, **splits)
config = make_config(
    dataset="digits",
    epochs=2,
    batch_size=len(dataset.train) // 25 // 4 * 4,
    augment="crop+mixup",
    model_options={"width": 8, "stages": 2, "depth": 1, "dropout": 0.3},
    learning_rate=0.01,
    precision="float32",
    deterministic=True,
)


class Losses(keras.callbacks.Callback):
    """Keeps the loss of each step; `fit` tells the mean of an epoch so far."""

    def __init__(self, stop=None):
        super().__init__()
        self.stop, self.steps = stop, []

    def on_epoch_begin(self, epoch, logs=None):
        self._sum, self._count = 0.0, 0

    def on_train_batch_end(self, batch, logs=None):
        self._count += 1
        total = float(logs["loss"]) * self._count
        self.steps.append(total - self._sum)
        self._sum = total
        if len(self.steps) == self.stop:
            raise KeyboardInterrupt

    def on_train_end(self, logs=None):
        self.weights = np.concatenate([array.ravel() for array in self.model.get_weights()])


def fit(name, distribute, stop=None, **options):
    """Train, and return the run, and its callback with the losses of steps and all weights."""
    losses = Losses(stop)
    run = train(
        config,
        output / name,
        dataset=dataset,
        distribute=distribute,
        callbacks=[losses],
        verbose=0,
        **options,
    )
    return run, losses


def difference(one, other):
    """Return the greatest relative differences of losses and of final weights."""
    (run, losses), (other_run, other_losses) = one, other
    pairs = [(run.history()[name], other_run.history()[name]) for name in ("loss", "val_loss")]
    if len(other_losses.steps) == len(losses.steps):
        pairs.append((losses.steps, other_losses.steps))
    found = [float(np.max(np.abs(np.subtract(a, b)) / np.abs(a))) for a, b in pairs]
    apart = np.linalg.norm(other_losses.weights - losses.weights)
    return {
        "losses": max(found),
        "weights": float(apart / np.linalg.norm(losses.weights)),
        "devices": other_run.facts().get("devices", 1),
        "steps": len(other_losses.steps),
    }


if keras.backend.backend() == "tensorflow":
    inputs = rng.normal(300.0, 1.0, (8, 8, 8, 3)).astype("float32")
    with find_devices(2, 8).scope():
        layer = keras.layers.BatchNormalization(momentum=0.0)
        model = keras.Sequential([keras.Input(inputs.shape[1:]), layer])
        see_whole_batches(model)
        model.compile("sgd", "mean_squared_error")
    model.fit(inputs, inputs, 8, verbose=0)
    variance = inputs.var((0, 1, 2), dtype="float64")
    apart = np.abs(layer.moving_variance.numpy() - variance) / variance
    print(json.dumps({"variance": float(apart.max())}))

one = fit("one", "none")
results = {f"{count}": difference(one, fit(f"{count}", count)) for count in counts}

# Interrupted twice, on other devices each time.
for distribute, stop in (("none", 13), (counts[0], 20)):
    with contextlib.suppress(KeyboardInterrupt):
        fit("parts", distribute, stop, save_every=0)
    assert not Run(output / "parts").is_finished
results["parts"] = difference(one, fit("parts", "none"))

if keras.backend.backend() == "jax":
    training = sys.modules["cnn_cifar10.training.train"]
    with mock.patch.object(training, "can_compile_epochs", return_value=True):
        results["compiled"] = difference(one, fit("compiled", counts[-1]))

print(json.dumps(results))
