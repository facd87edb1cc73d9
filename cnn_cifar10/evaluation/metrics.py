"""Loss, accuracy, precision, recall and F1; confusion matrix; most confident mistakes."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter

import numpy as np
from numpy.typing import ArrayLike

from cnn_cifar10.utils import InputError

_EPSILON = 1e-7  # Keras clips probabilities to it before it takes the logarithm.


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A model's predictions for a split, and the metrics computed from them.

    Args:
        labels: Integer array `(n,)`, values 0 to classes - 1.
        probabilities: Array `(n, classes)`, each row summing to 1.
        class_names: One name per class, in the order of the labels.

    Raises:
        InputError: If shapes disagree, a label is out of range, or a row is not
            finite probabilities that sum to 1.

    Example:
        >>> evaluate_split(model, dataset.test, dataset.class_names).accuracy
        0.8665
    """

    labels: np.ndarray
    probabilities: np.ndarray
    class_names: tuple[str, ...]

    def __post_init__(self):
        labels, probabilities = np.asarray(self.labels), np.asarray(self.probabilities)
        names = tuple(self.class_names)
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "probabilities", probabilities)
        object.__setattr__(self, "class_names", names)
        if labels.ndim != 1 or not len(labels) or labels.dtype.kind not in "iu":
            raise InputError(
                "labels must be a non-empty 1-D integer array, received shape "
                f"{labels.shape} of {labels.dtype}"
            )
        if probabilities.shape != (len(labels), len(names)):
            raise InputError(
                f"probabilities must have shape {(len(labels), len(names))}, from "
                f"{len(labels)} labels and {len(names)} class_names, received "
                f"{probabilities.shape}"
            )
        if labels.min() < 0 or labels.max() >= len(names):
            raise InputError(
                f"labels must be in 0 to {len(names) - 1} for {len(names)} class_names, "
                f"received {labels.min()} to {labels.max()}"
            )
        sums = probabilities.sum(axis=1, dtype="float64")
        valid = np.isfinite(sums) & (np.abs(sums - 1) < 0.01) & (probabilities >= 0).all(axis=1)
        if not valid.all():
            raise InputError(
                "probabilities must be finite, not negative and sum to 1 in each row; "
                f"{(~valid).sum()} rows are not so, the first is row {valid.argmin()}"
            )

    @cached_property
    def predictions(self) -> np.ndarray:
        """Most probable class of each example, integer array `(n,)`."""
        return self.probabilities.argmax(axis=1)

    @cached_property
    def confidences(self) -> np.ndarray:
        """Probability of the predicted class of each example, array `(n,)`."""
        return self.probabilities.max(axis=1)

    @cached_property
    def loss(self) -> float:
        """Mean cross-entropy in nats, clipped as Keras does."""
        true = self.probabilities[np.arange(len(self.labels)), self.labels].astype("float64")
        true /= self.probabilities.sum(axis=1, dtype="float64")
        return float(-np.log(np.clip(true, _EPSILON, 1 - _EPSILON)).mean())

    @cached_property
    def accuracy(self) -> float:
        """Share of examples predicted correctly, in [0, 1]."""
        return float((self.predictions == self.labels).mean())

    def top_k_accuracy(self, k: int) -> float:
        """Return the share of examples whose class is among the k most probable.

        Of equally probable classes the first counts as more probable, as for
        `predictions`, so that `top_k_accuracy(1)` is `accuracy`.

        Args:
            k: Number of guesses, 1 to the number of classes.

        Raises:
            InputError: If `k` is out of range.
        """
        if not 1 <= k <= len(self.class_names):
            raise InputError(f"k must be in 1 to {len(self.class_names)}, received {k}")
        true = np.take_along_axis(self.probabilities, self.labels[:, None], axis=1)
        earlier = np.arange(len(self.class_names)) < self.labels[:, None]
        ahead = (self.probabilities > true) | ((self.probabilities == true) & earlier)
        return float((ahead.sum(axis=1) < k).mean())

    @cached_property
    def confusion_matrix(self) -> np.ndarray:
        """Number of examples by true class (row) and predicted class (column)."""
        return confusion_matrix(self.labels, self.predictions, len(self.class_names))

    @cached_property
    def _scores(self):
        from sklearn.metrics import precision_recall_fscore_support

        return precision_recall_fscore_support(
            self.labels,
            self.predictions,
            labels=np.arange(len(self.class_names)),
            zero_division=0,
        )

    def per_class(self) -> list[dict]:
        """Return one row per class: `class`, `precision`, `recall`, `f1`, `support` and more.

        Scores are in [0, 1], and 0 where they are not defined; support is the number of
        examples of the class. `recall_low` and `recall_high` are the 95% interval of recall.
        """
        precision, recall, f1, support = self._scores
        low, high = wilson_interval(recall, support)
        columns = {
            **{"precision": precision, "recall": recall, "recall_low": low, "recall_high": high},
            **{"f1": f1, "support": support},
        }
        rows = zip(self.class_names, *(values.tolist() for values in columns.values()), strict=True)
        return [dict(zip(("class", *columns), row, strict=True)) for row in rows]

    def summary(self, augmented: bool = False) -> dict[str, float]:
        """Return the metrics as a dict of plain numbers.

        Args:
            augmented: Whether the model predicted with test-time augmentation.

        Returns:
            `examples`, and the metrics in `METRICS` that are of such predictions; without
            those that say nothing of these, such as `top5_accuracy` of five classes.
        """
        given: dict[str, float] = {"examples": len(self.labels)}
        for name, metric in METRICS.items():
            if metric.augmented == augmented and (value := metric.compute(self)) is not None:
                given[name] = metric.type(value)
        return given


