"""Range test: where the loss falls, what is suggested, and that nothing is kept."""

import importlib.util
import json

import numpy as np
import pytest

from cnn_cifar10.configs import OPTIMIZERS, make_config
from cnn_cifar10.training import find_learning_rate
from cnn_cifar10.training.lr_find import read_range_test
from cnn_cifar10.utils import InputError

RATES = np.geomspace(1e-5, 1, 100)
SMALL = {"dataset": "digits", "model_options": {"width": 8, "depth": 1}, "batch_size": 64}


def falling(at, lowest, noise=0.0):
    """Losses that fall fastest at one learning rate, and rise again from another on."""
    place = np.log10(RATES)
    losses = 2.3 - 2 / (1 + np.exp(-4 * (place - np.log10(at))))
    losses += np.exp(3 * (place - np.log10(lowest)))
    return losses + np.random.default_rng(0).normal(0, noise, len(RATES))


@pytest.mark.parametrize(
    ("at", "lowest", "noise"), [(1e-3, 0.1, 0), (1e-4, 1e-2, 0.1), (3e-3, 0.5, 0.05)]
)
def test_the_suggestion_is_between_the_steepest_and_the_lowest(at, lowest, noise):
    found = read_range_test(RATES.tolist(), falling(at, lowest, noise).tolist())
    assert at < found.suggestion < RATES[np.argmin(found.smoothed)] / 1.5
    assert len(found.smoothed) == len(found.losses) == len(found.learning_rates)
    assert np.std(np.diff(found.smoothed)) < np.std(np.diff(found.losses)) or not noise


@pytest.mark.parametrize("losses", [np.linspace(1, 3, 100), np.full(100, 2.0), np.empty(0)])
def test_a_loss_that_never_falls_is_an_error(losses):
    with pytest.raises(InputError, match="does not fall at any learning rate"):
        read_range_test(RATES[: len(losses)].tolist(), losses.tolist())


@pytest.mark.parametrize(
    "optimizer",
    ["sgd", *(pytest.param(name, marks=pytest.mark.slow) for name in ("adamw", "muon"))],
)
def test_learning_rates_rise_around_the_optimizers_own_until_the_loss_diverges(
    optimizer, digits, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    config = make_config(**SMALL, optimizer=optimizer)
    found = find_learning_rate(config, digits, verbose=0)
    usual = OPTIMIZERS[optimizer].learning_rate
    assert found.learning_rates[0] == pytest.approx(usual / 1000)
    ratios = np.divide(found.learning_rates[1:], found.learning_rates[:-1])
    assert ratios == pytest.approx(ratios[0])
    assert len(found.losses) <= 100
    assert max(found.losses) <= 4 * min(found.losses)
    lowest = found.learning_rates[np.argmin(found.smoothed)]
    assert usual / 20 < found.suggestion < lowest
    assert not list(tmp_path.iterdir())  # nothing is kept


def test_it_is_of_the_data_and_the_seed_alone(digits):
    config = make_config(**SMALL)
    first, second = (find_learning_rate(config, digits, steps=30, verbose=0) for _ in range(2))
    assert first.losses == pytest.approx(second.losses, rel=1e-3)


@pytest.mark.slow
def test_the_weights_that_it_starts_from_are_untouched(digits_run, digits):
    before = digits_run.model_path.read_bytes()
    config = make_config(**SMALL, start=str(digits_run.path))
    found = find_learning_rate(config, digits, steps=40, verbose=0)
    new = find_learning_rate(make_config(**SMALL), digits, steps=20, verbose=0)
    assert found.losses[0] < new.losses[0] - 0.2  # of a network that has seen digits
    assert digits_run.model_path.read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends_find_the_same(backend, run_program, quick_jax, digits):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"needs {backend}")
    environment = {**quick_jax, "KERAS_BACKEND": backend}
    other = json.loads(run_program("finds_learning_rate.py", **environment).splitlines()[-1])
    here = find_learning_rate(make_config(**SMALL, augment="none"), digits, steps=40, verbose=0)
    assert other["learning_rates"][:30] == pytest.approx(here.learning_rates[:30])
    assert other["losses"][:10] == pytest.approx(here.losses[:10], rel=0.2)  # other first weights
    assert min(other["losses"]) < 0.9 * other["losses"][0]
