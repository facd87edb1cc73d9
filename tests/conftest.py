"""What every test file shares: quiet TensorFlow, the data sets, one trained run."""

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest

from cnn_cifar10.configs import make_config


@pytest.fixture(scope="session")
def cifar10_dir():
    """The folder of a CIFAR-10 copy; tests that need one are skipped where there is none."""
    named = os.environ.get("CNN_CIFAR10_DATA")
    if not named:
        pytest.skip("needs CIFAR-10: set CNN_CIFAR10_DATA to its folder or archive")
    return Path(named)


@pytest.fixture(scope="session")
def digits():
    from cnn_cifar10.datasets import load_dataset

    return load_dataset("digits")


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory, digits):
    """A small model trained on digits for two epochs."""
    from cnn_cifar10.training import train

    config = make_config(
        dataset="digits",
        epochs=2,
        augment="crop",
        learning_rate=0.05,
        model_options={"width": 8, "depth": 1},
    )
    path = tmp_path_factory.mktemp("models") / config.name
    return train(config, path, dataset=digits, verbose=0)
