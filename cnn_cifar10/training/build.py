"""Models of a config: building, seeding, initial weights, compiling."""

import logging
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cnn_cifar10.architectures import create_model, main_model
from cnn_cifar10.configs import TrainingConfig
from cnn_cifar10.datasets import Dataset
from cnn_cifar10.pipelines import find_sharing, steps_per_epoch
from cnn_cifar10.training.compilation import keep_programs
from cnn_cifar10.training.distribution import see_whole_batches
from cnn_cifar10.training.losses import ClassWeighted, balanced_weights, build_loss
from cnn_cifar10.training.model_file import MEMBERS
from cnn_cifar10.training.optimizers import build_optimizer
from cnn_cifar10.training.precision import uses_xla
from cnn_cifar10.training.run import Run, RunError, open_run
from cnn_cifar10.training.schedules import build_schedule
from cnn_cifar10.utils import HUB, InputError, fetch_from_hub

logger = logging.getLogger(__name__)


def build_model(config: TrainingConfig, dataset: Dataset, precision: str) -> keras.Model:
    """Return the config's model, seeded, built at this precision for these data.

    It takes images of any size where the config's first epochs have smaller ones. What is compiled
    for it is kept for other processes.
    """
    keep_programs()
    keras.utils.set_random_seed(config.seed)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        shape = (None, None, 3) if config.small_epochs else dataset.image_shape
        return create_model(config.model, shape, dataset.num_classes, **config.model_options)
    except InputError as error:
        if config.small_epochs:
            raise InputError(f"{error}; it may need small_epochs=0: images of one size") from error
        raise
    finally:
        keras.config.set_dtype_policy(before)


def compile_model(
    model: keras.Model, config: TrainingConfig, dataset: Dataset, learning_rate: Any = None
) -> None:
    """Compile a model for the config, ready to fit the data; its schedule can be another.

    Metrics count images by weights where there are some, as in `evaluation_batches`.
    """
    see_whole_batches(model)
    steps = steps_per_epoch(dataset.train, config.batch_size)
    schedule = learning_rate or build_schedule(config, steps * config.epochs)
    optimizer = build_optimizer(config, schedule)
    loss, metrics = build_loss(config), ["accuracy"]
    if config.class_weight == "balanced":
        loss = ClassWeighted(loss, balanced_weights(dataset))
    if config.select == "val_macro_f1":
        metrics.append(keras.metrics.F1Score("macro", name="macro_f1"))
    model.compile(optimizer, loss, weighted_metrics=metrics, jit_compile=uses_xla())
    # Built here, and not by `fit` with the first of the batches, which it would
    # then leave out.
    model.optimizer.build(model.trainable_variables)
    sharing = find_sharing()
    count = sharing.devices // sharing.processes
    labels = np.eye(1, dataset.num_classes).repeat(count, axis=0)
    model.test_on_batch(np.zeros((count, *dataset.image_shape), "float32"), labels)
    model.reset_metrics()


def set_weights_from(path: str, model: keras.Model) -> None:
    """Start a model from a run's weights; another number of classes keeps a new classifier.

    Args:
        path: Folder of the run, or `hf://owner/name@commit` of one on the Hugging Face Hub.
        model: What takes the weights.

    Raises:
        RunError: If the run holds another network.
        InputError: If the Hub cannot give it.
    """
    source = _open_from_hub(path) if str(path).startswith(HUB) else open_run(path).load_model()
    target = main_model(model)
    if len(source.weights) != len(target.weights):
        raise RunError(f"{path}: start: holds another network than {model.name}")
    for variable, other in zip(target.weights, source.weights, strict=True):
        if variable.shape == other.shape:
            variable.assign(other)
        elif "logits" not in variable.path:
            raise RunError(
                f"{path}: start: its {other.path} is of shape {tuple(other.shape)}, not "
                f"{tuple(variable.shape)}; use the same options of the network"
            )
    if target.output_shape != source.output_shape:
        logger.warning(
            "%s: start: has other classes, so training begins with a new classifier; with "
            "--head-epochs 20 that is trained alone first",
            path,
        )


def _open_from_hub(name):
    """Return the `keras.Model` of a run on the Hub, where `model.keras` lies unpacked."""
    facts = Run(Path()).facts_path.name
    folder = fetch_from_hub(name, (facts, *MEMBERS))
    with tempfile.TemporaryDirectory() as packed:
        run = Run(Path(packed))
        shutil.copyfile(folder / facts, run.facts_path)
        with zipfile.ZipFile(run.model_path, "w") as archive:
            for member in MEMBERS:
                archive.write(folder / member, member)
        return open_run(run.path).load_model()
