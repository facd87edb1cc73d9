"""Compiles an epoch of every augmentation, on JAX, and checks its draws."""

import keras
import numpy as np

from cnn_cifar10.configs import make_config
from cnn_cifar10.datasets import load_dataset
from cnn_cifar10.pipelines import AUGMENTATIONS, CompiledEpochs
from cnn_cifar10.pipelines.batches import TrainingSteps
from cnn_cifar10.training import build_model, compile_model

every = "+".join(sorted(AUGMENTATIONS, key=lambda name: AUGMENTATIONS[name].mixes_images))

dataset = load_dataset("digits")
config = make_config(
    dataset="digits",
    model_options={"width": 2, "stages": 1, "depth": 1, "dropout": 0.2},
    batch_size=64,
    precision="float32",
)
model = build_model(config, dataset, "float32")
compile_model(model, config, dataset)
options = {"batch_size": 32, "augment": every, "seed": 3}
part = dataset.train[np.arange(64)]

epochs = CompiledEpochs(model, part, 10, small_epochs=4, **options)
for index, small in ((0, True), (1, True), (2, False)):  # two steps each, from the third on
    steps = TrainingSteps(part, 10, **options)
    plans = [steps.plan(2 * (2 + index) + step) for step in (0, 1)]
    expected = keras.tree.map_structure(lambda *arrays: np.stack(arrays), *plans)
    keras.tree.map_structure(
        np.testing.assert_array_equal, epochs.plan(2 + index), (small, *expected)
    )

epochs = CompiledEpochs(model, part, 10, **options)
assert np.isfinite(model.fit(epochs, steps_per_epoch=1, verbose=0).history["loss"]).all()
