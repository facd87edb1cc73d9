"""Every registered model keeps the contracts: pixels in, probabilities out, all of it trained."""

import gc
import itertools

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn_cifar10.architectures import (
    NETWORKS,
    adapt_whitening,
    create_model,
    find_network,
    list_models,
    main_model,
    usual_training,
)
from cnn_cifar10.architectures.efficientnet import build_efficientnet
from cnn_cifar10.architectures.layers import PatchWhitening
from cnn_cifar10.architectures.networks import ALIASES
from cnn_cifar10.architectures.resnet import build_cifar_resnet, build_resnet
from cnn_cifar10.architectures.vgg import build_vgg
from cnn_cifar10.architectures.wide_resnet import build_wide_resnet
from cnn_cifar10.utils import InputError

OPTIONS = {"transfer": {"weights": None, "image_size": 64}}

PARAMETERS = {  # trainable; the paper's figure in millions where it has one
    "baseline_cnn": (356_810, None),
    "custom_cnn": (288_746, None),
    "fastnet": (1_602_560, None),
    "vgg16": (14_724_042, None),
    "vgg19": (20_035_018, None),
    "googlenet": (5_983_402, None),
    "resnet20": (269_722, 0.27),
    "resnet32": (464_154, 0.46),
    "resnet44": (658_586, 0.66),
    "resnet56": (853_018, 0.85),
    "resnet110": (1_727_962, 1.7),
    "resnet18": (11_173_962, None),
    "resnet50": (23_520_842, None),
    "resnet101": (42_512_970, None),
    "wide_resnet16_4": (2_748_890, 2.7),
    "wide_resnet28_10": (36_479_194, 36.5),
    "efficientnet_b0": (4_020_358, None),
    "efficientnet_b1": (6_525_994, None),
    "efficientnet_b2": (7_715_084, None),
    "efficientnet_b3": (10_711_602, None),
    "transfer": (12_810, None),
}

FAMILIES = {  # a small member of each
    "baseline_cnn": {},
    "custom_cnn": {"width": 8},
    "fastnet": {"filters": (8, 8, 16, 16)},
    "vgg16": {"width": 8},
    "googlenet": {"width": 0.25},
    "resnet20": {},
    "resnet18": {"width": 8},
    "resnet50": {"width": 8},
    "wide_resnet16_4": {},
    "efficientnet_b0": {},
    "transfer": {"weights": None, "image_size": 32},
}


# A member of each family, and what is new.
QUICK = {*FAMILIES} | {*list_models()} - {*PARAMETERS}


def pixels(count=4, shape=(32, 32, 3)):
    return np.random.default_rng(0).integers(0, 256, (count, *shape)).astype("float32")


def size(weights):
    return sum(int(np.prod(weight.shape)) for weight in weights)


def layers_of(model, kind, named=""):
    return [x for x in model.layers if type(x).__name__ == kind and named in x.name]


def one_hot(count=4, classes=10):
    return np.eye(classes, dtype="float32")[np.arange(count) % classes]


def assert_every_trainable_weight_gets_a_gradient(model):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        outputs = model(pixels(), training=True)
        loss = sum(
            keras.ops.mean(keras.losses.categorical_crossentropy(one_hot(4, y.shape[1]), y))
            for y in (outputs if isinstance(outputs, list) else [outputs])
        )
    gradients = tape.gradient(loss, [weight.value for weight in model.trainable_weights])
    for weight, gradient in zip(model.trainable_weights, gradients, strict=True):
        assert gradient is not None, weight.path
        assert np.isfinite(gradient).all(), weight.path
        assert np.abs(gradient).max() > 0, weight.path


def slow_unless(quick, names):
    """The names as parameters; those that are not among the quick ones are marked slow."""
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in names]


@pytest.fixture(scope="module", params=slow_unless(QUICK, list_models()))
def model(request, settle):
    gc.collect()  # the largest hold cycles, and only one of them is to be in memory
    keras.utils.set_random_seed(0)
    model = create_model(request.param, **OPTIONS.get(request.param, {}))
    settle(model, pixels())
    return model


def test_outputs_are_probabilities(model):
    probabilities = model(pixels()).numpy()
    assert probabilities.shape == (4, 10)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-5)
    assert (probabilities >= 0).all()
    assert not np.array_equal(probabilities[0], probabilities[1])


