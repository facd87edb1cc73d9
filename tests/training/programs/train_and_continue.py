"""Trains, reports, is interrupted and continues, on a backend that is not TensorFlow."""

import without_tensorflow  # noqa: F401

# isort: split
import contextlib
import json
import sys
from pathlib import Path

import keras
import numpy as np
from keras import layers

from cnn_cifar10.configs import make_config
from cnn_cifar10.datasets import load_dataset
from cnn_cifar10.pipelines import AUGMENTATIONS, training_batches
from cnn_cifar10.reporting import report_run
from cnn_cifar10.training import Run, train


class Interrupt(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt


def first_batch_read(batches):
    """Return the labels that `fit` reads first."""
    model = keras.Sequential([keras.Input((32, 32, 3)), layers.Flatten(), layers.Dense(10)])
    model.compile("sgd", "mse", run_eagerly=True)
    model.optimizer.build(model.trainable_variables)
    model.test_on_batch(np.zeros((1, 32, 32, 3)), np.eye(1, 10))
    compute, read = model.compute_loss, []

    def record(x, y, *more, **options):
        read.append(keras.ops.convert_to_numpy(y))
        return compute(x, y, *more, **options)

    model.compute_loss = record
    model.fit(batches, steps_per_epoch=1, verbose=0, shuffle=False)
    return read[0]


output = Path(sys.argv[1])
# Torch draws dropout from a generator of its own, which a checkpoint does not hold.
dropout = 0.0 if keras.backend.backend() == "torch" else 0.1
dataset = load_dataset("digits")
config = make_config(
    dataset="digits",
    epochs=6,
    batch_size=32,
    augment="crop",
    model_options={"width": 16, "stages": 2, "depth": 1, "dropout": dropout},
    learning_rate=0.2,
    clip_norm=1.0,
    ema=0.9,
    class_weight="balanced",
    select="val_macro_f1",
    precision="float32",
    deterministic=True,
)
run = train(config, output / "run", dataset=dataset, verbose=0)
report = report_run(run, dataset, output / "report", output / "results.csv")
loaded = run.load_model()

with contextlib.suppress(KeyboardInterrupt):
    train(config, output / "parts", dataset=dataset, callbacks=[Interrupt()], verbose=0)
assert not Run(output / "parts").is_finished
parts = train(config, output / "parts", dataset=dataset, verbose=0)
pairs = zip(loaded.get_weights(), parts.load_model().get_weights(), strict=True)
differences = [float(np.abs(a - b).max()) for a, b in pairs]

batches = training_batches(dataset.train, 10, batch_size=128)
first = first_batch_read(batches)

for augment in AUGMENTATIONS:
    images, _ = training_batches(dataset.train, 10, batch_size=32, augment=augment)[0]
    images = keras.ops.convert_to_numpy(images)
    assert images.shape == (32, 32, 32, 3), augment
    assert images.max() > 100, augment

assert "tensorflow" not in sys.modules
print(
    json.dumps(
        {
            "backend": keras.backend.backend(),
            "losses": run.history()["loss"],
            "accuracy": report["metrics"]["test"]["accuracy"],
            "report": (output / "report" / "report.md").exists(),
            "output": list(loaded.output_shape),
            "largest difference": max(differences),
            "first batch": bool((first == keras.ops.convert_to_numpy(batches[0][1])).all()),
        }
    )
)
