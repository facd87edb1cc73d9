"""The config of a training run: every field with its default, its choices and its range.

Importing this loads neither Keras nor NumPy: the command line builds its options
from the fields below.
"""

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnn_cifar10.configs.choices import (
    BATCH_SIZE,
    CLASS_WEIGHTS,
    FITS,
    LOSSES,
    OPTIMIZERS,
    SCHEDULES,
    SELECTIONS,
)
from cnn_cifar10.utils import HUB, InputError, is_pinned, read_object, references, require

PRECISIONS = ("auto", "float32", "mixed_bfloat16", "mixed_float16")
"""Number formats of a training: `auto`, or a dtype policy of Keras."""

PROCESS_COUNTS = ("KERAS_DISTRIBUTION_NUM_PROCESSES", "SLURM_STEP_NUM_TASKS", "TF_CONFIG")
"""Environment variables that say how many processes share a training."""

DATA_FIELDS = (
    *("dataset", "data_dir", "image_size", "fit", "group_by", "skip_damaged", "train_images"),
)
"""Fields of a config that say what its data are."""


class ConfigError(InputError):
    """A training configuration that cannot work."""


def type_name(field: dataclasses.Field) -> str:
    """Return the name of a field's type, such as `"int"` for `int | None`."""
    return str(getattr(field.type, "__name__", field.type)).removesuffix(" | None")