def test_a_model_bears_its_registered_name_and_takes_raw_pixels(model, request):
    assert model.name == request.node.callspec.params["model"]
    assert model.input_shape == (None, 32, 32, 3)
    assert not model.compiled


def test_parameter_count_is_pinned_and_the_papers(model):
    assert model.count_params() == NETWORKS[model.name].parameters
    trainable, published = PARAMETERS.get(model.name, (size(model.trainable_weights), None))
    assert size(model.trainable_weights) == trainable
    if published:
        unit = 0.01 if published < 1 else 0.1
        assert trainable / 1e6 == pytest.approx(published, abs=0.51 * unit)


def test_layer_names_are_unique_and_hierarchical(model):
    names = [layer.name for layer in model.layers]
    assert len(set(names)) == len(names)
    assert names[:2] == ["pixels", "features" if model.name == "transfer" else "rescaling"]
    assert names[-2:] == ["logits", "probabilities"]
    convolutions = [x.name for x in model.layers if "conv" in type(x).__name__.lower()]
    assert all(name.startswith(("stem", "stage")) for name in convolutions)


def test_a_saved_model_predicts_the_same(model, tmp_path):
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded) is type(model)
    np.testing.assert_allclose(loaded(pixels()).numpy(), model(pixels()).numpy(), atol=1e-5)


def test_every_trainable_weight_gets_a_gradient(model):
    assert_every_trainable_weight_gets_a_gradient(model)


@pytest.mark.parametrize(("name", "options"), FAMILIES.items())
def test_mixed_precision_returns_float32(name, options):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = create_model(name, **options)
    finally:
        keras.config.set_dtype_policy("float32")
    probabilities = model(pixels(2))
    assert probabilities.dtype == "float32"
    assert np.isfinite(probabilities).all()
    assert all(weight.dtype == "float32" for weight in model.weights)
    assert model.get_layer("logits").compute_dtype == "bfloat16"


@pytest.mark.parametrize(
    ("name", "options", "epochs"),
    [
        ("baseline_cnn", {}, 30),
        ("custom_cnn", {}, 60),
        ("resnet20", {}, 80),
    ],
)
@pytest.mark.slow
def test_sixty_four_images_can_be_learnt_by_heart(name, options, epochs):
    keras.utils.set_random_seed(0)
    model = create_model(name, **options)
    model.compile(keras.optimizers.Adam(2e-3), keras.losses.CategoricalCrossentropy())
    model.fit(pixels(64), one_hot(64), batch_size=64, epochs=epochs, verbose=0)
    # The averages of batch normalization trail the weights, which have come to rest by now.
    assert (model(pixels(64)).numpy().argmax(axis=1) == np.arange(64) % 10).mean() > 0.95


