import importlib.util

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

from cnn_cifar10.architectures import create_model
from cnn_cifar10.evaluation import grad_cam, with_class_activation
from cnn_cifar10.utils import InputError

SLOW = pytest.mark.slow


def color_model(kernel, nested=0, side=6):
    """A model whose feature map is the picture itself, and whose logits are weighted means."""
    pixels = keras.Input((side, side, 3))
    x = layers.Rescaling(1 / 255, name="scaled")(pixels)
    x = layers.GlobalAveragePooling2D()(x)
    features = keras.Model(pixels, x)
    for _ in range(nested):
        pixels = keras.Input((side, side, 3))
        features = keras.Model(pixels, features(pixels))
    logits = layers.Dense(kernel.shape[1], use_bias=False)
    pixels = keras.Input((side, side, 3))
    model = keras.Model(pixels, layers.Activation("softmax")(logits(features(pixels))))
    logits.set_weights([kernel])
    return model


def expected_maps(images, kernel, classes):
    maps = np.maximum(np.einsum("nhwc,cn->nhw", images / 255, kernel[:, classes]), 0)
    highest = maps.max(axis=(1, 2), keepdims=True)
    return np.divide(maps, highest, where=highest > 0, out=np.zeros_like(maps))


def random_images(count, side=6):
    return np.random.default_rng(count).integers(0, 256, (count, side, side, 3), "uint8")


KERNEL = np.array([[1, 0, -1, 0.5], [0, 1, -1, -2], [0, 0, -1, 1]], "float32")


@pytest.mark.parametrize("nested", [0, 1, 3])
def test_the_map_of_a_linear_model_is_its_weighted_channels(nested):
    images = random_images(4)
    maps = grad_cam(color_model(KERNEL, nested), images, classes=[0, 1, 2, 3])
    assert maps.dtype == np.float32
    np.testing.assert_allclose(maps, expected_maps(images, KERNEL, [0, 1, 2, 3]), atol=1e-5)
    assert maps[:2].max(axis=(1, 2)).tolist() == [1, 1]
    assert (maps[2] == 0).all()  # everything speaks against the class


@pytest.mark.parametrize("end", ["dense", "layer"])
def test_any_softmax_at_the_end_will_do(end):
    images, before = random_images(4), color_model(KERNEL)
    features = before.layers[-2].input
    if end == "dense":
        dense = layers.Dense(4, use_bias=False, activation="softmax")
        model = keras.Model(before.input, dense(features))
        dense.set_weights([KERNEL])
    else:
        model = keras.Model(before.input, layers.Softmax()(before.layers[-1].input))
    np.testing.assert_allclose(grad_cam(model, images), grad_cam(before, images), atol=1e-6)
    outputs = with_class_activation(model)(images.astype("float32"))
    for name, expected in with_class_activation(before)(images.astype("float32")).items():
        np.testing.assert_allclose(outputs[name], expected, atol=1e-5)


@settings(max_examples=15)
@given(st.integers(0, 1000), st.integers(1, 3))
def test_every_picture_has_its_own_map(seed, count):
    rng = np.random.default_rng(seed)
    kernel = rng.normal(size=(3, 4)).astype("float32")
    images, classes = random_images(count), rng.integers(0, 4, count)
    maps = grad_cam(color_model(kernel), images, classes)
    np.testing.assert_allclose(maps, expected_maps(images, kernel, classes), atol=1e-4)


def test_the_predicted_class_is_taken_where_none_is_named():
    model, images = color_model(KERNEL), random_images(5)
    predicted = np.argmax(model(images.astype("float32")), axis=1)
    np.testing.assert_array_equal(grad_cam(model, images), grad_cam(model, images, predicted))


