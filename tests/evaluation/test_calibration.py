import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn_cifar10.evaluation import (
    Evaluation,
    expected_calibration_error,
    fit_temperature,
    reliability,
    with_temperature,
)


def sampled(temperature, count=20_000, classes=5):
    """Labels drawn from probabilities, which are then sharpened by a temperature."""
    rng = np.random.default_rng(0)
    logits = 2 * rng.normal(size=(count, classes))
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    return Evaluation(labels, softmax(logits * temperature), "abcde")


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def of_confidences(confidences, right):
    """Two classes; class 0 is predicted throughout."""
    confidences = np.array(confidences)
    probabilities = np.stack([confidences, 1 - confidences], axis=1)
    return Evaluation(np.where(right, 0, 1), probabilities, "ab")


def test_calibration_error_by_hand():
    # 0.62 and 0.65 share the bin from 9/15 to 10/15, 0.7 is in the next, 0.98 in the last.
    evaluation = of_confidences([0.62, 0.65, 0.7, 0.98], [True, False, True, True])
    rows = [row for row in reliability(evaluation) if row["examples"]]
    assert [row["examples"] for row in rows] == [2, 1, 1]
    assert [row["low"] for row in rows] == pytest.approx([9 / 15, 10 / 15, 14 / 15])
    assert [row["high"] for row in rows] == pytest.approx([10 / 15, 11 / 15, 1])
    assert [row["confidence"] for row in rows] == pytest.approx([0.635, 0.7, 0.98])
    assert [row["accuracy"] for row in rows] == [0.5, 1, 1]
    error = (2 * 0.135 + 0.3 + 0.02) / 4
    assert expected_calibration_error(evaluation) == pytest.approx(error)


def test_bins_hold_their_upper_edge_and_empty_ones_say_so():
    rows = reliability(of_confidences([0.6, 1.0], [True, True]))
    assert len(rows) == 15
    assert [row["examples"] for row in rows] == [0] * 8 + [1] + [0] * 5 + [1]
    assert rows[0]["accuracy"] is None
    assert rows[0]["confidence"] is None


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.floats(0.5, 1), st.booleans()), min_size=1, max_size=40).map(
        lambda pairs: of_confidences(*zip(*pairs, strict=True))
    )
)
def test_bins_account_for_every_example(evaluation):
    rows = [row for row in reliability(evaluation) if row["examples"]]
    counts = [row["examples"] for row in rows]
    assert sum(counts) == len(evaluation.labels)
    right = sum(row["accuracy"] * count for row, count in zip(rows, counts, strict=True))
    assert right == pytest.approx((evaluation.predictions == evaluation.labels).sum())
    assert all(row["low"] <= row["confidence"] <= row["high"] + 1e-9 for row in rows)
    assert 0 <= expected_calibration_error(evaluation) <= 1


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_of_probabilities_is_found_and_undone(temperature):
    evaluation = sampled(temperature)
    found = fit_temperature(evaluation)
    assert found == pytest.approx(temperature, rel=0.03)
    scaled = with_temperature(evaluation, found)
    assert expected_calibration_error(scaled) < 0.015
    assert scaled.loss <= evaluation.loss + 1e-9
    np.testing.assert_array_equal(scaled.predictions, evaluation.predictions)


def test_no_other_temperature_fits_better():
    evaluation = sampled(2.0, count=500)
    best = fit_temperature(evaluation)
    losses = [with_temperature(evaluation, best * factor).loss for factor in (0.95, 1, 1.05)]
    assert losses[1] == min(losses)


def test_temperature_divides_the_logits():
    logits = np.array([[2.0, 1.0, -1.0], [0.0, 0.5, 0.0]])
    scaled = with_temperature(Evaluation([0, 1], softmax(logits), "abc"), 2.5)
    np.testing.assert_allclose(scaled.probabilities, softmax(logits / 2.5))
    np.testing.assert_allclose(
        with_temperature(scaled, 1 / 2.5).probabilities, softmax(logits), atol=1e-12
    )


def test_certain_predictions_have_a_temperature_too():
    certain = Evaluation([0, 1, 1, 0], np.eye(2, dtype="float32")[[0, 1, 0, 0]], "ab")
    assert fit_temperature(certain) == pytest.approx(20, rel=0.01)
    assert np.isfinite(with_temperature(certain, 0.05).probabilities).all()
