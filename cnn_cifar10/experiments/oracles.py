"""Oracles, which choose the configs of a search: KerasTuner's, made safe to interrupt."""

import itertools
from collections.abc import Callable
from pathlib import Path

import keras_tuner
from keras_tuner import oracles

from cnn_cifar10.configs import Search
from cnn_cifar10.utils import write_sealed

OBJECTIVE = keras_tuner.Objective("val_accuracy", "max")


class _Durable:
    """An oracle whose state survives being killed at any moment.

    KerasTuner's own write files in place, count a trial that they were about to start
    as started, and run the last trial that ended again.
    """

    folder: Path
    max_trials: int
    on_end: Callable[[str], None] | None = None

    def save(self):
        write_sealed(self.folder / "oracle.json", self.get_state())

    def _save_trial(self, trial):  # not public, but what writes a trial has no public name
        path = self.folder / f"trial_{trial.trial_id}" / "trial.json"
        path.parent.mkdir(exist_ok=True)
        write_sealed(path, trial.get_state())

    def set_state(self, state):
        for trial_id in set(self.trials) - set(state["start_order"]):
            del self.trials[trial_id]
        running = {name for name, trial in self.trials.items() if trial.status == "RUNNING"}
        ongoing = {key: name for key, name in state["ongoing_trials"].items() if name in running}
        retry = [name for name in state["retry_queue"] if name in running]
        super().set_state({**state, "ongoing_trials": ongoing, "retry_queue": retry})

    @keras_tuner.synchronized
    def create_trial(self, tuner_id):
        trial = super().create_trial(tuner_id)
        trial.metrics.metrics.clear()  # of an attempt that was killed before it ended
        return trial

    @keras_tuner.synchronized
    def end_trial(self, trial):
        super().end_trial(trial)
        if self.on_end:
            self.on_end(trial.trial_id)


class _Random(_Durable, oracles.RandomSearchOracle):
    pass


class _Bayesian(_Durable, oracles.BayesianOptimizationOracle):
    pass


class _Hyperband(_Durable, oracles.HyperbandOracle):
    pass


class _Grid(_Durable, keras_tuner.Oracle):
    """Every combination in turn; KerasTuner's own forgets where it was when it is reloaded."""

    def populate_space(self, trial_id):
        space = self.hyperparameters.space
        grid = itertools.product(*(choice.values for choice in space))
        point = next(itertools.islice(grid, len(self.start_order), None), None)
        if point is None:
            return {"status": "STOPPED"}
        values = {choice.name: value for choice, value in zip(space, point, strict=True)}
        return {"status": "RUNNING", "values": values}


def make_oracle(search: Search, state: Path) -> keras_tuner.Oracle:
    """Return the oracle of a search's algorithm and space.

    Args:
        search: `Search`.
        state: Folder of its state.

    Returns:
        An oracle whose trials' values `search.decode` understands. It calls its `on_end`, where
        that is set, with the name of every trial that ended.
    """
    kinds = {"random": _Random, "grid": _Grid, "bayesian": _Bayesian, "hyperband": _Hyperband}
    longest = {"max_epochs": search.trial["epochs"], "hyperband_iterations": None}
    limit = longest if search.algorithm == "hyperband" else {"max_trials": search.trials}
    oracle = kinds[search.algorithm](
        objective=OBJECTIVE,
        hyperparameters=_hyperparameters(search.space),
        seed=search.seed + 1,  # KerasTuner takes 0 for none
        # At its limit KerasTuner's chief stops answering, so there is none.
        max_consecutive_failed_trials=float("inf"),
        **limit,
    )
    oracle.max_trials, oracle.folder = search.trials, state
    return oracle


def _hyperparameters(space):
    """Return KerasTuner's space, in which a choice is a place in its list.

    Its choices must be of one simple type, and numbers lose half their digits between
    chief and worker.
    """
    parameters = keras_tuner.HyperParameters()
    for name, values in space.items():
        if isinstance(values, list):
            parameters.Choice(name, list(range(len(values))))
        else:
            ends = values["low"], values["high"]
            add = parameters.Int if all(isinstance(end, int) for end in ends) else parameters.Float
            add(name, *ends, sampling=values.get("sampling", "linear"))
    return parameters
