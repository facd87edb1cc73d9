"""Searches as they run: every trial once, whatever stops them in between."""

import csv
import errno
import json
import math
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import filelock
import grpc
import keras_tuner
import pytest
from keras_tuner.src.distribute.oracle_client import OracleClient
from keras_tuner.src.engine.trial import Trial

from cnn_cifar10.cli import main
from cnn_cifar10.configs import SEARCH_ADDRESS, SPACE, Search, TrainingConfig
from cnn_cifar10.experiments import default_space, run_search, tune
from cnn_cifar10.experiments.oracles import make_oracle
from cnn_cifar10.experiments.search_report import read_trials
from cnn_cifar10.training import Run, RunError, TrainingError
from cnn_cifar10.training.checkpoint import Checkpoints
from cnn_cifar10.utils import InputError, sigterm_raises

LISTS = {"width": [8, 16, 32], "dropout": [0.0, 0.1]}
RANGES = {**LISTS, "learning_rate": {"low": 0.01, "high": 1.0, "sampling": "log"}}
ROOT = Path(__file__).parents[2]


def search_of(algorithm="random", trials=10, space=None, **more):
    space = space or (LISTS if algorithm == "grid" else RANGES)
    return Search(space, algorithm, trials, base={"dataset": "digits"}, **more)


def score(config, folder):
    """A stand-in for training, best at width 32 and a rate of 0.1."""
    options = config.model_options
    distance = abs(math.log10(config.learning_rate / 0.1))
    return 0.5 + options["width"] / 100 - options["dropout"] - distance / 10 + config.epochs / 1000


class Recorded:
    """`score`, which notes its trials and does something else once in a while."""

    def __init__(self, otherwise=None):
        self.trials, self.otherwise = [], otherwise

    def __call__(self, config, folder):
        name = folder.parent.name
        self.trials.append(name)
        if self.otherwise:
            self.otherwise(len(self.trials), config)
        return score(config, folder)


def go(search, folder, objective=score, **options):
    return run_search(
        *(search, folder / "output", folder / "state"),
        objective=objective,
        **{"progress": False} | options,
    )


