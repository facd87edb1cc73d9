"""What a model costs: operations by hand, published figures, time by a clock of our own."""

from types import SimpleNamespace

import keras
import pytest
from keras import layers

from cnn_cifar10.architectures import create_model, main_model
from cnn_cifar10.evaluation import (
    count_flops,
    count_training_flops,
    measure_latency,
    profile_model,
    profiling,
)
from cnn_cifar10.utils import InputError


def sequential(input_shape, *stack):
    return keras.Sequential([keras.Input(input_shape), *stack])


@pytest.mark.parametrize(
    ("input_shape", "layer", "multiply_adds"),
    [
        # positions x kernel height x kernel width x channels seen x filters
        ((8, 8, 4), layers.Conv2D(6, 3), 6 * 6 * 3 * 3 * 4 * 6),
        ((9, 6, 4), layers.Conv2D(6, (3, 5), padding="same"), 9 * 6 * 3 * 5 * 4 * 6),
        ((9, 9, 4), layers.Conv2D(6, 3, strides=2, padding="same"), 5 * 5 * 3 * 3 * 4 * 6),
        ((8, 8, 4), layers.Conv2D(6, 3, strides=2, groups=2), 3 * 3 * 3 * 3 * 2 * 6),
        ((9, 9, 4), layers.Conv2D(6, 3, dilation_rate=2), 5 * 5 * 3 * 3 * 4 * 6),
        ((8, 8, 4), layers.DepthwiseConv2D(3), 6 * 6 * 3 * 3 * 4),
        ((8, 8, 4), layers.DepthwiseConv2D(3, strides=2, depth_multiplier=2), 3 * 3 * 3 * 3 * 8),
        # each channel by itself, then 1x1, both at the positions that the stride leaves
        ((8, 8, 4), layers.SeparableConv2D(5, 3, strides=2), 3 * 3 * (3 * 3 * 4 + 4 * 5)),
        (
            (8, 8, 4),
            layers.SeparableConv2D(5, 3, padding="same", depth_multiplier=2),
            8 * 8 * (3 * 3 * 8 + 8 * 5),
        ),
        ((10,), layers.Dense(3), 10 * 3),
        ((3, 5, 7), layers.Dense(4), 3 * 5 * 7 * 4),
    ],
)
@pytest.mark.parametrize("use_bias", [True, False])
def test_operations_by_hand(input_shape, layer, multiply_adds, use_bias):
    layer = type(layer).from_config({**layer.get_config(), "use_bias": use_bias})
    assert count_flops(sequential(input_shape, layer)) == 2 * multiply_adds


def test_only_what_multiplies_counts():
    model = sequential(
        (8, 8, 3),
        layers.Rescaling(1 / 255),
        layers.BatchNormalization(),
        layers.MaxPooling2D(),
        layers.ReLU(),
        layers.GlobalAveragePooling2D(),
        layers.Dropout(0.5),
        layers.Softmax(),
    )
    assert count_flops(model) == 0


def test_models_inside_a_model_count():
    inside = sequential((4, 4, 2), layers.Conv2D(3, 3, padding="same"), layers.Flatten())
    deeper = sequential((4, 4, 2), inside, layers.Dense(5))
    model = sequential((8, 8, 2), layers.MaxPooling2D(), deeper, layers.Dense(6))
    assert count_flops(inside) == 2 * 16 * 9 * 2 * 3
    assert count_flops(model) == 2 * (16 * 9 * 2 * 3 + 48 * 5 + 5 * 6)


