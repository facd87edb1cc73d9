"""From a config to a trained model and its run on disk."""

import importlib.util
import os
import statistics
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from cnn_cifar10.architectures import adapt_whitening, create_model, head_of, main_model
from cnn_cifar10.configs import ConfigError, TrainingConfig
from cnn_cifar10.datasets import Dataset, load_dataset
from cnn_cifar10.pipelines import (
    CompiledEpochs,
    can_compile_epochs,
    evaluation_batches,
    get_policy,
    steps_per_epoch,
    training_batches,
)
from cnn_cifar10.training.checkpoint import Recorder
from cnn_cifar10.training.features import frozen_features
from cnn_cifar10.training.optimizers import build_optimizer
from cnn_cifar10.training.precision import choose_precision
from cnn_cifar10.training.run import Run, RunError, open_run
from cnn_cifar10.training.schedules import build_schedule
from cnn_cifar10.utils import (
    InputError,
    describe_hardware,
    git_commit,
    package_versions,
    replacing,
    write_json,
)


def train(
    config: TrainingConfig,
    output,
    *,
    dataset: Dataset | None = None,
    overwrite=False,
    tensorboard=False,
    verbose=1,
) -> Run:
    """Train a model and write its run.

    The validation split picks the epoch whose weights are kept; the test split
    is not read. A run that was interrupted continues after its last finished
    epoch when it is called again with the same config and output: with the same
    numbers, except that the torch backend draws other units to drop.

    Args:
        config: What to train.
        output: Folder of the run; created where missing.
        dataset: The data, where it is loaded already; else `config` says.
        overwrite: Whether to replace a run that `output` holds.
        tensorboard: Whether to write TensorBoard logs under `output`.
        verbose: As for `keras.Model.fit`: 0 silent, 1 progress bar, 2 a line an
            epoch.

    Returns:
        The finished `Run`.

    Raises:
        RunError: If `output` holds another run and `overwrite` is not set.
        TrainingError: If the loss is no longer a number.
        DatasetError: If the data cannot be loaded.
        InputError: If the config names what does not exist.

    Example:
        >>> run = train(make_config(dataset="digits", epochs=3), "models/digits")
        >>> run.facts()["epochs"]
        3
    """
    run = Run(Path(output))
    _check_output(run, config, overwrite)
    get_policy(config.augment)
    if tensorboard:
        _require_tensorboard()
    dataset = dataset or load_data(config)
    fingerprint = dataset.fingerprint
    if config.use_validation:
        dataset = dataset.with_validation_in_train()
    if config.deterministic:
        _make_deterministic()
    precision = choose_precision(config.precision)
    model = build_model(config, dataset, precision)
    adapt_whitening(model, dataset.train.images)
    if config.start:
        _set_weights_from(config.start, model)
    examples, seconds_before = dataset, 0.0
    if on_features := _trains_on_features(config, model):
        examples, seconds_before = frozen_features(model, dataset, verbose)
        model = head_of(model)
    compile_model(model, config, examples)
    steps = steps_per_epoch(dataset.train, config.batch_size)

    run.path.mkdir(parents=True, exist_ok=True)
    if overwrite and run.config_path.exists():
        run.clear()
    write_json(run.config_path, config.to_dict())
    callbacks = build_callbacks(config)
    if tensorboard:
        callbacks.append(keras.callbacks.TensorBoard(run.path / "tensorboard"))
    recorder = Recorder(
        run,
        images_per_epoch=steps * min(config.batch_size, len(dataset.train)),
        fingerprint=fingerprint,
        seconds_before=seconds_before,
        others=callbacks,
    )
    recorder.set_model(model)
    epochs_done = recorder.restore()

    batches, batches_per_epoch = _training_batches(
        model, examples.train, dataset.num_classes, config, epochs_done
    )
    model.fit(
        batches,
        validation_data=None
        if config.use_validation
        else evaluation_batches(
            examples.validation, dataset.num_classes, batch_size=max(config.batch_size, 256)
        ),
        initial_epoch=epochs_done,
        epochs=epochs_done if recorder.stopped else config.epochs,
        steps_per_epoch=batches_per_epoch,
        callbacks=[*callbacks, recorder],
        shuffle=False,
        verbose=verbose,
    )
    artifact = build_model(replace(config, small_epochs=0), dataset, "float32")
    (head_of(artifact) if on_features else artifact).set_weights(recorder.best_weights)
    _save_artifact(run, artifact)
    facts = _facts(run, config, dataset, precision, artifact, recorder)
    facts["compile_seconds"] = round(getattr(batches, "compile_seconds", 0.0), 1)
    write_json(run.facts_path, {**facts, "fingerprint": fingerprint})
    run.checkpoint_path.unlink()
    return run


