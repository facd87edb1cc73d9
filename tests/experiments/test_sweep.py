"""Studies as they run: every row once, whatever stops them in between."""

import csv
import dataclasses
import json
import logging
import math
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import filelock
import keras
import pytest

from cnn_cifar10.architectures.custom import build_custom_cnn
from cnn_cifar10.cli import main
from cnn_cifar10.configs import Study, find_study
from cnn_cifar10.datasets import Split
from cnn_cifar10.experiments import read_runs, run_study, write_study
from cnn_cifar10.experiments import trainings as experiments
from cnn_cifar10.experiments.sweep import RUN_COLUMNS
from cnn_cifar10.training import Run
from cnn_cifar10.training.checkpoint import Checkpoints
from cnn_cifar10.utils import InputError, running_study, write_csv, write_json

TINY = Study(
    name="tiny",
    question="Is wider better?",
    base={
        **{"dataset": "digits", "epochs": 2, "train_images": 96, "precision": "float32"},
        **{"batch_size": 32, "model_options": {"depth": 1, "stages": 1}},
    },
    variants={
        "narrow": {"model_options": {"width": 2}},
        "wide": {"model_options": {"width": 4}},
    },
    reference="narrow",
    seeds=(0, 1),
)


@pytest.fixture
def trained(monkeypatch, digits):
    """The names and configs that were trained, by a stand-in that takes no time."""
    runs = []

    def train(config, output, *, dataset, verbose):
        run = Run(Path(output))
        if run.is_finished:
            return
        runs.append((run.path.name, config))
        run.path.mkdir(parents=True)
        write_json(run.config_path, config.to_dict())
        accuracy = 0.5 + config.model_options["width"] / 100 + config.seed / 1000
        history = [[0.9, 0.2, 0.9], [accuracy, 1.0, 0.4]]  # the last epoch is not the best
        write_csv(run.history_path, ["val_accuracy", "val_loss", "accuracy"], history)
        known = ("epochs", "parameters", "seconds", "images_per_second", "precision", "backend")
        write_json(run.facts_path, dict.fromkeys(known, 2))

    monkeypatch.setattr(experiments, "train", train)
    monkeypatch.setattr(experiments, "load_data", lambda config: digits.subset(config.train_images))
    return runs


def go(study, folder, **options):
    return run_study(study, folder / "study", folder / "models", progress=False, **options)


def test_every_variant_is_trained_with_every_seed_and_has_a_row(tmp_path, trained, digits):
    rows = go(TINY, tmp_path)
    assert [name for name, _ in trained] == [
        *("narrow-seed0", "wide-seed0", "narrow-seed1", "wide-seed1"),
    ]
    assert [config for _, config in trained] == [
        TINY.config(label, seed) for seed in (0, 1) for label in ("narrow", "wide")
    ]
    assert {(row["run"], row["variant"], row["seed"]) for row in rows} == {
        (f"{label}-seed{seed}", label, seed) for label in ("narrow", "wide") for seed in (0, 1)
    }
    (row,) = (row for row in rows if row["run"] == "wide-seed1")
    assert tuple(row) == RUN_COLUMNS
    assert (row["validation_accuracy"], row["validation_loss"], row["train_accuracy"]) == (
        *(0.541, 1.0, 0.4),
    )
    assert (row["dataset"], row["train_images"]) == ("digits (scikit-learn)", 96)
    assert row["fingerprint"] == digits.subset(96).fingerprint[:12]
    assert json.loads(row["settings"]) == {
        **{"dataset": "digits", "epochs": 2, "train_images": 96, "precision": "float32"},
        **{"learning_rate": 0.05, "weight_decay": 0.005, "batch_size": 32},
        "model_options": {"depth": 1, "stages": 1, "width": 4},
    }
    assert row["failure"] == ""
    assert list((tmp_path / "models").iterdir()) == []


