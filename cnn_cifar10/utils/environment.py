"""Hardware, package versions, commit: the conditions of a measurement."""

import importlib.util
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from cnn_cifar10.utils.errors import InputError


def describe_hardware() -> dict[str, Any]:
    """Return what stands beside every figure: `{"cpu", "cores", "gpu"}`; gpu is "" without one."""
    return {"cpu": _cpu_name(), "cores": usable_cores(), "gpu": ", ".join(gpu_names())}


def usable_cores() -> int:
    """Return how many cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu_name():
    return _cpuinfo().get("model name") or platform.processor() or platform.machine()


def cpu_flags() -> set[str]:
    """Return the features of the processor as Linux names them; none on other systems."""
    return set(_cpuinfo().get("flags", "").split())


def _cpuinfo():
    """Return the first processor's entries of Linux's /proc/cpuinfo; {} on other systems."""
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return {}
    lines = path.read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    return {key.strip(): value.strip() for key, _, value in (x.partition(":") for x in lines)}


def gpu_names() -> list[str]:
    """Return the names of the GPUs that Keras can use."""
    import keras

    if keras.backend.backend() == "jax":
        import jax

        return [device.device_kind for device in jax.devices() if device.platform == "gpu"]
    if keras.backend.backend() == "torch":
        import torch

        return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    import tensorflow as tf

    details = map(tf.config.experimental.get_device_details, tf.config.list_physical_devices("GPU"))
    return [detail.get("device_name", "GPU") for detail in details]


def package_versions(*others: str) -> dict[str, str]:
    """Return `{package: version}` of Python, what decides a run's numbers, and other packages."""
    from importlib import metadata  # a tenth of the time that `--help` takes

    versions = {"python": platform.python_version()}
    for package in ("cnn-cifar10", "keras", "tensorflow", "jax", "torch", "numpy", *others):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def git_commit() -> str:
    """Return the commit of this code, `""` where it is installed without its repository.

    A `+` follows where tracked files differ from the commit.
    """
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return ""
    try:
        head = ["git", "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+"]
        done = subprocess.run(head, cwd=root, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def format_hardware(hardware: dict[str, Any]) -> str:
    """Return a run's hardware as words, such as `"NVIDIA T4, Intel Xeon, 2 cores"`.

    Args:
        hardware: Dict with `cpu`, `cores` and optionally `gpu`; and `before`, the words for others
            that a run was begun on.
    """
    cores = hardware["cores"]
    parts = [hardware.get("gpu"), hardware["cpu"], f"{cores} core{'s' if cores > 1 else ''}"]
    words = ", ".join(part for part in parts if part)
    return "; before on ".join([words, *reversed(hardware.get("before", ()))])


def require_package(package: str, purpose: str, install: str) -> None:
    """Raise where a package is not installed.

    Args:
        package: Name that is imported.
        purpose: What needs it, such as `"export needs"`.
        install: What `pip install` takes, such as `"'cnn-cifar10[export]'"`.

    Raises:
        InputError: If it is not installed; the message says how to install it.
    """
    if importlib.util.find_spec(package) is None:
        raise InputError(f"{purpose} {package}: pip install {install}")
