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
import logging
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnn_cifar10.configs import TrainingConfig, read_config
from cnn_cifar10.training.model_file import check_network, read_model_file
from cnn_cifar10.utils import (
    JSON_BYTES,
    MODEL_BYTES,
    InputError,
    check_size,
    first_line,
    printable,
    printable_document,
    read_bounded,
    read_object,
    references,
    remove_listed,
    replacing,
    require,
    write_json,
)

if TYPE_CHECKING:
    import keras

logger = logging.getLogger(__name__)

_LAYERS = "cnn_cifar10.architectures.layers:FusedBatchNormalization"

_FACTS: dict[str, type] = {
    **dict.fromkeys(("run", "model", "dataset", "fingerprint"), str),
    **dict.fromkeys(("class_names", "input_shape"), list),
    **dict.fromkeys(("config", "hardware", "network"), dict),
}
"""What a run's `run.json` says, in part; `network` came later than the others."""


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
        if not path.exists():
            return None
        return printable(read_bounded(path, 1000, RunError).decode("utf-8", "replace").strip())

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
        """Return what `run.json` holds; `facts["class_names"]` go with the model's outputs.

        Raises:
            RunError: If it is damaged.
        """
        facts = read_object(self.facts_path, "facts of the run", RunError)
        for key, kind in _FACTS.items():
            fits = isinstance(facts.get(key, kind()), kind)
            require(
                fits,
                RunError,
                f"{self.facts_path}: {key} must be a {kind.__name__}",
                facts.get(key),
            )
        return printable_document(facts, keep=("config", "network"))

    def history(self) -> dict[str, list[float]]:
        """Return the columns of `history.csv`."""
        try:
            data = read_bounded(self.history_path, JSON_BYTES, RunError).decode("utf-8")
            rows = list(csv.DictReader(data.splitlines()))
            return {key: [float(row[key]) for row in rows] for key in (rows[0] if rows else ())}
        except (ValueError, TypeError, csv.Error) as error:  # a text, or too few or many cells
            raise RunError(f"{self.history_path}: no history of a run: {error}") from error

    def load_model(self) -> "keras.Model":
        """Return the trained `keras.Model`.

        Raises:
            RunError: If the file cannot be what was trained, or needs code that nobody here
                asked for.
        """
        path, facts = self.model_path, self.facts()
        check_size(path, MODEL_BYTES, RunError)
        try:
            found = read_model_file(path)

            import keras

            self._load_code(found.others, facts.get("network"))
            check_network(found, facts.get("input_shape"), len(facts.get("class_names", ())))
            return keras.saving.load_model(path, safe_mode=True)
        except RunError:
            raise
        except Exception as error:  # h5py and Keras raise nearly any type on broken files
            raise RunError(f"{path}: cannot be loaded: {first_line(error)}") from error

    def _load_code(self, names, network):
        """Register the classes that the model holds, and say if its network's file changed.

        Code of one's own is run only where the model needs it, and somebody named it here before.
        """
        import keras

        references.load(_LAYERS)
        known = keras.saving.get_custom_objects()
        missing = sorted(name for name in names if name not in known)
        source = (network or {}).get("source", "")
        if missing and (not source or is_own(network)):
            raise RunError(f"{self.model_path}: needs {missing[0]}, which no code here defines")
        if not network or is_own(network):
            return
        digest = references.digest_of(source)
        if digest is None:
            logger.warning("%s: the code of its network is not at hand: %s", *self._shown(source))
        elif digest != network.get("sha256"):
            changed = "%s: %s changed since this run was trained; its model is as it was then"
            logger.warning(changed, *self._shown(source))
        if missing and not references.is_trusted(digest):
            raise RunError(
                f"{self.model_path}: needs {missing[0]}, and the code of its network was not run "
                f"here before; read {source}, then allow it: cnn-cifar10 models {source} --trust"
            )
        if missing:
            references.load(source)

    def _shown(self, source):
        return printable(self.path), printable(source)


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
    _check_facts(run.facts(), f"{run.facts_path}:")
    return run


def _check_facts(facts, place):
    """Raise a `RunError` unless these are what `run.json` of a finished run says."""
    if missing := [key for key in _FACTS if key not in facts and key != "network"]:
        raise RunError(f"{place} damaged: does not say {', '.join(missing)}")
    names, shape, hardware = (facts[key] for key in ("class_names", "input_shape", "hardware"))
    right = len(names) > 1 and all(isinstance(name, str) for name in names)
    require(right, RunError, f"{place} class_names must be 2 or more names", names[:5])
    right = len(shape) == 3 and all(type(size) is int and size > 0 for size in shape)
    require(right, RunError, f"{place} input_shape must be height, width, channels", shape[:5])
    right = isinstance(hardware.get("cpu"), str) and type(hardware.get("cores")) is int
    require(right, RunError, f"{place} hardware must have a cpu and cores", hardware)
