"""Commands that are told to end, as processes: their state, their code, their last line."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cnn_cifar10.cli import main
from cnn_cifar10.training import Run
from cnn_cifar10.training.checkpoint import Checkpoints

ROOT = Path(__file__).parents[2]
TRAIN = [
    *("train", "--dataset", "digits", "--epochs", "60", "--quiet", "--output", "run", "--no-test"),
    *("--model-options", "width=4", "depth=1", "stages=1"),
]
TUNE = [
    *("tune", "--dataset", "digits", "--name", "tiny", "--quiet", "--trials", "2"),
    *("--epochs", "60", "--early-stopping", "0"),
    *("--set", "stages=1", "depth=1", "width=2,4", "batch_size=32", "optimizer=sgd"),
]


def end(words, condition, number, folder):
    """Start a command, send it a signal once a condition holds, and return its code and error."""
    process = subprocess.Popen(
        [sys.executable, "-m", "cnn_cifar10", *words],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        limit = time.monotonic() + 240
        while not condition():
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < limit
            time.sleep(0.01)
        process.send_signal(number)
        _, error = process.communicate(timeout=120)
    finally:
        process.kill()
    return process.returncode, error


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_a_training_saves_its_steps_and_says_how_to_continue(number, code, word, tmp_path):
    run = Run(tmp_path / "run")
    ended = end([*TRAIN, "--save-every", "1e9"], run.history_path.exists, number, tmp_path)
    assert ended[0] == code
    last = ended[1].splitlines()[-1]
    assert last.startswith(f"cnn-cifar10: {word}; continue with: cnn-cifar10 train --dataset")
    facts = Checkpoints(run.checkpoints_path).load().facts
    assert len(facts["history"]) == len(run.history()["epoch"])
    assert "Traceback" not in ended[1]


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_search_condemns_no_trial_that_was_told_to_end(workers, tmp_path, monkeypatch, capsys):
    state = tmp_path / "models/searches/tiny"
    words = [*TUNE, "--workers", workers]
    begun = 0

    def goes_on():
        return any(Run(path / "run").newest_state > begun for path in state.glob("trial_*"))

    for number in (signal.SIGTERM, signal.SIGINT):
        code, error = end(words, goes_on, number, tmp_path)
        assert code in (130, 143), error
        assert "Traceback" not in error
        assert not list(state.glob("trial_*/run/starts.json"))
        assert not list(state.glob("trial_*/run/failure.txt"))
        begun = max(Run(path / "run").newest_state for path in state.glob("trial_*"))
    monkeypatch.chdir(tmp_path)
    assert main([*words, "--json"]) == 0
    assert '"status": "failed"' not in capsys.readouterr().out