@pytest.mark.parametrize(("name", "options"), FAMILIES.items())
def test_other_numbers_of_classes_and_sizes_of_images_work(name, options):
    model = create_model(name, (48, 40, 3), 3, **options)
    assert model.input_shape == (None, 48, 40, 3)
    probabilities = model(pixels(2, (48, 40, 3))).numpy()
    assert probabilities.shape == (2, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "options"), [item for item in FAMILIES.items() if item[0] != "baseline_cnn"]
)
def test_only_the_classifier_depends_on_the_number_of_classes(name, options):
    with keras.StatelessScope(initialize_variables=False):  # shapes are enough
        few, many = (create_model(name, num_classes=n, **options) for n in (2, 7))
    logits = few.get_layer("logits")
    assert many.count_params() - few.count_params() == 5 * (logits.count_params() // 2)


def test_an_alias_is_another_name_of_the_same_network():
    assert ALIASES == {"resnet": "resnet20"}
    assert create_model("resnet").name == "resnet20"
    assert set(ALIASES).isdisjoint(list_models())


def test_options_are_those_that_the_name_leaves_open():
    assert find_network("vgg16").options == {"width": 64, "dropout": 0.0, "batch_norm": True}
    assert find_network("resnet50").options == {"width": 64}
    assert find_network("wide_resnet16_4").options == {"dropout": 0.0}
    assert find_network("efficientnet_b0").options == {"dropout": None, "drop_connect": 0.2}
    assert find_network("baseline_cnn").options == {}


@given(
    stages=st.integers(1, 3),
    depth=st.integers(1, 3),
    width=st.sampled_from([4, 8]),
    batch_norm=st.booleans(),
    dropout=st.sampled_from([0.0, 0.3]),
    dense_units=st.lists(st.sampled_from([16, 32]), max_size=2),
    activation=st.sampled_from(["leaky_relu", "relu", "gelu"]),
)
@settings(max_examples=10)
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


@pytest.mark.parametrize(("depth", "stages"), [(16, (2, 2, 3, 3, 3)), (19, (2, 2, 4, 4, 4))])
def test_vgg_has_the_papers_convolutions(depth, stages):
    model = build_vgg(depth=depth, width=8)
    convolutions = layers_of(model, "Conv2D")
    assert (
        len(convolutions) == depth - 3
    )  # the paper counts three dense layers, of which one is left
    assert [c.filters for c in convolutions] == [
        width
        for width, count in zip((8, 16, 32, 64, 64), stages, strict=True)
        for _ in range(count)
    ]
    assert {c.kernel_size for c in convolutions} == {(3, 3)}
    assert len(layers_of(model, "MaxPooling2D")) == 5
    assert model.get_layer("average_pool").input.shape == (None, 1, 1, 64)


@pytest.mark.parametrize(("depth", "convolutions"), [(16, 14_714_688), (19, 20_024_384)])
def test_vgg_without_normalization_is_the_stock_one_less_its_dense_layers(depth, convolutions):
    model = build_vgg(depth=depth, batch_norm=False)
    assert model.count_params() == convolutions + 512 * 10 + 10
    assert not layers_of(model, "FusedBatchNormalization")
    stock = getattr(keras.applications, f"VGG{depth}")(include_top=False, weights=None)
    assert [w.shape for w in model.weights[:-2]] == [w.shape for w in stock.weights]


@pytest.mark.parametrize("name", ["vgg16", "wide_resnet16_4", "transfer", "googlenet"])
def test_dropout_is_there_where_it_is_asked_for(name):
    for rate in (0.0, 0.25):
        model = create_model(name, **{**FAMILIES[name], "dropout": rate})
        rates = {layer.rate for layer in layers_of(model, "Dropout")}
        assert rates - {0.0} == ({rate} if rate else set())
    blocks = 6 if name == "wide_resnet16_4" else 1
    assert len(layers_of(model, "Dropout")) == blocks


@pytest.mark.parametrize("depth", slow_unless((8, 20), (8, 20, 32, 110)))
def test_cifar_resnets_have_as_many_layers_with_weights_as_their_depth(depth):
    model = build_cifar_resnet(depth=depth, width=4)
    convolutions = layers_of(model, "Conv2D")
    assert len(convolutions) + 1 == depth  # and the classifier
    each = (depth - 2) // 3
    assert [c.filters for c in convolutions] == [4] * (each + 1) + [8] * each + [16] * each
    assert {c.kernel_size for c in convolutions} == {(3, 3)}
    assert [c.name for c in convolutions if c.strides == (2, 2)] == [
        "stage2_block1_conv1",
        "stage3_block1_conv1",
    ]
    assert len(layers_of(model, "Add")) == (depth - 2) // 2


@pytest.mark.parametrize(
    ("build", "depth", "last"),
    [(build_cifar_resnet, 20, "conv2"), (build_resnet, 18, "conv2"), (build_resnet, 50, "conv3")],
)
def test_blocks_of_resnets_begin_as_their_shortcuts(build, depth, last):
    model = build(depth=depth, width=8)
    blocks = [layer.name.removesuffix("_add") for layer in layers_of(model, "Add")]
    at_zero = {
        layer.name
        for layer in layers_of(model, "FusedBatchNormalization")
        if not layer.gamma.numpy().any()
    }
    assert at_zero == {f"{block}_{last}_norm" for block in blocks}
    branch, shortcut = model.get_layer(f"{blocks[-1]}_add").input
    found = keras.Model(model.input, [branch, shortcut])(pixels(), training=True)
    assert not found[0].numpy().any()
    assert found[1].numpy().any()


def test_what_a_network_is_usually_trained_with_is_a_copy():
    usual = usual_training("vgg16")
    assert usual == NETWORKS["vgg16"].training
    usual["clip_norm"] = 9.0
    assert usual_training("vgg16")["clip_norm"] != 9.0
    assert usual_training("resnet") == usual_training("resnet20")
    for model in ("my_net.py:build", "no_such_network", build_vgg):
        assert usual_training(model) == {}


def test_a_cifar_resnets_shortcut_skips_pixels_and_fills_channels_with_zeros():
    model = build_cifar_resnet(depth=8, width=4)
    before, after = (model.get_layer(f"stage{i}_block1_add") for i in (1, 2))
    shortcut = after.input[1]
    x, y = keras.Model(model.input, [model.get_layer("stage1_block1_activation").output, shortcut])(
        pixels()
    )
    assert before.output.shape == (None, 32, 32, 4)
    np.testing.assert_array_equal(y[..., :4], x[:, ::2, ::2])
    np.testing.assert_array_equal(y[..., 4:], np.zeros((4, 16, 16, 4)))


@pytest.mark.parametrize(
    ("depth", "kernels", "shortcuts", "features"),
    [(18, 2, 3, 64), (50, 3, 4, 256), (101, 3, 4, 256)],
)
def test_resnets_have_as_many_layers_with_weights_as_their_depth(
    depth, kernels, shortcuts, features
):
    model = build_resnet(depth=depth, width=8)
    projections = layers_of(model, "Conv2D", "_shortcut")
    convolutions = [c for c in layers_of(model, "Conv2D") if c not in projections]
    assert len(convolutions) + 1 == depth
    assert len(projections) == shortcuts
    assert {c.kernel_size for c in projections} == {(1, 1)}
    assert len(layers_of(model, "Add")) == (depth - 2) // kernels
    assert model.get_layer("average_pool").input.shape == (None, 4, 4, features)
    strided = {c.name for c in convolutions if c.strides == (2, 2)}
    conv = "conv1" if depth == 18 else "conv2"
    assert strided == {f"stage{stage}_block1_{conv}" for stage in (2, 3, 4)}
    assert all(model.get_layer(name).kernel_size == (3, 3) for name in strided)


@pytest.mark.parametrize(("depth", "widen_factor"), [(10, 1), (16, 2), (28, 2)])
def test_wide_resnets_are_as_deep_and_wide_as_they_say(depth, widen_factor):
    model = build_wide_resnet(depth=depth, widen_factor=widen_factor)
    projections = layers_of(model, "Conv2D", "_shortcut")
    convolutions = [c for c in layers_of(model, "Conv2D") if c not in projections]
    # The paper's count takes in three projections; the first is none where the width stays.
    assert len(convolutions) + 3 == depth
    assert len(projections) == (2 if widen_factor == 1 else 3)
    each, first = (depth - 4) // 3, 16 * widen_factor
    assert [c.filters for c in convolutions] == [
        16,
        *[first] * each,
        *[2 * first] * each,
        *[4 * first] * each,
    ]
    assert model.name == f"wide_resnet{depth}_{widen_factor}"


def test_a_wide_resnet_normalizes_before_it_convolves():
    model = build_wide_resnet(depth=10, widen_factor=2)
    order = [layer.name for layer in model.layers if layer.name.startswith("stage2_block1")]
    assert order[:2] == ["stage2_block1_norm", "stage2_block1_activation"]
    activated = model.get_layer("stage2_block1_activation").output
    assert model.get_layer("stage2_block1_conv1").input is activated
    assert model.get_layer("stage2_block1_shortcut").input is activated
    assert (
        model.get_layer("stage1_block1_add").output is model.get_layer("stage2_block1_norm").input
    )


MODULES = {
    "stage2_inception1": 256,
    "stage2_inception2": 480,
    "stage3_inception1": 512,
    "stage3_inception2": 512,
    "stage3_inception3": 512,
    "stage3_inception4": 528,
    "stage3_inception5": 832,
    "stage4_inception1": 832,
    "stage4_inception2": 1024,
}


def test_googlenet_has_the_papers_nine_modules():
    model = create_model("googlenet")
    modules = layers_of(model, "Concatenate")
    assert {m.name: m.output.shape[-1] for m in modules} == {
        f"{name}_concat": channels for name, channels in MODULES.items()
    }
    assert [m.output.shape[1] for m in modules] == [16, 16, 8, 8, 8, 8, 8, 4, 4]
    for name in MODULES:
        kernels = [c.kernel_size for c in layers_of(model, "Conv2D", name)]
        assert sorted(kernels) == [(1, 1)] * 4 + [(3, 3), (5, 5)]
        assert len(layers_of(model, "Conv2D", name)) == 6
        assert model.get_layer(f"{name}_pooled").pool_size == (3, 3)


def test_googlenet_has_the_weights_of_the_published_one():
    model = create_model("googlenet", num_classes=1000)
    convolutions = layers_of(model, "Conv2D")
    kernels = size(c.kernel for c in convolutions) - 3 * 3 * 3 * 64 + 7 * 7 * 3 * 64
    biases = sum(c.filters for c in convolutions)
    classifier = 1024 * 1000 + 1000
    assert kernels + biases + classifier == 6_998_552  # with its stem and without normalization


def test_googlenets_width_scales_every_convolution():
    whole, quarter = create_model("googlenet"), create_model("googlenet", width=0.25)
    for a, b in zip(layers_of(whole, "Conv2D"), layers_of(quarter, "Conv2D"), strict=True):
        assert b.filters == round(a.filters / 4)
    tiny = create_model("googlenet", width=0.01)
    assert min(c.filters for c in layers_of(tiny, "Conv2D")) == 1


@pytest.fixture(scope="module")
def with_heads(settle):
    keras.utils.set_random_seed(0)
    model = create_model("googlenet", num_classes=4, width=0.25, auxiliary_heads=True)
    settle(model, pixels())
    return model


def test_auxiliary_heads_follow_the_third_and_the_sixth_module(with_heads):
    sources = [
        with_heads.get_layer(f"{name}_auxiliary_conv").input
        for name in ("stage3_inception1", "stage3_inception4")
    ]
    assert sources == [
        with_heads.get_layer(f"{name}_concat").output
        for name in ("stage3_inception1", "stage3_inception4")
    ]
    assert len(with_heads.outputs) == 3


def test_auxiliary_heads_answer_in_training_only(with_heads):
    outputs = with_heads(pixels(), training=True)
    assert [tuple(y.shape) for y in outputs] == [(4, 4)] * 3
    for y in outputs:
        np.testing.assert_allclose(y.numpy().sum(axis=1), 1.0, rtol=1e-5)
    assert tuple(with_heads(pixels()).shape) == (4, 4)
    assert tuple(with_heads(pixels(), training=False).shape) == (4, 4)


def test_every_weight_of_auxiliary_heads_gets_a_gradient(with_heads):
    assert_every_trainable_weight_gets_a_gradient(with_heads)


def cross_entropy(labels, probabilities, smoothing):
    labels = labels * (1 - smoothing) + smoothing / labels.shape[1]
    return -(labels * np.log(probabilities)).sum(axis=1).mean()


def test_the_loss_in_training_adds_a_share_of_each_heads(with_heads, monkeypatch):
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=0.1)
    with_heads.compile(keras.optimizers.SGD(0.0), loss, metrics=["accuracy"], run_eagerly=True)
    compute, seen = with_heads.compute_loss, []

    def record(x, y, y_pred, *more, **options):
        seen.append([output.numpy().astype("float64") for output in y_pred])
        return compute(x, y, y_pred, *more, **options)

    monkeypatch.setattr(with_heads, "compute_loss", record)
    logs = with_heads.train_on_batch(pixels(), one_hot(4, 4), return_dict=True)
    main, *heads = (cross_entropy(one_hot(4, 4), y, 0.1) for y in seen[0])
    assert len(heads) == 2
    assert logs["loss"] == pytest.approx(main + 0.3 * heads[0] + 0.3 * heads[1], rel=1e-5)
    assert logs["accuracy"] == np.mean(seen[0][0].argmax(axis=1) == np.arange(4))


