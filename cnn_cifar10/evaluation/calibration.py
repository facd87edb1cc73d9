"""Reliability diagram, expected calibration error, temperature scaling."""

import dataclasses
import itertools

import numpy as np

from cnn_cifar10.evaluation.metrics import Evaluation

_BINS = 15
_LOWEST, _HIGHEST = 0.05, 20.0


def reliability(evaluation: Evaluation) -> list[dict]:
    """Return the accuracy of predictions by their confidence.

    Args:
        evaluation: `Evaluation`, or the `Predictions` that a report keeps.

    Returns:
        One row for each of 15 bins of confidence, equally wide: `low` (exclusive),
        `high` (inclusive), `examples` (how many), and their mean `confidence` and
        `accuracy`, `None` where there is no example.

    Reference:
        [Guo et al., 2017](https://arxiv.org/abs/1706.04599)
    """
    edges = np.linspace(0, 1, _BINS + 1)
    confidences = np.asarray(evaluation.confidences, "float64")
    bins = np.searchsorted(edges[1:-1], confidences)
    right = evaluation.predictions == evaluation.labels
    rows = []
    for index, (low, high) in enumerate(itertools.pairwise(edges.tolist())):
        members = bins == index
        row = {"low": low, "high": high, "examples": int(members.sum())}
        for key, values in (("confidence", confidences), ("accuracy", right)):
            row[key] = float(values[members].mean()) if row["examples"] else None
        rows.append(row)
    return rows


def expected_calibration_error(evaluation: Evaluation) -> float:
    """Return the mean distance between confidence and accuracy, 0 for a calibrated model.

    Args:
        evaluation: As for `reliability`.

    Returns:
        The mean over the bins of `reliability` of the distance between confidence
        and accuracy, weighted by their examples; in [0, 1].
    """
    rows = [row for row in reliability(evaluation) if row["examples"]]
    gaps = [row["examples"] * abs(row["confidence"] - row["accuracy"]) for row in rows]
    return sum(gaps) / sum(row["examples"] for row in rows)


def fit_temperature(evaluation: Evaluation) -> float:
    """Return the temperature at which a model's probabilities fit the labels best.

    It minimizes the cross-entropy. Fit it on the validation split: the model was not
    trained on those images. Then measure its effect on the test split.

    Args:
        evaluation: `Evaluation` of the validation split.

    Returns:
        The temperature, in [0.05, 20]: more than 1 for a model that is too confident.

    Reference:
        [Guo et al., 2017](https://arxiv.org/abs/1706.04599)

    Example:
        >>> temperature = fit_temperature(validation_evaluation)
        >>> calibrated = with_temperature(test_evaluation, temperature)
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    logits, true = _logits(evaluation), (np.arange(len(evaluation.labels)), evaluation.labels)

    def cross_entropy(log_temperature):
        return -log_softmax(logits / np.exp(log_temperature), axis=1)[true].mean()

    bounds = np.log([_LOWEST, _HIGHEST])
    found = minimize_scalar(cross_entropy, bounds=bounds, method="bounded")
    return float(np.exp(found.x))


def with_temperature(evaluation: Evaluation, temperature: float) -> Evaluation:
    """Return an evaluation whose logits are divided by a temperature.

    The predicted classes stay the same. A temperature above 1 lowers their probabilities.

    Args:
        evaluation: `Evaluation`.
        temperature: More than 0.

    Returns:
        An `Evaluation` of the same labels.
    """
    from scipy.special import log_softmax

    probabilities = np.exp(log_softmax(_logits(evaluation) / temperature, axis=1))
    return dataclasses.replace(evaluation, probabilities=probabilities)


def _logits(evaluation):
    """Return logits, up to a constant in each row; the least float32 stands for probability 0."""
    smallest = np.finfo("float32").tiny
    return np.log(np.maximum(evaluation.probabilities, smallest, dtype="float64"))
