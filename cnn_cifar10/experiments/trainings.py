"""What studies and searches share: data, training, progress bars."""

import contextlib
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import keras
from tqdm import tqdm

from cnn_cifar10.configs import DATA_FIELDS, TrainingConfig
from cnn_cifar10.datasets import Dataset
from cnn_cifar10.pipelines import get_policy
from cnn_cifar10.training import Run, build_model, load_data, train
from cnn_cifar10.utils import is_no_retracing


def data_of(config: TrainingConfig) -> list[Any]:
    """Return the fields of a config that say what its data are."""
    return [getattr(config, name) for name in DATA_FIELDS]


class Trainer:
    """Trains runs one after the other, and keeps the last one's data for the next."""

    def __init__(self):
        self._source = self._dataset = None

    def load(self, config: TrainingConfig) -> Dataset:
        """Return a config's data."""
        source = data_of(config)
        if source != self._source:
            self._source, self._dataset = source, load_data(config)
        return self._dataset

    def check(self, config: TrainingConfig) -> None:
        """Raise before any run what would stop the run of this config."""
        get_policy(config.augment)
        with keras.StatelessScope(initialize_variables=False):
            build_model(config, self.load(config), "float32")

    def train(self, config: TrainingConfig, run: Run) -> None:
        """Train a run, or what is left of it."""
        try:
            train(config, run.path, dataset=self.load(config), verbose=0)
        finally:
            keras.utils.clear_session()  # which keeps something of every model


@contextlib.contextmanager
def many_models() -> Iterator[None]:
    """Keep TensorFlow from warning that every run traces a function of the same name anew."""
    logger = logging.getLogger("tensorflow")
    logger.addFilter(is_no_retracing)
    try:
        yield
    finally:
        logger.removeFilter(is_no_retracing)


class Progress(tqdm):
    """A bar with the time left on a terminal; elsewhere a line for each run that ended.

    Args:
        total: How many runs there are.
        unit: What they are called.
        shown: Whether to show anything.
    """

    def __init__(self, total: int, unit: str, shown: bool):
        disable = None if shown else True  # None: where there is no terminal
        super().__init__(total=total, unit=unit, smoothing=0, disable=disable)
        self._lines = shown and self.disable

    def show(self, done: int, text: str = "", note: str = "") -> None:
        """Show how many runs have ended.

        Args:
            done: How many.
            text: The last one and how it did; empty for those that ended before.
            note: What stands beside the bar, or ends the line.
        """
        if not text:
            self.initial = done
        self.n = done
        self.set_postfix_str(note)
        if self._lines and text:
            line = ", ".join(filter(None, (text, note)))
            print(f"{done}/{self.total} {line}", file=sys.stderr, flush=True)


def format_settings(settings: dict[str, Any]) -> str:
    """Return settings as a page shows them."""
    return ", ".join(f"`{key}={json.dumps(value)}`" for key, value in settings.items())
