"""What comes before the epochs: initial weights, features of a frozen backbone, its classifier."""

import dataclasses
import time

import keras

from cnn_cifar10.architectures import adapt_whitening, fold_normalization, head_of
from cnn_cifar10.configs import SELECTIONS, TrainingConfig
from cnn_cifar10.datasets import Dataset
from cnn_cifar10.pipelines import evaluation_batches, steps_per_epoch, training_batches
from cnn_cifar10.training.build import build_model, compile_model, set_weights_from
from cnn_cifar10.training.features import frozen_features
from cnn_cifar10.training.precision import make_deterministic
from cnn_cifar10.utils import InputError

_HEAD = {  # how a classifier is trained on features, whatever comes after
    "optimizer": "adamw",
    "learning_rate": None,
    "weight_decay": None,
    "schedule": "one_cycle",
    "batch_size": 32,
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
    adapt_whitening(model, dataset.train.images)
    if config.start:
        set_weights_from(config.start, model)
    return model


def prepare(
    model: keras.Model, config: TrainingConfig, dataset: Dataset, *, head: bool, verbose: int
) -> tuple[keras.Model, Dataset, float]:
    """Return what is fitted to what, and the seconds that were spent on preparing both.

    Where all that is trained sees the same features of an image in every epoch, these are the
    model's classifier and the features. The model that is returned shares its weights with `model`.

    Args:
        model: What `start_model` returns.
        config: Its config.
        dataset: Its data.
        head: Whether the classifier is trained alone first, for the config's `head_epochs`.
        verbose: 0 is silent.
    """
    seconds = 0.0
    if head and config.head_epochs:
        seconds = _train_head(model, config, dataset, verbose)
    if config.augment == "none" and (classifier := head_of(model)):
        dataset, computed = frozen_features(model, dataset, verbose, config.batch_size)
        fitted, seconds = classifier, seconds + computed
    else:
        fitted = fold_normalization(model)
    compile_model(fitted, config, dataset)
    return fitted, dataset, seconds


def _train_head(model, config, dataset, verbose):
    """Train the classifier behind a model's features on these, and return the seconds it took."""
    features, seconds = frozen_features(model, dataset, verbose, config.batch_size)
    config = dataclasses.replace(config, epochs=config.head_epochs, **_HEAD)
    began, classes = time.perf_counter(), dataset.num_classes
    head = head_of(model, frozen=False)
    compile_model(head, config, features)
    validation, best = None, []
    if not config.use_validation:
        validation = evaluation_batches(features.validation, classes, batch_size=1024)
        best = [
            keras.callbacks.EarlyStopping(
                config.select,
                mode=SELECTIONS[config.select],
                patience=config.epochs,
                restore_best_weights=True,
            )
        ]
    size = config.batch_size
    history = head.fit(
        training_batches(features.train, classes, batch_size=size, seed=config.seed),
        steps_per_epoch=steps_per_epoch(features.train, size),
        epochs=config.epochs,
        validation_data=validation,
        callbacks=best,
        shuffle=False,
        verbose=0,
    ).history
    seconds += time.perf_counter() - began
    if verbose:
        name = "accuracy" if config.use_validation else config.select
        choose = min if SELECTIONS.get(name) == "min" else max
        print(
            f"classifier alone: {config.epochs} epochs on features, {name} "
            f"{choose(history[name]):.4f}, {seconds:.1f} s",
            flush=True,
        )
    return seconds
