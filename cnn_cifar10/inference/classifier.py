"""Classification of images with ONNX Runtime, and class activation maps."""

import collections
import functools
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cnn_cifar10.datasets import ImageError, ImageFiles, decode_image, read_image
from cnn_cifar10.inference.artifact import (
    DESCRIPTION,
    MODEL_FILES,
    ArtifactError,
    read_description,
    shipped_artifact,
)
from cnn_cifar10.inference.session import check_file, open_session
from cnn_cifar10.utils import (
    HUB,
    InputError,
    fetch_from_hub,
    read_checked,
    read_checksums,
    usable_cores,
)

if TYPE_CHECKING:
    import onnxruntime

_BATCH_SIZE = 32  # larger ones are no faster
_AHEAD = 4 * _BATCH_SIZE  # images that are decoded before they are asked for


@dataclass(frozen=True)
class Prediction:
    """The classes of one image.

    Attributes:
        probabilities: Array `(classes,)`, summing to 1.
        class_names: Name of each class.
        threshold: Probability in [0, 1]; below it, the label is "unsure".
        embedding: What the classifier layer takes, float32 `(d,)`, where it was asked for.
    """

    probabilities: np.ndarray
    class_names: tuple[str, ...]
    threshold: float = 0.0
    embedding: np.ndarray | None = None

    @property
    def is_unsure(self) -> bool:
        """Whether no class reaches the threshold."""
        return bool(self.probabilities.max() < self.threshold)

    @property
    def label(self) -> str:
        """The most probable class, or `"unsure"` below the threshold."""
        return "unsure" if self.is_unsure else self.class_names[self.probabilities.argmax()]

    def top(self, count: int = 5) -> list[dict[str, Any]]:
        """Return `[{"class", "probability"}, ...]`, most probable first."""
        order = np.argsort(-self.probabilities, kind="stable")[:count]
        return [
            {"class": self.class_names[i], "probability": float(self.probabilities[i])}
            for i in order
        ]


