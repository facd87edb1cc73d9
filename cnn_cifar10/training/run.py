"""A training run on disk: one folder that says everything about it.

config.json     what was asked for (`TrainingConfig`)
run.json        what happened: data, split fingerprint, seed, versions, commit,
                hardware, seconds
id              tells the run from others of the same name
history.csv     one row an epoch
model.keras     the trained model, in float32
checkpoints/    only while unfinished: the states to continue from
"""

import csv
import json
import logging
import secrets
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnn_cifar10.configs import TrainingConfig, read_config
from cnn_cifar10.utils import InputError, references, remove_listed, replacing, write_json

if TYPE_CHECKING:
    import keras

logger = logging.getLogger(__name__)

_LAYERS = "cnn_cifar10.architectures.layers:FusedBatchNormalization"


class RunError(InputError):
    """A run folder that cannot be used."""


@dataclass(frozen=True)
class Run:
    """A training run's folder, finished or not."""

    path: Path

    @property
    def config_path(self) -> Path:
        return self.path / "config.json"

    @property
    def facts_path(self) -> Path:
        return self.path / "run.json"

    @property
    def history_path(self) -> Path:
        return self.path / "history.csv"

    @property
    def model_path(self) -> Path:
        return self.path / "model.keras"

    @property
    def checkpoints_path(self) -> Path:
        return self.path / "checkpoints"

    @property
    def is_finished(self) -> bool:
        return self.facts_path.exists()

    @property
    def is_begun(self) -> bool:
        """Whether there is a state to continue from."""
        return any(self.checkpoints_path.glob("[0-9]*-*.npz"))

    @property
    def id(self) -> str | None:
        """Twelve hexadecimal digits that tell it from runs of the same name; at first `None`."""
        path = self.path / "id"
        return path.read_text(encoding="utf-8").strip() if path.exists() else None

    def begin(self, config: TrainingConfig, overwrite: bool) -> str:
        """Make the folder of a run that begins or goes on, and return the run's id.

        It stays the same when the run is overwritten.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        if overwrite and self.config_path.exists():
            self.clear()
        write_json(self.config_path, config.to_dict())
        if not self.id:
            with replacing(self.path / "id") as part:
                part.write_text(secrets.token_hex(6) + "\n", encoding="utf-8")
        return self.id or ""

    def clear(self) -> None:
        """Delete the run's files, and an export, which would go on serving the model before."""
        remove_listed(self.path)
        for path in (self.facts_path, self.history_path, self.model_path):
            path.unlink(missing_ok=True)
        for path in (self.checkpoints_path, self.path / "tensorboard"):
            shutil.rmtree(path, ignore_errors=True)

    def config(self) -> TrainingConfig:
        """Return the run's configuration."""
        return read_config(self.config_path)

    def facts(self) -> dict[str, Any]:
        """Return what `run.json` holds; `facts["class_names"]` go with the model's outputs."""
        try:
            return json.loads(self.facts_path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise RunError(f"{self.facts_path}: damaged ({error}); train again") from error

    def history(self) -> dict[str, list[float]]:
        """Return the columns of `history.csv`."""
        with open(self.history_path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return {key: [float(row[key]) for row in rows] for key in (rows[0] if rows else ())}

    def load_model(self) -> "keras.Model":
        """Return the trained `keras.Model`."""
        import keras

        self._load_network()
        try:
            return keras.saving.load_model(self.model_path)
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            reason = str(error).partition("\n")[0]
            raise RunError(f"{self.model_path}: cannot be loaded ({reason})") from error

    def _load_network(self):
        """Register the layers that the model may hold, and say if its network's file changed."""
        network = self.facts().get("network", {"source": _LAYERS})
        references.load(_LAYERS)
        source = network["source"]
        if is_own(network):
            return
        try:
            if references.source_of(source) != network:
                logger.warning(
                    "%s: %s changed since this run was trained; its model is as it was then",
                    self.path,
                    source,
                )
            references.load(source)
        except (InputError, OSError, TypeError) as error:
            logger.warning("%s: the code of its network is not at hand (%s)", self.path, error)


def is_own(network: dict[str, str]) -> bool:
    """Return whether a network, as `run.json` has its source, is one of this package."""
    return network["source"].startswith("cnn_cifar10.")


def open_run(path: str | Path) -> Run:
    """Return the finished run in a folder.

    Raises:
        RunError: If there is none.
    """
    run = Run(Path(path))
    if not run.path.is_dir():
        raise RunError(f"{path}: no such folder; train a model first, with `cnn-cifar10 train`")
    if not run.is_finished:
        state = "unfinished" if run.is_begun else "no"
        raise RunError(f"{path}: holds {state} training run; train with --output {path}")
    return run