def test_the_loss_in_evaluation_is_the_classifiers_alone(with_heads):
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=0.1)
    with_heads.compile(keras.optimizers.SGD(0.0), loss, metrics=["accuracy"], run_eagerly=True)
    probabilities = with_heads(pixels()).numpy().astype("float64")
    logs = with_heads.test_on_batch(pixels(), one_hot(4, 4), return_dict=True)
    assert logs["loss"] == pytest.approx(cross_entropy(one_hot(4, 4), probabilities, 0.1), rel=1e-5)
    assert logs["accuracy"] == np.mean(probabilities.argmax(axis=1) == np.arange(4))
    predicted = with_heads.predict_on_batch(pixels())
    np.testing.assert_allclose(predicted, probabilities, atol=1e-6)


def test_the_main_model_is_the_network_without_its_auxiliary_heads(with_heads):
    main = main_model(with_heads)
    without = create_model("googlenet", num_classes=4, width=0.25)
    assert type(main) is type(without)
    assert [x.name for x in main.layers] == [x.name for x in without.layers]
    assert main.count_params() == without.count_params() < with_heads.count_params()
    np.testing.assert_array_equal(main(pixels()), with_heads(pixels()))
    assert main.get_layer("logits") is with_heads.get_layer("logits")
    assert main_model(without) is without


