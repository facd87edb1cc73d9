"""Data augmentation: random changes to training images, joined into policies.

Every augmentation works on a whole batch in two steps. `draw` picks the random
numbers, a handful per image, with NumPy on the host; `transform` applies them
with `keras.ops`. The numbers depend on the random generator alone, so an epoch
can be repeated exactly, in another process and on another backend; the
arithmetic runs in tf.data's threads, or wherever Keras runs.
"""

import abc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from cnn_cifar10.utils import InputError

Shape = tuple[int, int, int]  # height, width, channels
Draws = dict[str, np.ndarray]

AUGMENTATIONS: dict[str, "Augmentation"] = {}
"""The augmentations, by name."""


def register(name: str, **settings: Any) -> Callable[[type], type]:
    """Return a decorator that gives an augmentation with these settings a name."""

    def add(kind):
        AUGMENTATIONS[name] = kind(**settings)
        return kind

    return add


@dataclass(frozen=True)
class Augmentation(abc.ABC):
    """One random change to a batch of images.

    A subclass says what is drawn in `draw`, and what is done with it in
    `transform(images, **draws)`, which takes and returns a tensor `(count,
    height, width, channels)` of values 0 to 255 in the same dtype. One that
    changes labels too overrides `transform_batch` instead.
    """

    mixes_images: ClassVar[bool] = False

    @abc.abstractmethod
    def draw(self, rng: np.random.Generator, count: int, image_shape: Shape) -> Draws:
        """Pick the random numbers of one batch.

        Args:
            rng: `numpy.random.Generator`.
            count: Number of images.
            image_shape: `(height, width, channels)`.

        Returns:
            A dict of arrays whose first axis has length `count`.
        """

    def draw_for(
        self, rng: np.random.Generator, examples: np.ndarray, epoch: int, image_shape: Shape
    ) -> Draws:
        """Pick the random numbers of one batch, knowing what it holds.

        Args:
            rng: `numpy.random.Generator`.
            examples: Integer array `(count,)`, which of the split's examples these are.
            epoch: Number of the epoch, from 0.
            image_shape: `(height, width, channels)`.

        Returns:
            As `draw`.
        """
        return self.draw(rng, len(examples), image_shape)

    def transform(self, images: Any, **draws: Any) -> Any:
        """Apply drawn numbers to images."""
        return images

    def transform_batch(self, images: Any, labels: Any, **draws: Any) -> tuple[Any, Any]:
        """Apply drawn numbers to images and their one-hot labels."""
        return self.transform(images, **draws), labels


@register("small_crop", padding=2)
@register("crop")
@dataclass(frozen=True)
class Crop(Augmentation):
    """Shift by up to `padding` pixels; the border is filled by reflection.

    The same as padding by reflection and cropping at random
    ([He et al., 2015](https://arxiv.org/abs/1512.03385) pad with zeros).
    """

    padding: int = 4

    def draw(self, rng, count, image_shape):
        if self.padding >= min(image_shape[:2]):
            raise InputError(
                f"crop: a border of {self.padding} pixels needs larger images than "
                f"{image_shape[0]}x{image_shape[1]}; leave it out of --augment"
            )
        shifts = rng.integers(-self.padding, self.padding + 1, (2, count), dtype="int32")
        return {"down": shifts[0], "right": shifts[1]}

    def transform(self, images, down, right):
        _, height, width, channels = images.shape
        rows = _reflect(ops.arange(height, dtype="int32") + down[:, None], height)
        columns = _reflect(ops.arange(width, dtype="int32") + right[:, None], width)
        count = ops.shape(images)[0]
        first = ops.arange(count, dtype="int32")[:, None, None] * (height * width)
        source = first + rows[:, :, None] * width + columns[:, None, :]
        return ops.take(ops.reshape(images, (-1, channels)), source, axis=0)


@register("flip")
@dataclass(frozen=True)
class Flip(Augmentation):
    """Mirror left and right with probability one half."""

    def draw(self, rng, count, image_shape):
        return {"mirror": rng.random(count) < 0.5}

    def transform(self, images, mirror):
        return ops.where(mirror[:, None, None, None], ops.flip(images, axis=2), images)


