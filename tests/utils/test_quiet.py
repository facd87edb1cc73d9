"""What TensorFlow writes while it is imported: its log is kept back, its errors are not."""

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cnn_cifar10.utils import quiet_tensorflow

PROGRAM = Path(__file__).parent / "programs" / "imports_tensorflow.py"
KEPT = [
    "a line of another form",
    "F0000 00:00:1795725614.637613   21378 cpu_feature_guard.cc:227] needs AVX instructions",
    "a line of Python",
]


@pytest.fixture
def imports_tensorflow(monkeypatch):
    """A function that imports the stand-in for TensorFlow, and returns the finished process."""
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)

    def start(**environment):
        return subprocess.run(
            [sys.executable, PROGRAM],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **environment},
            capture_output=True,
            text=True,
            timeout=60,
        )

    return start


def test_the_log_is_kept_back_during_the_import_alone(imports_tensorflow):
    done = imports_tensorflow()
    assert done.stdout == "6 3\n"
    assert done.stderr.splitlines() == [*KEPT, "I0000 00:00:1 1 after.cc:1] written later"]


def test_an_error_is_shown_as_ever(imports_tensorflow):
    done = imports_tensorflow(FAULT="error")
    assert done.returncode == 1
    assert done.stderr.splitlines()[:3] == KEPT
    assert "Traceback (most recent call last)" in done.stderr
    assert done.stderr.endswith("ImportError: a broken installation\n")


def test_a_crash_shows_what_was_written_before(imports_tensorflow):
    done = imports_tensorflow(FAULT="crash")
    assert done.returncode == -signal.SIGABRT
    assert done.stderr.splitlines()[:3] == KEPT


def test_who_asks_for_the_log_gets_it(imports_tensorflow):
    done = imports_tensorflow(TF_CPP_MIN_LOG_LEVEL="0")
    assert "oneDNN custom operations are on" in done.stderr
    assert done.stdout == "6 0\n"


def test_several_models_are_no_reason_for_a_warning(caplog):
    logger = logging.getLogger("tensorflow")
    quiet_tensorflow()
    logger.warning("5 out of the last 11 calls to <f> triggered tf.function retracing. Tracing is")
    logger.warning("something else")
    assert [record.message for record in caplog.records] == ["something else"]
