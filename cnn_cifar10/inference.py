"""Pictures in, classes and probabilities out."""

from dataclasses import dataclass

import numpy as np

from cnn_cifar10.errors import InputError
from cnn_cifar10.images import ImageFiles, find_damaged
from cnn_cifar10.runs import open_run


@dataclass(frozen=True)
class Prediction:
    """The classes of one picture.

    Attributes:
        probabilities: Array `(classes,)`, summing to 1.
        class_names: Name of each class.
    """

    probabilities: np.ndarray
    class_names: tuple[str, ...]

    def top(self, count=5):
        """Return `[{"class", "probability"}, ...]`, most probable first."""
        order = np.argsort(-self.probabilities, kind="stable")[:count]
        return [
            {"class": self.class_names[i], "probability": float(self.probabilities[i])}
            for i in order
        ]


@dataclass(frozen=True)
class Classifier:
    """A trained model with its class names.

    Example:
        >>> classifier = Classifier.from_run("models/cifar10-custom_cnn-seed0")
        >>> classifier.classify_files(["photo.jpg"])[0].top(1)
        [{'class': 'cat', 'probability': 0.728}]
    """

    model: object
    class_names: tuple[str, ...]

    @classmethod
    def from_run(cls, path):
        """Load the classifier that a finished run trained.

        Raises:
            RunError: If there is no finished run in `path`.
        """
        run = open_run(path)
        return cls(run.load_model(), tuple(run.facts()["class_names"]))

    def classify(self, images):
        """Classify pictures of the model's input size.

        Args:
            images: Array `(n, height, width, 3)`, RGB in [0, 255].

        Returns:
            One `Prediction` a picture.
        """
        probabilities = self.model.predict(images, verbose=0)
        return [Prediction(row, self.class_names) for row in probabilities]

    def classify_files(self, paths):
        """Classify picture files, scaled and centre-cropped to the model's input size.

        Raises:
            InputError: If files cannot be read as pictures; the message lists them all.
        """
        if damaged := find_damaged(paths):
            raise InputError("; ".join(f"{path}: {reason}" for path, reason in damaged.items()))
        images = ImageFiles(paths, self.model.input_shape[1:3])
        starts = range(0, len(images), 256)
        return [p for start in starts for p in self.classify(images[start : start + 256])]
