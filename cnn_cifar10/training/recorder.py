"""Recorder of a run: history, best weights, and the states that it continues from."""

import dataclasses
import json
import math
import time
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np

from cnn_cifar10.configs import SELECTIONS, TrainingConfig
from cnn_cifar10.pipelines import find_sharing
from cnn_cifar10.training.averages import AveragedWeights, copies_of
from cnn_cifar10.training.checkpoint import Checkpoints, State
from cnn_cifar10.training.run import Run, RunError
from cnn_cifar10.utils import InputError, Postponed, references, write_csv

# What Keras's callbacks count with, and set back when training begins.
_COUNTERS = ("wait", "best", "best_epoch", "stopped_epoch", "cooldown_counter")
# What a state must say.
_FACTS = {
    *("shapes", "steps_done", "history", "best_epoch", "before", "counters", "stopped"),
    *("fingerprint", "network", "batch_size", "learning_rate", "fall", "seconds"),
}
# With accuracies `best` before and `now`, an epoch has fallen where all of these hold:
# (now - guess) / (best - guess) < _FALLEN, best - now >= _LOWER (or what chance can do, if that is
# more), (best - guess) / (1 - guess) > _LEARNED.
_FALLEN, _LOWER, _LEARNED = 0.5, 0.1, 0.3
_GOOD = 0.9  # the share that an epoch keeps which training may go back to


class TrainingError(InputError):
    """Training that cannot go on."""


class Fallen(Exception):
    """Training whose numbers are no longer finite, or that lost what it had learned.

    Args:
        reason: What happened.
        fall: The same as it is recorded, for `Recorder`.
    """

    def __init__(self, reason: str, fall: dict[str, Any]):
        super().__init__(reason)
        self.fall = fall


