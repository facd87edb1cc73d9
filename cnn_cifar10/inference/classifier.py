"""Classification of images with ONNX Runtime, and class activation maps."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cnn_cifar10.datasets import ImageError, ImageFiles, decode_image, find_damaged
from cnn_cifar10.inference.artifact import (
    MODEL_FILE,
    ArtifactError,
    read_description,
    shipped_artifact,
)
from cnn_cifar10.utils import InputError, read_checked, usable_cores

if TYPE_CHECKING:
    import onnxruntime

_BATCH_SIZE = 32  # larger ones are no faster


@dataclass(frozen=True)
class Prediction:
    """The classes of one image.

    Attributes:
        probabilities: Array `(classes,)`, summing to 1.
        class_names: Name of each class.
        threshold: Probability in [0, 1]; below it, the label is "unsure".
    """

    probabilities: np.ndarray
    class_names: tuple[str, ...]
    threshold: float = 0.0

    @property
    def label(self) -> str:
        """The most probable class, or `"unsure"` below the threshold."""
        best = self.probabilities.argmax()
        return "unsure" if self.probabilities[best] < self.threshold else self.class_names[best]

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

    Raises:
        InputError: If `threshold` is out of range.

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

    def __post_init__(self):
        if not 0 <= self.threshold <= 1:
            raise InputError(f"threshold must be in 0 to 1, received {self.threshold}")

    @classmethod
    def open(cls, folder: str | Path | None = None, **options: Any) -> "Classifier":
        """Load the model that `cnn-cifar10 export` wrote.

        Args:
            folder: Folder of the artifact; `None` takes the model that comes
                with the package.
            **options: `mirror` and `threshold`, as for the class.

        Raises:
            InputError: If there is no exported model, its files were changed, or
                an option is out of range.
        """
        folder = folder or shipped_artifact()
        description = read_description(folder)
        shape = tuple(description["input"]["shape"][1:])
        session = open_session(read_checked(folder, MODEL_FILE, ArtifactError))
        names, metrics = tuple(description["class_names"]), description["metrics"]
        return cls(session, names, shape, metrics=metrics, **options)

    def probabilities(self, images: np.ndarray | ImageFiles) -> np.ndarray:
        """Return the class probabilities `(n, classes)`, float32; arguments as for `classify`."""
        if not isinstance(images, ImageFiles):
            images = np.asarray(images)
        if images.shape[1:] != self.input_shape:
            shape = ", ".join(map(str, self.input_shape))
            raise InputError(f"images must have shape (n, {shape}), received {images.shape}")
        starts = range(0, len(images), _BATCH_SIZE)
        batches = [self._run(images[start : start + _BATCH_SIZE]) for start in starts]
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
        rows = self.probabilities(images)
        return [Prediction(row, self.class_names, self.threshold) for row in rows]

    def classify_files(self, paths: Sequence[str | Path]) -> list[Prediction]:
        """Classify image files, scaled and centre-cropped to the model's input size.

        Raises:
            InputError: If files cannot be read as images; the message lists them all.
        """
        try:
            return self.classify(ImageFiles(paths, self.input_shape[:2]))
        except ImageError as error:
            damaged = find_damaged(paths, progress=False).items()
            faults = "; ".join(f"{path}: {reason}" for path, reason in damaged)
            raise InputError(faults or str(error)) from error

    def classify_bytes(self, contents: Iterable[bytes]) -> list[Prediction]:
        """Classify images in memory, such as uploads, as `classify_files` does files.

        Args:
            contents: What each image file holds, within the limits of `decode_image`.

        Raises:
            ImageError: If one is no such image; the message says which, counted from 1.
        """
        size, numbered = self.input_shape[:2], enumerate(contents, start=1)
        images = [decode_image(data, size, f"image {i}") for i, data in numbered]
        return self.classify(np.array(images))

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
        if "class_activation" not in [output.name for output in self.session.get_outputs()]:
            return None
        activation = self._output("class_activation", np.asarray(images))
        maps = np.maximum(activation[np.arange(len(activation)), :, :, classes], 0)
        height, width = size or self.input_shape[:2]
        maps = np.stack([_resize(map, (width, height)) for map in maps])
        return maps / np.maximum(maps.max(axis=(1, 2), keepdims=True), np.finfo("float32").tiny)

    def _run(self, images):
        views = [images, images[:, :, ::-1]] if self.mirror else [images]
        return np.mean([self._output("probabilities", view) for view in views], axis=0)

    def _output(self, name, images):
        return self.session.run([name], {"pixels": images.astype("float32")})[0]


def _resize(map, size):
    from PIL import Image

    return np.asarray(Image.fromarray(map).resize(size, Image.Resampling.BILINEAR))


def open_session(model: bytes) -> "onnxruntime.InferenceSession":
    """Return ONNX Runtime's session of a model.

    Args:
        model: Bytes of the ONNX file.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = usable_cores()
    # Threads that wait for the next run would keep the cores busy.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