def test_a_model_saved_with_auxiliary_heads_is_one_again(with_heads, tmp_path):
    with_heads.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded) is type(with_heads)
    np.testing.assert_allclose(loaded(pixels()), with_heads(pixels()), atol=1e-6)
    assert len(loaded(pixels(), training=True)) == 3


def test_efficientnet_b0_is_the_papers_with_a_head_for_a_thousand_classes():
    model = create_model("efficientnet_b0", num_classes=1000)
    assert model.count_params() == 5_330_564  # 5.3 million in the paper
    depthwise = layers_of(model, "DepthwiseConv2D")
    assert len(depthwise) == 16
    assert [c.kernel_size[0] for c in depthwise] == [3] + [3] * 2 + [5] * 2 + [3] * 3 + [5] * 7 + [
        3
    ]
    assert [c.name for c in depthwise if c.strides == (2, 2)] == [
        f"stage{stage}_block1_depthwise_conv" for stage in (2, 3, 4, 6)
    ]
    projections = layers_of(model, "Conv2D", "_project_conv")
    channels = (16, 24, 40, 80, 112, 192, 320)
    blocks = (1, 2, 2, 3, 3, 4, 1)
    assert [c.filters for c in projections] == list(
        itertools.chain.from_iterable([c] * n for c, n in zip(channels, blocks, strict=True))
    )
    assert len(layers_of(model, "Multiply")) == 16
    assert model.get_layer("stem_conv").strides == (1, 1)
    assert model.get_layer("average_pool").input.shape == (None, 2, 2, 1280)


