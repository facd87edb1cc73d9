"""Whether a difference between runs is more than the chance of their seeds."""

import math

import numpy as np
from scipy import stats

LEVEL = 0.05
"""How often a difference may be seen where there is none, over all verdicts of a study."""

FEWEST_SEEDS = 3
"""With fewer pairs than this, no verdict is given."""

BETTER, WORSE = "better", "worse"
NO_DIFFERENCE, UNKNOWN = "no difference seen", "cannot be told"


def mean_interval(values):
    """Return the mean of measurements and its 95% interval by Student's t.

    Args:
        values: Measurements, one a seed.

    Returns:
        `(mean, std, low, high)`; `std` is the sample standard deviation. All are
        `None` without values, and all but the mean for a single one.

    Example:
        >>> mean_interval([1.0, 2.0, 3.0])
        (2.0, 1.0, -0.484..., 4.484...)
    """
    if not values:
        return None, None, None, None
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, None, None, None
    std = float(np.std(values, ddof=1))
    half = float(stats.t.ppf(1 - LEVEL / 2, len(values) - 1)) * std / math.sqrt(len(values))
    return mean, std, mean - half, mean + half


def paired_test(values, reference):
    """Test whether paired measurements differ, by Student's paired t-test.

    Args:
        values: Measurements, one a seed.
        reference: Those that they are compared with, of the same seeds.

    Returns:
        `(difference, low, high, p)`: the mean of `values - reference`, its 95%
        interval and the two-sided p-value. Without pairs all are `None`; with
        fewer than `FEWEST_SEEDS`, or where every difference is the same and
        not 0, so that nothing tells its chance, all but the first.

    Example:
        >>> paired_test([0.72, 0.75, 0.75], [0.70, 0.72, 0.74])
        (0.02, -0.0048..., 0.0448..., 0.0742...)
    """
    differences = np.round(np.subtract(values, reference), 9)  # of which 1e-17 is no spread
    if not len(differences):
        return None, None, None, None
    mean = float(np.mean(differences))
    if len(differences) < FEWEST_SEEDS or (np.ptp(differences) == 0 and mean):
        return mean, None, None, None
    if not differences.any():
        return 0.0, 0.0, 0.0, 1.0
    test = stats.ttest_rel(values, reference)
    low, high = test.confidence_interval(1 - LEVEL)
    return mean, float(low), float(high), float(test.pvalue)


def holm(p_values):
    """Return p-values after Holm's correction for as many comparisons as there are.

    Args:
        p_values: Sequence of p-values; `None` for a comparison that was not made.

    Returns:
        A list of as many, in the same order: at most `LEVEL` where a difference
        is seen.

    Reference:
        [Holm, 1979](https://www.jstor.org/stable/4615733)

    Example:
        >>> holm([0.01, None, 0.04, 0.03])
        [0.03, None, 0.06, 0.06]
    """
    made = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    corrected, highest = [None] * len(p_values), 0.0
    for rank, (p, place) in enumerate(made):
        highest = max(highest, min(1.0, p * (len(made) - rank)))
        corrected[place] = highest
    return corrected


def verdict(difference, p):
    """Return a comparison in plain words.

    Args:
        difference: Mean difference from the reference.
        p: Its p-value, corrected where there are several; `None` if unknown.
    """
    if p is None:
        return UNKNOWN
    if p > LEVEL:
        return NO_DIFFERENCE
    return BETTER if difference > 0 else WORSE


def chance_difference(std, count):
    """Return how far apart two single runs of one config are, one time in twenty, by chance.

    Args:
        std: Sample standard deviation of the config's runs.
        count: Number of those, at least 2.
    """
    return float(stats.t.ppf(1 - LEVEL / 2, count - 1)) * math.sqrt(2) * std