def table(folder):
    with open(folder / "output" / "trials.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("algorithm", ["random", "grid", "bayesian", "hyperband"])
class TestEveryAlgorithm:
    def test_every_trial_is_a_row_with_its_settings_and_accuracy(self, algorithm, tmp_path):
        search = search_of(algorithm)
        rows = go(search, tmp_path)
        assert [row["trial"] for row in rows] == list(range(6 if algorithm == "grid" else 10))
        for row in rows:
            values = {name: row[name] for name in search.space}
            config = search.config(values, epochs=row["epochs"])
            assert row["status"] == "completed"
            assert row["validation_accuracy"] == pytest.approx(score(config, None))
            assert row["width"] in LISTS["width"]
            assert 0.01 <= config.learning_rate <= 1.0
        if algorithm == "grid":
            points = {(row["width"], row["dropout"]) for row in rows}
            assert points == {(w, d) for w in LISTS["width"] for d in LISTS["dropout"]}
        if algorithm == "hyperband":
            assert {row["epochs"] for row in rows} == {2, 6}
        else:
            assert {row["epochs"] for row in rows} == {6}
        assert [int(row["trial"]) for row in table(tmp_path)] == [row["trial"] for row in rows]
        assert float(table(tmp_path)[3]["validation_accuracy"]) == pytest.approx(
            rows[3]["validation_accuracy"], abs=1e-4
        )

    def test_interrupted_it_goes_on_and_runs_nothing_twice(self, algorithm, tmp_path):
        def interrupt(count, config):
            if count == 4:
                raise KeyboardInterrupt

        first, second = Recorded(interrupt), Recorded()
        with pytest.raises(KeyboardInterrupt):
            go(search_of(algorithm), tmp_path / "stopped", first)
        assert [row["status"] for row in table(tmp_path / "stopped")][:3] == ["completed"] * 3
        rows = go(search_of(algorithm), tmp_path / "stopped", second)
        assert second.trials[0] == first.trials[-1]  # the trial that was interrupted
        assert not set(second.trials[1:]) & set(first.trials)
        assert rows == go(search_of(algorithm), tmp_path / "whole")


def test_a_finished_search_runs_nothing_and_more_trials_continue_it(tmp_path):
    rows, again = go(search_of(trials=5), tmp_path), Recorded()
    assert go(search_of(trials=5), tmp_path, again) == rows
    assert again.trials == []
    longer = go(search_of(trials=8), tmp_path, again)
    assert longer[:5] == rows
    assert len(again.trials) == 3
    assert longer == go(search_of(trials=8), tmp_path / "whole")


@pytest.mark.parametrize(
    ("other", "key"),
    [
        (search_of(space={**RANGES, "dropout": [0.0, 0.2]}), "space"),
        (search_of("hyperband"), "algorithm"),
        (search_of(trial={"epochs": 7}), "trial"),
        (search_of(seed=1), "seed"),
    ],
)
def test_a_folder_with_another_search_is_refused_unless_overwritten(other, key, tmp_path):
    go(search_of(trials=3), tmp_path)
    with pytest.raises(InputError, match=f"state: holds a search with another {key}; choose"):
        go(other, tmp_path)
    rows = go(other, tmp_path, overwrite=True)
    assert len(rows) == 10
    assert rows == go(other, tmp_path / "new")


def test_two_processes_cannot_run_one_search(tmp_path):
    with (
        filelock.FileLock(tmp_path / ".state.lock"),
        pytest.raises(InputError, match="this search is run by another process"),
    ):
        go(search_of(), tmp_path)


def test_killed_between_two_files_of_the_state_no_trial_is_lost(tmp_path):
    go(search_of(trials=4), tmp_path)
    oracle = tmp_path / "state" / "oracle.json"
    state = json.loads(oracle.read_text())
    # The file of the fourth trial was written, and the oracle's was not.
    del state["sha256"]  # as in the files of versions before
    started = state["start_order"].pop()
    state["end_order"].remove(started)
    state["seed_state"] -= len(RANGES)
    state["ongoing_trials"] = {}
    state["tried_so_far"].remove(state["id_to_hash"].pop(started))
    oracle.write_text(json.dumps(state))
    assert len(read_trials(search_of(), tmp_path / "state")) == 3
    assert go(search_of(trials=4), tmp_path) == go(search_of(trials=4), tmp_path / "whole")


class ResourceExhaustedError(Exception):
    """As TensorFlow calls it."""


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TrainingError("the loss became nan"), "the loss became nan"),
        (MemoryError(), "MemoryError: "),
        (ResourceExhaustedError("OOM\nat length"), "ResourceExhaustedError: OOM"),
        (RuntimeError("CUDA out of memory."), "RuntimeError: CUDA out of memory."),
    ],
    ids=lambda value: type(value).__name__,
)
def test_failed_trials_are_recorded_and_passed_over_however_many(error, reason, tmp_path, capsys):
    def fail(count, config):
        if config.model_options["width"] == 32 or count < 6:
            raise error

    rows = go(search_of(trials=10), tmp_path, Recorded(fail))
    assert [row["status"] for row in rows[:5]] == ["failed"] * 5
    for row in rows:
        failed = row["status"] == "failed"
        assert row["failure"] == (reason if failed else "")
        assert (row["validation_accuracy"] is None) == failed
    assert {row["status"] for row in rows} == {"failed", "completed"}
    assert len(rows) == 10
    assert "Traceback" not in capsys.readouterr().err


def test_killed_before_it_ended_a_trial_forgets_what_it_reached(tmp_path, monkeypatch):
    def fail(config, folder):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(tune._Tuner, "on_trial_end", lambda self, trial: sys.exit())
        with pytest.raises(SystemExit):
            go(search_of(trials=1), tmp_path, fail)
    (row,) = go(search_of(trials=1), tmp_path)
    assert row["status"] == "completed"
    assert row["validation_accuracy"] > 0.1


def test_an_accuracy_that_is_no_number_is_a_failure(tmp_path):
    (row,) = go(search_of(trials=1), tmp_path, lambda config, folder: math.nan)
    assert (row["status"], row["failure"]) == ("failed", "gave no number")


def test_a_mistake_in_the_code_ends_the_search(tmp_path):
    def fail(count, config):
        raise KeyError("wdith")

    with pytest.raises(keras_tuner.errors.FatalError, match="wdith"):
        go(search_of(), tmp_path, Recorded(fail))