@pytest.mark.parametrize("variant", ["b0", "b3"])
def test_efficientnets_have_the_weights_of_the_stock_ones(variant):
    with keras.StatelessScope(initialize_variables=False):  # shapes are enough
        ours = build_efficientnet(variant=variant)
        stock = getattr(keras.applications, f"EfficientNet{variant.upper()}")(
            include_top=False, weights=None, input_shape=(32, 32, 3)
        )
    shapes = [tuple(w.shape) for w in stock.weights if not w.path.startswith("normalization")]
    assert sorted(tuple(w.shape) for w in ours.weights[:-2]) == sorted(shapes)


def test_blocks_are_left_out_more_often_the_later_they_come():
    model = create_model("efficientnet_b0", drop_connect=0.32)
    blocks = [c.name.removesuffix("_depthwise_conv") for c in layers_of(model, "DepthwiseConv2D")]
    rates = {layer.name.removesuffix("_drop"): layer.rate for layer in layers_of(model, "Dropout")}
    assert rates.pop("dropout") == 0.2
    shortcuts = [x.name.removesuffix("_add") for x in layers_of(model, "Add")]
    assert list(rates) == shortcuts == [b for b in blocks if b in rates]
    assert len(shortcuts) == 9
    for block, rate in rates.items():
        assert rate == pytest.approx(0.02 * blocks.index(block))
    assert not layers_of(create_model("efficientnet_b0", drop_connect=0.0), "Dropout", "_drop")


