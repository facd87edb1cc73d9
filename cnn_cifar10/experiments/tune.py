"""Running a search: KerasTuner chooses configs, each is trained, and every trial is a row.

In several processes, KerasTuner's chief gives out the trials and its workers run
them: those that `run_search` starts, or, on several machines, those that are started
by hand with `KERASTUNER_TUNER_ID`, `KERASTUNER_ORACLE_IP` and
`KERASTUNER_ORACLE_PORT` set, and with one file system
(https://keras.io/keras_tuner/guides/distributed_tuning/).
"""

import dataclasses
import functools
import json
import math
import multiprocessing
import os
import re
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import grpc
import keras_tuner
from tqdm import tqdm

from cnn_cifar10.architectures import find_network
from cnn_cifar10.configs import (
    RATE_FACTOR,
    SEARCH_ADDRESS,
    SPACE,
    Search,
    TrainingConfig,
    is_search_worker,
)
from cnn_cifar10.experiments import search_report as report
from cnn_cifar10.experiments.oracles import OBJECTIVE, make_oracle
from cnn_cifar10.experiments.trainings import Progress, Trainer, many_models
from cnn_cifar10.training import Run, RunError
from cnn_cifar10.utils import (
    InputError,
    Terminated,
    clear_parts,
    describe_os_error,
    read_object,
    read_sealed,
    replacing,
    require,
    running_search,
    sigterm_raises,
    write_json,
    write_sealed,
)

_STARTS_FILE = "starts.json"
_STARTS = 3  # of a trial whose process dies before there is another state of its run
_PATIENCE = 8.0  # seconds that processes get to save what they have done
_OUT_OF_MEMORY = re.compile(r"resource_?exhausted|out of memory|MemoryError", re.IGNORECASE)


def default_space(model: str) -> dict[str, Any]:
    """Return the part of `SPACE` for a network: settings of training, and its own options."""
    allowed = {field.name for field in dataclasses.fields(TrainingConfig)} | {RATE_FACTOR}
    allowed |= set(find_network(model).options)
    return {name: values for name, values in SPACE.items() if name in allowed}


