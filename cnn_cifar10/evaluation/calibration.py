"""Whether a model is right as often as it says, and how to make it so."""

import dataclasses

import numpy as np

_BINS = 15
_LOWEST, _HIGHEST = 0.05, 20.0


def reliability(evaluation):
    """Return how often predictions of each confidence are right.

    Args:
        evaluation: `Evaluation`, or `Predictions` of a report.

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
    for index in range(_BINS):
        members = bins == index
        filled = members.any()
        rows.append(
            {
                "low": float(edges[index]),
                "high": float(edges[index + 1]),
                "examples": int(members.sum()),
                "confidence": float(confidences[members].mean()) if filled else None,
                "accuracy": float(right[members].mean()) if filled else None,
            }
        )
    return rows


def expected_calibration_error(evaluation):
    """Return how far confidence and accuracy are apart, 0 for a calibrated model.

    Args:
        evaluation: As for `reliability`.

    Returns:
        The mean over the bins of `reliability` of the distance between confidence
        and accuracy, weighted by their examples; in [0, 1].
    """
    rows = [row for row in reliability(evaluation) if row["examples"]]
    gaps = [row["examples"] * abs(row["confidence"] - row["accuracy"]) for row in rows]
    return sum(gaps) / sum(row["examples"] for row in rows)


def fit_temperature(evaluation):
    """Return the temperature that makes a model's probabilities fit the labels best.

    It minimizes the cross-entropy. Fit it on the validation split, whose images the
    model was not trained on; the test split then tells what it is worth.

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

    logits, true = _logits(evaluation), (np.arange(len(evaluation.labels)), evaluation.labels)

    def cross_entropy(log_temperature):
        return -_log_softmax(logits / np.exp(log_temperature))[true].mean()

    bounds = np.log([_LOWEST, _HIGHEST])
    found = minimize_scalar(cross_entropy, bounds=bounds, method="bounded")
    return float(np.exp(found.x))


def with_temperature(evaluation, temperature):
    """Return an evaluation whose logits are divided by a temperature.

    The predicted classes stay the same; above 1 their probabilities fall.

    Args:
        evaluation: `Evaluation`.
        temperature: More than 0.

    Returns:
        An `Evaluation` of the same labels.
    """
    probabilities = np.exp(_log_softmax(_logits(evaluation) / temperature))
    return dataclasses.replace(evaluation, probabilities=probabilities)


def _logits(evaluation):
    """Return logits, up to a constant in each row; of a probability of 0, the least float32."""
    smallest = np.finfo("float32").tiny
    return np.log(np.maximum(evaluation.probabilities, smallest, dtype="float64"))


def _log_softmax(logits):
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
