"""Searches: a space of configs, how trials are chosen from it and how long they are, as data.

Importing this loads neither Keras nor NumPy: the command line's help names the
space that is searched.
"""

import dataclasses
import json
import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnn_cifar10.configs.recipes import make_config
from cnn_cifar10.configs.training import ConfigError, TrainingConfig, type_name
from cnn_cifar10.utils import (
    InputError,
    read_assignment,
    read_list,
    read_object,
    read_value,
    require,
)

ALGORITHMS = ("random", "grid", "bayesian", "hyperband")
"""Ways to choose the trials of a search: those of KerasTuner."""

SEARCH_ADDRESS = ("KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT")
"""Environment variables by which KerasTuner's chief and workers find each other."""

RATE_FACTOR = "learning_rate_factor"
"""Of a space: what an optimizer's usual learning rate is multiplied by."""

SPACE = {
    "depth": [1, 2, 3],
    "width": [24, 32, 48, 64],
    "activation": ["relu", "leaky_relu", "gelu", "silu"],
    "dropout": [0.0, 0.1, 0.2],
    "l2": [0.0, 1e-5, 1e-4],
    "optimizer": ["sgd", "adamw", "muon"],
    RATE_FACTOR: {"low": 0.2, "high": 5.0, "sampling": "log"},
    "batch_size": [64, 128, 256],
    "schedule": ["one_cycle", "cosine", "step"],
    "augment": ["flip", "crop+flip", "crop+flip+cutout"],
}
"""What a search varies unless it says otherwise: of `custom_cnn`, and of how it is trained.

Names are fields of `TrainingConfig` or options of the network. Beside these,
`learning_rate_factor` is what the learning rate is multiplied with, which is that of
optimizer, batch size and network unless `base` gives one: good learning rates of different
optimizers are two orders of magnitude apart, good factors are not.
"""

SHORT_TRIAL = {"epochs": 6, "train_images": 20_000, "early_stopping": 3}
"""What a trial is unless the search says otherwise: about a minute on two cores."""

_FIELDS = {field.name: field for field in dataclasses.fields(TrainingConfig)}
_EXAMPLES = {"int": 0, "float": 0.0, "str": "", "bool": False}  # a value of each field's type


class SearchError(InputError):
    """A search that cannot be run; the message says what in it, and why."""


@dataclass(frozen=True)
class Search:
    """A search for the config with the highest validation accuracy.

    Args:
        space: Names to what they may be: a list of values, or a range
            `{"low": 0.01, "high": 1, "sampling": "log"}`, of whole numbers where both
            ends are; `sampling` is `"linear"` where it is left out. A name is a field
            of `TrainingConfig`, an option of the network, or `learning_rate_factor`.
        algorithm: One of `ALGORITHMS`. A grid takes lists only.
        trials: How many trials at most, failed ones included.
        base: Fields of `TrainingConfig` that all trials share.
        trial: Fields that make trials shorter than the training which the best
            config is for: `epochs`, `train_images`, `early_stopping`; the others are
            as in `SHORT_TRIAL`. Hyperband's longest trials have these epochs.
        seed: Decides which configs are tried, 0 or more; that of training is in `base`.

    Raises:
        SearchError: If a part is malformed, or a value gives a config that cannot work.

    Example:
        >>> search = Search({"width": [16, 32]}, trials=2, base={"dataset": "digits"})
        >>> search.config({"width": 16}).model_options
        {'width': 16}
    """

    space: dict
    algorithm: str = "random"
    trials: int = 30
    base: dict = dataclasses.field(default_factory=dict)
    trial: dict = dataclasses.field(default_factory=dict)
    seed: int = 0

    def __post_init__(self):
        object.__setattr__(self, "trial", {**SHORT_TRIAL, **self.trial})
        for holds, expected, received in self._checks():
            require(holds, SearchError, expected, received)
        if self.algorithm == "grid":
            points = math.prod(map(len, self.space.values()))
            if points > self.trials:
                raise SearchError(
                    f"the grid has {points:,} points, more than {self.trials} trials: narrow the "
                    "space, allow more trials or choose random"
                )
            object.__setattr__(self, "trials", points)
        for values in self.corners():
            try:
                self.config(values)
            except ConfigError as error:
                raise SearchError(f"a config of the space cannot work: {error}") from error

    def _checks(self) -> Iterator[tuple]:
        """Yield what must hold, what is expected, and what was received."""
        algorithms, short = ", ".join(ALGORITHMS), ", ".join(SHORT_TRIAL)
        yield self.algorithm in ALGORITHMS, f"algorithm must be one of {algorithms}", self.algorithm
        yield self.trials >= 1, "trials must be 1 or more", self.trials
        yield self.seed >= 0, "seed must be 0 or more", self.seed
        yield set(self.trial) == set(SHORT_TRIAL), f"trial has {short}", self.trial
        judged = not self.base.get("use_validation")
        yield judged, "base must leave validation images to judge by", self.base
        named = isinstance(self.space, dict) and len(self.space) > 0
        yield named, "space must name something", self.space
        both = {"learning_rate", RATE_FACTOR} <= set(self.space)
        yield not both, f"space must have learning_rate or {RATE_FACTOR}, not both", self.space
        for name, values in self.space.items():
            yield from _checks_of_values(name, values)
            yield name not in (*self.trial, "seed", "use_validation"), "space cannot have", name
            usable = self.algorithm != "grid" or isinstance(values, list)
            some = "" if usable else f"{values['low']},{values['high']}"
            cure = f"--set {name}={'0.5,1,2' if name == RATE_FACTOR else some}"
            yield usable, f"a grid needs a list of values for {name!r}, such as {cure}", values

    def corners(self) -> list[dict[str, Any]]:
        """Return values of configs in which everything named occurs, the ends of ranges too."""
        every = {
            name: values if isinstance(values, list) else [values["low"], values["high"]]
            for name, values in self.space.items()
        }
        first = {name: values[0] for name, values in every.items()}
        others = [first | {name: value} for name in every for value in every[name][1:]]
        return [first, *others]

    def config(self, values: dict[str, Any], **length: int) -> TrainingConfig:
        """Return what a trial trains.

        Args:
            values: Names of the space to values.
            **length: Fields of `trial` in place of the search's.
        """
        return self._config(values, {**self.trial, **length})

    def full_config(self, values: dict[str, Any]) -> TrainingConfig:
        """Return the same at full length, on all images: what is worth training afterwards."""
        return self._config(values, {})

    def _config(self, values, length):
        fields = {name: value for name, value in values.items() if name in _FIELDS}
        options = {k: v for k, v in values.items() if k not in (*_FIELDS, RATE_FACTOR)}
        options = {**self.base.get("model_options", {}), **options}
        config = make_config(**{**self.base, **fields, **length, "model_options": options})
        rate = config.learning_rate * values.get(RATE_FACTOR, 1)
        return dataclasses.replace(config, learning_rate=float(f"{rate:.4g}"))

    def decode(self, chosen: dict[str, Any]) -> tuple[dict[str, Any], dict[str, int]]:
        """Return the values of the space that an oracle chose, and how long the trial is.

        Args:
            chosen: Names to places in their lists, or to numbers in their ranges.

        Returns:
            Two dicts: values of the space for `config`, numbers to 4 digits, and its
            `length`, which has Hyperband's epochs.
        """
        values = {}
        for name, spec in self.space.items():
            value = spec[chosen[name]] if isinstance(spec, list) else chosen[name]
            rounded = isinstance(spec, dict) and isinstance(value, float)
            values[name] = float(f"{value:.4g}") if rounded else value
        return values, {"epochs": chosen["tuner/epochs"]} if "tuner/epochs" in chosen else {}