def run_search(
    search: Search,
    output: str | Path,
    state: str | Path,
    *,
    workers: int = 1,
    objective: Callable[[TrainingConfig, Path], float] | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> list[dict[str, Any]]:
    """Run the trials of a search that are not done yet.

    Stopped at any moment and called again, it goes on where it stopped, even in the
    middle of a trial. A trial whose loss is no longer a number, that runs out
    of memory, or whose process is killed three times without another state of its run, gets
    its row as failed; Ctrl-C and SIGTERM do not count. The test split is not used.

    Args:
        search: `Search`.
        output: Folder of the table, `trials.csv`, renewed after every trial; created
            where missing.
        state: Folder of KerasTuner's state, which holds the trials' runs.
        workers: How many trials to run at a time, each in a process of its own if
            there are several. One whose process dies is given to a new process.
        objective: Function of a config and a folder that returns the validation
            accuracy; trains where it is `None`. With several workers it must be one
            that another process can import.
        overwrite: Whether to begin anew and forget the trials of that state.
        progress: Whether to show a bar with the time left, and where there is no terminal
            a line for each trial that ended.

    Returns:
        What `read_trials` returns.

    Raises:
        InputError: If another process runs the search, the state is of another
            search or of other data, or a config cannot be trained.
    """
    output, state = Path(output), Path(state).absolute()
    objective = objective or _Train()
    require(workers >= 1, InputError, "workers must be 1 or more", workers)
    if workers > 1 and os.environ.get(SEARCH_ADDRESS[0]):
        name = SEARCH_ADDRESS[0]
        raise InputError(f"workers must be 1 where {name} makes this process one of them")
    state.parent.mkdir(parents=True, exist_ok=True)
    if is_search_worker():
        _claim(search, state, objective)
        _work(search, state, objective)
        return report.read_trials(search, state)
    output.mkdir(parents=True, exist_ok=True)
    with running_search(state):
        if overwrite and state.exists():
            shutil.rmtree(state)
        for folder in (output, state, *state.glob("trial_*")):
            clear_parts(folder)
        _claim(search, state, objective)
        table = (output / "trials.csv", progress)
        if workers > 1:
            _run_processes(search, state, objective, workers, table)
        else:
            _work(search, state, objective, table)
    return report.read_trials(search, state)


def _claim(search, state, objective):
    """Store what is searched beside the trials, or check that it is the same."""
    wanted = json.loads(json.dumps(dataclasses.asdict(search)))
    del wanted["trials"]  # more of them continue a search
    if isinstance(objective, _Train):
        trainer, configs = Trainer(), [search.config(values) for values in search.corners()]
        for config in configs:
            trainer.check(config)
        fingerprints = trainer.load(configs[0]).fingerprints
        wanted["fingerprint"] = fingerprints[0]
    path = state / "search.json"
    if path.exists():
        found = read_sealed(path, "search", InputError)
        if "fingerprint" in wanted and found.get("fingerprint") in fingerprints:
            wanted["fingerprint"] = found["fingerprint"]
        for key in wanted | found:
            if found.get(key) != wanted.get(key):
                what = "other data" if key == "fingerprint" else f"another {key}"
                raise InputError(
                    f"{state}: holds a search with {what}; choose another name for this one, or "
                    "overwrite it"
                )
    state.mkdir(exist_ok=True)
    write_sealed(path, wanted)


class _Train(Trainer):
    """Trains a trial's run, or what is left of it, and returns its accuracy."""

    def __call__(self, config, folder):
        run = Run(folder)
        self.train(config, run)
        return run.history()["val_accuracy"][-1]  # the best epoch's favours configs that swing


class _Tuner(keras_tuner.Tuner):
    """Runs trials as trainings in the trials' own folders."""

    def __init__(self, search, state, objective):
        self._search, self._objective = search, objective
        super().__init__(
            make_oracle(search, state), directory=str(state.parent), project_name=state.name
        )

    def save(self):
        """Do nothing: the oracle saves itself, and the tuner has no state."""

    def pre_create_trial(self):
        if not isinstance(self.oracle, keras_tuner.Oracle):
            time.sleep(0.05)  # a worker that is told to wait asks again at once

    def run_trial(self, trial, **_):
        run = self._run(trial)
        run.path.mkdir(exist_ok=True)
        report.failure_path(run).unlink(missing_ok=True)
        try:
            _count_start(run)
            values, length = self._search.decode(trial.hyperparameters.values)
            accuracy = self._objective(self._search.config(values, **length), run.path)
            if math.isnan(accuracy):
                raise InputError("gave no number")
        except KeyboardInterrupt:
            _forget_starts(run)
            raise
        except (OSError, RunError) as error:  # of the disk, not of the trial
            _forget_starts(run)
            said = describe_os_error(error) if isinstance(error, OSError) else str(error)
            raise keras_tuner.errors.FatalError(said) from error
        except Exception as error:
            # KerasTuner's messages do not get from a worker to its chief.
            with replacing(report.failure_path(run)) as part:
                part.write_text(_reason(error), encoding="utf-8", newline="\n")
            accuracy = 0.0  # asked for, and not used of a trial that failed
        return {OBJECTIVE.name: accuracy}

    def _run_and_update_trial(self, trial, *arguments, **options):
        try:
            super()._run_and_update_trial(trial, *arguments, **options)
        except grpc.RpcError as error:  # a chief that is gone is not the trial's failure
            raise keras_tuner.errors.FatalError("the chief does not answer") from error

    def on_trial_end(self, trial):
        if report.failure_path(self._run(trial)).exists():
            trial.status = "FAILED"  # raised in `run_trial`, its traceback would be printed
        super().on_trial_end(trial)

    def _run(self, trial):
        return report.trial_run(self.get_trial_dir(trial.trial_id))


def _reason(error):
    """Return why a trial failed; raise where it is a mistake in the code."""
    if isinstance(error, InputError):
        return str(error)
    reason = f"{type(error).__name__}: {error}".partition("\n")[0]
    if not _OUT_OF_MEMORY.search(reason):
        raise keras_tuner.errors.FatalError(reason) from error
    return reason


def _count_start(run):
    """Raise if the run's process died too often since it last saved what it had done."""
    path, newest = run.path / _STARTS_FILE, run.newest_state
    try:
        before = read_object(path, "starts", InputError)["states"] if path.exists() else []
    except (InputError, KeyError):  # damaged: none is known to have died
        before = []
    starts = [*before, newest]
    if starts.count(newest) > _STARTS:
        raise InputError(f"its process was killed {_STARTS} times without another state of the run")
    write_json(path, {"states": starts})


def _forget_starts(run):
    (run.path / _STARTS_FILE).unlink(missing_ok=True)


def _work(search, state, objective, table=None):
    """Run trials or, as the chief, give them out; with a table, show and write what is done."""
    tuner = _Tuner(search, state, objective)
    # What is reloaded is the chief's, or that of a process on its own.
    if isinstance(tuner.oracle, keras_tuner.Oracle) and (state / "oracle.json").exists():
        for path in (state / "oracle.json", *state.glob("trial_*/trial.json")):
            read_sealed(path, "state of the search", InputError)
        tuner.oracle.reload()
    path, progress = table or (None, False)
    with many_models(), Progress(search.trials, "trial", progress) as bar:
        if path:
            tuner.oracle.on_end = functools.partial(_show, search, state, path, bar)
            _show(search, state, path, bar)
        try:
            tuner.search(verbose=0)
        except (keras_tuner.errors.FatalError, grpc.RpcError) as error:
            if isinstance(error.__cause__, (OSError, RunError)):
                raise error.__cause__ from None
            if not isinstance(error.__cause__ or error, grpc.RpcError):
                raise
            # A chief that has given out all trials may end before its last answer arrives.
            if _is_done(search, state):
                return
            address = ":".join(os.environ[name] for name in SEARCH_ADDRESS[1:])
            raise _ChiefEndedError(
                f"{state}: the chief at {address} does not answer any more; start it again, and "
                "then this worker"
            ) from error


class _ChiefEndedError(InputError):
    pass


def _is_done(search, state):
    ended = [row["status"] != report.UNFINISHED for row in report.read_trials(search, state)]
    return len(ended) == search.trials and all(ended)


def _show(search, state, path, bar, ended=None):
    """Write the table, and show how many trials have ended and how the last one did."""
    rows = report.read_trials(search, state)
    report.write_trials(rows, path)
    best, text = report.best_trial(rows), ""
    if ended:
        row = next(row for row in rows if row["trial"] == int(ended))
        text = f"trial {row['trial']}: " + (row["failure"] or f"{row['validation_accuracy']:.2%}")
    note = f"best {best['validation_accuracy']:.2%}" if best else ""
    bar.show(sum(row["status"] != report.UNFINISHED for row in rows), text, note)


def _run_processes(search, state, objective, workers, table):
    """Run a chief and its workers; a worker that dies is started again, and keeps its trial."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = {
            "KERASTUNER_ORACLE_IP": "127.0.0.1",
            "KERASTUNER_ORACLE_PORT": str(free.getsockname()[1]),
            "TF_FORCE_GPU_ALLOW_GROWTH": "true",  # or the first worker takes all of a GPU
        }
    context = multiprocessing.get_context("spawn")

    def start(name):
        environment = {**address, "KERASTUNER_TUNER_ID": name}
        arguments = (environment, search, state, objective, table if name == "chief" else None)
        process = context.Process(target=_work_apart, args=arguments, name=name, daemon=True)
        process.start()
        return process

    running = {name: start(name) for name in ("chief", *(f"worker{i}" for i in range(workers)))}
    try:
        # The chief notices up to 20 seconds late that there is nothing left to give out.
        while "chief" in running and len(running) > 1:
            wait([process.sentinel for process in running.values()])
            for name, process in list(running.items()):
                if process.exitcode is None:
                    continue
                if process.exitcode > 0:
                    code = process.exitcode
                    raise InputError(f"{state}: its {name} ended with code {code}; it said why")
                if name == "chief" and process.exitcode:
                    raise InputError(
                        f"{state}: its chief was ended by signal {-process.exitcode}; the same "
                        "command goes on"
                    )
                if process.exitcode:
                    running[name] = start(name)
                else:
                    del running[name]
    finally:
        _end(list(running.values()), state)


def _end(processes, state):
    """End processes once they have saved what they have done; it does not count against a trial."""
    for process in processes:
        process.terminate()
    until = time.monotonic() + _PATIENCE
    for process in processes:
        process.join(max(0.0, until - time.monotonic()))
        process.kill()
        process.join()
    for folder in state.glob("trial_*"):
        _forget_starts(report.trial_run(folder))


def _work_apart(environment, *arguments):
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # left to the process that started this one
    try:
        with sigterm_raises():
            _work_in_process(*arguments)
    except Terminated:
        os.kill(os.getpid(), signal.SIGTERM)  # as who waits for this process expects
    except _ChiefEndedError:
        # The process that started both sees why, and ends this one.
        multiprocessing.parent_process().join()
    except (InputError, OSError) as error:
        said = describe_os_error(error) if isinstance(error, OSError) else error
        sys.exit(f"{environment['KERASTUNER_TUNER_ID']}: {said}")


def _work_in_process(*arguments):
    tqdm.set_lock(threading.RLock())  # its own is a semaphore, which a process that is ended leaks
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _work(*arguments)


def _end_with_parent():
    multiprocessing.parent_process().join()
    os._exit(1)