def test_a_finished_study_trains_nothing_and_more_seeds_are_added(tmp_path, trained, monkeypatch):
    first = go(TINY, tmp_path)
    written = (tmp_path / "study/runs.csv").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(experiments, "load_data", None)  # neither are data loaded
        assert go(TINY, tmp_path) == first
    assert (tmp_path / "study/runs.csv").read_bytes() == written
    more = dataclasses.replace(TINY, seeds=(1, 2))
    rows = go(more, tmp_path)
    assert [name for name, _ in trained[4:]] == ["narrow-seed2", "wide-seed2"]
    assert len(rows) == 6
    assert [row for row in rows if row["seed"] < 2] == first


@pytest.mark.parametrize("lost", [pytest.param((), marks=pytest.mark.slow), ("study.json",)])
def test_findings_are_of_the_studies_as_they_were_run(lost, tmp_path, trained, monkeypatch, capsys):
    """Without the file that says so, only the data set may differ from the named study."""
    monkeypatch.chdir(tmp_path)
    changes = () if lost else ("--epochs", "2", "--train-images", "96", "--data-dir", "elsewhere")
    asked = ("sweep", "activation", "--dataset", "digits", "--quiet", *changes)
    assert main([*asked, "--seeds", "0", "1"]) == 0
    study = Path("reports/studies/digits-activation")
    for name in lost:
        (study / name).unlink()
    capsys.readouterr()
    assert main(["findings", "--dataset", "digits", "--json"]) == 0
    (effect,) = json.loads(capsys.readouterr().out)["effects"]
    assert {row["variant"] for row in effect["variants"]} == {*find_study("activation").variants}
    assert "(studies/digits-activation/report.md)" in Path("reports/findings.md").read_text()


def test_a_study_that_is_refused_leaves_the_one_of_the_table(tmp_path, trained):
    go(TINY, tmp_path)
    with pytest.raises(InputError, match="had the settings"):
        go(TINY.with_base(epochs=3), tmp_path)
    assert find_study(tmp_path / "study/study.json") == TINY


def test_a_study_whose_first_run_is_refused_leaves_no_trace(tmp_path):
    (tmp_path / "models").touch()
    with pytest.raises(InputError, match=r"models.*: cannot be written"):
        run_study(TINY, tmp_path / "study", tmp_path / "models", progress=False)
    assert not (tmp_path / "study").exists()


def test_a_function_of_your_own_is_declared_by_its_name(tmp_path, trained):
    go(TINY.with_base(model=build_custom_cnn), tmp_path)
    declared = find_study(tmp_path / "study/study.json")
    assert declared.base["model"] == "cnn_cifar10.architectures.custom:build_custom_cnn"


def test_a_run_whose_validation_is_no_number_has_a_row_that_is_read_again(
    tmp_path, trained, monkeypatch
):
    def history(run, read=Run.history):
        found = read(run)
        return found | {"val_loss": [0.2, math.nan]} if run.path.name == "wide-seed0" else found

    monkeypatch.setattr(Run, "history", history)
    rows = {row["run"]: row for row in go(TINY, tmp_path)}
    assert rows["wide-seed0"]["failure"] == "the validation loss became nan in the last epoch"
    assert rows["wide-seed0"]["validation_accuracy"] is None
    assert rows["wide-seed1"]["failure"] == ""
    assert {row["run"]: row for row in go(TINY, tmp_path)} == rows


def test_runs_stay_where_that_is_asked_for(tmp_path, trained):
    go(TINY, tmp_path, keep=True)
    assert len(list((tmp_path / "models").glob("*/run.json"))) == 4


def test_a_finished_run_whose_row_was_lost_is_not_trained_again(tmp_path, trained):
    rows = go(TINY, tmp_path, keep=True)
    (tmp_path / "study/runs.csv").unlink()
    assert go(TINY, tmp_path, keep=True) == rows
    assert len(trained) == 4


