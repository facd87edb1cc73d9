"""What comes before the epochs: initial weights, features of a frozen backbone, its classifier."""

import dataclasses
import time
from typing import NamedTuple

import keras

from cnn_cifar10.architectures import adapt_whitening, fold_normalization, head_of
from cnn_cifar10.configs import SELECTIONS, TrainingConfig
from cnn_cifar10.datasets import Dataset
from cnn_cifar10.pipelines import (
    evaluation_batches,
    find_sharing,
    steps_per_epoch,
    training_batches,
)
from cnn_cifar10.training.build import build_model, compile_model, set_weights_from
from cnn_cifar10.training.features import frozen_features
from cnn_cifar10.training.precision import make_deterministic
from cnn_cifar10.utils import InputError

HEAD_BATCH = 32
"""Images in a batch of the training of a classifier alone."""

_HEAD = {  # how a classifier is trained on features, whatever comes after
    "optimizer": "adamw",
    "learning_rate": 0.002,
    "weight_decay": None,
    "clip_norm": 0.0,
    "ema": 0.0,
    "schedule": "one_cycle",
    "batch_size": HEAD_BATCH,
    "augment": "none",
    "small_epochs": 0,
    "early_stopping": 0,
}


def start_model(config: TrainingConfig, dataset: Dataset, precision: str) -> keras.Model:
    """Return the config's model with the weights that its training starts from.

    Raises:
        InputError: If the config asks for what the model has not.
    """
    if config.deterministic:
        make_deterministic()
    model = build_model(config, dataset, precision)
    if config.head_epochs and head_of(model, frozen=False) is None:
        raise InputError(
            f"head_epochs: {config.model} has no pretrained features to train a classifier on "
            "first, as transfer has; leave it out"
        )
    if config.small_epochs and config.augment == "none" and head_of(model):
        raise InputError(
            "small_epochs: features of a frozen network are of images of one size; leave it out"
        )
    adapt_whitening(model, dataset.train.images)
    if config.start:
        set_weights_from(config.start, model)
    return model


class Prepared(NamedTuple):
    """What is fitted to what, the seconds of preparing both, and the logs of validation before."""

    model: keras.Model
    dataset: Dataset
    seconds: float
    before: dict[str, float] | None


def prepare(
    model: keras.Model, config: TrainingConfig, dataset: Dataset, *, head: bool, verbose: int
) -> Prepared:
    """Return what is fitted to what: a model that shares its weights with `model`.

    Where all that is trained sees the same features of an image in every epoch, these are the
    model's classifier and the features.

    Args:
        model: What `start_model` returns.
        config: Its config.
        dataset: Its data.
        head: Whether the classifier is trained alone first, for the config's `head_epochs`.
        verbose: 0 is silent.
    """
    seconds, before = 0.0, None
    if find_sharing().processes > 1:
        _check_processes(model, config)
    if head and config.head_epochs:
        seconds, before = _train_head(model, config, dataset, verbose)
    if config.augment == "none" and (classifier := head_of(model)):
        dataset, computed = frozen_features(model, dataset, verbose, config.batch_size)
        fitted, seconds = classifier, seconds + computed
    else:
        fitted = fold_normalization(model)
    compile_model(fitted, config, dataset)
    return Prepared(fitted, dataset, seconds, before)


def _check_processes(model, config):
    """Raise where a training is more than several processes can share."""
    frozen = config.augment == "none" and head_of(model)
    if config.head_epochs or frozen or config.ema:
        what = "an average of weights (ema)" if config.ema else "features of a frozen network"
        raise InputError(f"several processes cannot share {what}: use one process, or none of it")


def _train_head(model, config, dataset, verbose):
    """Train the classifier behind a model's features on these, and keep the best epoch.

    Returns:
        The seconds it took, and the logs of its validation, if there is one.
    """
    features, seconds = frozen_features(model, dataset, verbose, config.batch_size)
    config = dataclasses.replace(config, epochs=config.head_epochs, **_HEAD)
    began, classes, size = time.perf_counter(), dataset.num_classes, config.batch_size
    head, options = head_of(model, frozen=False), {}
    compile_model(head, config, features)
    keep = keras.callbacks.EarlyStopping(
        config.select,
        mode=SELECTIONS[config.select],
        patience=config.epochs,
        restore_best_weights=True,
    )
    if not config.use_validation:
        batches = evaluation_batches(features.validation, classes, batch_size=1024)
        options = {"validation_data": batches, "callbacks": [keep]}
    history = head.fit(
        training_batches(features.train, classes, batch_size=size, seed=config.seed),
        steps_per_epoch=steps_per_epoch(features.train, size),
        epochs=config.epochs,
        shuffle=False,
        verbose=0,
        **options,
    ).history
    seconds += time.perf_counter() - began
    kept, name = (keep.best_epoch, config.select) if options else (-1, "accuracy")
    if verbose:
        print(
            f"classifier alone: {config.epochs} epochs on features, {name} "
            f"{history[name][kept]:.4f}, {seconds:.1f} s",
            flush=True,
        )
    return seconds, {key: values[kept] for key, values in history.items() if key[:4] == "val_"}
