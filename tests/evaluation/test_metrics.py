import importlib.util
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn_cifar10.datasets import Split
from cnn_cifar10.evaluation import (
    Evaluation,
    confident_mistakes,
    confusion_matrix,
    evaluate_corruptions,
    evaluate_split,
    likely_label_errors,
    most_confused,
    wilson_interval,
)
from cnn_cifar10.evaluation.robustness import CORRUPTIONS
from cnn_cifar10.utils import InputError

# Truth a a b b c; predicted a b b b a: 3 of 5 right.
LABELS = [0, 0, 1, 1, 2]
PROBABILITIES = [
    [0.5, 0.3, 0.2],
    [0.2, 0.7, 0.1],
    [0.1, 0.8, 0.1],
    [0.25, 0.5, 0.25],
    [0.9, 0.06, 0.04],
]


@pytest.fixture
def evaluation():
    return Evaluation(LABELS, PROBABILITIES, "abc")


def random_evaluation(labels, classes, seed=0):
    logits = np.random.default_rng(seed).normal(size=(len(labels), classes))
    # Few distinct values, so that there are ties.
    exponentials = np.exp(np.round(logits))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    return Evaluation(np.array(labels), probabilities, [f"class {i}" for i in range(classes)])


labellings = st.integers(2, 7).flatmap(
    lambda classes: st.tuples(
        st.lists(st.integers(0, classes - 1), min_size=1, max_size=30),
        st.just(classes),
        st.integers(0, 1000),
    )
)


