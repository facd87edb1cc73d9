"""Hardware, as a run records it."""

from cnn_cifar10.utils import environment


def test_this_machine_is_described():
    found = environment.describe_hardware()
    assert found["cpu"]
    assert found["cores"] >= 1


def test_a_gpu_is_named(monkeypatch):
    monkeypatch.setattr(environment, "gpu_names", lambda: ["a GPU"])
    assert environment.describe_hardware()["gpu"] == "a GPU"
