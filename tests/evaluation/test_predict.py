"""Test-time augmentation: the numbers of its six views."""

import keras
import numpy as np
import pytest

from cnn_cifar10.evaluation import with_test_time_augmentation


@pytest.mark.parametrize("shape", [(5, 7, 3), (None, None, 3)])
def test_six_views_are_averaged_as_logits(shape):
    keras.utils.set_random_seed(0)
    pixels = keras.Input(shape)
    x = keras.layers.Conv2D(8, 3, strides=2, activation="relu")(pixels)
    x = keras.layers.GlobalMaxPooling2D()(x)
    model = keras.Model(pixels, keras.layers.Dense(4, activation="softmax")(x))
    images = np.random.default_rng(0).random((6, 5, 7, 3), "float32")

    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    up_and_left, down_and_right = padded[:, 2:, 2:], padded[:, :-2, :-2]
    views = [images, images, up_and_left, down_and_right]  # the unshifted one counts twice
    views += [view[:, :, ::-1] for view in views]
    expected = np.exp(np.mean([np.log(model.predict_on_batch(view)) for view in views], axis=0))
    expected /= expected.sum(axis=1, keepdims=True)

    found = with_test_time_augmentation(model).predict_on_batch(images)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert np.abs(found - model.predict_on_batch(images)).max() > 1e-3