def test_numbers_by_hand(evaluation, known_metrics):
    assert evaluation.predictions.tolist() == [0, 1, 1, 1, 0]
    assert evaluation.accuracy == pytest.approx(3 / 5)
    assert evaluation.loss == pytest.approx(-math.log(0.5 * 0.2 * 0.8 * 0.5 * 0.04) / 5)
    assert evaluation.confusion_matrix.tolist() == [[1, 1, 0], [0, 2, 0], [1, 0, 0]]
    assert [evaluation.top_k_accuracy(k) for k in (1, 2, 3)] == pytest.approx([0.6, 0.8, 1.0])
    rows = evaluation.per_class()
    intervals = [(row.pop("recall_low"), row.pop("recall_high")) for row in rows]
    assert np.round(intervals, 3).tolist() == [[0.095, 0.905], [0.342, 1.0], [0.0, 0.793]]
    assert rows == [
        {"class": "a", "precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2},
        {
            "class": "b",
            "precision": pytest.approx(2 / 3),
            "recall": 1.0,
            "f1": pytest.approx(0.8),
            "support": 2,
        },
        {"class": "c", "precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1},
    ]
    assert evaluation.summary() == {
        "examples": 5,
        "loss": evaluation.loss,
        "accuracy": 0.6,
        "macro_precision": pytest.approx((0.5 + 2 / 3) / 3),
        "balanced_accuracy": pytest.approx(0.5),
        "macro_f1": pytest.approx(1.3 / 3),
    }


def test_summary_has_top5_only_where_it_says_something():
    assert "top5_accuracy" not in random_evaluation([0, 1, 2], 5).summary()
    assert "top5_accuracy" in random_evaluation([0, 1, 2], 6).summary()


def test_summary_agrees_with_sklearn_and_keras():
    import keras
    from sklearn import metrics

    labels = np.random.default_rng(1).integers(0, 8, 200)
    evaluation = random_evaluation(labels, 8)
    summary, predicted = evaluation.summary(), evaluation.predictions
    assert summary["accuracy"] == pytest.approx(metrics.accuracy_score(labels, predicted))
    assert summary["macro_f1"] == pytest.approx(
        metrics.f1_score(labels, predicted, average="macro")
    )
    balanced = metrics.balanced_accuracy_score(labels, predicted)
    assert summary["balanced_accuracy"] == pytest.approx(balanced)
    expected = metrics.confusion_matrix(labels, predicted)
    np.testing.assert_array_equal(evaluation.confusion_matrix, expected)
    loss = keras.losses.SparseCategoricalCrossentropy()(labels, evaluation.probabilities)
    assert summary["loss"] == pytest.approx(float(loss), rel=1e-5)


def test_balanced_accuracy_is_of_the_classes_that_there_are_images_of():
    evaluation = Evaluation([0, 0, 0, 1], np.eye(3)[[0, 0, 1, 1]], "abc")
    assert evaluation.summary()["balanced_accuracy"] == pytest.approx((2 / 3 + 1) / 2)


def test_intervals_are_wilsons():
    from scipy.stats import binomtest

    for right, examples in ((0, 3), (1, 1), (7, 10), (450, 500)):
        expected = binomtest(right, examples).proportion_ci(method="wilson")
        assert wilson_interval(right / examples, examples) == pytest.approx([*expected])
    assert np.ravel(wilson_interval([0.0], [0])) == pytest.approx([0.0, 1.0])


def test_loss_of_a_certain_mistake_is_clipped_as_in_keras():
    import keras

    probabilities = np.array([[1.0, 0.0], [1.0, 0.0]], "float32")
    loss = keras.losses.CategoricalCrossentropy()(np.eye(2, dtype="float32"), probabilities)
    assert Evaluation([0, 1], probabilities, "ab").loss == pytest.approx(float(loss), rel=1e-3)


@settings(max_examples=60)
@given(labellings)
def test_confusion_matrix_accounts_for_every_example(case):
    labels, classes, seed = case
    evaluation = random_evaluation(labels, classes, seed)
    matrix = evaluation.confusion_matrix
    assert matrix.shape == (classes, classes)
    assert matrix.sum(axis=1).tolist() == np.bincount(labels, minlength=classes).tolist()
    assert matrix.sum(axis=1).tolist() == [row["support"] for row in evaluation.per_class()]
    assert evaluation.accuracy == pytest.approx(matrix.trace() / matrix.sum())


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int64"])
def test_confusion_matrix_of_small_integers_does_not_overflow(dtype):
    labels, predictions = np.array([[0, 199, 199, 100], [0, 199, 3, 199]], dtype)
    matrix = confusion_matrix(labels, predictions, 200)
    assert matrix.shape == (200, 200)
    assert [matrix[cell] for cell in ((0, 0), (199, 199), (199, 3), (100, 199))] == [1, 1, 1, 1]
    assert matrix.sum() == 4


@settings(max_examples=60)
@given(labellings)
def test_top_k_grows_from_accuracy_to_one(case):
    labels, classes, seed = case
    evaluation = random_evaluation(labels, classes, seed)
    shares = [evaluation.top_k_accuracy(k) for k in range(1, classes + 1)]
    assert shares == sorted(shares)
    assert shares[0] == evaluation.accuracy
    assert shares[-1] == 1.0


def test_confident_mistakes_come_first_and_ties_keep_their_order():
    confidence = np.array([0.6, 0.9, 0.99, 0.9, 0.7])
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    evaluation = Evaluation([1, 1, 0, 1, 1], probabilities, "ab")
    assert confident_mistakes(evaluation, 10).tolist() == [1, 3, 4, 0]
    assert confident_mistakes(evaluation, 2).tolist() == [1, 3]


def test_most_confused_counts_images_and_their_share(evaluation):
    assert most_confused(evaluation, 10) == [
        {"true_class": "a", "predicted_class": "b", "images": 1, "share": 0.5},
        {"true_class": "c", "predicted_class": "a", "images": 1, "share": 1.0},
    ]
    assert len(most_confused(evaluation, 1)) == 1


def test_most_confused_is_sorted_and_empty_without_mistakes():
    evaluation = random_evaluation(np.random.default_rng(2).integers(0, 4, 300), 4)
    images = [row["images"] for row in most_confused(evaluation, 100)]
    assert images == sorted(images, reverse=True)
    assert sum(images) == 300 - evaluation.confusion_matrix.trace()
    assert most_confused(Evaluation([0, 1], np.eye(2), "ab"), 5) == []


@pytest.mark.parametrize(
    ("labels", "probabilities", "message"),
    [
        ([0, 1, 2, 0], np.eye(3), "shape"),
        ([0, 1, 2], np.eye(3)[:, :2], "shape"),
        ([0, 1, 3], np.eye(3), "0 to 2"),
        ([0, 1, -1], np.eye(3), "-1"),
        ([0.0, 1.0, 2.0], np.eye(3), "integer"),
        ([], np.empty((0, 3)), "non-empty"),
        ([0, 1, 2], np.eye(3) * [1, np.nan, 1], "finite"),
        ([0, 1, 2], np.eye(3) * [1, 1, 7], "row 2"),
        ([0], [[1.5, -0.5, 0.0]], "not negative"),
    ],
)
def test_invalid_arguments_raise_one_line(labels, probabilities, message):
    with pytest.raises(InputError, match=message) as error:
        Evaluation(np.array(labels, dtype=None if labels else int), probabilities, "abc")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("k", [0, 4])
def test_top_k_out_of_range(evaluation, k):
    with pytest.raises(InputError, match="1 to 3"):
        evaluation.top_k_accuracy(k)


def brightness_model():
    """A model whose probabilities tell which image it saw."""
    import keras

    pixels = keras.Input((4, 4, 3))
    mean = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(pixels))
    first = keras.layers.Lambda(lambda x: x[:, :1], output_shape=(1,))(mean)
    rest = keras.layers.Rescaling(-1, offset=1)(first)
    return keras.Model(pixels, keras.layers.Concatenate()([first, rest]))


def test_predictions_keep_the_order_of_the_split(monkeypatch):
    monkeypatch.setattr("cnn_cifar10.pipelines.evaluation_batch_size", lambda shape: 5)
    values = np.random.default_rng(0).permutation(23).astype("uint8") * 10
    images = np.tile(values[:, None, None, None], (1, 4, 4, 3))
    split = Split(images, np.zeros(23, "int64"))
    probabilities = evaluate_split(brightness_model(), split, ("bright", "dark")).probabilities
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities[:, 0], values / 255, atol=1e-6)


