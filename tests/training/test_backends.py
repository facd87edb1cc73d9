"""The library without TensorFlow: another backend, and its import blocked."""

import importlib.util
import json
import math
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

# Torch asks in this way whether it is there.
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name == "tensorflow" else found(name, *more)

import json
from pathlib import Path
import keras
import numpy as np
from cnn_cifar10.augmentation import AUGMENTATIONS
from cnn_cifar10.configs import make_config
from cnn_cifar10.datasets import load_dataset
from cnn_cifar10.pipelines import training_batches
from cnn_cifar10.reporting import report_run
from cnn_cifar10.training import build_model, compile_model, train

output = Path(sys.argv[1])
# Torch draws dropout from a generator of its own, which a checkpoint does not hold.
dropout = 0.0 if keras.backend.backend() == "torch" else 0.1
dataset = load_dataset("digits")
config = make_config(
    dataset="digits", epochs=10, augment="crop",
    model_options={"width": 16, "depth": 1, "dropout": dropout}, learning_rate=0.1,
    precision="float32", deterministic=True,
)
run = train(config, output / "run", dataset=dataset, verbose=0)
report = report_run(run, dataset, output / "report", output / "results.csv")
loaded = run.load_model()

# An interrupted run continues as if it had not been.
class Interrupt(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 4:
            raise KeyboardInterrupt

fit = keras.Model.fit
keras.Model.fit = lambda self, *args, callbacks, **more: fit(
    self, *args, callbacks=[*callbacks, Interrupt()], **more)
try:
    train(config, output / "parts", dataset=dataset, verbose=0)
except KeyboardInterrupt:
    keras.Model.fit = fit
parts = train(config, output / "parts", dataset=dataset, verbose=0)

pairs = zip(loaded.get_weights(), parts.load_model().get_weights(), strict=True)
differences = [float(np.abs(a - b).max()) for a, b in pairs]

# `fit` reads the first batch first.
model = build_model(config, dataset, "float32")
compile_model(model, config, dataset)
model.run_eagerly = True
compute, read = model.compute_loss, []

def record(x, y, *more, **options):
    read.append(keras.ops.convert_to_numpy(y))
    return compute(x, y, *more, **options)

model.compute_loss = record
batches = training_batches(dataset.train, 10, batch_size=128)
model.fit(batches, steps_per_epoch=1, verbose=0, shuffle=False)

for augment in AUGMENTATIONS:
    images, labels = training_batches(dataset.train, 10, batch_size=32, augment=augment)[0]
    images = keras.ops.convert_to_numpy(images)
    assert images.shape == (32, 32, 32, 3) and images.max() > 100, augment

assert "tensorflow" not in sys.modules
print(json.dumps({
    "backend": keras.backend.backend(),
    "losses": run.history()["loss"],
    "accuracy": report["metrics"]["test"]["accuracy"],
    "report": (output / "report" / "report.md").exists(),
    "output": list(loaded.output_shape),
    "largest difference": max(differences),
    "first batch": bool((read[0] == keras.ops.convert_to_numpy(batches[0][1])).all()),
}))
"""


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_trains_evaluates_saves_and_continues_without_tensorflow(backend, tmp_path):
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
    assert result["accuracy"] > 0.8
    assert result["report"]
    assert result["output"] == [None, 10]
    assert result["largest difference"] == 0
    assert result["first batch"]


QUICK_JAX = {  # nearly all of the time goes into compiling
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}

EVERY_FAMILY = """
import gc
import json
import os
import sys
from functools import partial
from pathlib import Path
import keras
import numpy as np
from cnn_cifar10.architectures import (
    create_model, efficientnet, googlenet, list_models, main_model, resnet, wide_resnet
)

transfer = {"weights": None, "image_size": 32}
if os.environ.get("CNN_CIFAR10_EVERY_MODEL"):
    builders = {
        name: partial(create_model, name, **(transfer if name == "transfer" else {}))
        for name in list_models()
    }
else:
    # Time goes by the number of layers: these are fewer than any registered name has.
    efficientnet._VARIANTS["tiny"] = (0.25, 0.3, 0.2)
    googlenet._MODULES = googlenet._MODULES[:6]
    builders = {
        "fastnet": partial(create_model, "fastnet", filters=(8, 8, 16, 16)),
        "vgg16": partial(create_model, "vgg16", width=8),
        "googlenet": partial(create_model, "googlenet", width=0.25, auxiliary_heads=True),
        "resnet8": partial(resnet.build_cifar_resnet, depth=8),
        "wide_resnet10_1": partial(wide_resnet.build_wide_resnet, depth=10, widen_factor=1),
        "efficientnet": partial(efficientnet.build_efficientnet, variant="tiny"),
        "transfer": partial(create_model, "transfer", **transfer),
    }

images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype("float32")
path, results = Path(sys.argv[1]) / "model.keras", {}
for name, build in builders.items():
    keras.utils.set_random_seed(0)
    model = build()
    before = model.get_weights()
    model.compile(keras.optimizers.SGD(0.01), keras.losses.CategoricalCrossentropy())
    loss = float(model.train_on_batch(images, np.eye(10, dtype="float32")[:4]))
    main = main_model(model)
    main.save(path)
    loaded = keras.saving.load_model(path)
    expected, given = (x.predict_on_batch(images) for x in (main, loaded))
    results[name] = {
        "loss": loss,
        "changed": sum(bool((a != b).any()) for a, b in zip(before, model.get_weights())),
        "weights": len(before),
        "shape": list(given.shape),
        "sum": float(given.sum()),
        "difference": float(np.abs(expected - given).max()),
        "parameters": [main.count_params(), loaded.count_params()],
    }
    del model, main, loaded
    gc.collect()
print(json.dumps({"backend": keras.backend.backend(), "models": results}))
"""


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_every_family_trains_and_is_saved_on_every_backend(backend, tmp_path):
    """CNN_CIFAR10_EVERY_MODEL=1 takes every registered model, and five times as long."""
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"needs {backend}: pip install 'cnn-cifar10[{backend}]'")
    done = subprocess.run(
        [sys.executable, "-c", EVERY_FAMILY, str(tmp_path)],
        env={
            **os.environ,
            "KERAS_BACKEND": backend,
            **QUICK_JAX,
            "JAX_COMPILATION_CACHE_DIR": str(tmp_path),
        },
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads(done.stdout.splitlines()[-1])
    assert results["backend"] == backend
    assert len(results["models"]) >= 3
    for name, result in results["models"].items():
        assert math.isfinite(result["loss"]), name
        assert result["changed"] > 0, name
        assert result["shape"] == [4, 10], name
        assert result["sum"] == pytest.approx(4, abs=1e-4), name
        assert result["difference"] <= 1e-5, name
        assert result["parameters"][0] == result["parameters"][1], name