def test_a_run_without_a_number_is_recorded_once_and_the_others_go_on(tmp_path):
    study = dataclasses.replace(
        TINY,
        variants={"diverging": {"learning_rate": 1e30}, "narrow": TINY.variants["narrow"]},
        seeds=(0,),
    )
    rows = {row["variant"]: row for row in go(study, tmp_path, keep=True)}
    failed, narrow = rows["diverging"], rows["narrow"]
    assert failed["validation_accuracy"] is None
    assert failed["failure"].startswith("the loss became nan in epoch 1, for the second time")
    assert (failed["train_images"], failed["model"], failed["epochs"]) == (96, "custom_cnn", None)
    assert narrow["failure"] == ""
    kept = Run(tmp_path / "models/narrow-seed0")
    assert kept.config() == study.config("narrow", 0)
    assert narrow["validation_accuracy"] == pytest.approx(
        kept.history()["val_accuracy"][-1], abs=1e-4
    )
    assert (narrow["epochs"], narrow["precision"]) == (2, "float32")
    assert narrow["parameters"] == kept.load_model().count_params()
    before = (tmp_path / "study/runs.csv").read_bytes()
    go(study, tmp_path)
    assert (tmp_path / "study/runs.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("variant", "message"),
    [
        ({"model_options": {"widths": 4}}, "custom_cnn has no option 'widths'"),
        ({"model_options": {"stages": 9}}, "stages"),
        ({"augment": "blur"}, "no augmentation is named 'blur'"),
        ({"model": "no_such_net"}, "no model is named 'no_such_net'"),
    ],
)
def test_a_variant_that_cannot_be_trained_stops_a_study_before_its_runs(
    tmp_path, trained, variant, message
):
    study = dataclasses.replace(TINY, variants={**TINY.variants, "broken": variant})
    with pytest.raises(InputError, match=message):
        go(study, tmp_path)
    assert trained == []
    assert not (tmp_path / "study/runs.csv").exists()


def test_runs_of_other_settings_or_data_are_not_mixed(tmp_path, trained, digits, monkeypatch):
    go(TINY, tmp_path)
    table = tmp_path / "study/runs.csv"
    longer = TINY.with_base(epochs=3)
    with pytest.raises(InputError) as raised:
        go(longer, tmp_path)
    assert str(raised.value).startswith(f"{table}: narrow-seed0 had the settings {{")
    assert "choose another --output" in str(raised.value)

    few = Split(digits.train.images[:90], digits.train.labels[:90])
    other = dataclasses.replace(digits, train=few)
    monkeypatch.setattr(experiments, "load_data", lambda config: other)
    with pytest.raises(InputError) as raised:
        go(dataclasses.replace(TINY, seeds=(2,)), tmp_path)
    assert str(raised.value).startswith(f"{table}: the data changed since 'narrow' was run")
    assert len(trained) == 4


def test_variants_are_compared_on_the_same_data(tmp_path, trained, digits, monkeypatch):
    first, *_ = TINY.variants
    go(dataclasses.replace(TINY, variants={first: TINY.variants[first]}), tmp_path)
    done = len(trained)
    few = Split(digits.train.images[:90], digits.train.labels[:90])
    other = dataclasses.replace(digits, train=few)
    monkeypatch.setattr(experiments, "load_data", lambda config: other)
    with pytest.raises(InputError, match=f"the data changed since '{first}' was run"):
        go(TINY, tmp_path)
    assert len(trained) == done


def test_rows_of_other_variants_are_left_alone(tmp_path, trained):
    go(TINY, tmp_path)
    fewer = dataclasses.replace(TINY, variants={"narrow": TINY.variants["narrow"]})
    assert {row["variant"] for row in read_runs(fewer, tmp_path / "study/runs.csv")} == {"narrow"}
    assert len(go(TINY, tmp_path)) == len(trained) == 4
    assert read_runs(TINY, tmp_path / "absent.csv") == []


def test_one_process_at_a_time_runs_a_study(tmp_path, trained):
    (tmp_path / "study").mkdir()
    with (
        filelock.FileLock(tmp_path / "study/.sweep.lock"),
        pytest.raises(InputError, match="study: this study is run by another process"),
    ):
        go(TINY, tmp_path)
    assert trained == []


def test_the_bar_counts_runs_and_names_the_present_one(tmp_path, trained, capsys, monkeypatch):
    go(TINY, tmp_path)
    more = dataclasses.replace(TINY, seeds=(0, 1, 2))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    run_study(more, tmp_path / "study", tmp_path / "models")
    bar = capsys.readouterr().err.split("\r")
    assert any(state.startswith("narrow-seed2:") and "4/6" in state for state in bar)
    assert bar[-1].startswith("wide-seed2: 100%")
    assert "6/6" in bar[-1]


