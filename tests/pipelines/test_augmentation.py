"""Augmentation: exact pixels for given draws, right distributions, nothing else changed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from cnn_cifar10.pipelines import AUGMENTATIONS, Crop, Cutout, Flip, MixUp, Policy, get_policy
from cnn_cifar10.pipelines.augmentation import Color, CutMix, RandAugment, Rotation, Zoom
from cnn_cifar10.utils import InputError


def random_images(count=6, height=8, width=10, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype="uint8")


def apply(augmentation, images, **draws):
    return ops.convert_to_numpy(augmentation.transform(ops.convert_to_tensor(images), **draws))


def apply_batch(augmentation, images, labels, **draws):
    tensors = map(ops.convert_to_tensor, (images, labels))
    return tuple(map(ops.convert_to_numpy, augmentation.transform_batch(*tensors, **draws)))


@given(st.integers(-4, 4), st.integers(-4, 4))
@settings(max_examples=25)
def test_crop_is_a_window_of_the_reflected_image(down, right):
    images = random_images()
    padded = np.pad(images, ((0, 0), (4, 4), (4, 4), (0, 0)), mode="reflect")
    shifts = {"down": np.full(6, down, "int32"), "right": np.full(6, right, "int32")}
    expected = padded[:, 4 + down : 12 + down, 4 + right : 14 + right]
    np.testing.assert_array_equal(apply(Crop(), images, **shifts), expected)


def test_a_crop_with_a_border_as_wide_as_the_image_is_refused():
    with pytest.raises(InputError, match="a border of 4 pixels needs larger images than 4x9"):
        Crop().draw(np.random.default_rng(0), 2, (4, 9, 3))


def test_crop_shifts_every_image_by_its_own_amount():
    images = random_images(2)
    shifts = {"down": np.array([0, 1], "int32"), "right": np.array([0, -2], "int32")}
    cropped = apply(Crop(), images, **shifts)
    np.testing.assert_array_equal(cropped[0], images[0])
    np.testing.assert_array_equal(cropped[1, :7, 2:], images[1, 1:, :8])


def test_flip_mirrors_only_the_chosen():
    images = random_images(2)
    flipped = apply(Flip(), images, mirror=np.array([True, False]))
    np.testing.assert_array_equal(flipped[0], images[0, :, ::-1])
    np.testing.assert_array_equal(flipped[1], images[1])


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_rotation_by_quarter_turns_moves_pixels_exactly(quarters):
    images = random_images(2, 8, 8)
    rng = _ConstantGenerator(90.0 * quarters)
    turned = apply(Rotation(), images, **Rotation().draw(rng, 2, (8, 8, 3)))
    np.testing.assert_array_equal(turned, np.rot90(images, quarters, axes=(1, 2)))


def test_zoom_by_two_shows_the_middle():
    images = np.zeros((1, 8, 8, 3), "uint8")
    images[:, 2:6, 2:6] = 200
    zoomed = apply(Zoom(), images, **Zoom().draw(_ConstantGenerator(2.0), 1, (8, 8, 3)))
    assert (zoomed[:, 1:7, 1:7] == 200).all()
    assert zoomed[0, 0, 0, 0] < 200


class _ConstantGenerator:
    """Stands in for a random generator whose uniform numbers are all the same."""

    def __init__(self, value):
        self._value = value

    def uniform(self, low, high, size):
        return np.full(size, self._value)


def test_color_scales_brightness_contrast_and_saturation():
    images = np.array([[[[100, 100, 100], [200, 200, 200]]]], "uint8")
    one = np.ones(1, "float32")
    factors = {"brightness": one, "contrast": one, "saturation": one}
    np.testing.assert_array_equal(apply(Color(), images, **factors), images)
    brighter = apply(Color(), images, **{**factors, "brightness": 1.2 * one})
    np.testing.assert_array_equal(brighter[0, 0, :, 0], [120, 240])
    flatter = apply(Color(), images, **{**factors, "contrast": 0.5 * one})
    np.testing.assert_array_equal(flatter[0, 0, :, 0], [125, 175])
    red = np.array([[[[200, 0, 0]]]], "uint8")
    grey = apply(Color(), red, **{**factors, "saturation": 0 * one})
    np.testing.assert_array_equal(grey[0, 0, 0], [60, 60, 60])  # 0.299 * 200


def test_cutout_greys_the_box_and_nothing_else():
    images = random_images(1)
    cut = apply(Cutout(), images, box=np.array([[1, 4, 2, 6]], "int32"))
    expected = images.copy()
    expected[0, 1:4, 2:6] = 128
    np.testing.assert_array_equal(cut, expected)


def test_mixup_blends_images_and_labels_alike():
    images, labels = random_images(2), np.eye(3, dtype="float32")[[0, 2]]
    draws = {"partner": np.array([1, 0], "int32"), "share": np.array([0.25, 0.0], "float32")}
    mixed, mixed_labels = apply_batch(MixUp(), images, labels, **draws)
    expected = 0.75 * images[0].astype("float32") + 0.25 * images[1].astype("float32")
    np.testing.assert_allclose(mixed[0], expected, atol=1e-4)
    np.testing.assert_array_equal(mixed[1], images[1])
    np.testing.assert_allclose(mixed_labels, [[0.75, 0, 0.25], [0, 0, 1]])


def test_cutmix_pastes_the_box_and_mixes_labels_by_its_area():
    images, labels = random_images(2, 10, 10), np.eye(2, dtype="float32")
    rng = np.random.default_rng(3)
    draws = CutMix().draw(rng, 2, (10, 10, 3))
    draws["partner"] = np.array([1, 0], "int32")
    mixed, mixed_labels = apply_batch(CutMix(), images, labels, **draws)
    for i, (top, bottom, left, right) in enumerate(draws["box"]):
        expected = images[i].copy()
        expected[top:bottom, left:right] = images[1 - i, top:bottom, left:right]
        np.testing.assert_array_equal(mixed[i], expected)
        area = (bottom - top) * (right - left) / 100
        np.testing.assert_allclose(mixed_labels[i, 1 - i], area, rtol=1e-6)


def test_randaugment_without_strength_changes_nothing():
    images = random_images(4, 16, 16)
    policy = RandAugment(magnitude=0.0)
    draws = policy.draw(np.random.default_rng(0), 4, (16, 16, 3))
    np.testing.assert_array_equal(apply(policy, images, **draws), images)


def test_randaugment_posterizes_and_solarizes():
    images = np.array([[[[10, 100, 250]]]], "uint8")
    draws = RandAugment(magnitude=0.0).draw(np.random.default_rng(0), 1, (1, 1, 3))
    coarse = apply(RandAugment(), images, **{**draws, "levels": np.array([4.0], "float32")})
    np.testing.assert_array_equal(coarse[0, 0, 0], [0, 64, 192])
    solar = apply(RandAugment(), images, **{**draws, "threshold": np.array([128.0], "float32")})
    np.testing.assert_array_equal(solar[0, 0, 0], [10, 100, 5])


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_every_policy_keeps_shape_range_and_label_mass(name):
    images, labels = random_images(32, 16, 16), np.eye(4, dtype="float32")[np.arange(32) % 4]
    policy = get_policy(name)
    draws = policy.draw(np.random.default_rng(0), 32, (16, 16, 3))
    tensors = map(ops.convert_to_tensor, (images, labels))
    changed, changed_labels = map(ops.convert_to_numpy, policy.transform(*tensors, draws))
    assert changed.shape == images.shape
    assert changed.dtype == ("float32" if name == "mixup" else "uint8")
    assert changed.min() >= 0
    assert changed.max() <= 255
    assert (changed != images).any()
    np.testing.assert_allclose(changed_labels.sum(axis=1), 1.0, rtol=1e-6)
    assert (changed_labels != labels).any() == (name in ("mixup", "cutmix"))


def test_draws_depend_on_the_generator_alone():
    policy = get_policy("+".join(AUGMENTATIONS))
    one, same, other = (
        np.concatenate([np.ravel(x) for d in policy.draw(rng, 16, (32, 32, 3)) for x in d.values()])
        for rng in map(np.random.default_rng, (7, 7, 8))
    )
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_policy_names_compose_in_order():
    assert get_policy("none") == Policy()
    assert get_policy("flip+crop") == Policy((Flip(), Crop()))
    own = Policy((Crop(2), Cutout(0.25)))
    assert get_policy(own) is own


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("crop+blur", "no augmentation is named 'blur'"),
        ("", "no augmentation is named ''"),
        ("mixup+crop", "must come last"),
    ],
)
def test_bad_policies_are_refused(names, message):
    with pytest.raises(InputError, match=message):
        get_policy(names)