def test_a_trial_whose_process_is_killed_three_times_in_one_state_is_given_up(tmp_path):
    def die(count, config):
        raise SystemExit  # as little is done about it as about a signal

    objective = Recorded(die)
    for _ in range(3):
        with pytest.raises(SystemExit):
            go(search_of(trials=3), tmp_path, objective)
    assert objective.trials == ["trial_0"] * 3
    first, *others = go(search_of(trials=3), tmp_path)
    assert first["status"] == "failed"
    assert first["failure"].startswith("its process was killed 3 times without another state")
    assert [row["status"] for row in others] == ["completed"] * 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_trial_that_is_asked_to_stop_is_not_given_up(number, tmp_path):
    def stop(count, config):
        if count <= 4:
            os.kill(os.getpid(), number)
            sum(range(1000))  # the interpreter looks for signals

    objective = Recorded(stop)
    for _ in range(4):
        with sigterm_raises(), pytest.raises(KeyboardInterrupt):
            go(search_of(trials=2), tmp_path, objective)
    assert objective.trials == ["trial_0"] * 4
    rows = go(search_of(trials=2), tmp_path, objective)
    assert [row["status"] for row in rows] == ["completed"] * 2


def test_damage_to_the_state_is_one_line(tmp_path):
    go(search_of(trials=2), tmp_path)
    state = tmp_path / "state"
    for path in (state / "oracle.json", state / "trial_1" / "trial.json", state / "search.json"):
        whole = path.read_bytes()
        others = whole.replace(b"1", b"2", 1), whole.replace(b"0.", b"3.", 1)
        for changed in (whole[:40], b"", *others):
            path.write_bytes(changed)
            if changed == whole:
                continue
            with pytest.raises(InputError) as raised:
                go(search_of(trials=2), tmp_path)
            assert str(raised.value).startswith(f"{path}: ")
            assert "\n" not in str(raised.value)
        path.write_bytes(whole)
    assert len(go(search_of(trials=2), tmp_path)) == 2


FULL = [OSError(errno.ENOSPC, "No space left on device"), RunError("run: 9 MB are free; free some")]


@pytest.mark.parametrize("error", FULL)
def test_a_full_disk_ends_the_search_and_no_trial(tmp_path, error):
    def fill(count, config):
        if count == 1:
            raise error

    objective = Recorded(fill)
    with pytest.raises(type(error), match=r"No space left on device|9 MB are free"):
        go(search_of(trials=1), tmp_path, objective)
    (row,) = go(search_of(trials=1), tmp_path, objective)
    assert row["status"] == "completed"


def test_progress_shows_trials_and_the_best(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    rows = go(search_of(trials=4), tmp_path, progress=True)
    last = capsys.readouterr().err.split("\r")[-1]
    best = max(row["validation_accuracy"] for row in rows)
    assert "4/4" in last
    assert f"best {best:.2%}" in last


def test_without_a_terminal_there_is_a_line_for_each_trial(tmp_path, capsys):
    def fail(count, config):
        if count == 1:
            raise TrainingError("the loss became nan")

    _, second, *_ = rows = go(search_of(trials=4), tmp_path, Recorded(fail), progress=True)
    first, *others = capsys.readouterr().err.splitlines()
    assert first == "1/4 trial 0: the loss became nan"
    reached = f"{second['validation_accuracy']:.2%}"
    assert others[0] == f"2/4 trial 1: {reached}, best {reached}"
    assert len(rows) == 1 + len(others) == 4


def test_the_default_space_is_what_a_network_has_of_it():
    assert default_space("custom_cnn") == SPACE
    resnet = default_space("resnet")
    assert not {"depth", "activation", "dropout"} & set(resnet)
    assert {"optimizer", "learning_rate_factor", "batch_size", "schedule"} <= set(resnet)
    for name in set(SPACE) & {field for field in TrainingConfig.__dataclass_fields__}:
        assert name in resnet


# Real trainings.

TINY = {
    "space": {"width": [2], "learning_rate": [0.05, 1e30]},
    "base": {
        "dataset": "digits",
        "precision": "float32",
        "model_options": {"stages": 1, "batch_norm": False},
    },
    "trial": {"epochs": 2, "train_images": 96, "early_stopping": 0},
}


def test_trials_are_trainings_and_one_that_diverges_is_a_row(tmp_path, digits):
    search = Search(algorithm="grid", **TINY)
    rows = run_search(search, tmp_path / "output", tmp_path / "state", progress=False)
    assert [row["status"] for row in rows] == ["completed", "failed"]
    for number, row in enumerate(rows):
        run = Run(tmp_path / "state" / f"trial_{number}" / "run")
        values = {name: row[name] for name in search.space}
        assert run.config() == search.config(values)
        if row["status"] == "completed":
            facts = run.facts()
            assert row["validation_accuracy"] == pytest.approx(run.history()["val_accuracy"][-1])
            assert (row["epochs"], row["seconds"]) == (2, facts["seconds"])
            assert row["parameters"] == facts["parameters"]
            assert facts["examples"]["train"] == 96
        else:
            assert "the loss became" in row["failure"]


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"wdith": [1]}, "custom_cnn has no option 'wdith'"),
        ({"activation": ["relu", "gelo"]}, "gelo"),
        ({"augment": ["none", "filp"]}, "filp"),
    ],
)
def test_what_would_stop_every_trial_is_said_before_the_first(space, message, tmp_path):
    search = Search(**TINY | {"space": space})
    with pytest.raises(InputError, match=message):
        run_search(search, tmp_path / "output", tmp_path / "state", progress=False)
    assert not (tmp_path / "state").exists()