def test_without_a_terminal_there_is_a_line_for_each_run(tmp_path, trained, capsys):
    go(TINY, tmp_path)
    assert capsys.readouterr().err == ""
    more = dataclasses.replace(TINY, seeds=(0, 1, 2))
    run_study(more, tmp_path / "study", tmp_path / "models")
    assert capsys.readouterr().err == "5/6 narrow-seed2: 52.20%\n6/6 wide-seed2: 54.20%\n"


def test_a_table_with_fewer_columns_is_read(tmp_path, trained):
    rows = go(TINY, tmp_path)
    few = ("run", "variant", "seed", "dataset", "hardware", "validation_accuracy")
    table = tmp_path / "few.csv"
    write_csv(table, few, [[row[column] for column in few] for row in rows])
    old = read_runs(TINY, table)
    assert [row["validation_accuracy"] for row in old] == [0.52, 0.54, 0.521, 0.541]
    assert {row["settings"] for row in old} <= {None, ""}
    page = write_study(TINY, old, tmp_path / "page")
    assert page["answer"].startswith("Compared with narrow")


def test_tracing_anew_is_no_cause_for_warnings(tmp_path, trained, monkeypatch):
    logger, heard = logging.getLogger("tensorflow"), []
    handler = logging.Handler()
    handler.emit = lambda record: heard.append(record.getMessage())
    load = experiments.load_data

    def warn(config):
        logger.warning("5 out of the last 5 calls to %s triggered tf.function retracing.", "f")
        logger.warning("something else")
        return load(config)

    monkeypatch.setattr(experiments, "load_data", warn)
    logger.addHandler(handler)
    try:
        go(TINY, tmp_path)
        logger.warning("calls triggered tf.function retracing outside")
    finally:
        logger.removeHandler(handler)
    assert heard == ["something else", "calls triggered tf.function retracing outside"]


def test_keras_forgets_each_run(tmp_path, trained, monkeypatch):
    cleared = []
    monkeypatch.setattr(keras.utils, "clear_session", lambda: cleared.append(len(trained)))
    go(TINY, tmp_path)
    assert cleared == [1, 2, 3, 4]


def rows_of(table):
    with open(table, newline="") as file:
        return {row["run"]: row for row in csv.DictReader(file)}


def wait_for(condition, process):
    limit = time.monotonic() + 240
    while not condition():
        assert process.poll() is None, "ended before it could be killed"
        assert time.monotonic() < limit
        time.sleep(0.01)


