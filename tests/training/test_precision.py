"""The number format follows the hardware, unless the config says it."""

import types

import keras
import pytest

from cnn_cifar10.architectures import create_model, find_network, list_models
from cnn_cifar10.training import precision
from cnn_cifar10.utils import InputError, environment


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("sse4_2 avx512_bf16", "mixed_bfloat16"),
        ("amx_bf16 avx2", "mixed_bfloat16"),
        ("avx2 avx512f", "float32"),
    ],
)
def test_processors(monkeypatch, flags, expected):
    monkeypatch.setattr(precision, "gpu_names", list)
    monkeypatch.setattr(environment, "_cpuinfo", lambda: {"flags": flags})
    assert precision.choose_precision() == expected
    assert precision.choose_precision("float32") == "float32"
    assert precision.choose_precision(model="resnet20") == expected
    assert precision.choose_precision(model="my_net.py:build") == expected
    assert precision.choose_precision(model="efficientnet_b0") == "float32"
    assert precision.choose_precision("mixed_bfloat16", "transfer") == "mixed_bfloat16"


@pytest.mark.parametrize(("modern", "expected"), [(True, "bfloat16"), (False, "float16")])
def test_gpus(monkeypatch, modern, expected):
    monkeypatch.setattr(precision, "gpu_names", lambda: ["a GPU"])
    monkeypatch.setattr(precision, "_gpu_has_bfloat16", lambda: modern)
    assert precision.choose_precision() == f"mixed_{expected}"
    assert precision.choose_precision(model="efficientnet_b0") == f"mixed_{expected}"


@pytest.mark.parametrize("gpus", [[], ["METAL"]])
def test_apples_chips(monkeypatch, gpus):
    monkeypatch.setattr(precision.sys, "platform", "darwin")
    monkeypatch.setattr(precision, "gpu_names", lambda: gpus)
    assert precision.choose_precision() == "float32"
    assert precision.choose_precision("mixed_float16") == "mixed_float16"
    monkeypatch.setattr("keras.backend.backend", lambda: "tensorflow")
    assert not precision.uses_xla()


@pytest.mark.parametrize(
    ("capability", "modern"), [("9.0", True), ("8.0", True), ("7.5", False), ("gfx90a", True)]
)
def test_bfloat16_of_gpus_under_jax(monkeypatch, capability, modern):
    jax = pytest.importorskip("jax")
    monkeypatch.setattr("keras.backend.backend", lambda: "jax")
    device = types.SimpleNamespace(compute_capability=capability)
    monkeypatch.setattr(jax, "devices", lambda: [device])
    assert precision._gpu_has_bfloat16() is modern


@pytest.mark.slow
def test_networks_of_depthwise_convolutions_are_those_that_say_so():
    for name in list_models():
        layers = create_model(name)._flatten_layers()
        found = any(isinstance(each, keras.layers.DepthwiseConv2D) for each in layers)
        assert found == find_network(name).depthwise, name


def test_unknown_precision():
    with pytest.raises(InputError, match="precision='bf16' is not one of auto, float32"):
        precision.choose_precision("bf16")
