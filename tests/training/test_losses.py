"""Weights of unequal classes, in every loss and however labels are mixed."""

import logging

import keras
import numpy as np
import pytest
from keras import layers

from cnn_cifar10.architectures.layers import AuxiliaryHeads
from cnn_cifar10.configs import LOSSES, make_config
from cnn_cifar10.datasets import Dataset, Split
from cnn_cifar10.pipelines import training_batches
from cnn_cifar10.training import build_model, compile_model
from cnn_cifar10.training.losses import ClassWeighted, balanced_weights, build_loss


def dataset_of(counts, names=None):
    labels = np.repeat(np.arange(len(counts)), counts)
    split = Split(np.zeros((len(labels), 8, 8, 3), "uint8"), labels)
    names = names or tuple(f"class {i}" for i in range(len(counts)))
    return Dataset("made", "Made", names, split, split[:0], split[:0])


@pytest.mark.parametrize("counts", [(90, 9, 1), (5, 5, 5), (1, 1000)])
def test_balanced_classes_weigh_the_same_in_sum_and_images_one_in_the_mean(counts):
    weights = balanced_weights(dataset_of(counts))
    np.testing.assert_allclose(weights * counts, sum(counts) / len(counts), rtol=1e-6)
    assert np.average(weights, weights=counts) == pytest.approx(1)


def test_a_class_without_images_has_no_weight_and_is_named(caplog):
    with caplog.at_level(logging.WARNING):
        weights = balanced_weights(dataset_of((6, 0, 2), ("cat", "dog", "owl")))
    np.testing.assert_allclose(weights, [8 / 12, 0, 2])
    assert caplog.messages == ["no training images of 1 classes, of weight 0: dog"]
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        assert balanced_weights(dataset_of((1,) + (0,) * 1999)).sum() == 1
    (message,) = caplog.messages
    assert message.endswith(
        "1999 classes, of weight 0: class 1, class 2, class 3, class 4, class 5, …"
    )


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_loss_of_one_class_is_multiplied_by_its_weight(loss, smoothing):
    plain = build_loss(make_config(loss=loss, label_smoothing=smoothing))
    weighted = ClassWeighted(plain, np.array([0.5, 3.0], "float32"))
    answers = np.array([[0.7, 0.3]], "float32")
    for label, weight in enumerate((0.5, 3.0)):
        labels = np.eye(2, dtype="float32")[[label]]
        expected = weight * float(plain(labels, answers))
        assert float(weighted(labels, answers)) == pytest.approx(expected, rel=1e-5)


def test_mixed_labels_mix_the_weights():
    plain = keras.losses.CategoricalCrossentropy()
    weighted = ClassWeighted(plain, np.array([1.0, 3.0], "float32"))
    labels, answers = np.array([[0.25, 0.75]], "float32"), np.array([[0.4, 0.6]], "float32")
    expected = (0.25 * 1 + 0.75 * 3) * float(plain(labels, answers))
    assert float(weighted(labels, answers)) == pytest.approx(expected, rel=1e-6)


def test_the_loss_of_a_batch_keeps_its_reduction():
    weighted = ClassWeighted(keras.losses.CategoricalCrossentropy(reduction="sum"), np.ones(2, "f"))
    labels = np.eye(2, dtype="float32")
    assert float(weighted(labels, np.full((2, 2), 0.5))) == pytest.approx(2 * np.log(2))


def test_it_is_saved_with_a_model_that_is_compiled():
    weighted = ClassWeighted(build_loss(make_config(loss="focal")), np.array([0.5, 3.0]))
    loaded = keras.losses.deserialize(keras.losses.serialize(weighted))
    labels, answers = np.eye(2, dtype="float32"), np.array([[0.7, 0.3], [0.6, 0.4]], "float32")
    assert float(loaded(labels, answers)) == float(weighted(labels, answers))


@pytest.mark.usefixtures("short_googlenet")
def test_further_heads_are_weighted_too(digits):
    options = {"width": 0.125, "auxiliary_heads": True}
    config = make_config(model="googlenet", model_options=options, class_weight="balanced")
    model = build_model(config, digits, "float32")
    assert isinstance(model, AuxiliaryHeads)
    compile_model(model, config, digits)
    labels = np.eye(10, dtype="float32")[:4]
    answers = [np.full((4, 10), 0.1, "float32")] * 3
    loss = float(model.compute_loss(None, labels, answers))
    weights = balanced_weights(digits)[:4]
    assert loss == pytest.approx(1.6 * np.log(10) * weights.mean(), rel=1e-4)


@pytest.mark.parametrize("augment", ["none", "mixup", "flip+cutmix"])
def test_a_rare_class_is_answered_more_often(augment):
    """Twenty to one, and nothing in the images tells the classes apart."""
    dataset = dataset_of((400, 20))
    shares = {}
    for class_weight in ("none", "balanced"):
        config = make_config(class_weight=class_weight, optimizer="adam", label_smoothing=0.0)
        model = keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(2)])
        model.add(layers.Softmax())
        compile_model(model, config, dataset, learning_rate=0.1)
        batches = training_batches(dataset.train, 2, batch_size=210, augment=augment)
        model.fit(batches, steps_per_epoch=2, epochs=15, shuffle=False, verbose=0)
        shares[class_weight] = model.predict(dataset.train.images[:1], verbose=0)[0, 1]
    assert shares["none"] < 0.1
    assert 0.25 < shares["balanced"] < 0.75
