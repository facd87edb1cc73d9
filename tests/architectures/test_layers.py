"""Our layers against references: the stock layer, and what their names promise."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnn_cifar10.architectures.layers import (
    FusedBatchNormalization,
    PartialIdentity,
    PatchWhitening,
)


def pair(channels=5, **options):
    """The fused and the stock layer with the same random weights."""
    rng = np.random.default_rng(0)
    layers = [FusedBatchNormalization(**options), keras.layers.BatchNormalization(**options)]
    for layer in layers:
        layer.build((None, 6, 7, channels))
    weights = [rng.uniform(0.5, 2.0, w.shape).astype("float32") for w in layers[0].weights]
    for layer in layers:
        layer.set_weights(weights)
    return layers


def images(channels=5):
    rng = np.random.default_rng(1)
    return tf.constant(rng.normal(3.0, 2.0, (4, 6, 7, channels)).astype("float32"))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("options", [{}, {"scale": False}, {"center": False}, {"momentum": 0.5}])
def test_outputs_gradients_and_statistics_are_the_stock_layers(training, options):
    results = []
    for layer in pair(**options):
        x = images()
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=training)
            loss = tf.reduce_sum(y * tf.sin(y))
        gradients = tape.gradient(loss, [x, *(v.value for v in layer.trainable_variables)])
        results.append([y, *gradients, layer.moving_mean, layer.moving_variance])
    for fused, stock in zip(*results, strict=True):
        np.testing.assert_allclose(fused, stock, rtol=2e-5, atol=2e-5)


def test_the_fused_kernel_runs_where_it_can_and_only_there():
    def operations(layer, shape):
        function = tf.function(lambda x: layer(x, training=True))
        graph = function.get_concrete_function(tf.TensorSpec(shape, "float32")).graph
        return {operation.type for operation in graph.get_operations()}

    assert "FusedBatchNormV3" in operations(FusedBatchNormalization(), (2, 4, 4, 3))
    assert "FusedBatchNormV3" not in operations(FusedBatchNormalization(), (2, 3))
    assert "FusedBatchNormV3" not in operations(FusedBatchNormalization(axis=1), (2, 4, 4, 3))


def test_dense_inputs_are_the_stock_layers():
    fused, stock = FusedBatchNormalization(), keras.layers.BatchNormalization()
    x = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")
    np.testing.assert_array_equal(fused(x, training=True), stock(x, training=True))


def test_mixed_precision_keeps_statistics_in_float32():
    fused, stock = pair(dtype="mixed_bfloat16")
    x = images()
    y, reference = fused(x, training=True), stock(x, training=True)
    assert y.dtype == reference.dtype == "bfloat16"
    assert fused.moving_mean.dtype == "float32"
    np.testing.assert_allclose(
        keras.ops.cast(y, "float32"), keras.ops.cast(reference, "float32"), atol=0.05
    )
    np.testing.assert_allclose(fused.moving_variance, stock.moving_variance, rtol=1e-2)


def test_a_frozen_layer_leaves_its_statistics_alone():
    fused, stock = pair()
    fused.trainable = stock.trainable = False
    before = fused.get_weights()
    np.testing.assert_allclose(
        fused(images(), training=True), stock(images(), training=True), atol=2e-5
    )
    for old, new in zip(before, fused.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def patches_of(outputs):
    return np.asarray(outputs, "float64").reshape(-1, outputs.shape[-1])


def test_whitened_patches_are_uncorrelated_of_variance_one():
    rng = np.random.default_rng(0)
    smooth = rng.normal(size=(200, 9, 9, 3)).cumsum(axis=1).cumsum(axis=2).astype("float32")
    layer = PatchWhitening(epsilon=0.0)
    layer.build(smooth.shape)
    layer.adapt(smooth)
    outputs = patches_of(layer(smooth))
    assert outputs.shape == (200 * 64, 24)
    first, opposite = outputs[:, :12], outputs[:, 12:]
    np.testing.assert_allclose(opposite, -first, atol=1e-3)
    np.testing.assert_allclose(first.T @ first / len(first), np.eye(12), atol=0.02)


def test_whitening_does_not_blow_up_what_hardly_varies():
    layer = PatchWhitening(kernel_size=1)
    layer.build((None, 4, 4, 3))
    flat = np.ones((2, 4, 4, 3), "float32")
    layer.adapt(flat)
    assert np.abs(layer.kernel).max() < 1 / np.sqrt(5e-4) + 1e-3
    assert np.abs(np.asarray(layer(flat))).max() == pytest.approx(1.0, abs=1e-3)


def test_whitening_is_not_trained_and_is_made_again_from_its_config():
    layer = PatchWhitening(kernel_size=3, channels=1, epsilon=0.1, name="stem")
    layer.build((None, 8, 8, 1))
    assert not layer.trainable_variables
    again = PatchWhitening.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert not again.trainable


@pytest.mark.parametrize(("inputs", "outputs"), [(4, 4), (3, 8), (8, 3)])
def test_partial_identity_passes_its_inputs_on(inputs, outputs):
    convolution = keras.layers.Conv2D(
        outputs, 3, padding="same", use_bias=False, kernel_initializer=PartialIdentity(seed=0)
    )
    x = np.random.default_rng(0).normal(size=(2, 5, 6, inputs)).astype("float32")
    passed = min(inputs, outputs)
    np.testing.assert_allclose(convolution(x)[..., :passed], x[..., :passed], atol=1e-6)
    others = np.asarray(convolution.kernel)[..., passed:]
    if others.size:
        bound = np.sqrt(1 / (9 * inputs))
        assert 0.9 * bound < np.abs(others).max() <= bound
