"""What this machine has, and the number format that suits it."""

import os
import platform
from pathlib import Path

from cnn_cifar10.configs import PRECISIONS
from cnn_cifar10.errors import InputError


def describe_hardware():
    """Return what stands beside every figure: `{"cpu", "cores", "gpu"}`; gpu is "" without one."""
    return {"cpu": _cpu_name(), "cores": usable_cores(), "gpu": ", ".join(_gpu_names())}


def usable_cores():
    """Return how many cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def choose_precision(precision="auto"):
    """Return the Keras dtype policy to train with.

    Args:
        precision: A policy from `PRECISIONS`. `"auto"` takes bfloat16 where the
            processor multiplies it natively (AVX512_BF16 or AMX; NVIDIA from
            Ampere on), float16 on older GPUs, and float32 elsewhere, since
            emulated bfloat16 is slower than float32.

    Raises:
        InputError: If the name is unknown.
    """
    if precision not in PRECISIONS:
        raise InputError(f"precision={precision!r} is not one of {', '.join(PRECISIONS)}")
    if precision != "auto":
        return precision
    if _gpu_names():
        return "mixed_bfloat16" if _gpu_has_bfloat16() else "mixed_float16"
    return "mixed_bfloat16" if {"avx512_bf16", "amx_bf16"} & _cpu_flags() else "float32"


def _cpu_name():
    return _cpuinfo().get("model name") or platform.processor() or platform.machine()


def _cpu_flags():
    return set(_cpuinfo().get("flags", "").split())


def _cpuinfo():
    """Return the first processor's entries of Linux's /proc/cpuinfo; {} on other systems."""
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return {}
    lines = path.read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    return {key.strip(): value.strip() for key, _, value in (x.partition(":") for x in lines)}


def _gpu_names():
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


def _gpu_has_bfloat16():
    import keras

    if keras.backend.backend() == "jax":
        import jax

        capability = str(getattr(jax.devices()[0], "compute_capability", 0))
        # AMD's is a name, such as gfx90a; those that JAX runs on have bfloat16.
        return capability.startswith("gfx") or float(capability) >= 8
    if keras.backend.backend() == "torch":
        import torch

        return torch.cuda.is_bf16_supported(including_emulation=False)
    import tensorflow as tf

    gpu = tf.config.list_physical_devices("GPU")[0]
    return tf.config.experimental.get_device_details(gpu).get("compute_capability", (0,))[0] >= 8