@pytest.mark.slow
def test_killed_in_the_middle_of_a_run_a_study_goes_on_there(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    declared = dataclasses.asdict(TINY) | {"seeds": [5]}
    declared["base"] |= {"train_images": 1200, "epochs": 12}
    declared["variants"] |= {"wider": {"model_options": {"width": 6}}}
    Path("tiny.json").write_text(json.dumps(declared))
    sweep = ["sweep", "tiny.json", "--keep", "--quiet"]
    study, models = Path("reports/studies/digits-tiny"), Path("models/sweeps/digits-tiny")
    process = subprocess.Popen(
        [sys.executable, "-m", "cnn_cifar10", *sweep],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    try:
        second = Run(models / "wide-seed5")
        wait_for(lambda: second.is_begun, process)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    first = rows_of(study / "runs.csv")
    assert list(first) == ["narrow-seed5"]
    epochs = Checkpoints(second.checkpoints_path).load().facts["history"]
    assert 1 <= len(epochs) < 12
    assert not second.is_finished

    assert main([*sweep, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    rows = rows_of(study / "runs.csv")
    assert list(rows) == ["narrow-seed5", "wide-seed5", "wider-seed5"]
    assert rows["narrow-seed5"] == first["narrow-seed5"]
    assert all(float(row["validation_accuracy"]) > 0 for row in rows.values())
    # The epochs before it was killed, with the seconds they took, are the run's first.
    seconds = second.history()["seconds"]
    assert seconds[: len(epochs)] == [epoch["seconds"] for epoch in epochs]
    assert len(seconds) == 12
    assert [row["run"] for row in document["runs"]] == list(rows)
    assert (study / "report.md").exists()


class TestParts:
    def test_each_run_belongs_to_one_part_and_all_come_into_one_table(self, tmp_path, trained):
        for part in (3, 1, 2):
            rows = go(TINY, tmp_path, shard=(part, 3))
        names = [name for name, _ in trained]
        assert names == ["narrow-seed1", "narrow-seed0", "wide-seed1", "wide-seed0"]
        assert sorted(row["run"] for row in rows) == sorted(names)
        assert go(TINY, tmp_path) == rows  # nothing is left
        assert len(trained) == 4

    def test_parts_run_at_the_same_time_but_one_part_only_once(self, tmp_path, trained):
        lock = tmp_path / "study" / ".sweep-2-4.lock"
        lock.parent.mkdir()
        with filelock.FileLock(lock):
            assert [row["run"] for row in go(TINY, tmp_path, shard=(1, 4))] == ["narrow-seed0"]
            with pytest.raises(InputError, match="part 2/4 is run by another process"):
                go(TINY, tmp_path, shard=(2, 4))

    def test_a_part_leaves_what_others_write(self, tmp_path, trained):
        part = tmp_path / "study" / ".part1.report.md"
        part.parent.mkdir()
        part.touch()
        go(TINY, tmp_path, shard=(1, 4))
        assert part.exists()

    @pytest.mark.parametrize("text", ["0/4", "5/4", "2", "a/b"])
    def test_a_part_that_there_is_not_is_refused(self, capsys, text):
        with pytest.raises(SystemExit):
            main(["sweep", "activation", "--shard", text])
        assert f"must be 1/8 to 8/8, of 8 parts, received '{text}'" in capsys.readouterr().err

    def test_a_part_that_ends_before_others_writes_no_page(
        self, tmp_path, monkeypatch, trained, capsys
    ):
        monkeypatch.chdir(tmp_path)
        Path("tiny.json").write_text(json.dumps(dataclasses.asdict(TINY)))
        common = ["sweep", "tiny.json", "--output", "study", "--quiet", "--shard"]
        assert main([*common, "1/2"]) == 0
        assert "part 1/2 is done; 2 of 4 runs are done" in capsys.readouterr().out
        assert not Path("study/report.md").exists()
        assert main([*common, "2/2"]) == 0
        assert Path("study/report.md").exists()

    def test_runs_of_other_seeds_do_not_stand_for_those_that_are_asked_for(
        self, tmp_path, monkeypatch, trained, capsys
    ):
        monkeypatch.chdir(tmp_path)
        Path("tiny.json").write_text(json.dumps(dataclasses.asdict(TINY)))
        common = ["sweep", "tiny.json", "--output", "study", "--quiet"]
        assert main(common) == 0
        Path("study/report.md").unlink()
        assert main([*common, "--seeds", "7", "8", "--shard", "1/2"]) == 0
        assert "part 1/2 is done; 2 of 4 runs are done" in capsys.readouterr().out
        assert not Path("study/report.md").exists()

    @pytest.mark.parametrize(
        ("running", "asked", "message"),
        [
            (".sweep.lock", (3, 8), "study: this study is run by another process"),
            (".sweep-3-8.lock", (1, 1), "study: part 3/8 is run by another process"),
            (".sweep-1-2.lock", (2, 8), "study: part 1/2 is run by another process"),
        ],
    )
    def test_what_has_the_same_runs_is_refused_while_it_runs(
        self, running, asked, message, tmp_path, trained, monkeypatch
    ):
        monkeypatch.setattr("cnn_cifar10.utils.locks.PATIENCE", 0.2)
        lock = tmp_path / "study" / running
        lock.parent.mkdir()
        with filelock.FileLock(lock), pytest.raises(InputError, match=message):
            go(TINY, tmp_path, shard=asked)
        assert trained == []
        go(TINY, tmp_path, shard=asked)

    def test_parts_that_start_together_wait_for_each_other(self, tmp_path):
        """Each makes sure for a moment that nobody runs the whole study."""
        whole = filelock.FileLock(tmp_path / ".sweep.lock", thread_local=False)
        whole.acquire()
        threading.Timer(0.3, whole.release).start()
        with running_study(tmp_path, (1, 2)):
            assert not whole.is_locked