@dataclass(frozen=True)
class Classifier:
    """An exported model with its class names; threads may share one.

    Args:
        session: ONNX Runtime's session, from pixels to probabilities.
        class_names: Name of each class.
        input_shape: `(height, width, 3)` of the images it takes.
        mirror: Whether to average the probabilities of an image and of its
            mirror image, in twice the time (test-time augmentation).
        threshold: As for `Prediction`, in [0, 1].
        metrics: Metrics by split, such as
            `{"test": {"accuracy": 0.8665}}`.
        fit: How an image file of another shape becomes one of `input_shape`, as for
            `read_image`: as in training.
        embed: Whether predictions hold the embedding of their image.

    Raises:
        InputError: If `threshold` is out of range, or the model has no embeddings.

    Example:
        >>> classifier = Classifier.open("models/custom_cnn")
        >>> classifier.classify_files(["photo.jpg"])[0].top(1)
        [{'class': 'cat', 'probability': 0.728}]
    """

    session: "onnxruntime.InferenceSession"
    class_names: tuple[str, ...]
    input_shape: tuple[int, int, int]
    mirror: bool = False
    threshold: float = 0.0
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    fit: str = "crop"
    embed: bool = False

    def __post_init__(self):
        if not 0 <= self.threshold <= 1:
            raise InputError(f"threshold must be in 0 to 1, received {self.threshold}")
        if self.embed and not self._has("embedding"):
            raise ArtifactError(
                "the model was exported without embeddings; export it again (a network that does "
                "not end in a dense layer has none)"
            )

    @classmethod
    def open(cls, folder: str | Path | None = None, **options: Any) -> "Classifier":
        """Load the model that `cnn-cifar10 export` wrote.

        Args:
            folder: Folder of the artifact, or `hf://owner/name@revision` of one on the
                Hugging Face Hub; `None` takes the model that comes with the package.
            **options: `mirror`, `threshold` and `embed`, as for the class.

        Raises:
            InputError: If there is no exported model, its files were changed or cannot be
                right, or an option is out of range.
        """
        if isinstance(folder, str) and folder.startswith(HUB):
            there = fetch_from_hub(folder, (DESCRIPTION,))
            folder = fetch_from_hub(folder, (DESCRIPTION, _model_file(there)))
        folder = Path(shipped_artifact() if folder is None else folder)
        description = read_description(folder)
        shape = tuple(description["input"]["shape"][1:])
        names, metrics = tuple(description["class_names"]), description["metrics"]
        fit = description["input"].get("fit", "crop")  # which all models had, before it was kept
        name = _model_file(folder)
        place = folder / name
        check_file(place)
        model = read_checked(folder, name, ArtifactError)
        session = open_session(model, place, shape, len(names))
        return cls(session, names, shape, metrics=metrics, fit=fit, **options)

    def probabilities(self, images: np.ndarray | ImageFiles) -> np.ndarray:
        """Return the class probabilities `(n, classes)`, float32; arguments as for `classify`."""
        batches = (rows for (rows,) in self._batches(["probabilities"], images))
        return np.concatenate([np.empty((0, len(self.class_names)), "float32"), *batches])

    def classify(self, images: np.ndarray | ImageFiles) -> list[Prediction]:
        """Classify images of the model's input size.

        Args:
            images: Array `(n, height, width, 3)`, RGB in [0, 255], or `ImageFiles`.

        Returns:
            One `Prediction` per image.

        Raises:
            InputError: If the images are of another shape.
        """
        names = ["probabilities", *(["embedding"] if self.embed else [])]
        return [
            Prediction(row, self.class_names, self.threshold, *embedding)
            for batch in self._batches(names, images)
            for row, *embedding in zip(*batch, strict=True)
        ]

    def stream(
        self, paths: Iterable[str | os.PathLike]
    ) -> Iterator[tuple[str, Prediction | ImageError]]:
        """Classify image files one after another, in a memory that does not grow with them.

        Threads decode the next files meanwhile.

        Args:
            paths: The files, of any size and shape.

        Yields:
            Each path with its `Prediction`, or with what is wrong with the file.
        """
        read = functools.partial(_read, size=self.input_shape[:2], fit=self.fit)
        threads = ThreadPoolExecutor(usable_cores(), thread_name_prefix="decode")
        try:
            decoded = _map_ahead(threads, read, map(os.fspath, paths))
            while batch := list(itertools.islice(decoded, _BATCH_SIZE)):
                images = [image for _, image in batch if not isinstance(image, ImageError)]
                predictions = iter(self.classify(np.array(images).reshape(-1, *self.input_shape)))
                for path, image in batch:
                    yield path, image if isinstance(image, ImageError) else next(predictions)
        finally:
            threads.shutdown(cancel_futures=True)

    def classify_files(self, paths: Iterable[str | os.PathLike]) -> list[Prediction]:
        """Classify image files of any size and shape, all of which can be read.

        Raises:
            InputError: If files cannot be read as images; the message lists them all.
        """
        answers = [answer for _, answer in self.stream(paths)]
        if faults := [str(answer) for answer in answers if isinstance(answer, ImageError)]:
            raise InputError("; ".join(faults))
        return answers  # type: ignore[return-value]

    def classify_bytes(self, contents: Iterable[bytes]) -> list[Prediction]:
        """Classify images in memory, such as uploads, as `classify_files` does files.

        Args:
            contents: What each image file holds, within the limits of `decode_image`.

        Raises:
            ImageError: If one is no such image; the message says which, counted from 1.
        """
        size, numbered = self.input_shape[:2], enumerate(contents, start=1)
        images = [decode_image(data, size, f"image {i}", self.fit) for i, data in numbered]
        return self.classify(np.array(images).reshape(-1, *self.input_shape))

    def explain(
        self,
        images: np.ndarray,
        classes: np.ndarray | Sequence[int],
        size: tuple[int, int] | None = None,
    ) -> np.ndarray | None:
        """Return class activation maps: how much each part of an image adds to a class.

        Args:
            images: Array `(n, height, width, 3)`, RGB in [0, 255], of the model's size.
                All are computed at once.
            classes: One class per image, integers `(n,)`.
            size: `(height, width)` of the maps; `None` takes that of the images.

        Returns:
            float32 array `(n, height, width)` in [0, 1], the same as of
            `evaluation.grad_cam`; `None` for a model that has no class activation, see
            `evaluation.with_class_activation`.
        """
        if not self.explains:
            return None
        (activation,) = self._run(["class_activation"], np.asarray(images))
        maps = np.maximum(activation[np.arange(len(activation)), :, :, classes], 0)
        height, width = size or self.input_shape[:2]
        maps = np.stack([_resize(map, (width, height)) for map in maps])
        return maps / np.maximum(maps.max(axis=(1, 2), keepdims=True), np.finfo("float32").tiny)

    @property
    def explains(self) -> bool:
        """Whether the model has class activation, which `explain` needs."""
        return self._has("class_activation")

    def _batches(self, names, images):
        """Yield the outputs of these names, a list of arrays, of 32 images at a time."""
        if not isinstance(images, ImageFiles):
            images = np.asarray(images)
        if images.shape[1:] != self.input_shape:
            shape = ", ".join(map(str, self.input_shape))
            raise InputError(f"images must have shape (n, {shape}), received {images.shape}")
        for start in range(0, len(images), _BATCH_SIZE):
            batch = images[start : start + _BATCH_SIZE]
            views = [batch, batch[:, :, ::-1]] if self.mirror else [batch]
            outputs = [self._run(names, view) for view in views]
            yield [np.mean(views, axis=0) for views in zip(*outputs, strict=True)]

    def _run(self, names, images):
        return self.session.run(names, {"pixels": images.astype("float32")})

    def _has(self, output):
        return output in [each.name for each in self.session.get_outputs()]


def _model_file(folder):
    """Return the name of the file to read: the first that the folder lists."""
    listed = read_checksums(folder, ArtifactError)
    return next((name for name in MODEL_FILES if name in listed), MODEL_FILES[0])


def _read(path, size, fit):
    try:
        return read_image(path, size, fit)
    except ImageError as error:
        return error


def _map_ahead(threads, function, items):
    """Yield each item with its result, while threads compute those of the next items."""
    pending: collections.deque = collections.deque()
    for item in items:
        pending.append((item, threads.submit(function, item)))
        if len(pending) > _AHEAD:
            first, future = pending.popleft()
            yield first, future.result()
    for item, future in pending:
        yield item, future.result()


def _resize(map, size):
    from PIL import Image

    return np.asarray(Image.fromarray(map).resize(size, Image.Resampling.BILINEAR))
