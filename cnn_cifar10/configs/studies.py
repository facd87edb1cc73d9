"""What an experiment varies and what it holds fixed, declared as data.

Importing this loads neither Keras nor NumPy: the command line's help lists the
studies.
"""

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path

from cnn_cifar10.configs.training import ConfigError, TrainingConfig
from cnn_cifar10.utils import InputError, read_object

SHORT = {"epochs": 5, "train_images": 10_000}
"""What a study's runs are unless it says otherwise."""


class StudyError(InputError):
    """A study that cannot be run; the message says what in it, and why."""


@dataclass(frozen=True)
class Study:
    """A grid of training runs: some variants of a config, each with every seed.

    Args:
        name: Names its folder.
        question: What it asks, in one sentence.
        variants: Labels to the fields of `TrainingConfig` that a variant sets;
            `model_options` add to those of `base`.
        reference: Label of the variant that the others are compared with.
        base: The fields that all variants share, where they differ from `SHORT`
            and the defaults of `TrainingConfig`; `train_images` of `None` is all.
        seeds: Seeds of the runs of each variant.
        axes: One or two fields, or model options, whose values are the places of
            the variants in a figure: a curve, or a grid.

    Raises:
        StudyError: If a part is malformed or a variant's config cannot work.
    """

    name: str
    question: str
    variants: dict
    reference: str
    base: dict = dataclasses.field(default_factory=dict)
    seeds: tuple[int, ...] = (0, 1, 2)
    axes: tuple[str, ...] = ()

    def __post_init__(self):
        for field in dataclasses.fields(self):
            self._check_type(field.name, field.type)
        self._require(
            self.reference in self.variants, "reference must be a variant", self.reference
        )
        self._require(len(self.axes) <= 2, "axes must be one or two", self.axes)
        once = self.seeds and len(set(self.seeds)) == len(self.seeds)
        self._require(once, "seeds must be given, each once", self.seeds)
        for label in (self.name, *self.variants):
            whole = re.fullmatch(r"\w[\w .,+=-]*", label)
            self._require(whole, "names must be of letters, digits, spaces and .,+=_-", label)
        for label, fields in {"base": self.base, **self.variants}.items():
            usable = isinstance(fields, dict) and isinstance(fields.get("model_options", {}), dict)
            self._require(usable, f"{label!r} must be an object of a config's fields", fields)
            self._require("seed" not in fields, f"{label!r} must leave the seed to seeds", fields)
            compares = not fields.get("use_validation")
            self._require(compares, f"{label!r} must leave validation to compare by", fields)
        for label in self.variants:
            try:
                for seed in self.seeds:
                    self.config(label, seed)
            except ConfigError as error:
                raise StudyError(f"study {self.name!r}, variant {label!r}: {error}") from error
            for axis in self.axes:
                value = self.setting(label, axis)
                number = isinstance(value, (int, float))
                self._require(number, f"axis {axis!r} must be a number in {label!r}", value)

    def _check_type(self, name, wanted):
        value, kind = getattr(self, name), wanted
        if items := getattr(wanted, "__args__", ()):
            if isinstance(value, list):  # as JSON has it
                value = tuple(value)
                object.__setattr__(self, name, value)
            kind, item = tuple, items[0]
            fits = isinstance(value, tuple) and all(isinstance(each, item) for each in value)
            self._require(fits, f"{name} must be a list of type {item.__name__}", value)
        self._require(isinstance(value, kind), f"{name} must be of type {kind.__name__}", value)

    def _require(self, holds, expected, received):
        if not holds:
            raise StudyError(f"study {self.name!r}: {expected}, received {received!r}")

    def config(self, label, seed) -> TrainingConfig:
        """Return what a variant trains with a seed."""
        base, variant = self.base, self.variants[label]
        options = {**base.get("model_options", {}), **variant.get("model_options", {})}
        return TrainingConfig.from_dict(
            {**SHORT, **base, **variant, "model_options": options, "seed": seed}
        )

    def setting(self, label, name):
        """Return the value that a variant gives a field or a model option, else `None`."""
        config = self.config(label, self.seeds[0])
        return config.model_options.get(name, getattr(config, name, None))

    def with_base(self, **overrides) -> "Study":
        """Return the study with other values of fields that its variants share.

        Raises:
            StudyError: If variants set one of the fields themselves.
        """
        for name in overrides:
            varied = any(name in fields for fields in self.variants.values())
            self._require(not varied, f"{name} must be left to its variants", overrides[name])
        return dataclasses.replace(self, base={**self.base, **overrides})


