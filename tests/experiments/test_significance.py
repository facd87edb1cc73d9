"""Statistics against numbers worked out by hand, and what must hold for any numbers."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from cnn_cifar10.experiments import LEVEL, chance_difference, compare_with_reference, holm
from cnn_cifar10.experiments.significance import (
    BETTER,
    NO_DIFFERENCE,
    UNKNOWN,
    WORSE,
    mean_interval,
    verdict,
)

T_OF_2 = 4.30265273  # Student's t at 97.5% with 2 degrees of freedom, from a printed table
T_OF_4 = 2.77644511

accuracies = st.integers(0, 5000).map(lambda right: right / 5000)
pairs = st.lists(st.tuples(accuracies, accuracies), min_size=3, max_size=10)


def paired_test(values, reference):
    """Compare two variants, each of whose values is of another seed."""
    measured = {"a": dict(enumerate(values)), "b": dict(enumerate(reference))}
    return compare_with_reference(measured, "b")["a"]


def judged(values, reference):
    difference, *_, p = paired_test(values, reference)
    return verdict(difference, p)


def test_an_interval_by_hand():
    assert mean_interval([1.0, 2.0, 3.0]) == pytest.approx(
        (2.0, 1.0, 2 - T_OF_2 / math.sqrt(3), 2 + T_OF_2 / math.sqrt(3))
    )
    mean, std, low, high = mean_interval([0.70, 0.72, 0.71, 0.74, 0.73])
    assert (mean, std) == pytest.approx((0.72, 0.0158113883))
    assert high - mean == mean - low == pytest.approx(T_OF_4 * 0.0158113883 / math.sqrt(5))


def test_one_measurement_has_no_spread_and_none_no_mean():
    assert mean_interval([0.7]) == (0.7, None, None, None)
    assert mean_interval([]) == (None, None, None, None)


def test_a_paired_test_by_hand():
    # The differences are 2, 3 and 1 points: t = 2 / (1 / sqrt(3)). With two degrees of
    # freedom the distribution has a closed form: p = 1 - t / sqrt(2 + t^2).
    t = 2 * math.sqrt(3)
    difference, low, high, p = paired_test([0.72, 0.75, 0.75], [0.70, 0.72, 0.74])
    assert difference == pytest.approx(0.02)
    assert p == pytest.approx(1 - t / math.sqrt(2 + t**2)) == pytest.approx(0.0741799)
    assert (low, high) == pytest.approx((0.02 - 0.01 * T_OF_2 / 3**0.5, 0.0448414), abs=1e-6)
    assert verdict(difference, p) == NO_DIFFERENCE


def test_pairing_sees_what_the_spread_of_seeds_would_hide():
    reference = np.array([0.60, 0.70, 0.80, 0.90])
    values = reference + np.array([0.010, 0.012, 0.009, 0.011])
    assert judged(values, reference) == BETTER
    assert judged(reference, values) == WORSE
    assert judged(values[[1, 2, 3, 0]], reference) == NO_DIFFERENCE


@pytest.mark.parametrize("count", [1, 2])
def test_of_two_seeds_or_fewer_nothing_is_told(count):
    values, reference = [0.9, 0.91][:count], [0.1, 0.12][:count]
    difference, low, high, p = paired_test(values, reference)
    assert difference == pytest.approx(np.mean(np.subtract(values, reference)))
    assert (low, high, p) == (None, None, None)
    assert verdict(difference, p) == UNKNOWN
    assert paired_test([], []) == (None, None, None, None)


def test_differences_without_spread():
    assert paired_test([0.7, 0.8, 0.9], [0.7, 0.8, 0.9]) == (0.0, 0.0, 0.0, 1.0)
    # 0.1 + 0.2 is not 0.3 in binary: that is no spread.
    difference, low, high, p = paired_test([0.2 + 0.1, 0.5, 0.7], [0.2, 0.4, 0.6])
    assert difference == pytest.approx(0.1)
    assert (low, high, p) == (None, None, None)


def test_two_variants_are_students_paired_t_test():
    values, reference = np.random.default_rng(0).normal(0.7, 0.01, (2, 6))
    expected = stats.ttest_rel(values, reference)
    difference, low, high, p = paired_test(values, reference)
    assert p == pytest.approx(expected.pvalue)
    assert (low, high) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert difference == pytest.approx(np.mean(values - reference))


def test_chance_is_estimated_from_all_variants_by_hand():
    # Less what variants and seeds bring, -1, 0 and 1 points, is left of a, the opposite of c
    # and nothing of b: 4 of squared points, and 9 - 3 - 2 degrees of freedom.
    measured = {
        "a": {0: 0.71, 1: 0.74, 2: 0.75},
        "b": {0: 0.70, 1: 0.72, 2: 0.72},
        "c": {0: 0.61, 1: 0.62, 2: 0.61},
    }
    found = compare_with_reference(measured, "b")
    half = 2.77644511 * 0.01 * math.sqrt(2 / 3)
    assert found["a"][:3] == pytest.approx((0.02, 0.02 - half, 0.02 + half))
    assert found["c"][:3] == pytest.approx((-0.10, -0.10 - half, -0.10 + half))
    assert set(found) == {"a", "c"}


def test_a_variant_that_lacks_a_seed_is_compared_on_the_others():
    measured = {
        "whole": {0: 0.70, 1: 0.72, 2: 0.75, 3: 0.71},
        "lacking": {0: 0.61, 2: 0.67, 3: 0.62},
        "few": {0: 0.9, 7: 0.1},
        "none": {9: 0.5},
    }
    found = compare_with_reference(measured, "whole")
    assert found["lacking"] == pytest.approx(paired_test([0.61, 0.67, 0.62], [0.70, 0.75, 0.71]))
    assert found["few"] == (pytest.approx(0.2), None, None, None)
    assert found["none"] == (None, None, None, None)


def test_where_a_run_is_missing_the_difference_is_still_the_mean_over_pairs():
    measured = {
        "reference": {0: 0.70, 1: 0.71, 2: 0.72, 3: 0.60},
        "whole": {0: 0.71, 1: 0.72, 2: 0.73, 3: 0.75},
        "lacking": {0: 0.705, 1: 0.715, 2: 0.725},
    }
    found = compare_with_reference(measured, "reference")
    assert found["lacking"][0] == pytest.approx(0.005)
    assert found["whole"][0] == pytest.approx(0.045)
    halves = {name: high - low for name, (_, low, high, _) in found.items()}
    assert halves["lacking"] / halves["whole"] == pytest.approx(math.sqrt(4 / 3))


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.01, None, 0.04, 0.03]) == [0.03, None, 0.06, 0.06]
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([None]) == [None]
    assert holm([]) == []


@given(st.lists(st.none() | st.floats(0, 1), max_size=8))
def test_holm_lies_between_no_correction_and_bonferronis(p_values):
    corrected = holm(p_values)
    made = [p for p in p_values if p is not None]
    for p, q in zip(p_values, corrected, strict=True):
        assert (p is None) == (q is None)
        if p is not None:
            assert p <= q <= min(1, p * len(made))
    order = sorted(range(len(made)), key=made.__getitem__)
    kept = [q for q in corrected if q is not None]
    assert all(kept[i] <= kept[j] for i, j in itertools.pairwise(order))


@given(pairs)
def test_the_other_way_round_the_verdict_is_the_opposite(measured):
    values, reference = zip(*measured, strict=True)
    opposite = {BETTER: WORSE, WORSE: BETTER}
    first = judged(values, reference)
    assert judged(reference, values) == opposite.get(first, first)


@given(pairs, st.permutations(range(10)), st.integers(-1000, 1000))
def test_neither_the_order_nor_the_height_of_seeds_matters(measured, order, shift):
    values, reference = np.transpose(measured)
    order = [place for place in order if place < len(values)]
    one = paired_test(values, reference)
    other = paired_test((values + shift / 5000)[order], (reference + shift / 5000)[order])
    assert (one[3] is None) == (other[3] is None)
    assert one[0] == pytest.approx(other[0], abs=1e-9)
    if one[3] is not None:
        assert one[1:] == pytest.approx(other[1:], rel=1e-4, abs=1e-6)


@given(pairs)
def test_a_verdict_goes_with_the_interval_of_its_difference(measured):
    values, reference = zip(*measured, strict=True)
    difference, low, high, p = paired_test(values, reference)
    assume(p is not None and abs(p - LEVEL) > 1e-6)
    assert low <= difference <= high
    words = verdict(difference, p)
    assert words == (BETTER if low > 0 else WORSE if high < 0 else NO_DIFFERENCE)


def test_chance_alone_is_called_a_difference_one_time_in_twenty():
    rng = np.random.default_rng(0)
    seen = sum(judged(*rng.normal(0.7, 0.01, (2, 4))) != NO_DIFFERENCE for _ in range(1000))
    assert 30 <= seen <= 70
    seen = 0
    for _ in range(1000):
        values = rng.normal(0.7, 0.01, (6, 3)) + rng.normal(0, 0.01, 3)
        found = compare_with_reference(
            {place: dict(enumerate(each)) for place, each in enumerate(values)}, 0
        )
        seen += min(holm([p for *_, p in found.values()])) <= LEVEL
    assert 30 <= seen <= 70


def test_chance_difference_is_what_two_single_runs_differ_by():
    assert chance_difference(0.01, 5) == pytest.approx(T_OF_4 * 0.01 * math.sqrt(2))
    rng, count = np.random.default_rng(0), 400
    runs = rng.normal(0.7, 0.01, (2, 4000))
    limit = chance_difference(float(np.std(runs[0, :count], ddof=1)), count)
    assert np.mean(np.abs(runs[0] - runs[1]) > limit) == pytest.approx(0.05, abs=0.015)
