"""Studies: variants of one config, declared as data; the named studies, and claims about them.

A named study is a file in `named_studies`, declared as a user declares one, and its name in
the list below.

Importing this loads neither Keras nor NumPy and reads no study: the command line's help
lists them.
"""

import dataclasses
import re
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnn_cifar10.configs.recipes import make_config
from cnn_cifar10.configs.training import ConfigError, TrainingConfig
from cnn_cifar10.utils import InputError, read_object, require

SHORT = {"epochs": 5, "train_images": 10_000}
"""What a study's runs are unless it says otherwise."""

_FOLDER = Path(__file__).with_name("named_studies")
_NAMES = (
    *("learning_rate_batch_size", "epochs", "optimizer", "activation", "regularization"),
    *("depth", "dense_layers", "augmentation", "seed_variance"),
)
"""In the order in which pages list them.

All have networks of half the usual width: a third of the time, half a minute a run on one
core. The learning rate of `regularization` is low since without batch normalization the
network does not train at higher ones.
"""


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
        for name in ("seeds", "axes"):
            if isinstance(getattr(self, name), list):  # as JSON has it
                object.__setattr__(self, name, tuple(getattr(self, name)))
        for check in self._checks():
            self._require(*check)
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

    def _require(self, holds, expected, received):
        require(holds, StudyError, f"study {self.name!r}: {expected}", received)

    def _checks(self) -> Iterator[tuple]:
        """Yield what must hold, what is expected, and what was received."""
        for name, kind in typing.get_type_hints(type(self)).items():
            value, items = getattr(self, name), typing.get_args(kind)
            if items:
                fits = isinstance(value, tuple) and all(isinstance(x, items[0]) for x in value)
                yield fits, f"{name} must be a list of type {items[0].__name__}", value
            else:
                yield isinstance(value, kind), f"{name} must be of type {kind.__name__}", value
        yield self.reference in self.variants, "reference must be a variant", self.reference
        yield len(self.axes) <= 2, "axes must be one or two", self.axes
        once = self.seeds and len(set(self.seeds)) == len(self.seeds)
        yield once, "seeds must be given, each once", self.seeds
        for label in (self.name, *self.variants):
            whole = re.fullmatch(r"\w[\w .,+=-]*", label)
            yield whole, "names must be of letters, digits, spaces and .,+=_-", label
        for label, fields in {"base": self.base, **self.variants}.items():
            usable = isinstance(fields, dict) and isinstance(fields.get("model_options", {}), dict)
            yield usable, f"{label!r} must be an object of a config's fields", fields
            yield "seed" not in fields, f"{label!r} must leave the seed to seeds", fields
            compares = not fields.get("use_validation")
            yield compares, f"{label!r} must leave validation to compare by", fields

    @property
    def runs(self) -> list[tuple[str, int]]:
        """Variant and seed of each run, in the order in which they are trained."""
        # Seeds outside, so that a study that was stopped has as many runs of each variant.
        return [(label, seed) for seed in self.seeds for label in self.variants]

    def config(self, label: str, seed: int) -> TrainingConfig:
        """Return what a variant trains with a seed."""
        base, variant = self.base, self.variants[label]
        options = {**base.get("model_options", {}), **variant.get("model_options", {})}
        fields = {**SHORT, **base, **variant, "model_options": options, "seed": seed}
        return make_config(**fields)

    @property
    def folder(self) -> str:
        """Name of the study's folder, by its data and its name, such as `"cifar10-activation"`."""
        return f"{self.config(self.reference, self.seeds[0]).source}-{self.name}"

    def setting(self, label: str, name: str) -> Any:
        """Return the value that a variant gives a field or a model option, else `None`."""
        config = self.config(label, self.seeds[0])
        return config.model_options.get(name, getattr(config, name, None))

    def with_base(self, **overrides: Any) -> "Study":
        """Return the study with other values of fields that its variants share.

        Raises:
            StudyError: If variants set one of the fields themselves.
        """
        for name in overrides:
            varied = any(name in fields for fields in self.variants.values())
            self._require(not varied, f"{name} must be left to its variants", overrides[name])
        return dataclasses.replace(self, base={**self.base, **overrides})


def list_studies() -> dict[str, str]:
    """Return the names of the named studies, and the question that each asks."""
    read = {name: read_object(_FOLDER / f"{name}.json", "study", StudyError) for name in _NAMES}
    return {name: declared["question"] for name, declared in read.items()}


def find_study(name_or_file: str | Path) -> Study:
    """Return a named study, or the one that a JSON file declares.

    The file holds an object of `Study`'s arguments; the name of the file is that of the
    study where it says no other.

    Raises:
        StudyError: If there is no such study, or the file declares none.
    """
    path = Path(name_or_file)
    if name_or_file in _NAMES:
        path = _FOLDER / f"{name_or_file}.json"
    elif path.suffix != ".json":
        raise StudyError(
            f"no study is named {str(name_or_file)!r}: choose from {', '.join(_NAMES)}, or name a "
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


@dataclass(frozen=True)
class Claim:
    """A claim of projects of this kind, and the study that tests it.

    Args:
        text: The claim.
        study: Name of the study.
        variants: The variants that the claim is about; it is judged by the best of them.
        expected: What they must be: `"better"` or `"worse"`; `None` where the claim is that
            the whole study matters.
        against: What they are compared with, again the best of them; the study's reference
            where there are none.
    """

    text: str
    study: str
    variants: Sequence[str] = ()
    expected: str | None = None
    against: Sequence[str] = ()


def read_claims() -> list[Claim]:
    """Return the claims about the named studies, which `claims.json` holds."""
    declared = read_object(Path(__file__).with_name("claims.json"), "claims", StudyError)
    return [Claim(text, **about) for text, about in declared.items()]