class Recorder(keras.callbacks.Callback):
    """Record a run: its history, the best weights so far, and states to continue from.

    Adds `learning_rate`, `images_per_second` and `seconds` since training began
    to the epoch's logs. It comes after all other callbacks, whose counters belong
    to the state. That holds all that training changes: weights, seeds of dropout, optimizer,
    metrics, the numbers other callbacks count with. States are made between two steps, of training
    or of validation, when one is due or a signal asks training to stop, so a run killed at any
    moment continues as if it had not been.

    Args:
        run: The `Run` to write to.
        config: What is trained, with the batch size and the learning rate in use, which a state
            holds in case they are not those that were asked for.
        checkpoints: Where states go.
        images_per_epoch: Images a training epoch reads.
        guess: Accuracy of the most frequent class as the answer for all images.
        fingerprints: The data set's, of which a run that continues must have one.
        network: Where the network came from, as `references.source_of` says; a run that
            continues must share it if the network is not this package's own.
        seconds_before: What was spent on training before it begins.
        before: Logs of validating the weights before the first epoch, if there are any; these
            weights are kept where no epoch is better.
        fall: What is known of a fall that this training recovers from.
        others: Callbacks whose counters belong to the state.
        run_facts: What else a state says about its run.
        signals: Ctrl-C and SIGTERM, which wait for a state of the steps that are done.

    Attributes:
        history: One dict of numbers an epoch.
        best_weights: `model.get_weights()`, as validation saw them, of the epoch that is best in
            `config.select` so far, of equals that with the lower `val_loss`; the last where nothing
            is validated.
        best_epoch: That epoch, counted from 1; 0 for the weights before.
        stopped: Whether a callback ended the run before its last epoch.
        steps_done: Steps done of the epoch that was begun.
        fall: The epoch and the reason of the fall that training recovered from, if it did.
    """

    def __init__(
        self,
        run: Run,
        config: TrainingConfig,
        checkpoints: Checkpoints,
        *,
        images_per_epoch: int,
        guess: float,
        fingerprints: Sequence[str],
        network: dict[str, str],
        seconds_before: float = 0.0,
        before: dict[str, float] | None = None,
        fall: dict[str, Any] | None = None,
        others: Sequence[keras.callbacks.Callback] = (),
        run_facts: dict[str, Any] | None = None,
        signals: Postponed | None = None,
    ):
        super().__init__()
        self._run, self._config, self._checkpoints = run, config, checkpoints
        self._images_per_epoch, self._guess = images_per_epoch, guess
        self._fingerprints = fingerprints
        self.network = network
        self._others, self._run_facts = others, run_facts or {}
        self._signals = signals or Postponed()
        self._averages = next((x for x in others if isinstance(x, AveragedWeights)), None)
        self._seconds_before, self._before = seconds_before, before
        self.fall = fall
        self._counters: list[dict[str, float]] = []
        self._metrics: list[np.ndarray] = []
        self._good: State | None = None  # the last one of an epoch that had lost nothing
        self.history: list[dict[str, float]] = []
        self.best_epoch = 0
        self.best_weights: list[np.ndarray] | None = None
        self.stopped = False
        self.steps_done = self._first_step = 0

    def restore(self) -> int:
        """Load the newest state into the model set by `set_model`, if there is one.

        Returns:
            The number of epochs that were finished; `steps_done` are those of the next one.

        Raises:
            RunError: If all states are damaged, or of another model or data.
        """
        state, path = self._checkpoints.load(), self._run.path
        if state is None:
            if self._before:
                self.best_weights = self.model.get_weights()
            if self.fall:
                self._seconds_before += self.fall["seconds"]
            return 0
        facts = state.facts
        if missing := sorted(_FACTS - facts.keys()):
            raise RunError(
                f"{path}: its states do not say {', '.join(missing)}; start again with --overwrite"
            )
        if facts["fingerprint"] not in self._fingerprints:
            raise RunError(
                f"{path}: the data changed since this run began (its fingerprint is another); "
                "restore the data or start again with --overwrite"
            )
        known = facts.get("config", self._run_facts.get("config"))
        if known != json.loads(json.dumps(self._run_facts.get("config"))):
            raise RunError(f"{path}: holds states of another config; start again with --overwrite")
        if facts["network"] != self.network and not references.is_own(self.network):
            raise RunError(
                f"{path}: {self.network['source']} changed since this run began; restore the file "
                "or start again with --overwrite"
            )
        variables = self._variables()
        if [list(v.shape) for v in variables] != facts["shapes"]:
            raise RunError(f"{path}: is of another model; start again with --overwrite")
        for variable, array in zip(variables, state.variables, strict=False):
            variable.assign(array)
        self._metrics = list(state.variables[len(variables) :])
        self.history, self.best_epoch = facts["history"], facts["best_epoch"]
        self._before, self.stopped = facts["before"], facts["stopped"]
        self.best_weights = state.best
        if state.best is None and not facts["steps_done"]:
            self.best_weights = self.model.get_weights()
        self._counters, self._seconds_before = facts["counters"], facts["seconds"]
        self.fall = facts["fall"] or self.fall
        self._good = state if facts.get("good") else self._checkpoints.load_good() or state
        self._continue_with(facts)
        self._write_history()
        return len(self.history)

    def check_space(self) -> None:
        """Raise where the disk is too small for the states of the model and for the model.

        Raises:
            RunError: If it is.
        """
        sizes = (
            sum(4 * math.prod(variable.shape) for variable in variables)
            for variables in (self._variables(), self.model.variables)
        )
        self._checkpoints.check_space(*sizes)

    def _continue_with(self, facts):
        """Go on with the batch size and the learning rate in use, if they are others now."""
        config, optimizer = self._config, self.model.optimizer
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)
        # A batch is halved, so that no image is left out.
        self.steps_done = facts["steps_done"] * facts["batch_size"] // config.batch_size
        if facts["batch_size"] != config.batch_size:
            # Schedules count steps, of which an epoch has more now.
            images = len(self.history) * self._images_per_epoch
            optimizer.iterations.assign(images // config.batch_size + self.steps_done)
        if facts["learning_rate"] != config.learning_rate and not _is_scheduled(optimizer):
            rate = float(optimizer.learning_rate)
            optimizer.learning_rate = rate * config.learning_rate / facts["learning_rate"]

    def on_train_begin(self, logs=None):
        # Callbacks reset their counters when training begins; ours comes last there.
        for callback, numbers in zip(self._others, self._counters, strict=False):
            for name in _COUNTERS:
                if name in numbers:
                    setattr(callback, name, numbers[name])
        self._train_began = time.perf_counter()

    def on_train_end(self, logs=None):
        # The rest of an epoch that was begun, and the epochs after it, are two trainings to Keras.
        self._counters = self._count()
        self._seconds_before = self._spent()

    def on_epoch_begin(self, epoch, logs=None):
        for variable, array in zip(self.model.metrics_variables, self._metrics, strict=False):
            variable.assign(array)  # of the steps that were done before
        self._metrics = []
        self._first_step = self.steps_done
        self._epoch_began = time.perf_counter()
        self._training_seconds = None

    def on_train_batch_begin(self, batch, logs=None):
        # Costs a step nothing, since no numbers are asked for: `on_train_batch_end` waits for them.
        if batch:
            self.steps_done += 1
            self._signals.hold()
            self._save_if_due(ends_epoch=False)

    def on_test_begin(self, logs=None):
        # Waits for the last step: JAX, and PyTorch on a GPU, compute after they return.
        keras.ops.convert_to_numpy(self.model.optimizer.iterations)
        self._training_seconds = time.perf_counter() - self._epoch_began
        self.steps_done = max(1, self._images_per_epoch // self._config.batch_size)
        self._metrics = copies_of(self.model.metrics_variables)  # which validation sets back
        self._signals.hold()

    def on_test_batch_begin(self, batch, logs=None):
        if not self._averages:  # which are in the model now
            self._save_if_due(ends_epoch=False)

    def _save_if_due(self, ends_epoch):
        """Make a state if it is time for one or a signal waits for it, which then acts."""
        asked = self._signals.received is not None
        is_last = self.model.stop_training or len(self.history) == self._config.epochs
        if asked or (ends_epoch and is_last) or self._checkpoints.is_due(ends_epoch):
            if hasattr(self.model, "jax_state_sync"):
                self.model.jax_state_sync()
            self._save()
        if asked:
            self._checkpoints.wait()
            self._signals.act()

    def on_epoch_end(self, epoch, logs=None):
        now = time.perf_counter()
        training_seconds = self._training_seconds or now - self._epoch_began
        # A callback that reduced the learning rate just now has recorded the epoch's own.
        logs.setdefault("learning_rate", float(self.model.optimizer.learning_rate))
        images = self._images_per_epoch - self._first_step * self._config.batch_size
        known = self.history[-1]["images_per_second"] if self.history else 0.0
        logs["images_per_second"] = images / training_seconds if images > 0 else known
        logs["seconds"] = self._spent()
        self._check(epoch, logs)
        self.steps_done, self._metrics = 0, []
        if self.best_weights is None or self._is_best(logs):
            self.best_epoch = epoch + 1
            self.best_weights = self._averages.kept if self._averages else self.model.get_weights()
            if not are_finite(self.best_weights):
                self._fall(f"the weights are no longer finite after epoch {epoch + 1}")
        self.history.append({"epoch": epoch + 1} | {key: float(x) for key, x in logs.items()})
        self._write_history()
        self._signals.hold()
        self._save_if_due(ends_epoch=True)

    def _write_history(self):
        if self.history:
            # Other callbacks may log in some epochs alone.
            columns = list(dict.fromkeys(key for row in self.history for key in row))
            rows = [[row.get(key, math.nan) for key in columns] for row in self.history]
            write_csv(self._run.history_path, columns, rows)

    def _check(self, epoch, logs):
        """Raise where an epoch's numbers say that what was learned is lost."""
        if not math.isfinite(logs["loss"]):
            self._fall(f"the loss became {logs['loss']} in epoch {epoch + 1}")
        best, now = self._best_accuracy(), logs["accuracy"]
        # Of few images, chance alone can do more: three standard errors of a difference.
        lower = max(_LOWER, 2 / math.sqrt(self._images_per_epoch))
        has_learned = best - self._guess > _LEARNED * (1 - self._guess)
        if has_learned and best - now >= lower and self._kept(now) < _FALLEN:
            self._fall(
                f"training lost what it had learned in epoch {epoch + 1}: accuracy {now:.3f} after "
                f"{best:.3f}"
            )

    def _best_accuracy(self):
        return max((row["accuracy"] for row in self.history), default=0.0)

    def _kept(self, accuracy):
        """Return the share of what was learned beyond a guess that an accuracy still shows."""
        learned = self._best_accuracy() - self._guess
        return (accuracy - self._guess) / learned if learned > 0 else 1.0

    def _spent(self):
        return self._seconds_before + time.perf_counter() - self._train_began

    def _fall(self, reason):
        """Set the run back to its last good state and raise what happened."""
        if self.fall:
            rate = f"{self._config.learning_rate:.3g}"
            raise TrainingError(
                f"{reason}, for the second time, at a learning rate of {rate} at most: use a lower "
                "--learning-rate, --clip-norm 1, or --precision float32"
            )
        seconds = self._spent()
        fall = {"epoch": len(self.history) + 1, "reason": reason, "seconds": round(seconds, 1)}
        self._checkpoints.wait()
        if self._good:
            facts = self._good.facts | {"fall": fall, "seconds": seconds}
            self._checkpoints.save(dataclasses.replace(self._good, facts=facts))
        else:
            self._checkpoints.clear()
        raise Fallen(reason, fall)

    def _is_best(self, logs):
        select = self._config.select
        best = self.history[self.best_epoch - 1] if self.best_epoch else self._before
        if select not in logs:
            return True
        sign = 1 if SELECTIONS[select] == "max" else -1

        def rank(logs):
            numbers = sign * logs[select], -logs.get("val_loss", 0)
            return [-math.inf if math.isnan(number) else number for number in numbers]

        return rank(logs) > rank(best)

    def _variables(self):
        return [*self.model.variables, *self.model.optimizer.variables]

    def _count(self):
        """Return what the other callbacks have counted."""
        return [
            {name: getattr(callback, name) for name in _COUNTERS if hasattr(callback, name)}
            for callback in self._others
        ]

    def _save(self):
        """Make a state of what is now."""
        began = time.perf_counter()
        variables = self._variables()
        shapes = [list(variable.shape) for variable in variables]
        is_best = not self.steps_done and self.best_epoch == len(self.history)
        facts = {
            **self._run_facts,
            "shapes": shapes,
            "steps_done": self.steps_done,
            "history": list(self.history),
            "best_epoch": self.best_epoch,
            "before": self._before,
            "counters": self._count(),
            "stopped": self.model.stop_training,
            "fingerprint": self._fingerprints[0],
            "network": self.network,
            "batch_size": self._config.batch_size,
            "learning_rate": self._config.learning_rate,
            "fall": self.fall,
            "seconds": self._spent(),
            "good": not self.steps_done and bool(self._kept(self.history[-1]["accuracy"]) >= _GOOD),
        }
        arrays = copies_of(variables)
        if self.steps_done:
            arrays += self._metrics or copies_of(self.model.metrics_variables)
        if not are_finite(arrays):
            if self.steps_done and find_sharing().processes > 1:
                return  # all processes learn it at the end of the epoch
            ended = len(self.history) + bool(self.steps_done)
            self._fall(f"numbers of the network are no longer finite in epoch {ended}")
        holds_best = is_best and not self._averages
        state = State(facts, arrays, None if holds_best else self.best_weights)
        if facts["good"]:
            self._good = state
        self._checkpoints.save(state, not self.steps_done, time.perf_counter() - began)


def are_finite(arrays: Iterable[np.ndarray]) -> bool:
    """Return whether all numbers are finite."""
    return all(np.isfinite(array).all() for array in arrays)


def _is_scheduled(optimizer):
    schedule = keras.optimizers.schedules.LearningRateSchedule
    return isinstance(optimizer._learning_rate, schedule)
