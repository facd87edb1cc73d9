"""A training run on disk: one folder that says everything about it.

config.json     what was asked for (`TrainingConfig`)
run.json        what happened: data, split fingerprint, seed, versions, commit,
                hardware, seconds
id              tells the run from others of the same name
history.csv     one row an epoch
model.keras     the trained model, in float32
SHA256SUMS      checksums of these, once the run is finished
checkpoints/    only while unfinished: the states to continue from

What an unfinished run holds is in its states, each with its own checksum: the other
files are written anew from them. A file of a finished run is read only if it is the
one that SHA256SUMS lists; runs of before, without such a list, are read as they are.
"""

import contextlib
import csv
import importlib
import io
import logging
import re
import secrets
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnn_cifar10.configs import TrainingConfig, read_config
from cnn_cifar10.training.model_file import check_network, read_model_file
from cnn_cifar10.utils import (
    CHECKSUMS,
    MODEL_BYTES,
    InputError,
    check_file_size,
    clear_parts,
    digest,
    first_line,
    format_json,
    parse_object,
    printable,
    printable_document,
    read_bounded,
    read_checksums,
    references,
    remove_listed,
    replacing,
    require,
    require_package,
    warn_once,
    write_checksums,
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
    def _old_state(self) -> Path:
        return self.path / "checkpoint.npz"

    @property
    def holds_old_state(self) -> bool:
        """Whether there is a state of version 0.1, which is not read any more."""
        return self._old_state.exists()

    @property
    def is_finished(self) -> bool:
        return self.facts_path.exists()

    @property
    def is_begun(self) -> bool:
        """Whether there is a state to continue from."""
        return self.newest_state > 0

    @property
    def newest_state(self) -> int:
        """Number of the newest state; they count from 1. 0 where there is none."""
        names = (path.name for path in self.checkpoints_path.glob("*-*.npz"))
        numbers = (name.partition("-")[0] for name in names)
        return max((int(number) for number in numbers if number.isdecimal()), default=0)

    @property
    def files(self) -> tuple[Path, ...]:
        """The files of a finished run that its checksums are of."""
        return self.config_path, self.facts_path, self.history_path, self.model_path

    @property
    def id(self) -> str | None:
        """Twelve hexadecimal digits that tell it from runs of the same name; at first `None`."""
        if self.is_finished:
            with contextlib.suppress(RunError):  # who reads `facts` is told
                return self.facts().get("id")
        path = self.path / "id"
        known = (
            read_bounded(path, 1000, RunError).decode("utf-8", "replace") if path.exists() else ""
        )
        return known.strip() if re.fullmatch("[0-9a-f]{12}\n", known) else None

    def begin(self, config: TrainingConfig, overwrite: bool, known: str | None = None) -> str:
        """Make the folder of a run that begins or goes on, and return the run's id.

        A run that is trained anew gets another, so that nothing counts what is known of the model
        before as its own.

        Args:
            config: What is trained.
            overwrite: Whether the run that is there is deleted.
            known: The id of the run that goes on.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        clear_parts(self.path)
        if overwrite:
            self.clear()
        run_id = known or self.id or secrets.token_hex(6)
        write_json(self.config_path, config.to_dict())
        with replacing(self.path / "id") as part:
            part.write_text(f"{run_id}\n", encoding="utf-8", newline="\n")
        return run_id

    def finish(self, facts: dict[str, Any]) -> None:
        """Write `run.json`, which makes it a finished run, after the checksums of all files."""
        texts = {self.facts_path.name: format_json(facts)}
        others = [path for path in self.files if path != self.facts_path]
        write_checksums(self.path, others, texts)
        write_json(self.facts_path, facts)

    def clear(self) -> None:
        """Delete the run's files, and an export, which would go on serving the model before."""
        (self.path / "id").unlink(missing_ok=True)  # which run.json has too
        self.facts_path.unlink(missing_ok=True)  # next, since with it a run counts as finished
        for path in (self.checkpoints_path, self.path / "tensorboard"):
            if path.exists():
                shutil.rmtree(path)
        remove_listed(self.path)
        for path in (self.history_path, self.model_path, self._old_state):
            path.unlink(missing_ok=True)

    def config(self) -> TrainingConfig:
        """Return the run's configuration.

        Raises:
            InputError: If it cannot be read.
        """
        known = self.facts() if self.is_finished else self._last_state()
        if "config" not in known:
            return read_config(self.config_path)
        config = TrainingConfig.from_dict(known["config"])
        with contextlib.suppress(InputError):
            if read_config(self.config_path) == config:
                return config
        source = self.facts_path if self.is_finished else self.checkpoints_path
        warn_once(f"{self.config_path}: damaged or changed; {source} has what it was")
        return config

    def _last_state(self):
        from cnn_cifar10.training.checkpoint import Checkpoints  # which raises this file's error

        state = Checkpoints(self.checkpoints_path).load()
        return state.facts if state else {}

    def facts(self) -> dict[str, Any]:
        """Return what `run.json` holds; `facts["class_names"]` go with the model's outputs.

        Raises:
            RunError: If it is damaged.
        """
        with _named(self.facts_path):
            data = self._read(self.facts_path)
        facts = parse_object(data, self.facts_path, "facts of the run", RunError)
        for key, kind in _FACTS.items():
            fits, place = isinstance(facts.get(key, kind()), kind), f"{self.facts_path}: {key}"
            require(fits, RunError, f"{place} must be a {kind.__name__}", facts.get(key))
        return printable_document(facts, keep=("config", "network"))

    def history(self) -> dict[str, list[float]]:
        """Return the columns of `history.csv`: a number an epoch, NaN where none was logged.

        Raises:
            RunError: If it is damaged.
        """
        with _named(self.history_path):
            text = self._read(self.history_path).decode("utf-8")
            rows = list(csv.DictReader(io.StringIO(text, newline="")))
            return {key: [float(row[key]) for row in rows] for key in (rows[0] if rows else ())}

    def mend(self) -> None:
        """Write `config.json` of a finished run anew if it is damaged; its lock is held.

        Raises:
            RunError: If a file is damaged that nothing else holds.
        """
        config = self.facts().get("config")
        listed = read_checksums(self.path).get(self.config_path.name)
        if listed == digest(format_json(config).encode()):
            try:
                self._read(self.config_path)
            except (OSError, ValueError):
                write_json(self.config_path, config)
        for path in self.files:
            with _named(path):
                self._read(path)

    def _read(self, path):
        """Return the bytes of a file, if it is the one that is listed where there is a list."""
        data = read_bounded(path, MODEL_BYTES, RunError)
        sums = read_checksums(self.path) if self.is_finished else {}
        if sums and sums.get(path.name) != digest(data):
            raise ValueError(f"it is not the file that {CHECKSUMS} lists")
        return data

    def load_model(self) -> "keras.Model":
        """Return the trained `keras.Model`.

        Raises:
            RunError: If the file cannot be what was trained, or needs code that nobody here
                asked for.
        """
        path, facts = self.model_path, self.facts()
        check_file_size(path, MODEL_BYTES, RunError)
        with _named(path):
            self._read(path)
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
        if any(name.startswith("keras_hub>") for name in names):
            require_package("keras_hub", f"{self.model_path} needs", "'cnn-cifar10[kerashub]'")
            importlib.import_module("keras_hub")
        known = keras.saving.get_custom_objects()
        missing = sorted(name for name in names if name not in known)
        source = (network or {}).get("source", "")
        if missing and (not source or references.is_own(network)):
            raise RunError(f"{self.model_path}: needs {missing[0]}, which no code here defines")
        if not network or references.is_own(network):
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


@contextlib.contextmanager
def _named(path):
    """Name a file that is damaged, and what to do."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        raise RunError(
            f"{path}: damaged ({first_line(error)}); put back a copy, or train again with "
            "--overwrite"
        ) from error


def open_run(path: str | Path) -> Run:
    """Return the finished run in a folder.

    Raises:
        RunError: If there is none.
    """
    run = Run(Path(path))
    if not run.path.is_dir():
        raise RunError(f"{path}: no such folder; train a model first, with `cnn-cifar10 train`")
    if not run.is_finished:
        if not (run.id or run.is_begun):
            raise RunError(f"{path}: holds no training run; train a model with `cnn-cifar10 train`")
        folder, config = (shlex.quote(str(each)) for each in (run.path, run.config_path))
        raise RunError(
            f"{path}: holds an unfinished training run; finish it with `cnn-cifar10 train "
            f"--config {config} --output {folder}`"
        )
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