def _checks_of_values(name, values):
    if isinstance(values, list):
        once = values and len({json.dumps(value) for value in values}) == len(values)
        yield once, f"{name}: values must be given, each once", values
        return
    expected = f'{name}: expected a list, or {{"low": ..., "high": ..., "sampling": "log"}}'
    yield isinstance(values, dict), expected, values
    yield {"low", "high"} <= set(values) <= {"low", "high", "sampling"}, expected, values
    low, high, sampling = values["low"], values["high"], values.get("sampling", "linear")
    yield all(type(end) in (int, float) for end in (low, high)), expected, values
    yield low < high, f"{name}: low must be below high", values
    yield sampling in ("linear", "log"), f"{name}: sampling must be linear or log", sampling
    yield low > 0 or sampling == "linear", f"{name}: low must be above 0 for log", values


def read_space(path: str | Path) -> dict[str, Any]:
    """Read a space, as `Search` takes it, from a JSON file.

    Raises:
        SearchError: If the file cannot be read or holds no object.
    """
    return read_object(path, "space", SearchError)


def parse_values(text: str, options: dict[str, Any] | None = None) -> tuple[str, list | dict]:
    """Return the name and the values that a word of the command line gives it.

    Args:
        text: `dropout=0,0.1,0.2` (a list; one value fixes it), `learning_rate=0.05:0.4:log`
            or `width=16:64` (ranges), or `NAME=` and a JSON object.
        options: Options of the network, with their defaults, whose types the values take.

    Raises:
        InputError: If there is no `=` or nothing after it, or a value is not of the type of the
            option or of the field of `TrainingConfig`.

    Example:
        >>> parse_values("learning_rate=0.05:0.4:log")
        ('learning_rate', {'low': 0.05, 'high': 0.4, 'sampling': 'log'})
    """
    name, values = read_assignment(text)
    if name in _FIELDS:
        kind = type_name(_FIELDS[name])
        like, optional = _EXAMPLES.get(kind), _FIELDS[name].default is None
    else:
        like = 1.0 if name == RATE_FACTOR else (options or {}).get(name)
        optional = isinstance(like, str)
    try:
        if values.startswith("{"):
            return name, read_value(values)
        range_ = re.fullmatch(r"([^:,]+):([^:,]+?)(?::(linear|log))?", values)
        if isinstance(like, str) or not range_:
            return name, read_list(values, like, optional)
        low, high = (read_value(end, like) for end in range_.groups()[:2])
    except InputError as error:
        raise InputError(f"{text}: {error}") from error
    if isinstance(like, float):
        low, high = float(low), float(high)
    return name, {"low": low, "high": high, "sampling": range_[3] or "linear"}


def changed_space(space: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return a space with other values for some names.

    A learning rate takes the place of its factor, and the other way round.
    """
    rates = {"learning_rate", RATE_FACTOR}
    if rates & set(changes):
        space = {name: values for name, values in space.items() if name not in rates}
    return {**space, **changes}


def is_search_worker() -> bool:
    """Return whether the environment makes this process a worker of a chief elsewhere.

    Raises:
        InputError: If a part of the address is missing.
    """
    missing = [name for name in SEARCH_ADDRESS if not os.environ.get(name)]
    if 0 < len(missing) < len(SEARCH_ADDRESS):
        needed = ", ".join(SEARCH_ADDRESS)
        raise InputError(f"{missing[0]} is not set; chief and workers need {needed}")
    return not missing and "chief" not in os.environ[SEARCH_ADDRESS[0]]