# Real processes.


def sleep_and_score(config, folder):
    """Takes a moment, and kills its process the first time in one of the trials."""
    time.sleep(0.2)
    mark = folder / "killed"
    if folder.parent.name.endswith("3") and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    (folder / "worker").write_text(os.environ["KERASTUNER_TUNER_ID"])
    return score(config, folder)


@pytest.mark.slow
def test_two_workers_do_what_one_process_does_and_a_killed_one_comes_back(tmp_path):
    rows = go(search_of(), tmp_path / "two", sleep_and_score, workers=2)
    state = tmp_path / "two" / "state"
    assert (state / "trial_03" / "run" / "killed").exists()
    assert {path.read_text() for path in state.glob("trial_*/run/worker")} == {"worker0", "worker1"}
    one = go(search_of(), tmp_path / "one")
    assert [row["validation_accuracy"] for row in rows] == pytest.approx(
        [row["validation_accuracy"] for row in one]
    )
    for row, other in zip(rows, one, strict=True):
        assert row | {"validation_accuracy": 0} == other | {"validation_accuracy": 0}
    assert table(tmp_path / "two") == table(tmp_path / "one")
    # One process goes on with what workers did.
    assert go(search_of(trials=12), tmp_path / "two")[:10] == rows


@pytest.mark.slow
def test_a_killed_chief_ends_the_search_in_one_line(tmp_path, capfd):
    state = tmp_path / "state"

    def kill_the_chief():
        while not list(state.glob("trial_02/run")):
            time.sleep(0.02)
        (chief,) = (p for p in multiprocessing.active_children() if p.name == "chief")
        chief.kill()

    killing = threading.Thread(target=kill_the_chief, daemon=True)
    killing.start()
    with pytest.raises(InputError, match="its chief was ended by signal 9; the same command goes"):
        go(search_of(), tmp_path, sleep_and_score, workers=2)
    killing.join()
    assert "Traceback" not in capfd.readouterr().err
    rows = go(search_of(), tmp_path, workers=1)
    assert [row["status"] for row in rows] == ["completed"] * 10


class Unanswered(grpc.RpcError):
    pass


def test_a_chief_that_is_gone_when_a_trial_ends_is_told_in_one_line(tmp_path, monkeypatch, capfd):
    go(search_of(trials=1), tmp_path)
    for name, value in zip(SEARCH_ADDRESS, ("worker0", "127.0.0.1", "1"), strict=True):
        monkeypatch.setenv(name, value)
    space = make_oracle(search_of(), tmp_path / "state").get_space()
    trial = Trial(space, trial_id="01", status="RUNNING")
    (tmp_path / "state" / "trial_01").mkdir()

    def do_not_answer(*_, **__):
        raise Unanswered

    monkeypatch.setattr(OracleClient, "get_space", lambda _: space)
    monkeypatch.setattr(OracleClient, "update_space", lambda *_: None)
    monkeypatch.setattr(OracleClient, "create_trial", lambda *_: trial)
    for name in ("get_trial", "update_trial", "end_trial"):
        monkeypatch.setattr(OracleClient, name, do_not_answer)
    with pytest.raises(InputError, match=r"the chief at .* does not answer any more"):
        go(search_of(), tmp_path)
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("done", [True, False])
def test_a_worker_whose_chief_is_gone_says_so_unless_all_is_done(done, tmp_path, monkeypatch):
    search = search_of(trials=2 if done else 3)
    go(search_of(trials=2), tmp_path)
    for name, value in zip(SEARCH_ADDRESS, ("worker0", "127.0.0.1", "1"), strict=True):
        monkeypatch.setenv(name, value)

    def search_in_vain(*_, **__):
        raise Unanswered

    monkeypatch.setattr(keras_tuner.Tuner, "search", search_in_vain)
    if done:
        assert len(go(search, tmp_path)) == 2
    else:
        with pytest.raises(InputError, match=r"the chief at .* does not answer any more"):
            go(search, tmp_path)