@register("alternating_flip")
@dataclass(frozen=True)
class AlternatingFlip(Flip):
    """Mirror a random half of the examples in one epoch, and the other half in the next.

    An example is seen from both sides in any two epochs, where `Flip` shows half of
    them one side twice ([Jordan, 2024](https://arxiv.org/abs/2404.00498)).
    """

    def draw_for(self, rng, examples, epoch, image_shape):
        highest = int(np.max(examples, initial=0))
        first = np.random.default_rng(0).random(highest + 1) < 0.5
        return {"mirror": first[examples] ^ (epoch % 2 == 1)}


@register("rotation")
@dataclass(frozen=True)
class Rotation(Augmentation):
    """Turn about the centre by up to `degrees` either way."""

    degrees: float = 15.0

    def draw(self, rng, count, image_shape):
        angle = np.radians(rng.uniform(-self.degrees, self.degrees, count))
        return {"matrix": _affine(image_shape, angle=angle)}

    def transform(self, images, matrix):
        return _warp(images, matrix)


@register("zoom")
@dataclass(frozen=True)
class Zoom(Augmentation):
    """Scale about the centre, in or out, by up to `factor` of the size."""

    factor: float = 0.2

    def draw(self, rng, count, image_shape):
        scale = rng.uniform(1 - self.factor, 1 + self.factor, count)
        return {"matrix": _affine(image_shape, scale=scale)}

    def transform(self, images, matrix):
        return _warp(images, matrix)


@register("color")
@dataclass(frozen=True)
class Color(Augmentation):
    """Change brightness, contrast and saturation by up to `strength` each."""

    strength: float = 0.3

    def draw(self, rng, count, image_shape):
        low, high = 1 - self.strength, 1 + self.strength
        factors = rng.uniform(low, high, (3, count)).astype("float32")
        return {"brightness": factors[0], "contrast": factors[1], "saturation": factors[2]}

    def transform(self, images, brightness, contrast, saturation):
        return _recolor(images, brightness, contrast, saturation)


@register("cutout")
@dataclass(frozen=True)
class Cutout(Augmentation):
    """Grey out a square of `fraction` of the side, centred anywhere in the image.

    Reference: [DeVries and Taylor, 2017](https://arxiv.org/abs/1708.04552).
    """

    fraction: float = 0.5

    def draw(self, rng, count, image_shape):
        return {"box": _boxes(rng, np.full(count, self.fraction), image_shape)}

    def transform(self, images, box):
        return ops.where(_inside(box, images.shape), ops.cast(128, images.dtype), images)


@register("randaugment")
@dataclass(frozen=True)
class RandAugment(Augmentation):
    """Apply `operations` changes, drawn anew for every image, of strength `magnitude`.

    In the manner of [Cubuk et al., 2019](https://arxiv.org/abs/1909.13719), who
    draw from 14 operations. Here: rotation, shear and shift in both directions,
    brightness, contrast, saturation, posterize, solarize and none. All geometric
    changes of an image are one matrix, so the batch is resampled once.
    """

    operations: int = 2
    magnitude: float = 0.5
    CHOICES: ClassVar[tuple[str, ...]] = (
        *("none", "rotate", "shear_x", "shear_y", "shift_x", "shift_y"),
        *("brightness", "contrast", "saturation", "posterize", "solarize"),
    )

    def draw(self, rng, count, image_shape):
        chosen = rng.integers(0, len(self.CHOICES), (self.operations, count))
        amount = rng.uniform(-self.magnitude, self.magnitude, (self.operations, count))

        def total(name):
            return np.where(chosen == self.CHOICES.index(name), amount, 0.0).sum(axis=0)

        def factor(name):
            return np.clip(1.0 + total(name), 0.0, None).astype("float32")

        matrix = _affine(
            image_shape,
            angle=np.radians(45.0) * total("rotate"),
            shear_x=0.5 * total("shear_x"),
            shear_y=0.5 * total("shear_y"),
            shift_x=0.5 * image_shape[1] * total("shift_x"),
            shift_y=0.5 * image_shape[0] * total("shift_y"),
        )
        return {
            "matrix": matrix,
            "brightness": factor("brightness"),
            "contrast": factor("contrast"),
            "saturation": factor("saturation"),
            "levels": 2.0 ** np.round(8 - 6 * np.abs(total("posterize"))).astype("float32"),
            "threshold": (256 * (1 - np.abs(total("solarize")))).astype("float32"),
        }

    def transform(self, images, matrix, brightness, contrast, saturation, levels, threshold):
        dtype = images.dtype
        images = _warp(images, matrix)
        images = ops.cast(_recolor(images, brightness, contrast, saturation), "float32")
        step = 256.0 / levels[:, None, None, None]
        images = ops.floor(images / step) * step
        solarized = images >= threshold[:, None, None, None]
        return _to_pixels(ops.where(solarized, 255.0 - images, images), dtype)


