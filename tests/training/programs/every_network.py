"""Trains networks for a step and saves them, on the backend that the environment names."""

import gc
import json
import sys
from pathlib import Path

import keras
import numpy as np

from cnn_cifar10.architectures import create_model, main_model

OPTIONS = {
    "googlenet": {"auxiliary_heads": True},
    "transfer": {"weights": None, "image_size": 32},
}


def train_and_save(name, path):
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype("float32")
    keras.utils.set_random_seed(0)
    model = create_model(name, **OPTIONS.get(name, {}))
    before = model.get_weights()
    model.compile(keras.optimizers.SGD(0.01), keras.losses.CategoricalCrossentropy())
    loss = float(model.train_on_batch(images, np.eye(10, dtype="float32")[:4]))
    main = main_model(model)
    main.save(path)
    loaded = keras.saving.load_model(path)
    expected, given = (x.predict_on_batch(images) for x in (main, loaded))
    return {
        "loss": loss,
        "changed": sum(
            bool((a != b).any()) for a, b in zip(before, model.get_weights(), strict=True)
        ),
        "shape": list(given.shape),
        "sum": float(given.sum()),
        "difference": float(np.abs(expected - given).max()),
        "parameters": [main.count_params(), loaded.count_params()],
    }


folder, *names = sys.argv[1:]
results = {}
for name in names:
    results[name] = train_and_save(name, Path(folder) / "model.keras")
    gc.collect()
print(json.dumps({"backend": keras.backend.backend(), "networks": results}))
