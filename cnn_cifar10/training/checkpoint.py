"""Checkpoints: history, best weights, and the state that a run continues from."""

import json
import math
import time
import zipfile
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from cnn_cifar10.configs import SELECTIONS, TrainingConfig
from cnn_cifar10.training.run import Run, RunError, is_own
from cnn_cifar10.utils import InputError, replacing, write_csv

# What Keras's callbacks count with, and set back when training begins.
_COUNTERS = ("wait", "best", "best_epoch", "stopped_epoch", "cooldown_counter")


class TrainingError(InputError):
    """Training that cannot go on."""


def read_state(run: Run) -> dict[str, Any]:
    """Return the state of a run's checkpoint, without its arrays; `{}` if there is none.

    Raises:
        RunError: If the checkpoint is damaged.
    """
    return _read(run)[0] if run.checkpoint_path.exists() else {}


def _read(run, *kinds):
    """Return the state, and the arrays of these kinds."""
    path = run.checkpoint_path
    try:
        with np.load(path) as file:
            state = json.loads(str(file["state"]))
            return state, {
                kind: [file[f"{kind}/{i}"] for i in range(state[kind])] for kind in kinds
            }
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise RunError(f"{path}: damaged ({error}); start again with --overwrite") from error


class Recorder(keras.callbacks.Callback):
    """Record a run: its history, the best weights so far, and a state to continue from.

    Adds `learning_rate`, `images_per_second` and `seconds` since training began
    to the epoch's logs. It comes after all other callbacks, whose counters belong
    to the state. That holds all that training changes: weights, seeds of dropout, optimizer,
    the numbers other callbacks count with. It is written in one piece at the end
    of every epoch, so a run killed at any moment continues as if it had not been.

    Args:
        run: The `Run` to write to.
        config: What is trained; the checkpoint holds its batch size, in case that was halved.
        images_per_epoch: Images a training epoch reads.
        fingerprint: The data set's, which a run that continues must share.
        network: Where the network came from, as `references.source_of` says; a run that
            continues must share it if the network is not this package's own.
        seconds_before: What was spent on training before it begins.
        before: Logs of validating the weights before the first epoch, if there are any; these
            weights are kept where no epoch is better.
        others: Callbacks whose counters belong to the state.

    Attributes:
        history: One dict of numbers an epoch.
        best_weights: `model.get_weights()` of the epoch that is best in `config.select` so
            far, of equals that with the lower `val_loss`; the last where nothing is validated.
        best_epoch: That epoch, counted from 1; 0 for the weights before.
        stopped: Whether a callback ended the run before its last epoch.
    """

    def __init__(
        self,
        run: Run,
        config: TrainingConfig,
        *,
        images_per_epoch: int,
        fingerprint: str,
        network: dict[str, str],
        seconds_before: float = 0.0,
        before: dict[str, float] | None = None,
        others: Sequence[keras.callbacks.Callback] = (),
    ):
        super().__init__()
        self._run, self._config = run, config
        self._images_per_epoch = images_per_epoch
        self._fingerprint = fingerprint
        self.network = network
        self._others = others
        self._seconds_before, self._before = seconds_before, before
        self._counters: list[dict[str, float]] = []
        self.history: list[dict[str, float]] = []
        self.best_epoch = 0
        self.best_weights: list[np.ndarray] | None = None
        self.stopped = False

    def restore(self) -> int:
        """Load the run's checkpoint into the model set by `set_model`, if there is one.

        Returns:
            The number of epochs that were finished.

        Raises:
            RunError: If the checkpoint is damaged, or of another model or data.
        """
        path = self._run.checkpoint_path
        if not path.exists():
            if self._before:
                self.best_weights = self.model.get_weights()
            return 0
        state, arrays = _read(self._run, "variables", "best_weights")
        if state["fingerprint"] != self._fingerprint:
            raise RunError(
                f"{path}: the data changed since this run began (its fingerprint is another); "
                "restore the data or start again with --overwrite"
            )
        before = state.get("network", self.network)
        if before != self.network and not is_own(self.network):
            raise RunError(
                f"{path}: {self.network['source']} changed since this run began; restore the file "
                "or start again with --overwrite"
            )
        variables = self._variables()
        if [v.shape for v in variables] != [a.shape for a in arrays["variables"]]:
            raise RunError(f"{path}: is of another model; start again with --overwrite")
        for variable, array in zip(variables, arrays["variables"], strict=True):
            variable.assign(array)
        if state.get("batch_size", self._config.batch_size) != self._config.batch_size:
            # Schedules count steps, of which an epoch has more now.
            steps = len(state["history"]) * self._images_per_epoch // self._config.batch_size
            optimizer = self.model.optimizer
            getattr(optimizer, "inner_optimizer", optimizer).iterations.assign(steps)
        self.best_weights = arrays["best_weights"]
        self.history, self.best_epoch = state["history"], state["best_epoch"]
        self._before = state.get("before")
        self.stopped = state["stopped"]
        self._counters, self._seconds_before = state["counters"], self.history[-1]["seconds"]
        return len(self.history)

    def on_train_begin(self, logs=None):
        # Callbacks reset their counters when training begins; ours comes last there.
        for callback, numbers in zip(self._others, self._counters, strict=False):
            for name in _COUNTERS:
                if name in numbers:
                    setattr(callback, name, numbers[name])
        self._train_began = time.perf_counter()

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch_began = time.perf_counter()
        self._training_seconds = None

    def on_test_begin(self, logs=None):
        # Waits for the last step: JAX, and PyTorch on a GPU, compute after they return.
        keras.ops.convert_to_numpy(self.model.optimizer.iterations)
        self._training_seconds = time.perf_counter() - self._epoch_began

    def on_epoch_end(self, epoch, logs=None):
        if not math.isfinite(logs["loss"]):
            raise TrainingError(
                f"the loss became {logs['loss']} in epoch {epoch + 1}: lower the learning rate "
                f"({float(self.model.optimizer.learning_rate):.3g} now) or train in float32"
            )
        now = time.perf_counter()
        training_seconds = self._training_seconds or now - self._epoch_began
        # A callback that reduced the learning rate just now has recorded the epoch's own.
        logs.setdefault("learning_rate", float(self.model.optimizer.learning_rate))
        logs["images_per_second"] = self._images_per_epoch / training_seconds
        logs["seconds"] = self._seconds_before + now - self._train_began
        if self.best_weights is None or self._is_best(logs):
            self.best_epoch = epoch + 1
            self.best_weights = self.model.get_weights()
        self.history.append({"epoch": epoch + 1} | {key: float(x) for key, x in logs.items()})
        write_csv(self._run.history_path, self.history[0], [row.values() for row in self.history])
        self._write_checkpoint()

    def _is_best(self, logs):
        select = self._config.select
        best = self.history[self.best_epoch - 1] if self.best_epoch else self._before
        if select not in logs:
            return True
        sign = 1 if SELECTIONS[select] == "max" else -1
        now, before = ((sign * each[select], -each.get("val_loss", 0)) for each in (logs, best))
        return now > before

    def _variables(self):
        return [*self.model.variables, *self.model.optimizer.variables]

    def _write_checkpoint(self):
        variables = [keras.ops.convert_to_numpy(variable) for variable in self._variables()]
        counters = [
            {name: getattr(callback, name) for name in _COUNTERS if hasattr(callback, name)}
            for callback in self._others
        ]
        state = {
            "variables": len(variables),
            "best_weights": len(self.best_weights),
            "history": self.history,
            "best_epoch": self.best_epoch,
            "before": self._before,
            "counters": counters,
            "stopped": self.model.stop_training,
            "fingerprint": self._fingerprint,
            "network": self.network,
            "batch_size": self._config.batch_size,
        }
        with replacing(self._run.checkpoint_path) as part:
            np.savez(
                part,
                state=json.dumps(state),
                **{f"variables/{i}": array for i, array in enumerate(variables)},
                **{f"best_weights/{i}": array for i, array in enumerate(self.best_weights)},
            )