@register("mixup")
@dataclass(frozen=True)
class MixUp(Augmentation):
    """Blend each image, and its label, with another of the batch.

    The share of the other image is drawn per image from Beta(`alpha`, `alpha`).
    Reference: [Zhang et al., 2017](https://arxiv.org/abs/1710.09412).
    """

    alpha: float = 0.2
    mixes_images: ClassVar[bool] = True

    def draw(self, rng, count, image_shape):
        share = rng.beta(self.alpha, self.alpha, count).astype("float32")
        return {"partner": rng.permutation(count).astype("int32"), "share": share}

    def transform_batch(self, images, labels, partner, share):
        images = ops.cast(images, "float32")
        others = ops.take(images, partner, axis=0)
        images = images + share[:, None, None, None] * (others - images)
        return images, _mix_labels(labels, partner, share)


@register("cutmix")
@dataclass(frozen=True)
class CutMix(Augmentation):
    """Paste a box of another image of the batch, and mix the labels by its area.

    The share of the area is drawn per image from Beta(`alpha`, `alpha`).
    Reference: [Yun et al., 2019](https://arxiv.org/abs/1905.04899).
    """

    alpha: float = 1.0
    mixes_images: ClassVar[bool] = True

    def draw(self, rng, count, image_shape):
        side = np.sqrt(rng.beta(self.alpha, self.alpha, count))
        box = _boxes(rng, side, image_shape)
        top, bottom, left, right = box.T
        share = (bottom - top) * (right - left) / (image_shape[0] * image_shape[1])
        partner = rng.permutation(count).astype("int32")
        return {"partner": partner, "box": box, "share": share.astype("float32")}

    def transform_batch(self, images, labels, partner, box, share):
        others = ops.take(images, partner, axis=0)
        images = ops.where(_inside(box, images.shape), others, images)
        return images, _mix_labels(labels, partner, share)


@dataclass(frozen=True)
class Policy:
    """Augmentations applied one after the other.

    Args:
        augmentations: `Augmentation` objects; those that mix images come last,
            since their pixels are no longer one image's.

    Raises:
        InputError: If an augmentation follows one that mixes images.
    """

    augmentations: tuple[Augmentation, ...] = ()

    def __post_init__(self):
        mixing = [augmentation.mixes_images for augmentation in self.augmentations]
        if mixing != sorted(mixing):
            raise InputError("augmentations that mix images (mixup, cutmix) must come last")

    @property
    def mixes_images(self) -> bool:
        """Whether an image becomes a mixture with others of its batch."""
        return any(augmentation.mixes_images for augmentation in self.augmentations)

    def draw(self, rng: np.random.Generator, count: int, image_shape: Shape) -> tuple[Draws, ...]:
        """Pick the random numbers of one batch, one dict per augmentation."""
        return tuple(a.draw(rng, count, image_shape) for a in self.augmentations)

    def draw_for(
        self, rng: np.random.Generator, examples: np.ndarray, epoch: int, image_shape: Shape
    ) -> tuple[Draws, ...]:
        """As `draw`, knowing which examples the batch holds in which epoch."""
        return tuple(a.draw_for(rng, examples, epoch, image_shape) for a in self.augmentations)

    def transform(self, images: Any, labels: Any, draws: tuple[Draws, ...]) -> tuple[Any, Any]:
        """Augment a batch.

        Args:
            images: Tensor `(count, height, width, channels)`, uint8.
            labels: Tensor `(count, classes)`, float32, one-hot.
            draws: What `draw` returned.

        Returns:
            The pair `(images, labels)`, same shapes; images are uint8 unless
            mixup blended them into float32.
        """
        for augmentation, numbers in zip(self.augmentations, draws, strict=True):
            images, labels = augmentation.transform_batch(images, labels, **numbers)
        return images, labels


