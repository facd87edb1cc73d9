"""Optimizers by name, and Muon against NumPy."""

import keras
import numpy as np
import pytest

from cnn_cifar10.configs import OPTIMIZERS, make_config
from cnn_cifar10.training import train
from cnn_cifar10.training.optimizers import Muon, build_optimizer, orthogonalize


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_are_what_they_say_and_decay_kernels_only(name):
    config = make_config(optimizer=name, weight_decay=0.1)
    optimizer = build_optimizer(config, 0.01)
    classes = {"adamw": "adam"}  # weight decay is all that tells them apart
    assert type(optimizer).__name__.lower() == classes.get(name, name)
    if name == "sgd":
        assert optimizer.nesterov
        assert optimizer.momentum == 0.9
    layer = keras.layers.Dense(3, bias_initializer="ones")
    layer.build((None, 2))
    optimizer.build(layer.trainable_weights)
    kernel = layer.kernel.numpy()
    optimizer.apply([np.zeros(w.shape, "float32") for w in layer.trainable_weights])
    np.testing.assert_allclose(layer.kernel.numpy(), kernel * (1 - 0.01 * 0.1), rtol=1e-6)
    np.testing.assert_array_equal(layer.bias.numpy(), np.ones(3))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_do_without_weight_decay(name):
    optimizer = build_optimizer(make_config(optimizer=name, weight_decay=0.0), 0.01)
    layer = keras.layers.Dense(3)
    layer.build((None, 2))
    optimizer.build(layer.trainable_weights)
    kernel = layer.kernel.numpy()
    optimizer.apply([np.zeros(w.shape, "float32") for w in layer.trainable_weights])
    np.testing.assert_array_equal(layer.kernel.numpy(), kernel)


def steps_of(config, gradients):
    """Return weights after a step of each length of a gradient, and the optimizer."""
    variables = [keras.Variable(random(3, 3, 2, 4)), keras.Variable(random(4, seed=1))]
    optimizer = build_optimizer(config, 0.01)
    optimizer.build(variables)
    for length in gradients:
        optimizer.apply(
            [keras.ops.convert_to_tensor(length * random(*v.shape, seed=2)) for v in variables]
        )
    return [keras.ops.convert_to_numpy(variable) for variable in variables], optimizer


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_gradients_are_cut_to_the_same_norm_however_long_they_are(name):
    config = make_config(optimizer=name, clip_norm=1.0, weight_decay=0.0)
    found, optimizer = steps_of(config, [10.0, 1.0, 1e4])
    expected, _ = steps_of(config, [1.0, 1.0, 1.0])
    assert optimizer.global_clipnorm == 1.0
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4)
    uncut = make_config(optimizer=name, weight_decay=0.0)
    other, _ = steps_of(uncut, [10.0, 1.0, 1e4])
    assert np.abs(other[1] - expected[1]).max() > 1e-4


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_average_of_the_weights_is_kept_where_it_is_asked_for(name):
    config = make_config(optimizer=name, ema=0.9)
    variable = keras.Variable(random(3, 3, 2, 4))
    optimizer = build_optimizer(config, 0.01)
    optimizer.build([variable])
    expected = None
    for seed in range(3):
        optimizer.apply([keras.ops.convert_to_tensor(random(3, 3, 2, 4, seed=seed))])
        now = keras.ops.convert_to_numpy(variable).copy()
        expected = now if expected is None else 0.9 * expected + 0.1 * now
    optimizer.finalize_variable_values([variable])
    np.testing.assert_allclose(variable, expected, atol=1e-6)
    assert not build_optimizer(make_config(optimizer=name), 0.01).use_ema


@pytest.mark.parametrize(
    "name", ["sgd", *(pytest.param(x, marks=pytest.mark.slow) for x in OPTIMIZERS if x != "sgd")]
)
def test_optimizers_learn_at_the_rate_that_they_have_by_default(name, digits, tmp_path):
    options = {"width": 8, "depth": 1}
    config = make_config(
        dataset="digits",
        optimizer=name,
        epochs=6,
        batch_size=32,
        augment="none",
        model_options=options,
    )
    run = train(config, tmp_path / name, dataset=digits, verbose=0)
    assert run.history()["val_accuracy"][-1] > 0.6  # by chance 0.1


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def newton_schulz(matrix, steps):
    x = matrix.astype("float64") / (np.linalg.norm(matrix) + 1e-7)
    for _ in range(steps):
        square = x @ x.T
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return x


