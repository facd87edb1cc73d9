import io
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cnn_cifar10.evaluation.robustness import CORRUPTIONS, SEVERITIES, corrupt
from cnn_cifar10.utils import InputError

EACH = pytest.mark.parametrize("corruption", CORRUPTIONS)


@pytest.fixture(scope="module")
def photos(crops):
    return crops.astype("uint8")


def difference(photos, corrupted):
    return float(np.mean((photos.astype("float64") - corrupted) ** 2))


@EACH
def test_every_severity_changes_pictures_more_than_the_one_before(corruption, photos):
    changes = [difference(photos, corrupt(photos, corruption, s)) for s in SEVERITIES]
    assert changes[0] == 0
    assert all(a < b for a, b in itertools.pairwise(changes)), changes


@EACH
def test_pictures_keep_their_shape_dtype_and_number(corruption, photos):
    before = photos.copy()
    pictures = photos[:3, :, :20]  # no square
    corrupted = corrupt(pictures, corruption, 5)
    assert corrupted.shape == (3, 32, 20, 3)
    assert corrupted.dtype == np.uint8
    np.testing.assert_array_equal(photos, before)


@EACH
def test_pictures_of_a_batch_are_corrupted_by_themselves(corruption, photos):
    together = corrupt(photos[:4], corruption, 4)
    np.testing.assert_array_equal(corrupt(photos[:1], corruption, 4), together[:1])
    if corruption != "gaussian_noise":
        np.testing.assert_array_equal(corrupt(photos[2:3], corruption, 4), together[2:3])


def test_noise_depends_on_the_seed_alone(photos):
    first, again, other = (corrupt(photos, "gaussian_noise", 3, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.9


def test_noise_has_the_published_deviation():
    grey = np.full((20, 32, 32, 3), 128, "uint8")
    noise = corrupt(grey, "gaussian_noise", 5).astype("float64") - 128
    assert noise.mean() == pytest.approx(0, abs=0.3)
    assert noise.std() == pytest.approx(0.10 * 255, rel=0.02)


def test_blur_and_pixelation_keep_even_pictures_and_grow_with_the_picture(photos):
    even = np.full((1, 32, 32, 3), (10, 200, 90), "uint8")
    np.testing.assert_array_equal(corrupt(even, "gaussian_blur", 5), even)
    np.testing.assert_array_equal(corrupt(even, "pixelate", 5), even)
    edge = np.zeros((1, 64, 64, 3), "uint8")
    edge[:, :, 32:] = 255
    small = corrupt(edge[:, ::2, ::2], "gaussian_blur", 5)[0, 16, :, 0]
    large = corrupt(edge, "gaussian_blur", 5)[0, 32, :, 0]
    np.testing.assert_allclose(small, large.reshape(32, 2).mean(axis=1), atol=3)


def test_contrast_shrinks_around_the_mean_by_hand():
    picture = np.array([0, 0, 200, 200], "uint8").reshape(1, 2, 2, 1).repeat(3, axis=3)
    expected = np.array([50, 50, 150, 150]).reshape(1, 2, 2, 1).repeat(3, axis=3)
    np.testing.assert_array_equal(corrupt(picture, "contrast", 2), expected)


def test_brightness_adds_to_the_value_of_hsv_by_hand():
    pixels = np.array([[[100, 50, 0], [0, 0, 0]], [[250, 125, 250], [255, 255, 255]]], "uint8")
    lighter = corrupt(pixels[None], "brightness", 4)[0]  # by 51
    assert lighter.tolist() == [[[151, 76, 0], [51, 51, 51]], [[255, 128, 255], [255, 255, 255]]]


def test_jpeg_is_what_pillow_makes_of_a_picture(photos):
    file = io.BytesIO()
    Image.fromarray(photos[0]).save(file, "JPEG", quality=40)
    np.testing.assert_array_equal(corrupt(photos[:1], "jpeg", 5)[0], np.asarray(Image.open(file)))


@settings(max_examples=25)
@given(
    st.sampled_from(sorted(CORRUPTIONS)),
    st.sampled_from(SEVERITIES),
    st.tuples(st.integers(1, 3), st.integers(4, 40), st.integers(4, 40)),
)
def test_any_picture_can_be_corrupted_again_the_same_way(corruption, severity, shape):
    pictures = np.random.default_rng(0).integers(0, 256, (*shape, 3), "uint8")
    corrupted = corrupt(pictures, corruption, severity)
    assert corrupted.shape == pictures.shape
    np.testing.assert_array_equal(corrupted, corrupt(pictures, corruption, severity))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fog", 1), "no corruption is named 'fog': choose from gaussian_noise, "),
        (("jpeg", 6), "severity must be one of 0 to 5, received 6"),
        (("jpeg", 0.5), "received 0.5"),
    ],
)
def test_unknown_corruptions_and_severities_are_refused(arguments, message, photos):
    with pytest.raises(InputError, match=message):
        corrupt(photos, *arguments)


@pytest.mark.parametrize(
    "images",
    [np.zeros((2, 8, 8, 3)), np.zeros((8, 8, 3), "uint8"), np.zeros((2, 8, 8, 1), "uint8")],
)
def test_other_images_are_refused(images):
    with pytest.raises(InputError, match="must be uint8 of shape"):
        corrupt(images, "contrast", 1)
