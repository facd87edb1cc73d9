"""What decides a training run, and named starting points.

Importing this loads neither Keras nor NumPy: the command line builds its options
from the fields below.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from cnn_cifar10.utils import InputError, read_object

OPTIMIZERS = {  # name: (learning rate, weight decay) where the config says neither
    "sgd": (0.2, 0.005),
    "adam": (0.001, 0.0),
    "adamw": (0.002, 0.05),
    "rmsprop": (0.001, 0.0),
    "muon": (0.1, 0.0),
}
PRECISIONS = ("auto", "float32", "mixed_bfloat16", "mixed_float16")
SCHEDULES = ("constant", "step", "cosine", "one_cycle", "reduce_on_plateau")


class ConfigError(InputError):
    """A training configuration that cannot work."""


def type_name(field):
    """Return the name of a field's type, such as `"int"` for `int | None`."""
    return str(getattr(field.type, "__name__", field.type)).removesuffix(" | None")


def _option(default, help, choices=None):
    return dataclasses.field(default=default, metadata={"help": help, "choices": choices})


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that decides a training run.

    Two runs of the same config on the same data, machine and package versions
    agree in every weight when `deterministic` is set, and closely when it is not.

    Raises:
        ConfigError: If a value is out of range.
    """

    dataset: str = _option("cifar10", "data set; `cnn-cifar10 datasets` lists them")
    data_dir: str | None = _option(None, "where its files are, for data that is not built in")
    image_size: int | None = _option(None, "side in pixels that folders of images are read at")
    skip_damaged: bool = _option(False, "train without the images that cannot be read")
    train_images: int | None = _option(
        None, "train on a part of the training split, of this many images at most"
    )
    model: str = _option("custom_cnn", "network; `cnn-cifar10 models` lists them")
    model_options: dict = dataclasses.field(
        default_factory=dict,
        metadata={"help": "options of the network, such as width=64 dropout=0.2"},
    )
    start: str | None = _option(
        None, "run whose weights training starts from; another number of classes gets a new head"
    )
    augment: str = _option(
        "crop+flip",
        "none, or some of crop, small_crop, flip, alternating_flip, rotation, zoom, color, cutout, "
        "randaugment, mixup, cutmix, joined by '+'",
    )
    epochs: int = _option(20, "passes over the training split")
    small_epochs: int = _option(
        0, "epochs, the first ones, on images of three quarters the size; not for every network"
    )
    use_validation: bool = _option(
        False, "train on the validation images too and keep the last epoch, when all is chosen"
    )
    batch_size: int = _option(128, "images per training step")
    optimizer: str = _option("sgd", "SGD is with Nesterov momentum", tuple(OPTIMIZERS))
    learning_rate: float | None = _option(None, "highest rate; default depends on the optimizer")
    momentum: float = _option(0.9, "for sgd, rmsprop and muon")
    weight_decay: float | None = _option(
        None, "decoupled: a step shrinks kernels by rate times this; default by optimizer"
    )
    schedule: str = _option("one_cycle", "course of the learning rate", SCHEDULES)
    warmup: float = _option(0.2, "share of the run in which cosine and one_cycle rise")
    label_smoothing: float = _option(0.1, "share of the label spread over all classes")
    early_stopping: int = _option(0, "stop after this many epochs without progress; 0: never")
    seed: int = _option(0, "decides initial weights, order, augmentation and dropout")
    precision: str = _option(
        "auto",
        "auto: what the hardware multiplies fastest",
        PRECISIONS,
    )
    deterministic: bool = _option(False, "the same weights every time, at some cost in speed")

    def __post_init__(self):
        for field in dataclasses.fields(self):
            self._require(field.name, self._has_type(field), f"of type {type_name(field)}")
            choices = field.metadata.get("choices")
            if choices:
                allowed = getattr(self, field.name) in choices
                self._require(field.name, allowed, f"one of {', '.join(choices)}")
        rate, decay = OPTIMIZERS[self.optimizer]
        if self.learning_rate is None:
            object.__setattr__(self, "learning_rate", rate)
        if self.weight_decay is None:
            object.__setattr__(self, "weight_decay", decay)
        self._require("epochs", self.epochs >= 1, "1 or more")
        self._require("small_epochs", 0 <= self.small_epochs <= self.epochs, "0 to epochs")
        self._require("batch_size", self.batch_size >= 1, "1 or more")
        self._require("image_size", (self.image_size or 1) >= 1, "1 or more")
        self._require(
            "train_images", self.train_images is None or self.train_images >= 1, "1 or more"
        )
        self._require("learning_rate", self.learning_rate > 0, "above 0")
        self._require("momentum", 0 <= self.momentum < 1, "in [0, 1)")
        self._require("weight_decay", self.weight_decay >= 0, "0 or more")
        self._require("warmup", 0 <= self.warmup < 1, "in [0, 1)")
        self._require("label_smoothing", 0 <= self.label_smoothing < 1, "in [0, 1)")
        self._require("early_stopping", self.early_stopping >= 0, "0 or more")
        if self.use_validation and (self.early_stopping or self.schedule == "reduce_on_plateau"):
            raise ConfigError(
                "use_validation leaves no images to judge epochs by: choose no early_stopping and "
                "another schedule than reduce_on_plateau"
            )
        self._require("seed", 0 <= self.seed < 2**31, "in [0, 2**31)")

    def _has_type(self, field):
        value = getattr(self, field.name)
        if isinstance(value, bool):
            return field.type is bool
        if isinstance(value, int) and field.type in (float, float | None):
            return True
        return isinstance(value, field.type)

    def _require(self, name, holds, expected):
        if not holds:
            raise ConfigError(f"{name} must be {expected}, received {getattr(self, name)!r}")

    @property
    def source(self):
        """Name of the data: the data set, or the folder of a folder of images."""
        if self.dataset == "folder" and self.data_dir:
            return Path(self.data_dir).resolve().name
        return self.dataset

    @property
    def name(self):
        """Name of the run: its source, model, backbone, if it is fine-tuned, seed."""
        backbone = self.model_options.get("backbone")
        fine = self.start or self.model_options.get("trainable_layers")
        parts = (self.source, self.model, backbone, fine and "finetuned", f"seed{self.seed}")
        return "-".join(part for part in parts if part)

    def to_dict(self):
        """Return the fields as a dict that JSON can hold."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values):
        """Build a config from `to_dict`'s result.

        Raises:
            ConfigError: If a key is unknown or a value is out of range.
        """
        fields = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - fields)
        if unknown:
            raise ConfigError(f"unknown config key {unknown[0]!r}; known: {', '.join(fields)}")
        return cls(**values)


def read_config(path):
    """Read a config from a JSON file, such as a run's `config.json`.

    Raises:
        ConfigError: If the file cannot be read or does not hold a config.
    """
    return TrainingConfig.from_dict(read_object(path, "config", ConfigError))