@pytest.mark.parametrize("shape", [(6, 6), (5, 9), (27, 8)])
def test_orthogonalizing_keeps_singular_vectors_and_brings_values_near_one(shape):
    matrix = random(*shape)
    found = keras.ops.convert_to_numpy(orthogonalize(keras.ops.convert_to_tensor(matrix), 5))
    left, values, right = np.linalg.svd(matrix.astype("float64"), full_matrices=False)
    aligned = left.T @ found @ right.T
    np.testing.assert_allclose(aligned, np.diag(np.diag(aligned)), atol=1e-4)
    large = np.diag(aligned)[values > 0.1 * values.max()]
    assert (large > 0.6).all()
    assert (large < 1.3).all()


@pytest.mark.parametrize("shape", [(5, 9), (27, 8)])
def test_orthogonalizing_is_the_iteration(shape):
    matrix = random(*shape)
    found = keras.ops.convert_to_numpy(orthogonalize(keras.ops.convert_to_tensor(matrix), 3))
    wide = shape[0] <= shape[1]
    expected = newton_schulz(matrix, 3) if wide else newton_schulz(matrix.T, 3).T
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_steps_are_those_of_the_reference():
    kernel, bias = random(3, 3, 4, 6), random(6, seed=1)
    variables = [keras.Variable(kernel), keras.Variable(bias)]
    optimizer = Muon(0.1, momentum=0.6, sgd_momentum=0.8)
    optimizer.build(variables)
    kernel, bias = kernel.astype("float64"), bias.astype("float64")
    velocities = [np.zeros_like(kernel), np.zeros_like(bias)]
    for step in range(3):
        gradients = [random(3, 3, 4, 6, seed=10 + step), random(6, seed=20 + step)]
        optimizer.apply([keras.ops.convert_to_tensor(gradient) for gradient in gradients])
        velocities = [m * v + g for m, v, g in zip((0.6, 0.8), velocities, gradients, strict=True)]
        direction = (gradients[0] + 0.6 * velocities[0]).reshape(36, 6)
        kernel *= np.sqrt(6) / np.linalg.norm(kernel)
        kernel -= 0.1 * newton_schulz(direction.T, 3).T.reshape(kernel.shape)
        bias -= 0.1 * (gradients[1] + 0.8 * velocities[1])
    np.testing.assert_allclose(variables[0], kernel, atol=1e-5)
    np.testing.assert_allclose(variables[1], bias, atol=1e-5)


def test_only_other_weights_decay():
    variables = [keras.Variable(random(3, 3, 2, 4)), keras.Variable(np.ones((4, 2), "float32"))]
    optimizer = Muon(0.1, weight_decay=0.5)
    optimizer.build(variables)
    before = np.array(variables[0])
    optimizer.apply([keras.ops.zeros_like(variable) for variable in variables])
    np.testing.assert_allclose(variables[1], 1 - 0.1 * 0.5, rtol=1e-6)
    scale = 2.0 / np.linalg.norm(before)
    np.testing.assert_allclose(variables[0], before * scale, rtol=1e-5)


def test_a_depthwise_kernel_is_not_a_matrix_of_filters():
    start = random(3, 3, 5, 1)
    variable, gradient = keras.Variable(start), random(3, 3, 5, 1)
    optimizer = Muon(0.1)
    optimizer.build([variable])
    optimizer.apply([keras.ops.convert_to_tensor(gradient)])
    np.testing.assert_allclose(variable, start - 0.1 * (1 + 0.85) * gradient, rtol=1e-5)


def test_it_is_made_again_from_its_config():
    optimizer = Muon(0.2, momentum=0.5, sgd_momentum=0.7, newton_schulz_steps=4)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert again.get_config() == optimizer.get_config()
