"""Several devices: the same training as on one, for virtual devices of a processor."""

import json

import pytest

from cnn_cifar10.training import distribution
from cnn_cifar10.training.distribution import find_devices
from cnn_cifar10.utils import InputError


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
    flags = f"{quick_jax['XLA_FLAGS']} --xla_force_host_platform_device_count=4"
    environment = {**quick_jax, "XLA_FLAGS": flags}
    printed = run_program("trains_on_devices.py", tmp_path, "2,4", **environment)
    found = check(printed, "2", "4", "parts", "compiled")
    assert found["compiled"]["devices"] == 4
    assert found["4"]["steps"] >= 50


@pytest.mark.slow
def test_mirrored_devices_of_tensorflow_train_what_one_trains(tmp_path, run_program):
    printed = run_program("trains_on_devices.py", tmp_path, 2, KERAS_BACKEND="tensorflow")
    assert check(printed, "2", "parts")["2"]["steps"] >= 50