def test_a_left_out_block_is_left_out_for_whole_examples_and_never_at_inference(settle):
    keras.utils.set_random_seed(0)
    model = create_model("efficientnet_b0", drop_connect=0.8, dropout=0.0)
    settle(model, pixels())
    layer = model.get_layer("stage6_block4_drop")
    x = np.random.default_rng(0).normal(size=(64, 2, 2, 5)).astype("float32")
    np.testing.assert_array_equal(layer(x, training=False), x)
    y = layer(x, training=True).numpy()
    kept = np.array([not (example == 0).all() for example in y])
    np.testing.assert_allclose(y[kept], x[kept] / (1 - layer.rate), rtol=1e-5)
    assert 0 < kept.sum() < 64
    given = [model(pixels(), training=training).numpy() for training in (False, False, True)]
    np.testing.assert_array_equal(given[0], given[1])
    assert np.abs(given[2] - given[0]).max() > 0.001


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "resnet1000"}, "no model is named 'resnet1000': choose from baseline_cnn"),
        ({"name": "custom_cnn", "colour": 1}, "custom_cnn has no option 'colour': its options"),
        ({"name": "baseline_cnn", "width": 1}, "baseline_cnn has no option 'width': it has no"),
        (
            {"name": "vgg16", "depth": 19},
            "^vgg16 has no option 'depth': its options are width, dropout, batch_norm$",
        ),
        ({"name": "resnet", "depth": 32}, "^resnet20 has no option 'depth': its options are width"),
        ({"name": "custom_cnn", "num_classes": 1}, "num_classes must be at least 2"),
        ({"name": "custom_cnn", "input_shape": (4, 32, 3)}, "too small for stages=3"),
        (
            {"name": "vgg16", "input_shape": (32, 31, 3)},
            r"^input_shape=\(32, 31, 3\) is too small for VGG, .*: use sides of 32 pixels or more$",
        ),
        ({"name": "googlenet", "input_shape": (7, 8, 3)}, "^googlenet cannot be built with {}: "),
        ({"name": "baseline_cnn", "input_shape": (7, 8, 3)}, "^baseline_cnn cannot be built with"),
        ({"name": "vgg16", "width": 0}, "^vgg16 cannot be built with {'width': 0}: .*positive"),
        ({"name": "resnet20", "width": "wide"}, "^resnet20 cannot be built with {'width': 'wide'}"),
        ({"name": "wide_resnet16_4", "dropout": 2}, "cannot be built with {'dropout': 2}: .*rate"),
    ],
)
def test_bad_requests_say_what_would_work(arguments, message):
    with pytest.raises(InputError, match=message) as raised:
        create_model(**arguments)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("build", "arguments", "message"),
    [
        (build_vgg, {"depth": 13}, "depth must be one of 16, 19, received 13"),
        (build_cifar_resnet, {"depth": 21}, "depth must be 6n + 2, such as 20, 56 or 110, rec"),
        (build_cifar_resnet, {"depth": 2}, "depth must be 6n + 2"),
        (build_resnet, {"depth": 34}, "depth must be one of 18, 50, 101, received 34"),
        (build_wide_resnet, {"depth": 27}, "depth must be 6n + 4, such as 16, 28 or 40, rec"),
        (build_wide_resnet, {"depth": 4}, "depth must be 6n + 4"),
        (build_efficientnet, {"variant": "b8"}, "variant must be one of b0, b1, b2, b3, b4, b5, b"),
    ],
)
def test_builders_refuse_what_the_paper_does_not_have(build, arguments, message):
    with pytest.raises(InputError) as raised:
        build(**arguments)
    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["custom_cnn", "fastnet", "resnet20", "vgg16"])
def test_networks_that_average_positions_take_images_of_several_sizes(name):
    model = create_model(name, (None, None, 3))
    for side in (32, 40):
        assert model(pixels(2, (side, side, 3))).shape == (2, 10)


def test_whitening_is_of_images_from_the_whole_list_and_of_no_more_pixels(monkeypatch):
    seen = []
    monkeypatch.setattr(PatchWhitening, "adapt", lambda layer, inputs: seen.append(inputs))
    listed = np.repeat([0, 255], 1_500)[:, None, None, None]  # class by class
    images = np.broadcast_to(listed, (3_000, 64, 64, 3)).astype("uint8")
    adapt_whitening(create_model("fastnet", (64, 64, 3)), images)
    (inputs,) = seen
    assert inputs.shape[0] * 64**2 == 5_000 * 32**2
    assert (inputs == inputs.max()).mean() == 0.5


def test_fastnet_begins_from_equal_probabilities_and_a_whitening_of_its_images(crops):
    model = create_model("fastnet")
    adapt_whitening(model, crops.astype("uint8"))
    assert np.asarray(model(crops)).max() < 0.3
    whitened = keras.Model(model.input, model.get_layer("stem_whitening").output)
    patches = np.asarray(whitened(crops), "float64").reshape(-1, 24)[:, :12]
    covariance = patches.T @ patches / len(patches)
    np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=1e-3)
    # What varies less than the added constant stays small.
    assert (np.diag(covariance) < 1.001).all()
    assert np.diag(covariance).max() > 0.99
