"""PyTorch's files of weights as NumPy arrays, without PyTorch.

A pickle can run any code. This reader looks up nothing but what a file of tensors
needs, and refuses everything else.
"""

import collections
import pickle
from dataclasses import dataclass

import numpy as np

from cnn_cifar10.utils import InputError

_MAGIC = 0x1950A86A20F9469CFC6C
_DTYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


def read_torch_weights(path):
    """Read a state dict in the format that PyTorch wrote before version 1.6.

    Args:
        path: The file, such as `model.pth`.

    Returns:
        Dict of names to arrays, float32 or int64.

    Raises:
        InputError: If the file cannot be read or holds anything else.
    """
    try:
        with open(path, "rb") as file:
            return _read(file)
    except OSError as error:
        raise InputError(f"{path}: cannot read the weights: {error.strerror}") from error
    except (
        ArithmeticError,
        AttributeError,
        EOFError,
        LookupError,
        MemoryError,
        TypeError,
        ValueError,
        pickle.UnpicklingError,
    ) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: is no PyTorch file of weights ({reason})") from error


def _read(file):
    unpickler = _Unpickler(file)
    if unpickler.load() != _MAGIC:
        raise ValueError("it does not begin as one")
    unpickler.load(), unpickler.load()  # the protocol's version, the writer's integer sizes
    tensors = unpickler.load()
    for key in unpickler.load():
        storage = unpickler.storages[key]
        count = int.from_bytes(file.read(8), "little")
        storage.data = file.read(count * storage.dtype.itemsize)
    return {name: tensor.to_array() for name, tensor in tensors.items()}


@dataclass
class _Storage:
    """Numbers that tensors share; they follow at the end of the file."""

    dtype: np.dtype
    data: bytes = b""


@dataclass
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple
    strides: tuple

    def to_array(self):
        size, strides = self.storage.dtype.itemsize, tuple(self.strides)
        view = np.ndarray(
            self.shape,
            self.storage.dtype,
            self.storage.data,
            self.offset * size,
            [step * size for step in strides],
        )
        return view.copy()


class _Unpickler(pickle.Unpickler):
    def __init__(self, file):
        super().__init__(file)
        self.storages = {}

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, strides, *_: _Tensor(
                storage, offset, shape, strides
            )
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")

    def persistent_load(self, identifier):
        _, dtype, key, *_ = identifier
        return self.storages.setdefault(key, _Storage(dtype))