@dataclass(frozen=True)
class Metric:
    """Declares a metric; its entry in `METRICS` is all that the library knows about it.

    Args:
        compute: Function of an `Evaluation` that returns the metric as a number, or `None`
            where it has no meaning.
        heading: The metric's name for readers.
        format: How the number is written, as for Python's `format`.
        type: What the number is in a table that is read, `float` or `int`.
        augmented: Whether the metric is of predictions with test-time augmentation. They are
            made where a report is asked for them.
        recorded: Whether reports show the metric, and `results.csv` has it for the test split.
            `report.json` has every metric.
        compared: Whether tables of several runs show the mean over seeds of what is recorded.
        short: Heading in tables of several runs, where it is not `heading`.
        hub_name: Name in the metadata of a model card, where Hugging Face has another one.
    """

    compute: Callable[[Evaluation], float | None]
    heading: str
    format: str = ".4f"
    type: Callable[[str | float], float] = float
    augmented: bool = False
    recorded: bool = True
    compared: bool = True
    short: str = ""
    hub_name: str = ""


def _top5(evaluation):
    return evaluation.top_k_accuracy(5) if len(evaluation.class_names) > 5 else None


def _macro(score):
    """Return a function that averages a score of `Evaluation.per_class` over the classes."""
    return lambda evaluation: np.mean([row[score] for row in evaluation.per_class()])


def _balanced(evaluation):
    return np.mean([row["recall"] for row in evaluation.per_class() if row["support"]])


HEADLINE = "accuracy"
"""The metric that runs are sorted and compared by, recorded for every split."""

METRICS: dict[str, Metric] = {
    "loss": Metric(attrgetter("loss"), "loss", compared=False),
    "accuracy": Metric(attrgetter("accuracy"), "accuracy"),
    "tta_accuracy": Metric(
        attrgetter("accuracy"), "accuracy over six views", short="with TTA", augmented=True
    ),
    "top5_accuracy": Metric(_top5, "top-5 accuracy", compared=False),
    "macro_precision": Metric(_macro("precision"), "macro precision", recorded=False),
    "balanced_accuracy": Metric(_balanced, "balanced accuracy", compared=False),
    "macro_f1": Metric(_macro("f1"), "macro F1", hub_name="f1"),
}
"""Every metric by its name, in the order of reports.

A new metric is one new entry: `report.json` and `report.md`, `results.csv`, comparisons and
model cards then have it. Tables written before it are still read.
"""


def compared_metrics() -> dict[str, Metric]:
    """Return the entries of `METRICS` that tables of several runs show."""
    return {name: metric for name, metric in METRICS.items() if metric.recorded and metric.compared}


def confusion_matrix(labels: np.ndarray, predictions: np.ndarray, classes: int) -> np.ndarray:
    """Return the number of examples by true class (row) and predicted class (column)."""
    cells = np.asarray(labels, "int64") * classes + predictions
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)


def confident_mistakes(evaluation: Evaluation, count: int) -> np.ndarray:
    """Return the indices of wrong predictions, the most confident first.

    Args:
        evaluation: `Evaluation`.
        count: How many at most.

    Returns:
        Integer array of up to `count` indices; ties keep the order of examples.
    """
    wrong = np.flatnonzero(evaluation.predictions != evaluation.labels)
    return wrong[np.argsort(-evaluation.confidences[wrong], kind="stable")][:count]


def most_confused(evaluation: Evaluation, count: int) -> list[dict]:
    """Return the most frequent confusions of one class with another.

    Args:
        evaluation: `Evaluation`.
        count: How many at most.

    Returns:
        Rows of `true_class`, `predicted_class`, `images` (how many) and `share`
        (of the true class's images, in (0, 1]), the most frequent first.
    """
    matrix, names = evaluation.confusion_matrix, evaluation.class_names
    pairs = np.argwhere(matrix)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    order = np.argsort(-matrix[tuple(pairs.T)], kind="stable")[:count]
    return [
        {
            "true_class": names[true],
            "predicted_class": names[predicted],
            "images": int(matrix[true, predicted]),
            "share": float(matrix[true, predicted] / matrix[true].sum()),
        }
        for true, predicted in pairs[order]
    ]


def wilson_interval(share: ArrayLike, examples: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of the 95% interval of a share that was measured on some examples.

    Args:
        share: What was measured, in [0, 1].
        examples: On how many; none leave every share possible.

    Returns:
        A pair of arrays, the lower and the upper end, in [0, 1].

    Reference:
        Wilson, 1927, "Probable inference, the law of succession, and statistical inference"

    Example:
        >>> wilson_interval(0.9, 10)
        (0.596, 0.982)
    """
    share, examples, z = np.asarray(share), np.maximum(examples, 1e-9), 1.959964
    scale = 1 + z**2 / examples
    middle = (share + z**2 / (2 * examples)) / scale
    half = z * np.sqrt(share * (1 - share) / examples + (z / (2 * examples)) ** 2) / scale
    return np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)