def get_policy(names: str | Policy) -> Policy:
    """Turn names joined by `+` into a policy.

    Args:
        names: `"none"`, or names from `AUGMENTATIONS` joined by `+`, such as
            `"crop+flip+cutout"`. A `Policy` is returned as it is.

    Raises:
        InputError: If a name is unknown or the order is not possible.

    Example:
        >>> get_policy("crop+flip")
        Policy(augmentations=(Crop(padding=4), Flip()))
    """
    if isinstance(names, Policy):
        return names
    if names == "none":
        return Policy()
    for name in names.split("+"):
        if name not in AUGMENTATIONS:
            raise InputError(
                f"no augmentation is named {name!r}: join some of {', '.join(AUGMENTATIONS)} "
                "with '+', or say none"
            )
    return Policy(tuple(AUGMENTATIONS[name] for name in names.split("+")))


def _reflect(positions, size):
    """Mirror positions that lie less than `size` outside of 0 to size - 1."""
    return (size - 1) - ops.abs((size - 1) - ops.abs(positions))


def _affine(image_shape, angle=0.0, scale=1.0, shear_x=0.0, shear_y=0.0, shift_x=0.0, shift_y=0.0):
    """Return `(count, 8)` matrices about the image's centre, from output to input pixels."""
    cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
    xx, xy = cos + shear_y * -sin, shear_x * cos - sin
    yx, yy = sin + shear_y * cos, shear_x * sin + cos
    center_x, center_y = (image_shape[1] - 1) / 2, (image_shape[0] - 1) / 2
    x0 = center_x - xx * center_x - xy * center_y + shift_x
    y0 = center_y - yx * center_x - yy * center_y + shift_y
    zero = np.zeros_like(x0)
    rows = [xx, xy, x0, yx, yy, y0, zero, zero]
    return np.stack(np.broadcast_arrays(*rows), axis=1).astype("float32")


def _warp(images, matrix):
    """Resample images bilinearly; pixels from outside are reflected."""
    pixels = ops.cast(images, "float32")
    pixels = ops.image.affine_transform(pixels, matrix, "bilinear", fill_mode="reflect")
    return _to_pixels(pixels, images.dtype)


def _recolor(images, brightness, contrast, saturation):
    """Scale brightness, then contrast about the mean grey, then saturation about each grey."""
    brightness, contrast, saturation = (
        factor[:, None, None, None] for factor in (brightness, contrast, saturation)
    )
    pixels = ops.cast(images, "float32") * brightness
    grey = _grey(pixels)
    mean = ops.mean(grey, axis=(1, 2), keepdims=True)
    # Both are linear in the pixels: one pass does for the two of them.
    pixels = contrast * (grey + saturation * (pixels - grey) - mean) + mean
    return _to_pixels(pixels, images.dtype)


def _grey(pixels):
    """Return the luma (ITU-R BT.601) of RGB pixels, keeping the channel axis."""
    weights = ops.convert_to_tensor(np.array([0.299, 0.587, 0.114], "float32"))
    return ops.sum(pixels * weights, axis=-1, keepdims=True)


def _to_pixels(pixels, dtype):
    """Clip to 0 to 255 and return to the images' dtype, rounding to integers."""
    pixels = ops.clip(pixels, 0.0, 255.0)
    dtype = keras.backend.standardize_dtype(dtype)
    return pixels if dtype == "float32" else ops.cast(ops.round(pixels), dtype)


def _boxes(rng, sides, image_shape):
    """Draw boxes with sides of these shares of the image, cut at its border.

    Returns an int32 array `(count, 4)` of top, bottom, left and right.
    """
    edges = []
    for size in image_shape[:2]:
        extent = np.round(sides * size).astype("int32")
        first = rng.integers(0, size, len(sides), dtype="int32") - extent // 2
        edges += [np.clip(first, 0, size), np.clip(first + extent, 0, size)]
    return np.stack(edges, axis=1)


def _inside(box, image_shape):
    """Return a mask `(count, height, width, 1)` of the pixels inside each box."""
    rows = ops.arange(image_shape[1], dtype="int32")[:, None, None]
    columns = ops.arange(image_shape[2], dtype="int32")[:, None]
    top, bottom, left, right = (box[:, i, None, None, None] for i in range(4))
    return (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)


def _mix_labels(labels, partner, share):
    return labels + share[:, None] * (ops.take(labels, partner, axis=0) - labels)
