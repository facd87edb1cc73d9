"""Recipes: named starting points of a training; what folders of images are trained with."""

import dataclasses
from typing import Any

from cnn_cifar10.architectures import usual_training
from cnn_cifar10.configs.choices import OPTIMIZERS
from cnn_cifar10.configs.training import ConfigError, TrainingConfig

_FAST = {
    "model": "fastnet",
    "augment": "small_crop+alternating_flip",
    "batch_size": 500,
    "optimizer": "muon",
    "learning_rate": 0.15,
    "momentum": 0.6,
    "warmup": 0.0,
    "label_smoothing": 0.2,
}

RECIPES: dict[str, dict[str, Any]] = {
    "standard": {},
    "tutorial": {
        "augment": "none",
        "epochs": 10,
        "batch_size": 32,
        "optimizer": "adam",
        "learning_rate": 0.001,
        "schedule": "constant",
        "label_smoothing": 0.0,
    },
    "transfer": {
        "model": "transfer",
        "epochs": 30,
        "batch_size": 256,
        "learning_rate": 0.002,
    },
    "finetune": {
        "model": "transfer",
        "model_options": {"trainable_layers": -1},
        "augment": "crop+flip",
        "head_epochs": 20,
        "epochs": 5,
        "batch_size": 64,
        "learning_rate": 3e-4,
        "label_smoothing": 0.1,
    },
    "faster": {**_FAST, "epochs": 4, "small_epochs": 3},
    "fast": {**_FAST, "epochs": 12, "small_epochs": 6},
    "accurate": {
        **_FAST,
        "model_options": {"filters": [96, 96, 192, 384, 384, 384]},
        "epochs": 16,
        "small_epochs": 4,
    },
}
"""Named starting points: what differs from `TrainingConfig`'s defaults.

standard: SGD in one cycle with crops, flips and label smoothing.
    `cnn-cifar10 train --dataset cifar10 --model custom_cnn`.
tutorial: Adam at a constant learning rate on unchanged images, as in a first tutorial.
    `cnn-cifar10 train --dataset cifar10 --model baseline_cnn --recipe tutorial`.
transfer: A linear classifier on the frozen features of a network trained on
    ImageNet, which are computed once: after that, seconds.
    `cnn-cifar10 train --recipe transfer`.
finetune: All of that network but its batch normalizations, at a low learning rate, from where
    `transfer` ended; without a start, its classifier is trained on the frozen features first.
    `cnn-cifar10 train --recipe finetune --start models/cifar10-transfer-seed0`.
faster, fast, accurate: fastnet with Muon in large batches, on images that are
    small at first; the last with more filters and more epochs. On all training
    images of CIFAR-10 (JPEG copy) and two cores of an AMD EPYC, they reach
    85.7% in 3.5 minutes, 89.1% in 11.5 and 90.5% in 40; over six views 86.5%,
    90.0% and 91.4% (means of three seeds).
    `cnn-cifar10 train --recipe fast`.

The figures of the others, with seconds and hardware, are in reports/results.csv.
"""

FOLDER = {"fit": "stretch", "class_weight": "none", "select": "val_macro_f1"}
"""What trainings on the data set `folder` have unless it is said, by measurement."""


def make_config(recipe: str = "standard", **overrides: Any) -> TrainingConfig:
    """Return a recipe's config with some fields replaced.

    Where neither these nor the recipe name a field, it is what the network's training usually
    has, as `cnn-cifar10 models` shows it, then what `FOLDER` has, for the data set `folder`, and
    then `TrainingConfig`'s default.

    Args:
        recipe: One of `RECIPES`.
        **overrides: Fields of `TrainingConfig`; `model_options` add to the recipe's.

    Raises:
        ConfigError: If the recipe or a field is unknown, or a value out of range.

    Example:
        >>> make_config("tutorial", model="baseline_cnn").optimizer
        'adam'
        >>> make_config(model="vgg16").clip_norm
        1.0
    """
    if recipe not in RECIPES:
        raise ConfigError(f"no recipe is named {recipe!r}: choose from {', '.join(RECIPES)}")
    fields = {**RECIPES[recipe], **overrides}
    usual = usual_training(fields.get("model", TrainingConfig.model))
    rate = usual.pop("learning_rate", None)
    if fields.get("start") and "head_epochs" not in overrides:
        fields["head_epochs"] = 0  # its classifier has been trained
    if isinstance(fields.get("model_options"), dict):
        options = RECIPES[recipe].get("model_options", {})
        fields["model_options"] = {**options, **fields["model_options"]}
    folder = dict(FOLDER) if fields.get("dataset") == "folder" else {}
    if fields.get("use_validation"):
        folder.pop("select", None)  # no epoch is chosen
    config = TrainingConfig.from_dict({**folder, **usual, **fields})
    is_usual = config.optimizer == usual.get("optimizer", TrainingConfig.optimizer)
    if rate is None or not is_usual or fields.get("learning_rate") is not None:
        return config
    rate = OPTIMIZERS[config.optimizer].scaled(rate, config.batch_size)
    return dataclasses.replace(config, learning_rate=rate)