@pytest.mark.parametrize("kind", ["attention", "subclass"])
def test_what_cannot_be_counted_is_no_small_number(kind, tmp_path):
    class Inside(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.convolution = layers.Conv2D(4, 3)

        def call(self, images):
            return self.convolution(images)

    pixels = keras.Input((8, 8, 4))
    inputs, layer = {
        "attention": ((pixels, pixels), layers.MultiHeadAttention(2, 4)),
        "subclass": ((pixels,), Inside()),
    }[kind]
    x = layer(*inputs)
    model = keras.Model(pixels, layers.Dense(2)(layers.Flatten()(x)))
    with pytest.raises(InputError, match=r"operations of .* are not counted"):
        count_flops(model)
    model.save(tmp_path / "model.keras")
    assert profile_model(model, tmp_path / "model.keras")["mflops"] is None


def test_a_layer_that_is_called_twice_counts_once():
    pixels, layer = keras.Input((8, 8, 4)), layers.Conv2D(4, 3, padding="same")
    once, twice = keras.Model(pixels, layer(pixels)), keras.Model(pixels, layer(layer(pixels)))
    assert count_flops(once) == count_flops(twice) == 2 * 8 * 8 * 3 * 3 * 4 * 4


@pytest.mark.parametrize(
    ("trained", "operations"),
    [
        # forward, kernel's gradient, input's gradient: no gradient of the pixels is needed
        ({"conv": True, "next": True, "logits": True}, {"conv": 2, "next": 3, "logits": 3}),
        ({"conv": True, "next": False, "logits": True}, {"conv": 2, "next": 2, "logits": 3}),
        ({"conv": False, "next": True, "logits": True}, {"conv": 1, "next": 2, "logits": 3}),
        ({"conv": False, "next": False, "logits": True}, {"conv": 1, "next": 1, "logits": 2}),
        ({"conv": False, "next": False, "logits": False}, {"conv": 1, "next": 1, "logits": 1}),
    ],
)
def test_operations_of_training_by_hand(trained, operations):
    model = sequential(
        (8, 8, 3),
        layers.Conv2D(4, 3, padding="same", name="conv"),
        layers.MaxPooling2D(),
        layers.Conv2D(5, 3, name="next"),
        layers.Flatten(),
        layers.Dense(6, name="logits"),
    )
    for name, trainable in trained.items():
        model.get_layer(name).trainable = trainable
    once = {
        "conv": 2 * 64 * (3 * 3 * 3 * 4),
        "next": 2 * 4 * (3 * 3 * 4 * 5),
        "logits": 2 * (2 * 2 * 5 * 6),
    }
    assert count_flops(model) == sum(once.values())
    assert count_training_flops(model) == sum(operations[name] * once[name] for name in once)


@pytest.mark.parametrize(
    ("name", "multiply_adds"), [("resnet18", 0.56e9), ("vgg16", 0.313e9), ("resnet20", 40.8e6)]
)
def test_published_figures_at_32_by_32_pixels(name, multiply_adds):
    with keras.StatelessScope(initialize_variables=False):  # shapes are enough to count
        model = create_model(name)
    assert count_flops(model) / 2 == pytest.approx(multiply_adds, rel=0.01)


@pytest.mark.slow
def test_heads_that_only_training_sees_cost_nothing():
    with_heads = create_model("googlenet", width=0.25, auxiliary_heads=True)
    without = create_model("googlenet", width=0.25)
    assert count_flops(main_model(with_heads)) == count_flops(without)


def test_latency_is_the_median_of_the_rounds_after_the_first_call(monkeypatch):
    readings = iter([0.0, 0.009, 1.0, 1.001, 2.0, 2.002])  # 9, 1 and 2 milliseconds
    clock = SimpleNamespace(perf_counter=lambda: next(readings))
    monkeypatch.setattr(profiling, "time", clock)
    pictures = []
    assert measure_latency(pictures.append, (4, 6, 3), rounds=3) == pytest.approx(2.0)
    assert len(pictures) == 4
    assert {(picture.shape, picture.dtype.name) for picture in pictures} == {
        ((1, 4, 6, 3), "float32")
    }


def test_a_profile_is_of_the_model_and_its_file(tmp_path):
    model = sequential((8, 8, 3), layers.Flatten(), layers.Dense(10))
    path = tmp_path / "model.keras"
    path.write_bytes(bytes(1_500_000))
    costs = profile_model(model, path)
    assert set(costs) == {"mflops", "megabytes", "latency_ms"}
    assert costs["mflops"] == pytest.approx(2 * 192 * 10 / 1e6)
    assert costs["megabytes"] == 1.5
    assert costs["latency_ms"] > 0
