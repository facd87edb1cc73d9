"""Significance of differences between runs: intervals, paired tests, Holm's correction."""

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

LEVEL = 0.05
"""How often a difference may be seen where there is none, over all verdicts of a study."""

FEWEST_SEEDS = 3
"""With fewer pairs than this, no verdict is given."""

BETTER, WORSE = "better", "worse"
NO_DIFFERENCE, UNKNOWN = "no difference seen", "cannot be told"
VERDICTS = (BETTER, WORSE, NO_DIFFERENCE, UNKNOWN)


def mean_interval(values: Sequence[float]) -> tuple[float | None, ...]:
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
    half = _quantile(len(values) - 1) * std / math.sqrt(len(values))
    return mean, std, mean - half, mean + half


def _quantile(freedom):
    """Return the bound that Student's t passes, in either direction, one time in twenty."""
    return float(stats.t.ppf(1 - LEVEL / 2, freedom))


def compare_with_reference(
    measured: dict[str, dict[int, float]], reference: str
) -> dict[str, tuple[float | None, ...]]:
    """Test which variants differ from one of them, paired by seed.

    A measurement is taken as the sum of what its variant and what its seed bring, and
    of chance, which is estimated from all variants together, as in an analysis of
    randomized blocks: three seeds of a single variant would hardly tell it. For two
    variants this is Student's paired t-test. A variant whose chance is far larger than
    that of the others hides their differences. Where runs are missing, intervals and p-values
    are approximate.

    Args:
        measured: Dict of variants to dicts of seeds to measurements.
        reference: The variant that the others are compared with.

    Returns:
        A dict of the other variants to `(difference, low, high, p)`: the difference on
        the seeds that the reference has too, its 95% interval and the two-sided p-value.
        Without such seeds all are `None`; with fewer than `FEWEST_SEEDS`, or where
        nothing but variants and seeds moves any measurement, so that nothing tells its
        chance, all but the first.

    Example:
        >>> compare_with_reference(
        ...     {"a": {0: 0.72, 1: 0.75, 2: 0.75}, "b": {0: 0.70, 1: 0.72, 2: 0.74}}, "b"
        ... )
        {"a": (0.02, -0.0048..., 0.0448..., 0.0742...)}
    """
    seeds = list(measured[reference])
    shared = {
        name: [seed for seed in seeds if seed in values]
        for name, values in measured.items()
        if name != reference
    }
    means = {
        name: float(np.mean([measured[name][seed] - measured[reference][seed] for seed in both]))
        for name, both in shared.items()
        if both
    }
    found: dict[str, tuple[float | None, ...]] = {
        name: (means.get(name), None, None, None) for name in shared
    }
    tested = [name for name, both in shared.items() if len(both) >= FEWEST_SEEDS]
    cells = [(name, seed) for name in tested for seed in shared[name]]
    cells += [(reference, seed) for seed in seeds]
    design = np.array(
        [
            [name == each for each in tested] + [seed == each for each in seeds]
            for name, seed in cells
        ],
        dtype=float,
    )
    freedom = len(cells) - len(tested) - len(seeds)
    if not tested or freedom < 1:
        return found
    accuracies = np.array([measured[name][seed] for name, seed in cells])
    effects, *_ = np.linalg.lstsq(design, accuracies)
    chance = math.sqrt(np.sum((accuracies - design @ effects) ** 2) / freedom)
    for name in tested:
        difference = means[name]
        error = chance * math.sqrt(2 / len(shared[name]))
        if chance > 1e-9:  # less is that of floating-point numbers
            half = _quantile(freedom) * error
            p = float(2 * stats.t.sf(abs(difference) / error, freedom))
            found[name] = (difference, difference - half, difference + half, p)
        elif abs(difference) < 1e-9:
            found[name] = (0.0, 0.0, 0.0, 1.0)
    return found


def holm(p_values: Sequence[float | None]) -> list[float | None]:
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
    corrected: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, place) in enumerate(made):
        highest = max(highest, min(1.0, p * (len(made) - rank)))
        corrected[place] = highest
    return corrected


def verdict(difference: float | None, p: float | None) -> str:
    """Return a comparison in plain words.

    Args:
        difference: Mean difference from the reference.
        p: Its p-value, corrected where there are several; `None` if unknown.
    """
    if p is None or difference is None:
        return UNKNOWN
    if p > LEVEL:
        return NO_DIFFERENCE
    return BETTER if difference > 0 else WORSE


def chance_difference(std: float, count: int) -> float:
    """Return how far apart two single runs of one config are, one time in twenty, by chance.

    Args:
        std: Sample standard deviation of the config's runs.
        count: Number of those, at least 2.
    """
    return _quantile(count - 1) * math.sqrt(2) * std
