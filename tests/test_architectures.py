"""Every registered model keeps the contracts: pixels in, probabilities out, all of it trained."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn_cifar10.architectures import create_model, list_models
from cnn_cifar10.errors import InputError

PARAMETERS = {"baseline_cnn": 356_810, "custom_cnn": 289_642}


def pixels(count=4, shape=(32, 32, 3)):
    return np.random.default_rng(0).integers(0, 256, (count, *shape)).astype("float32")


@pytest.fixture(params=list_models())
def model(request):
    keras.utils.set_random_seed(0)
    return create_model(request.param)


def test_outputs_are_probabilities(model):
    probabilities = model(pixels()).numpy()
    assert probabilities.shape == (4, 10)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-5)
    assert (probabilities >= 0).all()


def test_parameter_count_is_pinned(model):
    assert model.count_params() == PARAMETERS[model.name]


def test_every_trainable_weight_gets_a_gradient(model):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        loss = keras.losses.sparse_categorical_crossentropy(
            np.array([1, 2, 3, 4]), model(pixels(), training=True)
        )
    for weight, gradient in zip(
        model.trainable_weights,
        tape.gradient(loss, [w.value for w in model.trainable_weights]),
        strict=True,
    ):
        assert gradient is not None, weight.path
        assert np.isfinite(gradient).all(), weight.path
        assert np.abs(gradient).max() > 0, weight.path


def test_a_saved_model_predicts_the_same(model, tmp_path):
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(pixels()).numpy(), model(pixels()).numpy())


def test_layer_names_are_unique_and_hierarchical(model):
    names = [layer.name for layer in model.layers]
    assert len(set(names)) == len(names)
    assert names[:2] == ["pixels", "rescaling"]
    assert names[-2:] == ["logits", "probabilities"]
    assert all(
        name.startswith("stage")
        for name, layer in zip(names, model.layers, strict=True)
        if isinstance(layer, keras.layers.Conv2D)
    )


@pytest.mark.parametrize("name", list_models())
def test_sixty_four_images_can_be_learnt_by_heart(name):
    keras.utils.set_random_seed(0)
    model = create_model(name)
    images, labels = pixels(64), np.arange(64) % 10
    model.compile(
        keras.optimizers.Adam(2e-3), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    model.fit(images, labels, batch_size=64, epochs=60, verbose=0)
    _, accuracy = model.evaluate(images, labels, verbose=0)
    assert accuracy > 0.95


@pytest.mark.parametrize("name", list_models())
def test_mixed_precision_returns_float32(name):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = create_model(name)
    finally:
        keras.config.set_dtype_policy("float32")
    assert model(pixels()).dtype == "float32"
    assert all(weight.dtype == "float32" for weight in model.weights)


@given(
    stages=st.integers(1, 3),
    depth=st.integers(1, 3),
    width=st.sampled_from([4, 8]),
    batch_norm=st.booleans(),
    dropout=st.sampled_from([0.0, 0.3]),
    dense_units=st.lists(st.sampled_from([16, 32]), max_size=2),
    activation=st.sampled_from(["leaky_relu", "relu", "gelu"]),
)
@settings(max_examples=10, deadline=None)
def test_custom_cnn_has_what_its_options_say(
    stages, depth, width, batch_norm, dropout, dense_units, activation
):
    model = create_model(
        "custom_cnn",
        (16, 24, 3),
        3,
        stages=stages,
        depth=depth,
        width=width,
        batch_norm=batch_norm,
        dropout=dropout,
        dense_units=dense_units,
        activation=activation,
        l2=0.01,
    )
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds.count("Conv2D") == stages * depth
    assert kinds.count("FusedBatchNormalization") == (stages * depth if batch_norm else 0)
    assert kinds.count("Dropout") == (stages + len(dense_units) if dropout else 0)
    assert kinds.count("Dense") == len(dense_units) + 1
    convolutions = [x for x in model.layers if isinstance(x, keras.layers.Conv2D)]
    assert [c.filters for c in convolutions[::depth]] == [width * 2**s for s in range(stages)]
    assert all(c.kernel_regularizer.l2 == pytest.approx(0.01) for c in convolutions)
    activations = [x for x in model.layers if x.name.endswith("_activation")]
    assert len(activations) == stages * depth + len(dense_units)
    if activation == "leaky_relu":
        assert {a.negative_slope for a in activations} == {0.1}
    else:
        assert {a.activation.__name__ for a in activations} == {activation}
    assert model.output_shape == (None, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "resnet1000"}, "no model is named 'resnet1000': choose from baseline_cnn"),
        ({"name": "custom_cnn", "colour": 1}, "custom_cnn has no option 'colour': its options"),
        ({"name": "baseline_cnn", "width": 1}, "baseline_cnn has no option 'width': it has no"),
        ({"name": "custom_cnn", "num_classes": 1}, "num_classes must be at least 2"),
        ({"name": "custom_cnn", "input_shape": (4, 32, 3)}, "too small for stages=3"),
    ],
)
def test_bad_requests_say_what_would_work(arguments, message):
    with pytest.raises(InputError, match=message):
        create_model(**arguments)