def load_data(config) -> Dataset:
    """Return the data set that the config names, or the part of it."""
    dataset = load_dataset(
        config.dataset,
        config.data_dir,
        image_size=config.image_size,
        skip_damaged=config.skip_damaged,
    )
    return dataset if config.train_images is None else dataset.subset(config.train_images)


def build_model(config, dataset, precision):
    """Return the config's model, seeded, built at this precision for these data.

    It takes images of any size where the config's first epochs have smaller ones.
    """
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


def _training_batches(model, split, num_classes, config, epochs_done):
    """Return what `fit` reads, and how many of its batches are an epoch."""
    options = {
        "batch_size": config.batch_size,
        "augment": config.augment,
        "seed": config.seed,
        "small_epochs": config.small_epochs,
    }
    if can_compile_epochs(split):
        return CompiledEpochs(model, split, num_classes, first_epoch=epochs_done, **options), 1
    steps = steps_per_epoch(split, config.batch_size)
    first = epochs_done * steps
    return training_batches(split, num_classes, first_step=first, **options), steps


def compile_model(model, config, dataset):
    """Compile a model for the config, ready to fit the data."""
    steps = steps_per_epoch(dataset.train, config.batch_size)
    optimizer = build_optimizer(config, build_schedule(config, steps * config.epochs))
    model.compile(
        optimizer,
        keras.losses.CategoricalCrossentropy(label_smoothing=config.label_smoothing),
        metrics=["accuracy"],
        jit_compile=_jit_compile(),
    )
    # Built here, and not by `fit` with the first of the batches, which it would
    # then leave out.
    model.optimizer.build(model.trainable_variables)
    model.test_on_batch(
        np.zeros((1, *dataset.image_shape), "float32"), np.eye(1, dataset.num_classes)
    )
    model.reset_metrics()


def build_callbacks(config):
    """Return early stopping and the reduction of the rate on a plateau, where asked for."""
    callbacks = []
    if config.schedule == "reduce_on_plateau":
        callbacks.append(keras.callbacks.ReduceLROnPlateau("val_loss", factor=0.2, patience=3))
    if config.early_stopping:
        callbacks.append(
            keras.callbacks.EarlyStopping("val_accuracy", patience=config.early_stopping)
        )
    return callbacks


def _check_output(run, config, overwrite):
    if overwrite:
        return
    if run.is_finished:
        raise RunError(f"{run.path}: holds a finished run; choose another output or overwrite it")
    if run.checkpoint_path.exists() and run.config() != config:
        raise RunError(
            f"{run.path}: holds an unfinished run of another config; finish that one, choose "
            "another output or overwrite it"
        )


def _require_tensorboard():
    for package in ("tensorflow", "tensorboard"):
        if importlib.util.find_spec(package) is None:
            raise InputError(f"TensorBoard logs need {package}: pip install {package}")


def _trains_on_features(config, model):
    """Whether all that is trained sees the same features of a picture in every epoch."""
    return config.augment == "none" and head_of(model) is not None


def _set_weights_from(path, model):
    source = open_run(path).load_model()
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


def _save_artifact(run, artifact):
    # Trained in bfloat16 or not, the artifact computes in float32, so that it
    # gives the same answers, and runs fast, on machines without bfloat16.
    with replacing(run.model_path) as part:
        main_model(artifact).save(part)


def _facts(run, config, dataset, precision, artifact, recorder):
    speeds = [row["images_per_second"] for row in recorder.history]
    return {
        "run": run.path.name,
        "model": config.model,
        "dataset": dataset.title,
        "class_names": list(dataset.class_names),
        "input_shape": list(dataset.image_shape),
        "examples": {
            split: len(getattr(dataset, split)) for split in ("train", "validation", "test")
        },
        "config": config.to_dict(),
        "seed": config.seed,
        "parameters": main_model(artifact).count_params(),
        "epochs": len(recorder.history),
        "best_epoch": recorder.best_epoch,
        "seconds": round(recorder.history[-1]["seconds"], 1),
        # The first epoch includes compilation.
        "images_per_second": round(statistics.median(speeds[1:] or speeds)),
        "precision": precision,
        "backend": keras.backend.backend(),
        "hardware": describe_hardware(),
        "versions": package_versions(),
        "commit": git_commit(),
    }


def _jit_compile():
    # XLA halves the speed of TensorFlow's convolutions on a processor.
    on_gpu = bool(describe_hardware()["gpu"])
    return {"jax": True, "tensorflow": on_gpu, "torch": False}[keras.backend.backend()]


def _make_deterministic():
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    elif backend == "torch":
        import torch

        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    elif describe_hardware()["gpu"] and "deterministic_ops" not in os.environ.get("XLA_FLAGS", ""):
        raise ConfigError("deterministic on JAX: set XLA_FLAGS=--xla_gpu_deterministic_ops=true")
