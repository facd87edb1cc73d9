"""Duplicates: every kind of copy is found, and nothing else."""

import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from cnn_cifar10.datasets.duplicates import find_duplicates


@pytest.fixture(scope="module")
def scenes():
    """Parts of scikit-learn's two photographs that do not overlap and show something."""
    from sklearn.datasets import load_sample_images

    boxes = [(x, y, x + 100, y + 100) for x in range(0, 540, 106) for y in range(0, 320, 106)]
    photos = [Image.fromarray(photo) for photo in load_sample_images().images]
    parts = [photo.crop(box) for photo in photos for box in boxes]
    return [part for part in parts if np.std(part) > 30]


def shrink(image):
    return np.asarray(image.convert("RGB").resize((16, 16), Image.Resampling.BOX))


def find(images, digests=None):
    names = [f"{position}" for position in range(len(images))] if digests is None else digests
    return find_duplicates(np.array(names, "S32"), np.stack([*map(shrink, images)]))


def store(image, kind, **how):
    file = io.BytesIO()
    image.save(file, kind, **how)
    return Image.open(file)


def noisy(image, seed=0):
    noise = np.random.default_rng(seed).normal(0, 8, (*image.size[::-1], 3))
    return Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype("uint8"))


COPIES = {
    "JPEG of quality 30": lambda image: store(image, "JPEG", quality=30),
    "JPEG of quality 95": lambda image: store(image, "JPEG", quality=95),
    "JPEG, then WebP": lambda image: store(store(image, "JPEG"), "WEBP", quality=75),
    "half the size": lambda image: image.resize((50, 50)),
    "twice the size": lambda image: image.resize((200, 200)),
    "another shape": lambda image: image.resize((77, 74)),
    "lighter": lambda image: ImageEnhance.Brightness(image).enhance(1.1),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.9),
    "less contrast": lambda image: ImageEnhance.Contrast(image).enhance(0.9),
    "cut on every side": lambda image: image.crop((3, 3, 97, 97)),
    "cut on one side": lambda image: image.crop((5, 0, 100, 100)),
    "white border": lambda image: ImageOps.expand(image, 3, "white"),
    "black border": lambda image: ImageOps.expand(image, 2, "black"),
    "blurred": lambda image: image.filter(ImageFilter.GaussianBlur(2)),
    "noisy": noisy,
}


@pytest.mark.parametrize("kind", COPIES)
def test_a_copy_of_every_kind_is_found_and_nothing_else(scenes, kind):
    copied = [0, 5, 9, 14, 17]
    found = find([*scenes, *(COPIES[kind](scenes[position]) for position in copied)])
    pairs = [(position, len(scenes) + place) for place, position in enumerate(copied)]
    assert (found.near, found.exact) == (pairs, [])


@pytest.mark.parametrize(
    "change",
    [
        ImageOps.mirror,
        ImageOps.flip,
        lambda image: image.rotate(180),
        lambda image: Image.merge("RGB", image.split()[::-1]),
        lambda image: image.crop((30, 30, 100, 100)),
        ImageOps.invert,
    ],
    ids=["mirrored", "upside down", "turned", "other colors", "a part", "negative"],
)
def test_what_may_be_another_class_is_no_copy(scenes, change):
    vivid = [3, 6, 12]  # whose colors matter
    assert find([*scenes, *(change(scenes[position]) for position in vivid)]).near == []


def test_equal_files_are_exact_copies_whatever_they_show():
    images = [Image.new("RGB", (20, 20), color) for color in ("white", "white", "red", "white")]
    found = find(images, ["a", "b", "c", "a"])
    assert (found.exact, found.near) == ([(0, 3)], [])
    assert found.groups[0] == found.groups[3]
    assert len(set(found.groups)) == 3


def test_files_that_were_not_read_are_no_copies_of_each_other():
    images = [Image.new("RGB", (16, 16))] * 3
    assert find(images, ["", "", "a"]).exact == []


def test_a_near_duplicate_of_copies_joins_them(scenes):
    images = [*scenes[:4], scenes[1], store(scenes[1], "JPEG", quality=50), scenes[2]]
    found = find(images, ["0", "1", "2", "3", "1", "5", "2"])
    assert found.exact == [(1, 4), (2, 6)]
    assert found.near == [(1, 4, 5)]
    assert len({*found.groups[[1, 4, 5]]}) == 1


def test_images_of_nearly_one_color_are_no_near_duplicates():
    pages = [Image.new("RGB", (50, 50), (250, 250, shade)) for shade in range(200, 250)]
    assert find([*map(noisy, pages)]).near == []


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_images(scenes, count):
    found = find_duplicates(
        np.array([b"a", b"b"][:count], "S32"),
        np.array([shrink(scenes[0])] * count).reshape(-1, 16, 16, 3),
    )
    assert found.near == [(0, 1)][: count - 1 if count else 0]
    assert len(found.groups) == count


def test_thousands_of_views_of_one_scene_are_one_set(scenes):
    views = noisy(scenes[3].resize((16, 16))), *scenes
    base = shrink(scenes[3]).astype(int)
    rng = np.random.default_rng(0)
    many = np.clip(base + rng.integers(-4, 5, (1500, 16, 16, 3)), 0, 255).astype("uint8")
    others = np.stack([shrink(view) for view in views])
    thumbnails = np.concatenate([many, others])
    found = find_duplicates(np.arange(1, len(thumbnails) + 1), thumbnails)
    (members,) = found.near
    assert members == (*range(1501), 1501 + 3)


def test_where_images_are_alike_only_closer_ones_are_copies():
    ring = abs(np.hypot(*(np.mgrid[:48, :48] - 24)) - 16) < 3
    rings = []
    for y, x in np.ndindex(5, 5):  # each with a dot elsewhere in it
        pixels = np.where(ring[..., None], 0, np.full(3, 255, "uint8"))
        pixels[14 + 4 * y : 18 + 4 * y, 14 + 4 * x : 18 + 4 * x] = 0
        rings.append(Image.fromarray(pixels.astype("uint8")))
    copies = [store(each, "JPEG", quality=90) for each in rings[:3]]
    assert find([*rings, *copies]).near == [(0, 25), (1, 26), (2, 27)]
