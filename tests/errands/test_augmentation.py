"""An augmentation of one's own is one class."""

from dataclasses import dataclass

import numpy as np
import pytest
from keras import ops

from cnn_cifar10.cli import main
from cnn_cifar10.pipelines import AUGMENTATIONS, Augmentation, register, training_batches
from cnn_cifar10.training import Run


@pytest.fixture
def negative(monkeypatch):
    """Declares an augmentation, for the length of a test."""
    monkeypatch.setattr("cnn_cifar10.pipelines.augmentation.AUGMENTATIONS", AUGMENTATIONS)
    before = dict(AUGMENTATIONS)

    @register("negative")
    @register("half_negative", share=0.5)
    @dataclass(frozen=True)
    class Negative(Augmentation):
        """Invert a share of the images."""

        share: float = 1.0

        def draw(self, rng, count, image_shape):
            return {"invert": rng.random(count) < self.share}

        def transform(self, images, invert):
            return ops.where(invert[:, None, None, None], 255 - images, images)

    yield Negative
    AUGMENTATIONS.clear()
    AUGMENTATIONS.update(before)


def test_it_is_listed_and_trained_with(negative, tmp_path, digits, capsys):
    assert main(["augmentations"]) == 0
    listed = capsys.readouterr().out
    assert "negative " in listed
    assert "Invert a share of the images." in listed
    assert "half_negative " in listed

    batches = training_batches(digits.train, 10, batch_size=8, augment="negative", seed=0)
    plain = training_batches(digits.train, 10, batch_size=8, augment="none", seed=0)
    inverted, images = (np.asarray(next(iter(each))[0]) for each in (batches, plain))
    np.testing.assert_array_equal(inverted, 255 - images)

    arguments = ["--dataset", "digits", "--augment", "crop+half_negative", "--epochs", "1"]
    places = [f"--{name}={tmp_path / name}" for name in ("output", "report")]
    small = ["--model-options", "width=4", "depth=1", f"--results={tmp_path / 'results.csv'}"]
    assert main(["train", *arguments, *small, *places, "--quiet"]) == 0
    assert Run(tmp_path / "output").config().augment == "crop+half_negative"
    assert "half_negative" in (tmp_path / "report" / "report.md").read_text()


def test_a_name_that_is_not_there_is_refused(capsys):
    assert main(["train", "--dataset", "digits", "--augment", "negative"]) == 2
    assert "no augmentation is named 'negative': join some of crop," in capsys.readouterr().err
