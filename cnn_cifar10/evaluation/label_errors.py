"""Likely label errors, by confident learning."""

import warnings

import numpy as np

from cnn_cifar10.evaluation.metrics import Evaluation
from cnn_cifar10.utils import require_package


def likely_label_errors(evaluation: Evaluation, count: int | None = None) -> np.ndarray:
    """Return the indices of examples whose label is probably wrong, the likeliest first.

    Confident learning estimates from the predictions how many examples with the label of
    one class belong to another. It returns the examples that fit their label least.

    Args:
        evaluation: `Evaluation` of examples that the model was not trained on, such as the
            validation split: a model repeats the wrong labels that it was trained on. For
            the training split, predict each part with a model trained on the other parts
            (cross-validation).
        count: How many at most; `None` for all.

    Returns:
        Integer array of indices.

    Raises:
        InputError: If cleanlab is not installed.

    Reference:
        [Northcutt et al., 2019](https://arxiv.org/abs/1911.00068)
    """
    require_package("cleanlab", "label errors need", "'cnn-cifar10[label-errors]'")
    from cleanlab.filter import find_label_issues

    with warnings.catch_warnings():  # reports say themselves which classes are small
        warnings.filterwarnings("ignore", "May not flag all label issues")
        return find_label_issues(
            evaluation.labels,
            evaluation.probabilities,
            return_indices_ranked_by="self_confidence",
            n_jobs=1,  # more are no faster below hundreds of thousands of examples
        )[:count]
