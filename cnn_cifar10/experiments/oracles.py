"""What chooses the configs of a search: KerasTuner's oracles, so that they can be interrupted."""

import itertools
from pathlib import Path

import keras_tuner
from keras_tuner import oracles

from cnn_cifar10.utils import write_json

OBJECTIVE = keras_tuner.Objective("val_accuracy", "max")


class _Durable:
    """An oracle whose state survives being killed at any moment.

    KerasTuner's own write files in place, count a trial that they were about to start
    as started, and run the last trial that ended again.
    """

    on_end = None

    def save(self):
        write_json(Path(self._get_oracle_fname()), self.get_state())

    def _save_trial(self, trial):
        folder = Path(self._get_trial_dir(trial.trial_id))
        write_json(folder / "trial.json", trial.get_state())

    def reload(self):
        super().reload()
        for trial_id in set(self.trials) - set(self.start_order):
            del self.trials[trial_id]
        running = {name for name, trial in self.trials.items() if trial.status == "RUNNING"}
        self._retry_queue = [name for name in self._retry_queue if name in running]

    @keras_tuner.synchronized
    def end_trial(self, trial):
        super().end_trial(trial)
        if self.on_end:
            self.on_end()


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


def make_oracle(search):
    """Return the oracle of a search's algorithm and space.

    Args:
        search: `Search`.

    Returns:
        A `keras_tuner.Oracle` whose trials' values `search.decode` understands; it calls
        its `on_end`, where that is set, after every trial.
    """
    options = {
        "objective": OBJECTIVE,
        "hyperparameters": _hyperparameters(search.space),
        "seed": search.seed + 1,  # KerasTuner takes 0 for none
        # At its limit KerasTuner's chief stops answering, so there is none.
        "max_consecutive_failed_trials": float("inf"),
    }
    if search.algorithm == "hyperband":
        oracle = _Hyperband(max_epochs=search.trial["epochs"], hyperband_iterations=None, **options)
        oracle.max_trials = search.trials
        return oracle
    kind = {"random": _Random, "grid": _Grid, "bayesian": _Bayesian}[search.algorithm]
    return kind(max_trials=search.trials, **options)


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