TUNE = [
    *("tune", "--dataset", "digits", "--name", "tiny", "--quiet", "--json"),
    *("--set", "stages=1", "depth=1", "width=2,4,8", "optimizer=sgd", "activation=relu"),
    *("augment=none", "batch_size=32", "l2=0", "dropout=0", "schedule=cosine", "precision=float32"),
]


def start(folder, *arguments, **environment):
    return subprocess.Popen(
        [sys.executable, "-m", "cnn_cifar10", *TUNE, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )


@pytest.mark.slow
def test_chief_and_worker_find_each_other_by_the_documented_address(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    address = {"KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": port}
    short = ("--trials", "3", "--epochs", "1", "--train-images", "96")
    processes = [
        start(tmp_path, *short, KERASTUNER_TUNER_ID=name, **address)
        for name in ("chief", "worker0")
    ]
    try:
        (chief, _), (worker, _) = (each.communicate(timeout=240) for each in processes)
    finally:
        for process in processes:
            process.kill()
    assert [each.returncode for each in processes] == [0, 0]
    trials = json.loads(chief)["trials"]
    assert trials == json.loads(worker)["trials"]
    assert [row["status"] for row in trials] == ["completed"] * 3
    assert (tmp_path / "reports" / "searches" / "tiny" / "report.md").exists()


@pytest.mark.slow
def test_killed_in_the_middle_of_a_trial_a_search_goes_on_there(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = ("--trials", "3", "--epochs", "8", "--early-stopping", "0")
    state = Path("models/searches/tiny")
    second = Run(state / "trial_1" / "run")
    process = start(tmp_path, *arguments)
    limit = time.monotonic() + 240
    try:
        while not second.is_begun:
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < limit
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    first = (state / "trial_0" / "run" / "history.csv").read_text()
    kept = Checkpoints(second.checkpoints_path).load()
    before = [row["seconds"] for row in kept.facts["history"]]
    assert 1 <= len(before) < 8

    assert main([*TUNE, *arguments]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [row["status"] for row in document["trials"]] == ["completed"] * 3
    assert (state / "trial_0" / "run" / "history.csv").read_text() == first
    after = second.history()["seconds"]
    assert after[: len(before)] == before
    assert len(after) == 8

    # The best config is a file that `train` takes, at full length but for what is said here.
    best = Path("reports/searches/tiny/best.json")
    config = json.loads(best.read_text())
    assert config == document["config"]
    assert (config["epochs"], config["train_images"], config["early_stopping"]) == (20, None, 0)
    train = ["train", "--config", str(best), "--epochs", "1", "--output", "models/best"]
    assert main([*train, "--no-test", "--quiet", "--json"]) == 0
    trained = json.loads(Path("models/best/config.json").read_text())
    assert trained == config | {"epochs": 1}


def test_bad_ways_to_ask_are_one_line(tmp_path, monkeypatch, capsys):
    def refused(*arguments):
        assert main([*arguments]) == 2
        *_, error = capsys.readouterr().err.splitlines()
        assert error.startswith("cnn-cifar10: ")
        return error

    monkeypatch.chdir(tmp_path)
    assert "momentum must be in [0, 1)" in refused("tune", "--set", "momentum=2")
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "worker0")
    assert "KERASTUNER_ORACLE_IP is not set" in refused(*TUNE, "--trials", "1")
    for name in SEARCH_ADDRESS[1:]:
        monkeypatch.setenv(name, "1")
    assert "workers must be 1" in refused(*TUNE, "--workers", "2")
