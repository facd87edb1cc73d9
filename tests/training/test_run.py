"""Runs on disk: every changed byte is noticed, and what another file holds is taken from there."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from cnn_cifar10.configs import TrainingConfig
from cnn_cifar10.training import Run
from cnn_cifar10.training.checkpoint import Checkpoints, State
from cnn_cifar10.training.run import RunError

READS = {"run.json": Run.facts, "history.csv": Run.history, "model.keras": Run.load_model}


@pytest.fixture
def run(digits_run, tmp_path):
    return Run(shutil.copytree(digits_run.path, tmp_path / "run"))


def damaged(path):
    """Write a file with one changed byte, in many places, then cut off in some."""
    whole = path.read_bytes()
    for position in np.random.default_rng(0).integers(0, len(whole), 60):
        changed = bytearray(whole)
        changed[position] ^= 1 << (position % 8)
        path.write_bytes(changed)
        yield
    for length in (0, 1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        yield
    path.write_bytes(whole)


@pytest.mark.parametrize("name", READS)
def test_every_changed_byte_of_a_finished_run_is_named_in_one_line(name, run):
    READS[name](run)
    for _ in damaged(run.path / name):
        with pytest.raises(RunError) as raised:
            READS[name](run)
        message = str(raised.value)
        assert message.startswith(f"{run.path / name}: damaged (")
        assert message.endswith("put back a copy, or train again with --overwrite")
        assert "\n" not in message
    READS[name](run)


def test_a_damaged_list_is_no_traceback(run):
    for _ in damaged(run.path / "SHA256SUMS"):
        for read in (Run.facts, Run.history):
            said = "SHA256SUMS"
            try:
                read(run)
            except RunError as error:
                said = str(error)
            assert "SHA256SUMS" in said


def test_what_else_is_damaged_is_taken_from_run_json(run, digits_run, caplog):
    config, run_id = digits_run.config(), digits_run.id
    for _ in damaged(run.config_path):
        assert run.config() == config
        assert TrainingConfig.from_dict(run.facts()["config"]) == config
    for _ in damaged(run.path / "id"):
        assert run.id == run_id
    run.config_path.write_text("{")
    assert run.config() == config
    assert f"{run.config_path}: damaged or changed; {run.facts_path} has what it was" in caplog.text
    run.mend()
    assert run.config_path.read_bytes() == digits_run.config_path.read_bytes()
    run.history_path.unlink()
    with pytest.raises(RunError, match=r"history\.csv: damaged"):
        run.mend()


def test_a_run_of_before_has_no_list_and_is_read(run, digits_run):
    (run.path / "SHA256SUMS").unlink()
    facts = run.facts()
    assert facts == digits_run.facts()
    run.facts_path.write_text(json.dumps({**facts, "seconds": 1}))
    assert run.facts()["seconds"] == 1
    assert run.history() == digits_run.history()
    assert run.config() == digits_run.config()
    run.history_path.write_text("loss\nhalf\n")
    with pytest.raises(RunError, match=r"history\.csv: damaged \(could not convert"):
        run.history()


def test_a_run_is_finished_once_all_of_it_is_there(tmp_path, run, monkeypatch):
    """Killed between its last two files it goes on as an unfinished one."""
    facts = run.facts()
    run.facts_path.unlink()
    monkeypatch.setattr("cnn_cifar10.training.run.write_json", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run.finish(facts)
    assert not run.is_finished
    assert "run.json" in (run.path / "SHA256SUMS").read_text()


def test_what_ends_a_run_that_begins_anew_leaves_no_id_of_the_one_before(run, monkeypatch):
    before = run.id
    assert run.begin(run.config(), overwrite=False) == before
    monkeypatch.setattr("cnn_cifar10.training.run.write_json", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run.begin(run.config(), overwrite=True)
    assert (run.is_finished, run.id) == (False, None)


def test_the_config_of_an_unfinished_run_is_its_states(tmp_path, caplog):
    run, config = Run(tmp_path), TrainingConfig(seed=3)
    run_id = run.begin(config, overwrite=False)
    checkpoints = Checkpoints(run.checkpoints_path)
    facts = {"config": config.to_dict(), "id": run_id}
    checkpoints.save(State(facts, [np.zeros(3)]))
    checkpoints.close()
    assert run.config() == config
    assert not caplog.text
    for text in ("", "{", json.dumps(dataclasses.replace(config, seed=4).to_dict())):
        run.config_path.write_text(text)
        assert run.config() == config
    assert "config.json: damaged or changed" in caplog.text
    (tmp_path / "id").write_text("0123")
    assert run.id is None
    assert run.begin(config, overwrite=False, known=run_id) == run_id
    assert run.id == run_id