def _option(default, help, choices=None, *, least=None, above=None, below=None):
    """Return a field: what the command line says of it, and the range of its values."""
    metadata = {"help": help, "choices": choices, "range": (least, above, below)}
    if default is dict:
        return dataclasses.field(default_factory=dict, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that decides a training run.

    Two runs of the same config on the same data, machine and package versions
    agree in every weight when `deterministic` is set, and closely when it is not.

    `model` may also be a function of your own, of `input_shape`, `num_classes` and options
    with defaults, that returns an uncompiled `keras.Model`; it is kept as its reference,
    `"module:function"`.

    Raises:
        ConfigError: If a value is of another type, unknown or out of range.
    """

    dataset: str = _option("cifar10", "data set; `cnn-cifar10 datasets` lists them")
    data_dir: str | None = _option(
        None, "where its files are; alone, it means the data set folder, unless it is CIFAR-10's"
    )
    image_size: int | None = _option(
        None, "side in pixels that folders of images are read at", least=1
    )
    fit: str = _option(
        "crop", "how an image file becomes a square: cut, between grey bars, or distorted", FITS
    )
    group_by: str | None = _option(
        None,
        "keep images of one group in one split: a pattern of their paths, such as '(.*)_frame'",
    )
    skip_damaged: bool = _option(False, "leave out images that cannot be read")
    train_images: int | None = _option(
        None, "train on a part of the training split, of this many images at most", least=1
    )
    model: str = _option(
        "custom_cnn",
        "network; `cnn-cifar10 models` lists them; or a function of your own, my_net.py:build",
    )
    model_options: dict = _option(  # noqa: RUF009 (a field with a factory)
        dict, "options of the network, such as width=64 dropout=0.2"
    )
    start: str | None = _option(
        None,
        "run whose weights training starts from, or hf://owner/name@commit; another number of "
        "classes gets a new head",
    )
    augment: str = _option(
        "crop+flip",
        "none, or augmentations joined by '+'; `cnn-cifar10 augmentations` lists them",
    )
    head_epochs: int = _option(
        0,
        "passes over the features of a pretrained network in which its classifier is trained "
        "alone, before the epochs",
        least=0,
    )
    epochs: int = _option(20, "passes over the training split", least=1)
    small_epochs: int = _option(
        0,
        "how many of the first epochs are on images of three quarters the size; not every network "
        "can do this",
        least=0,
    )
    use_validation: bool = _option(
        False,
        "train on the validation images too and keep the last epoch; use it when all is chosen",
    )
    batch_size: int = _option(BATCH_SIZE, "images per training step", least=1)
    optimizer: str = _option("sgd", "SGD is with Nesterov momentum", OPTIMIZERS)
    learning_rate: float | None = _option(
        None,
        "highest learning rate; the default depends on optimizer, batch size and network",
        above=0,
    )
    momentum: float = _option(0.9, "of sgd, rmsprop and muon alone", least=0, below=1)
    weight_decay: float | None = _option(
        None,
        "decoupled: a step shrinks kernels by the learning rate times this; the default depends "
        "on the optimizer",
        least=0,
    )
    clip_norm: float = _option(
        0.0,
        "largest norm of a step's gradient, of all weights together; longer ones are cut; 0: none",
        least=0,
    )
    ema: float = _option(
        0.0,
        "momentum of a moving average of the weights, such as 0.99, which is what is validated and "
        "kept; 0: none",
        least=0,
        below=1,
    )
    schedule: str = _option("one_cycle", "schedule of the learning rate", SCHEDULES)
    warmup: float = _option(
        0.2,
        "share of the run in which cosine and one_cycle raise the learning rate",
        least=0,
        below=1,
    )
    loss: str = _option(
        "cross_entropy", "what is minimized; focal is for data with rare classes", LOSSES
    )
    class_weight: str = _option(
        "none", "weight of the classes in the loss; balanced: each counts the same", CLASS_WEIGHTS
    )
    label_smoothing: float = _option(
        0.1, "share of the label spread over all classes", least=0, below=1
    )
    select: str = _option(
        "val_accuracy", "keep the weights of the epoch that is best in this", SELECTIONS
    )
    early_stopping: int = _option(
        0, "stop after this many epochs without progress; 0: never", least=0
    )
    seed: int = _option(
        0, "decides initial weights, order, augmentation and dropout", least=0, below=2**31
    )
    precision: str = _option("auto", "auto: what the hardware multiplies fastest", PRECISIONS)
    deterministic: bool = _option(False, "the same weights every time, at some cost in speed")

    def __post_init__(self):
        if callable(self.model):
            object.__setattr__(self, "model", references.name_of(self.model))
        for field in dataclasses.fields(self):
            self._check(field)
        optimizer = OPTIMIZERS[self.optimizer]
        if self.learning_rate is None:
            rate = optimizer.scaled(optimizer.learning_rate, self.batch_size)
            object.__setattr__(self, "learning_rate", rate)
        if self.weight_decay is None:
            object.__setattr__(self, "weight_decay", optimizer.weight_decay)
        self._require("small_epochs", self.small_epochs <= self.epochs, "0 to epochs")
        if self.start and self.start.startswith(HUB):
            pinned = is_pinned(self.start)
            self._require("start", pinned, f"{HUB}owner/name@COMMIT, so that it stays the same")
        judged = self.early_stopping or SCHEDULES[self.schedule].callback
        if self.use_validation and (judged or self.select != "val_accuracy"):
            raise ConfigError(
                "use_validation leaves no images to judge epochs by: leave out early_stopping and "
                "select, and choose another schedule than reduce_on_plateau"
            )

    def _check(self, field):
        value, (least, above, below) = getattr(self, field.name), field.metadata["range"]
        self._require(field.name, self._has_type(field), f"of type {type_name(field)}")
        if choices := field.metadata["choices"]:
            self._require(field.name, value in choices, f"one of {', '.join(choices)}")
        if value is None:
            return
        if least is not None and below is not None:
            self._require(field.name, least <= value < below, f"in [{least}, {below})")
        elif least is not None:
            self._require(field.name, value >= least, f"{least} or more")
        else:
            self._require(field.name, above is None or value > above, f"above {above}")
            self._require(field.name, below is None or value < below, f"below {below}")

    def _has_type(self, field):
        value = getattr(self, field.name)
        if isinstance(value, bool):
            return field.type is bool
        if isinstance(value, int) and field.type in (float, float | None):
            return True
        return isinstance(value, field.type)

    def _require(self, name, holds, expected):
        require(holds, ConfigError, f"{name} must be {expected}", getattr(self, name))

    @property
    def source(self) -> str:
        """Name of the data: the data set, or the folder of a folder of images."""
        if self.dataset == "folder" and self.data_dir:
            return Path(self.data_dir).resolve().name
        return _plain(self.dataset)

    @property
    def name(self) -> str:
        """Name of the run: its source, model, backbone, if it is fine-tuned, seed."""
        path, _, function = self.model.rpartition(":")
        module = Path(path.removesuffix(".py")).name.rpartition(".")[2]
        model = f"{module}_{function}" if path else function
        backbone = self.model_options.get("backbone")
        fine = self.start or self.model_options.get("trainable_layers")
        parts = (model, backbone, fine and "finetuned", f"seed{self.seed}")
        return "-".join((self.source, *(_plain(part) for part in parts if part)))

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a dict that JSON can hold."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "TrainingConfig":
        """Build a config from `to_dict`'s result.

        Raises:
            ConfigError: If a key is unknown or a value is out of range.
        """
        fields = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - fields)
        if unknown:
            raise ConfigError(f"unknown config key {unknown[0]!r}; known: {', '.join(fields)}")
        return cls(**values)


def _plain(name):
    """Return a name for a file: `hf:owner/name` would be folders."""
    return re.sub(r"[^\w.+-]+", "-", name)


def read_config(path: str | Path) -> TrainingConfig:
    """Read a config from a JSON file, such as a run's `config.json`.

    Raises:
        ConfigError: If the file cannot be read or does not hold a config.
    """
    return TrainingConfig.from_dict(read_object(path, "config", ConfigError))