def find_study(name_or_file) -> Study:
    """Return a study of `STUDIES`, or the one that a JSON file declares.

    The file holds an object of `Study`'s arguments; `name` may be left out where
    the file's says it.

    Raises:
        StudyError: If there is no such study, or the file declares none.
    """
    if name_or_file in STUDIES:
        return STUDIES[name_or_file]
    path = Path(name_or_file)
    if path.suffix != ".json":
        raise StudyError(
            f"no study is named {name_or_file!r}: choose from {', '.join(STUDIES)}, or name a "
            ".json file that declares one"
        )
    declared = {"name": path.stem, **read_object(path, "study", StudyError)}
    fields = dataclasses.fields(Study)
    known = [field.name for field in fields]
    required = {f.name for f in fields if f.default is f.default_factory is dataclasses.MISSING}
    if wrong := sorted(set(declared) - set(known)) or sorted(required - set(declared)):
        fault = "unknown" if wrong[0] not in known else "no"
        raise StudyError(f"{path}: {fault} key {wrong[0]!r}; a study has {', '.join(known)}")
    return Study(**declared)


def _options(**options):
    return {"model_options": options}


# Half of the usual width takes a third of the time: half a minute a run on one core.
_NARROW = _options(width=16)


_STUDIES = (
    Study(
        name="learning_rate_batch_size",
        question="How do learning rate and batch size decide together?",
        base=_NARROW,
        variants={
            f"rate {rate}, batch {batch}": {"learning_rate": rate, "batch_size": batch}
            for rate in (0.05, 0.2, 0.8, 3.2)
            for batch in (32, 128, 512)
        },
        reference="rate 0.2, batch 128",
        axes=("learning_rate", "batch_size"),
    ),
    Study(
        name="epochs",
        question="What does training for longer bring, each run in one cycle of its own?",
        base=_NARROW,
        variants={f"{epochs} epochs": {"epochs": epochs} for epochs in (2, 5, 10, 20)},
        reference="5 epochs",
        axes=("epochs",),
    ),
    Study(
        name="optimizer",
        question="Which optimizer trains best, each at four learning rates?",
        base=_NARROW,
        variants={
            f"{optimizer} {rate}": {"optimizer": optimizer, "learning_rate": rate, **more}
            for optimizer, rates, more in (
                ("sgd", (0.05, 0.2, 0.8, 3.2), {}),
                ("adam", (0.0005, 0.002, 0.008, 0.032), {}),
                ("adamw", (0.0005, 0.002, 0.008, 0.032), {}),
                ("rmsprop", (0.0005, 0.002, 0.008, 0.032), {"momentum": 0.0}),
            )
            for rate in rates
        },
        reference="adam 0.008",
    ),
    Study(
        name="activation",
        question="Does another activation than ReLU do better?",
        base=_NARROW,
        variants={
            activation: _options(activation=activation)
            for activation in ("relu", "leaky_relu", "elu", "gelu", "silu")
        },
        reference="relu",
    ),
    Study(
        name="regularization",
        question="What helps most against overfitting when there are few images?",
        # At higher rates the network without batch norm does not train.
        base={
            **{"train_images": 5_000, "epochs": 20, "augment": "none"},
            **{"learning_rate": 0.05, "weight_decay": 0.0, "label_smoothing": 0.0},
            **_options(width=16, batch_norm=False),
        },
        variants={
            "none": {},
            "dropout": _options(dropout=0.2),
            "batch norm": _options(batch_norm=True),
            "L2": _options(l2=5e-4),
            "label smoothing": {"label_smoothing": 0.1},
            "augmentation": {"augment": "crop+flip"},
            "all": {
                "label_smoothing": 0.1,
                "augment": "crop+flip",
                **_options(dropout=0.2, batch_norm=True, l2=5e-4),
            },
        },
        reference="none",
    ),
    Study(
        name="depth",
        question="How many stages, and how many convolutions before each pooling?",
        base=_NARROW,
        variants={
            f"{stages} x {'conv-' * depth}pool": _options(stages=stages, depth=depth)
            for stages in (2, 3, 4)
            for depth in (1, 2, 3)
        },
        reference="3 x conv-conv-pool",
        axes=("stages", "depth"),
    ),
    Study(
        name="dense_layers",
        question="Do extra dense layers before the classifier help?",
        base=_NARROW,
        variants={
            "none": {},
            "128": _options(dense_units=[128]),
            "512": _options(dense_units=[512]),
            "128+128": _options(dense_units=[128, 128]),
            "512+512": _options(dense_units=[512, 512]),
        },
        reference="none",
    ),
    Study(
        name="augmentation",
        question="Which augmentation policy helps in a short training?",
        base=_NARROW,
        variants={
            policy: {"augment": policy}
            for policy in (
                *("none", "flip", "crop", "crop+flip", "crop+flip+rotation", "crop+flip+zoom"),
                *("crop+flip+color", "crop+flip+cutout", "crop+flip+mixup", "crop+flip+cutmix"),
                "randaugment",
            )
        },
        reference="crop+flip",
    ),
    Study(
        name="seed_variance",
        question="How far apart are runs that differ in nothing but the seed?",
        base=_NARROW,
        variants={"same config": {}},
        reference="same config",
        seeds=tuple(range(10)),
    ),
)

