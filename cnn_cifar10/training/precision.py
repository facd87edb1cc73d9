"""Number formats, compilation and repeatability."""

import os
import sys

from cnn_cifar10.architectures import find_network
from cnn_cifar10.configs import PRECISIONS, ConfigError
from cnn_cifar10.utils import InputError, cpu_flags, gpu_names


def choose_precision(precision: str = "auto", model: str = "") -> str:
    """Return the Keras dtype policy to train with.

    Args:
        precision: A policy from `PRECISIONS`. `"auto"` takes bfloat16 where the
            processor multiplies it natively (AVX512_BF16 or AMX; NVIDIA from
            Ampere on), float16 on older GPUs, and float32 elsewhere, since
            emulated bfloat16 is slower than float32. Apple's chips have float32: no
            backend says what they multiply natively.
        model: What is trained. Networks of depthwise convolutions are trained in float32 on a
            processor, where bfloat16 takes twice as long.

    Raises:
        InputError: If a name is unknown.
    """
    if precision not in PRECISIONS:
        raise InputError(f"precision={precision!r} is not one of {', '.join(PRECISIONS)}")
    if precision != "auto":
        return precision
    if sys.platform == "darwin":
        return "float32"
    if gpu_names():
        return "mixed_bfloat16" if _gpu_has_bfloat16() else "mixed_float16"
    if model and find_network(model).depthwise:
        return "float32"
    return "mixed_bfloat16" if {"avx512_bf16", "amx_bf16"} & cpu_flags() else "float32"


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


def uses_xla() -> bool:
    """Return whether Keras should compile training steps with XLA here."""
    import keras

    if keras.backend.backend() != "tensorflow":
        return keras.backend.backend() == "jax"
    import tensorflow as tf

    # It halves the speed of TensorFlow's convolutions on a processor, knows no GPU of Apple, and
    # compiles nothing that several devices share.
    possible = sys.platform != "darwin" and not tf.distribute.has_strategy()
    return possible and bool(gpu_names())


def make_deterministic() -> None:
    """Make trainings of this process repeat every weight exactly, at some cost in speed.

    Raises:
        ConfigError: If the process was started without what this needs.
    """
    import keras

    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    elif backend == "torch":
        import torch

        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    elif gpu_names() and "deterministic_ops" not in os.environ.get("XLA_FLAGS", ""):
        raise ConfigError("deterministic on JAX: set XLA_FLAGS=--xla_gpu_deterministic_ops=true")
