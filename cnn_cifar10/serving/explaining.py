"""Class activation maps over their images, as the service shows them."""

import io

import numpy as np

from cnn_cifar10.datasets import decode_image, load_image
from cnn_cifar10.inference import Classifier
from cnn_cifar10.utils import overlay

_SIDE = 320  # pixels of the longer side


def decode_views(
    data: bytes, *, size: tuple[int, int], name: str, fit: str
) -> tuple[np.ndarray, np.ndarray]:
    """Decode an image for the model and, larger and in its own shape, for people.

    Args:
        data: What an image file holds.
        size: `(height, width)` that the model takes.
        name: What an error calls the image.
        fit: As for `read_image`. With `"crop"`, people see what the model sees.

    Returns:
        Two uint8 arrays `(height, width, 3)`, the model's first.

    Raises:
        ImageError: If it cannot be read.
    """
    pixels, large = decode_image(data, size, name, fit), _enlarged(size)
    if fit == "crop":
        return pixels, decode_image(data, large, name)
    loaded = load_image(data, name, large)
    own = loaded.height, loaded.width
    scale = min(most / side for most, side in zip(large, own, strict=True))
    height, width = (max(1, round(scale * side)) for side in own)
    return pixels, np.array(loaded.image.resize((width, height)))


def draw_map(
    classifier: Classifier, pixels: np.ndarray, image: np.ndarray, class_name: str | None
) -> bytes:
    """Return the class activation map of an image, laid over it, as a JPEG file.

    Args:
        classifier: A classifier that can explain.
        pixels: What the model sees of the image, from `decode_views`.
        image: What people see of it, likewise.
        class_name: The class; `None` takes the most probable one.
    """
    from PIL import Image

    images, shown = pixels[None], image.shape[:2]
    if class_name is None:
        label = int(classifier.probabilities(images)[0].argmax())
    else:
        label = classifier.class_names.index(class_name)
    padded = classifier.fit == "pad"
    maps = classifier.explain(
        images, [label], _enlarged(classifier.input_shape[:2]) if padded else shown
    )
    assert maps is not None
    top, left = ((most - side) // 2 for most, side in zip(maps.shape[1:], shown, strict=True))
    map = maps[0, top:, left:][: shown[0], : shown[1]]  # without the bars
    file = io.BytesIO()
    Image.fromarray(overlay(image, map).astype("uint8")).save(file, "JPEG", quality=90)
    return file.getvalue()


def _enlarged(size):
    scale = _SIDE / max(size)
    return tuple(round(scale * side) for side in size)