STUDIES = {study.name: study for study in _STUDIES}
"""The named studies, each one command: `cnn-cifar10 sweep NAME`."""


@dataclass(frozen=True)
class Claim:
    """What projects of this kind say, and the study that can tell.

    Args:
        text: The claim.
        study: Name of the study.
        variants: Those that the claim is about; it is judged by the best of them.
        expected: What they must be, compared with the study's reference: `"better"`
            or `"worse"`; `None` where the claim is that the whole study matters.
    """

    text: str
    study: str
    variants: tuple[str, ...] = ()
    expected: str | None = None


CLAIMS = (
    Claim("Learning rate and batch size are decisive.", "learning_rate_batch_size"),
    Claim("LeakyReLU is better than ReLU.", "activation", ("leaky_relu",), "better"),
    Claim(
        "SGD is worse than Adam.",
        "optimizer",
        ("sgd 0.05", "sgd 0.2", "sgd 0.8", "sgd 3.2"),
        "worse",
    ),
    Claim(
        "RMSprop is worse than Adam.",
        "optimizer",
        ("rmsprop 0.0005", "rmsprop 0.002", "rmsprop 0.008", "rmsprop 0.032"),
        "worse",
    ),
    Claim(
        "Extra dense layers make it worse.",
        "dense_layers",
        ("128", "512", "128+128", "512+512"),
        "worse",
    ),
    Claim("Batch normalization helps.", "regularization", ("batch norm",), "better"),
    Claim("Dropout helps against overfitting.", "regularization", ("dropout",), "better"),
    Claim("L2 helps against overfitting.", "regularization", ("L2",), "better"),
    Claim("Augmentation helps.", "regularization", ("augmentation",), "better"),
    Claim("Longer training is better.", "epochs", ("10 epochs", "20 epochs"), "better"),
    Claim("Deeper is better.", "depth", ("3 x conv-conv-conv-pool",), "better"),
)
"""Claims that the named studies can tell of."""
