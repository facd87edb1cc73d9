"""Training on JAX and PyTorch, without TensorFlow."""

import importlib.util
import json
import math

import numpy as np
import pytest

from cnn_cifar10.architectures import list_models


@pytest.fixture(params=["jax", "torch"])
def backend(request):
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"needs {request.param}: pip install 'cnn-cifar10[{request.param}]'")
    return request.param


@pytest.mark.slow
def test_trains_evaluates_saves_and_continues_without_tensorflow(
    backend, tmp_path, run_program, quick_jax
):
    environment = {**quick_jax, "KERAS_BACKEND": backend}
    printed = run_program("train_and_continue.py", tmp_path, **environment)
    result = json.loads(printed.splitlines()[-1])
    assert result["backend"] == backend
    assert result["losses"][-1] < result["losses"][0]
    assert result["accuracy"] > 0.8
    assert result["report"]
    assert result["output"] == [None, 10]
    assert result["largest difference"] == 0
    assert result["first batch"]


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax"], indirect=True)
def test_what_jax_compiled_is_kept_for_the_next_process(backend, tmp_path, run_program, quick_jax):
    environment = {**quick_jax, "XDG_CACHE_HOME": tmp_path}
    del environment["JAX_COMPILATION_CACHE_DIR"]
    kept = tmp_path / "cnn-cifar10" / "jax"
    run_program("finds_learning_rate.py", **environment)
    before = {path.name for path in kept.glob("*-cache")}
    assert before
    run_program("finds_learning_rate.py", **environment)
    assert {path.name for path in kept.glob("*-cache")} == before


@pytest.mark.slow
@pytest.mark.parametrize("part", range(3))  # so that both processes of the tests have work
def test_every_network_trains_and_is_saved_on_every_backend(
    backend, part, tmp_path, run_program, quick_jax
):
    names, environment = list_models()[part::3], {**quick_jax, "KERAS_BACKEND": backend}
    printed = run_program("every_network.py", tmp_path, *names, timeout=1800, **environment)
    results = json.loads(printed.splitlines()[-1])
    assert results["backend"] == backend
    assert list(results["networks"]) == names
    for name, result in results["networks"].items():
        assert math.isfinite(result["loss"]), name
        assert result["changed"] > 0, name
        assert result["shape"] == [4, 10], name
        assert result["sum"] == pytest.approx(4, abs=1e-4), name
        assert result["difference"] <= 1e-5, name
        assert result["parameters"][0] == result["parameters"][1], name


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"], indirect=True)
def test_keras_alone_opens_what_was_trained(backend, tmp_path, run_program, digits_run, digits):
    np.save(tmp_path / "images.npy", images := digits.test.images[:50].astype("float32"))
    printed = run_program(
        "opens_alone.py", digits_run.model_path, tmp_path / "images.npy", KERAS_BACKEND=backend
    )
    result = json.loads(printed.splitlines()[-1])
    assert result["backend"] == backend
    expected = digits_run.load_model().predict(images, verbose=0)
    np.testing.assert_allclose(result["answers"], expected, atol=1e-5)