def test_model_of_other_classes_is_refused():
    split = Split(np.zeros((3, 4, 4, 3), "uint8"), np.zeros(3, "int64"))
    with pytest.raises(InputError, match=r"one row of 5 values, .* received shape \(3, 2\)"):
        evaluate_split(brightness_model(), split, tuple("abcde"))


def test_large_images_are_predicted_few_at_once():
    model, sizes = brightness_model(), []
    model.predict = lambda batches, verbose: np.concatenate(
        [sizes.append(len(images)) or np.full((len(images), 2), 0.5) for images, _ in batches]
    )
    split = Split(np.zeros((23, 224, 224, 3), "uint8"), np.zeros(23, "int64"))
    assert len(evaluate_split(model, split, "ab").labels) == 23
    assert sizes == [10, 10, 3]


def test_wrong_labels_of_digits_are_found():
    from sklearn.datasets import load_digits
    from sklearn.model_selection import cross_val_predict
    from sklearn.neighbors import KNeighborsClassifier

    pixels, labels = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    wrong = rng.choice(len(labels), 40, replace=False)
    labels[wrong] = (labels[wrong] + rng.integers(1, 10, 40)) % 10
    neighbors = KNeighborsClassifier(15)
    probabilities = cross_val_predict(neighbors, pixels, labels, method="predict_proba")
    evaluation = Evaluation(labels, probabilities, [str(digit) for digit in range(10)])
    found = likely_label_errors(evaluation, 40)
    assert np.isin(found, wrong).mean() > 0.8
    np.testing.assert_array_equal(likely_label_errors(evaluation, 5), found[:5])
    every = likely_label_errors(evaluation)
    assert len(every) >= 40
    np.testing.assert_array_equal(every[:40], found)


def test_no_label_is_doubted_where_every_prediction_is_right():
    labels = np.arange(30) % 3
    evaluation = Evaluation(labels, 0.1 + 0.7 * np.eye(3)[labels], "abc")
    assert likely_label_errors(evaluation, 10).tolist() == []


def test_the_label_that_fits_least_comes_first():
    labels = np.arange(30) % 3
    probabilities = 0.1 + 0.7 * np.eye(3)[labels]
    probabilities[[4, 9]] = [0.8, 0.15, 0.05], [0.05, 0.9, 0.05]  # of class 1 and class 0
    assert likely_label_errors(Evaluation(labels, probabilities, "abc"), 10).tolist() == [9, 4]


def test_label_errors_say_what_they_need(evaluation, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'cnn-cifar10\[label-errors\]'"):
        likely_label_errors(evaluation, 10)


def test_corruptions_are_measured_at_every_severity(digits, digits_run):
    model, split = digits_run.load_model(), digits.test[:150]
    rows = evaluate_corruptions(model, split, digits.class_names)
    assert [(row["corruption"], row["severity"]) for row in rows] == [
        (corruption, severity) for corruption in CORRUPTIONS for severity in range(6)
    ]
    clean = evaluate_split(model, split, digits.class_names).accuracy
    assert {row["accuracy"] for row in rows if row["severity"] == 0} == {clean}
    accuracies = {(row["corruption"], row["severity"]): row["accuracy"] for row in rows}
    assert accuracies["contrast", 5] < clean - 0.1
