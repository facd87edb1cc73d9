"""Schedules of the learning rate."""

import numpy as np
import pytest

from cnn_cifar10.configs import make_config
from cnn_cifar10.training.schedules import OneCycle, build_schedule


def rates(schedule, config, steps=100):
    rate = build_schedule(make_config(schedule=schedule, **config), steps)
    return [float(rate(step)) for step in range(steps + 1)]


def test_step_falls_tenfold_twice():
    values = rates("step", {"learning_rate": 1.0})
    assert values[0] == values[50] == 1.0
    assert values[51] == values[75] == pytest.approx(0.1)
    assert values[76] == values[100] == pytest.approx(0.01)


@pytest.mark.parametrize("warmup", [0.0, 0.2])
def test_cosine_rises_then_falls_to_zero(warmup):
    values = rates("cosine", {"learning_rate": 0.4, "warmup": warmup})
    peak = int(100 * warmup)
    assert values[peak] == pytest.approx(0.4)
    assert all(np.diff(values[: peak + 1]) > 0)
    assert all(np.diff(values[peak:]) < 0)
    assert values[(peak + 100) // 2] == pytest.approx(0.2)
    assert values[100] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("warmup", [0.0, 0.2])
def test_one_cycle_is_two_lines(warmup):
    values = rates("one_cycle", {"learning_rate": 0.4, "warmup": warmup})
    peak = int(100 * warmup)
    assert max(values) == pytest.approx(0.4, rel=0.02)
    assert np.argmax(values) == peak
    assert values[(peak + 100) // 2] == pytest.approx(0.2)
    assert values[100] == 0.0
    copy = OneCycle.from_config(OneCycle(0.4, 100, 20).get_config())
    assert float(copy(60)) == pytest.approx(0.2)


@pytest.mark.parametrize("schedule", ["constant", "reduce_on_plateau"])
def test_other_schedules_start_at_the_rate_itself(schedule):
    assert build_schedule(make_config(schedule=schedule, learning_rate=0.3), 100) == 0.3
