"""Several devices: the same training as on one, for virtual devices of a processor."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cnn_cifar10.training import distribution, join_processes
from cnn_cifar10.training.distribution import find_devices
from cnn_cifar10.utils import InputError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def four(monkeypatch):
    monkeypatch.setattr(distribution, "_names", lambda: ("gpu:0", "gpu:1", "gpu:2", "gpu:3"))


@pytest.mark.parametrize(
    ("distribute", "batch", "count"),
    [("auto", 64, 4), ("auto", 6, 3), ("auto", 7, 1), ("none", 64, 1), (2, 64, 2), (1, 7, 1)],
)
def test_as_many_devices_share_a_batch_as_it_divides_into(four, distribute, batch, count):
    assert len(find_devices(distribute, batch).names) == count


def test_devices_that_are_left_out_are_named(four, caplog):
    find_devices("auto", 6)
    assert "batches of 6 images are not shared evenly by 4 devices: 3 are used" in caplog.text


@pytest.mark.parametrize(
    ("distribute", "batch", "message"),
    [
        (5, 64, "--distribute 5: Keras on tensorflow has 4 devices here (gpu:0, gpu:1, "),
        (3, 64, "batches of 64 images are not shared evenly; use --batch-size 63 or --distribute"),
        (4, 6, "use --batch-size 8 or --distribute 2"),
    ],
)
def test_what_cannot_be_shared_is_refused_with_what_can(four, distribute, batch, message):
    with pytest.raises(InputError) as caught:
        find_devices(distribute, batch)
    assert message in str(caught.value)


def check(printed, *names):
    found = json.loads(printed.splitlines()[-1])
    assert set(found) == set(names)
    for name, one in found.items():
        assert one["devices"] == (int(name) if name.isdecimal() else one["devices"]), name
        assert one["losses"] < 1e-5, name
        assert one["weights"] < 1e-5, name
    return found


@pytest.mark.slow
def test_devices_of_jax_train_what_one_trains(tmp_path, run_program, quick_jax):
    """With dropout, mixup, batch normalization, two interruptions, and compiled epochs."""
    # Devices wait for each other, on fewer cores than there are devices.
    more = "host_platform_device_count=4 --xla_cpu_collective_call_terminate_timeout_seconds=250"
    environment = {**quick_jax, "XLA_FLAGS": f"{quick_jax['XLA_FLAGS']} --xla_force_{more}"}
    environment["JAX_CPU_ENABLE_ASYNC_DISPATCH"] = "false"
    environment["NPROC"] = "16"  # threads of XLA: with too few, one may never come to a sum
    printed = run_program("trains_on_devices.py", tmp_path, "2,4", **environment)
    found = check(printed, "2", "4", "parts", "compiled")
    assert found["compiled"]["devices"] == 4
    assert found["4"]["steps"] >= 50


@pytest.mark.slow
def test_mirrored_devices_of_tensorflow_train_what_one_trains(tmp_path, run_program):
    # With one thread, normalization on one device sums in another order: 3e-5 in its own weights.
    environment = {"KERAS_BACKEND": "tensorflow", "TF_NUM_INTRAOP_THREADS": "2"}
    printed = run_program("trains_on_devices.py", tmp_path, 2, **environment)
    assert check(printed, "2", "parts")["2"]["steps"] >= 50
    assert json.loads(printed.splitlines()[-2])["variance"] < 1e-5


@pytest.fixture
def run_processes(quick_jax, tmp_path):
    """A function that trains in several processes, and returns what they leave and say."""
    program = Path(__file__).parent / "programs" / "trains_in_processes.py"

    def run_processes(output, count, how="steps", killed=None):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        shared = {**os.environ, **quick_jax, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
        if count > 1:
            shared["KERAS_DISTRIBUTION_JOB_ADDRESSES"] = f"127.0.0.1:{port}"
            shared["KERAS_DISTRIBUTION_NUM_PROCESSES"] = str(count)
        processes = [
            subprocess.Popen(
                [sys.executable, program, output, how, "30" if index == killed else "0"],
                env={**shared, "KERAS_DISTRIBUTION_PROCESS_ID": str(index)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for index in range(count)
        ]
        try:
            if killed is not None:
                processes[killed].communicate(timeout=300)
                for process in processes:
                    process.communicate(timeout=60)
            said = [process.communicate(timeout=300) for process in processes]
        finally:
            for process in processes:
                process.kill()
        codes = [process.returncode for process in processes]
        if killed is not None:
            return codes
        assert not any(codes), said
        (printed,) = (out for out, _ in said if "{" in out)
        return json.loads(printed[printed.index("{") :])

    return run_processes


def same(one, other, folders):
    """Assert that two trainings have the same losses and weights."""
    for name in ("loss", "val_loss"):
        assert other["history"][name] == pytest.approx(one["history"][name], rel=1e-5)
    expected, given = (np.load(folder / "weights.npy") for folder in folders)
    assert np.linalg.norm(given - expected) < 1e-5 * np.linalg.norm(expected)


@pytest.mark.slow
@pytest.mark.parametrize(("count", "how"), [(2, "compiled"), (4, "steps")])
def test_processes_train_what_one_trains(tmp_path, run_processes, count, how):
    one = run_processes(tmp_path / "one", 1)
    several = run_processes(tmp_path / "several", count, how)
    assert several["devices"] == count
    same(one, several, (tmp_path / "one", tmp_path / "several"))


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1])
def test_a_lost_process_ends_the_others_and_fewer_go_on(tmp_path, run_processes, killed):
    one = run_processes(tmp_path / "one", 1)
    codes = run_processes(tmp_path / "parts", 2, killed=killed)
    assert all(codes)
    rest = run_processes(tmp_path / "parts", 1)
    assert 52 - 30 <= rest["steps"] <= 52 - 28  # a state was saved after every step
    same(one, rest, (tmp_path / "one", tmp_path / "parts"))


@pytest.mark.parametrize(
    "environment",
    [
        {"KERAS_DISTRIBUTION_NUM_PROCESSES": "2"},
        {"SLURM_STEP_NUM_TASKS": "4"},
        {"TF_CONFIG": '{"cluster": {"worker": ["a:1", "b:1"]}}'},
    ],
)
def test_several_processes_of_tensorflow_are_refused_with_what_works(monkeypatch, environment):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with (
        pytest.raises(InputError, match=r"need KERAS_BACKEND=jax.*on one machine, TensorFlow"),
        join_processes(),
    ):
        pass


def test_one_process_joins_nobody(monkeypatch):
    monkeypatch.setenv("KERAS_DISTRIBUTION_NUM_PROCESSES", "1")
    with join_processes() as process:
        assert (process.index, process.count) == (0, 1)
        assert process.share({"a": b"b"}) == {"a": b"b"}


def test_a_variable_that_is_missing_is_named(monkeypatch):
    monkeypatch.setenv("KERAS_DISTRIBUTION_NUM_PROCESSES", "2")
    monkeypatch.setenv("KERAS_DISTRIBUTION_JOB_ADDRESSES", "127.0.0.1:1")
    monkeypatch.setattr("keras.backend.backend", lambda: "jax")
    with (
        pytest.raises(InputError, match="KERAS_DISTRIBUTION_PROCESS_ID is not set"),
        join_processes(),
    ):
        pass


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KERAS_DISTRIBUTION_NUM_PROCESSES", "two"),
        ("SLURM_STEP_NUM_TASKS", "-1"),
        ("TF_CONFIG", "{cluster}"),
        ("TF_CONFIG", "[]"),
    ],
)
def test_a_variable_of_another_kind_is_named_with_its_value(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=rf"{name} must .*{re.escape(value)}"), join_processes():
        pass