def test_a_small_feature_map_is_scaled_to_the_picture():
    pixels = keras.Input((8, 8, 3))
    x = layers.GlobalAveragePooling2D()(layers.AveragePooling2D(4)(pixels))
    logits = layers.Dense(2, use_bias=False)
    model = keras.Model(pixels, layers.Activation("softmax")(logits(x)))
    logits.set_weights([np.array([[1, 0], [0, 1], [0, 0]], "float32")])
    images = np.zeros((1, 8, 8, 3), "uint8")
    images[0, :4, 4:, 0] = 200
    (map,) = grad_cam(model, images, [0])
    assert map.shape == (8, 8)
    assert map[0, 7] == 1
    assert map[7, 0] == map[0, 0] == map[7, 7] == 0
    assert (np.diff(map[0]) >= 0).all()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("baseline_cnn", {}),
        ("custom_cnn", {"width": 8, "dense_units": (16,), "dropout": 0.5}),
        ("fastnet", {"filters": (8, 8, 16, 16, 16, 16)}),
        pytest.param("googlenet", {"width": 0.1, "auxiliary_heads": True}, marks=SLOW),
        ("resnet20", {}),
        pytest.param("transfer", {"weights": None, "image_size": 64, "dropout": 0.2}, marks=SLOW),
    ],
)
def test_models_of_this_package_have_maps(name, options, crops, settle, tmp_path):
    keras.utils.set_random_seed(0)
    model = create_model(name, **options)
    settle(model, crops)
    weights = model.get_weights()
    maps = grad_cam(model, crops[:3], [0, 1, 2])
    assert maps.shape == (3, 32, 32)
    assert maps.min() >= 0
    assert set(maps.max(axis=(1, 2))) <= {0, 1}
    assert maps.max() == 1
    np.testing.assert_array_equal(grad_cam(model, crops[:3], [0, 1, 2]), maps)
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("nested", [0, 2])
def test_class_activation_is_the_channels_weighted_by_the_dense_layer(nested):
    images = random_images(4)
    model = color_model(KERNEL, nested)
    outputs = with_class_activation(model)(images.astype("float32"))
    np.testing.assert_allclose(outputs["class_activation"], images / 255 @ KERNEL, atol=1e-5)
    expected = model(images.astype("float32"))
    np.testing.assert_allclose(outputs["probabilities"], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "options", "allows"),
    [
        ("baseline_cnn", {}, False),
        ("custom_cnn", {"width": 8, "dropout": 0.5}, True),
        ("custom_cnn", {"width": 8, "dense_units": (16,)}, False),
        ("custom_cnn", {"width": 8, "stages": 5}, False),  # whose feature map is one position
        ("fastnet", {"filters": (8, 8, 16, 16, 16, 16)}, False),
        pytest.param("googlenet", {"width": 0.1, "auxiliary_heads": True}, True, marks=SLOW),
        ("transfer", {"weights": None, "image_size": 64}, True),
    ],
)
def test_class_activation_is_there_where_the_model_ends_in_an_average(name, options, allows):
    outputs = with_class_activation(create_model(name, **options)).output
    expected = {"probabilities", "embedding"}
    assert set(outputs) == expected | ({"class_activation"} if allows else set())


@pytest.mark.parametrize("nested", [0, 2])
def test_the_embedding_is_what_the_dense_layer_takes(nested):
    images = random_images(4)
    outputs = with_class_activation(color_model(KERNEL, nested))(images.astype("float32"))
    np.testing.assert_allclose(outputs["embedding"], images.mean(axis=(1, 2)) / 255, atol=1e-6)


def test_a_network_of_ones_own_has_an_embedding_if_a_dense_layer_ends_it():
    pixels = keras.Input((4, 4, 3))
    flat, mean = layers.Flatten()(pixels), layers.GlobalAveragePooling2D()(pixels)
    ends = {
        "dense": (layers.Dense(2, activation="softmax")(flat), True),
        "two": (layers.Softmax()(layers.Dense(2)(flat) + layers.Dense(2)(mean)), False),
        "convolution": (
            layers.Softmax()(layers.GlobalMaxPooling2D()(layers.Conv2D(2, 1)(pixels))),
            False,
        ),
        "nothing": (layers.Softmax()(flat), False),
    }
    for name, (end, has) in ends.items():
        outputs = with_class_activation(keras.Model(pixels, end)).output
        assert ("embedding" in outputs) is has, name


def test_a_model_without_what_it_takes_is_refused():
    pixels = keras.Input((4, 4, 3))
    flat = layers.Flatten()(pixels)
    with pytest.raises(InputError, match="must end in a softmax, not in "):
        grad_cam(keras.Model(pixels, layers.Dense(2, activation="sigmoid")(flat)), random_images(1))
    shallow = keras.Input((12,))
    dense = layers.Activation("softmax")(layers.Dense(2)(shallow))
    with pytest.raises(InputError, match="has no feature map that it pools"):
        grad_cam(keras.Model(shallow, dense), random_images(1))
    left, right = (layers.GlobalMaxPooling2D()(layers.Conv2D(2, 1)(pixels)) for _ in "ab")
    two = layers.Activation("softmax")(layers.Add()([left, right]))
    with pytest.raises(InputError, match="its output does not depend on one feature map alone"):
        grad_cam(keras.Model(pixels, two), random_images(1, side=4))


@SLOW
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends_give_the_same_maps(backend, run_program):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"needs {backend}: pip install 'cnn-cifar10[{backend}]'")
    run_program("grad_cam.py", KERAS_BACKEND=backend)
