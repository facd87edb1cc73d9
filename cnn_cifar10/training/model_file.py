"""Checks of a `.keras` file before Keras opens it: what it holds, which classes, how large.

Keras makes room for all that a file declares, then looks for the weights. So nothing is built
until the declared sizes agree with the bytes that are there. No code that a file names is run.
"""

import io
import json
import math
import struct
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from cnn_cifar10.utils import JSON_BYTES, InputError, parse_object

MEMBERS = ("metadata.json", "config.json", "model.weights.h5")
"""Files that the archive is made of; on the Hugging Face Hub they lie side by side."""

_END = 22  # bytes of the end of an archive without a comment
_MOST_PARTS, _MOST_LAYERS, _MOST_DEPTH = 1_000_000, 3_000, 60  # of a config
_MOST_VARIABLES = 100_000  # and groups of them
_MOST_VALUES = 2**28  # that a layer gives for one image: a gigabyte
_MOST_LETTERS = 500  # of a message with names of the file
_SECONDS = 60.0  # to build a network without its weights

# Where Keras's own classes are that a model may hold, by module.
_MODULES = (
    *("activations", "constraints", "dtype_policies", "initializers", "layers", "losses"),
    *("metrics", "models", "ops", "optimizers", "quantizers", "regularizers"),
)
_APPLICATIONS = ("LayerScale", "StochasticDepth")  # layers of ConvNeXt's own
_TOP = ("DTypePolicy", "FloatDTypePolicy", "Functional", "Model", "Sequential")
_VALUES = ("keras_tensor", "tensor", "numpy", "bytes", "ellipsis", "slice")
# Layers that run code of the file, or read other files.
_REFUSED = (
    *("Lambda", "TFSMLayer", "JaxLayer", "FlaxLayer", "TorchModuleWrapper"),
    *("StringLookup", "IntegerLookup", "TextVectorization"),
)


@dataclass(frozen=True)
class ModelFile:
    """What a `.keras` file holds, by its own words.

    Args:
        config: The document in `config.json`.
        weight_bytes: Bytes of all variables.
        others: Registered names of classes and functions that are not Keras's.
    """

    config: dict[str, Any]
    weight_bytes: int
    others: frozenset[str]


def read_model_file(path: Path) -> ModelFile:
    """Return what a `.keras` file holds, without Keras.

    Raises:
        InputError: If the file is no archive as Keras writes it, its config is no model's or has
            parts that run code or read other files, or its weights are not there. The message
            does not name the file.
    """
    with open(path, "rb") as file:
        members = _members(file)
        start, size = members["config.json"]
        _require(size <= JSON_BYTES, f"has a config of {size:,} bytes")
        config = parse_object(
            _Window(file, start, size).read(), "config.json", "config", InputError
        )
        others = _check_config(config)
        weight_bytes = _check_weights(_Window(file, *members["model.weights.h5"]))
    return ModelFile(config, weight_bytes, others)


def _require(holds, fault):
    if not holds:
        raise InputError(fault[:_MOST_LETTERS])


def _members(file: IO[bytes]) -> dict[str, tuple[int, int]]:
    """Return the place and the size of each member of an archive, all stored as they are."""
    length = file.seek(0, io.SEEK_END)
    _require(length >= _END, "is no archive, or was cut off")
    file.seek(length - _END)
    signature, *_, count, size, offset, comment = struct.unpack("<4s4H2LH", file.read(_END))
    _require(signature == b"PK\5\6" and not comment, "is no archive as Keras writes it")
    _require(count == len(MEMBERS), f"holds {count:,} files, not {', '.join(MEMBERS)}")
    _require(size < 10_000 and offset + size + _END == length, "is an archive that was changed")
    found = {}
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            _require(info.filename in MEMBERS, f"holds the file {info.filename!r}")
            stored = info.compress_type == zipfile.ZIP_STORED and not info.flag_bits & 1
            same = info.compress_size == info.file_size
            _require(stored and same, f"holds {info.filename} compressed, which Keras does not do")
            file.seek(info.header_offset)
            head = file.read(30)
            _require(len(head) == 30, "is an archive that was changed")
            start = info.header_offset + 30 + sum(struct.unpack("<26x2H", head))
            _require(start + info.file_size <= offset, f"ends before {info.filename} does")
            found[info.filename] = start, info.file_size
    _require(len(found) == len(MEMBERS), "holds a file twice")
    return found


class _Window(io.RawIOBase):
    """A part of a file as a file, which h5py reads in place."""

    def __init__(self, file, start, size):
        self._file, self._start, self._size, self._at = file, start, size, 0

    def readable(self):
        return True

    def seekable(self):
        return True

    def seek(self, offset, whence=io.SEEK_SET):
        self._at = offset + {0: 0, 1: self._at, 2: self._size}[whence]
        return self._at

    def tell(self):
        return self._at

    def readinto(self, buffer):
        self._file.seek(self._start + self._at)
        count = max(0, min(len(buffer), self._size - self._at))
        data = self._file.read(count)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def _check_config(config) -> frozenset[str]:
    """Check the classes of a config; return the names of those that are not Keras's."""
    others, layers = set(), 0
    for part in _parts(config):
        if "class_name" not in part:
            continue
        layers += "inbound_nodes" in part or "build_config" in part
        _require(layers <= _MOST_LAYERS, f"has more than {_MOST_LAYERS:,} layers")
        if not _is_kerass(part):
            name = part.get("registered_name") or part["class_name"]
            shown = f"the class {name} of {part.get('module')}"
            _require(isinstance(name, str) and ">" in name, f"asks for {shown}, which is no layer")
            # Others of KerasHub, such as its tokenizers, read files.
            may_be = not name.startswith("keras_hub>") or name.endswith("Backbone")
            _require(may_be, f"asks for {shown}, which is no backbone")
            others.add(name)
    _require(layers, "has a config without layers")
    return frozenset(others)


def _is_kerass(part):
    """Return whether a part of a config is of Keras; refuse those that are not safe."""
    name, module = part["class_name"], part.get("module")
    registered = part.get("registered_name")
    _require(isinstance(name, str), f"has a class that is named {name!r}")
    for each in (name, registered):
        safe = each not in _REFUSED and str(each).rpartition(">")[2] not in _REFUSED
        _require(safe, f"has a layer {each}, which runs code or reads other files")
    if name.startswith("__"):
        _require(name.strip("_") in _VALUES, f"has a part {name}, which may run code")
        return True
    if isinstance(registered, str) and ">" in registered:
        return False
    if name == "function":
        return module == "builtins" and ">" not in str(part.get("config"))
    room = str(module).removeprefix("keras.src.").removeprefix("keras.").partition(".")[0]
    if module == "keras":
        return name in _TOP
    if room == "applications":
        return name in _APPLICATIONS
    return str(module).startswith("keras.") and room in _MODULES


def _parts(document) -> Iterator[dict[str, Any]]:
    """Yield all dicts in a document of a bounded size and depth."""
    waiting, seen = [(document, 0)], 0
    while waiting:
        part, depth = waiting.pop()
        _require(depth <= _MOST_DEPTH, f"has a config nested more than {_MOST_DEPTH} times")
        if isinstance(part, dict):
            yield part
        if isinstance(part, (dict, list)):
            seen += len(part)
            _require(seen <= _MOST_PARTS, f"has a config of more than {_MOST_PARTS:,} parts")
            inner = part.values() if isinstance(part, dict) else part
            waiting += [(each, depth + 1) for each in inner]


def _check_weights(file) -> int:
    """Return the bytes of all variables in an HDF5 file, which must be in it as they are."""
    import h5py

    total = count = 0
    with h5py.File(file, "r") as opened:
        waiting, seen = [opened["/"]], set()
        while waiting:
            group = waiting.pop()
            for name in group:
                count += 1
                _require(count <= _MOST_VARIABLES, f"has more than {_MOST_VARIABLES:,} variables")
                hard = isinstance(group.get(name, getlink=True), h5py.HardLink)
                _require(hard, f"has the weights {group.name}/{name} elsewhere")
                each = group[name]
                if isinstance(each, h5py.Group):
                    if (address := h5py.h5o.get_info(each.id).addr) not in seen:
                        seen.add(address)
                        waiting.append(each)
                    continue
                total += _check_variable(each, each.name.lstrip("/"))
    size = file.seek(0, io.SEEK_END)
    _require(total <= size, f"declares {total:,} bytes of weights, and holds {size:,}")
    return total


def _check_variable(variable, name):
    """Return the bytes of a variable."""
    import h5py

    _require(isinstance(variable, h5py.Dataset), f"has {name}, which is no variable")
    plain = not (variable.external or variable.is_virtual or variable.chunks)
    _require(plain, f"has the variable {name} compressed or in another file")
    # V: as bfloat16 is kept
    _require(variable.dtype.kind in "biufV", f"has the variable {name} of {variable.dtype}")
    size = math.prod(variable.shape or ()) * variable.dtype.itemsize
    there = variable.id.get_storage_size()
    _require(size <= there, f"declares {size:,} bytes of {name}, and holds {there:,}")
    return size


def check_network(
    found: ModelFile, input_shape: list[int] | None = None, classes: int | None = None
) -> None:
    """Build a config's network without its weights, and compare it with what the file holds.

    Args:
        found: What the file holds.
        input_shape: `(height, width, channels)` that the network must take; `None` for any.
        classes: How many classes it must tell apart; `None` for any number.

    Raises:
        InputError: If the network cannot be built, its weights are not those in the file, it
            gives too much for one image, or is no classifier of such images.
    """
    answer: list = []
    # What Keras notes of a network, such as variables that wait for their values, is a thread's.
    thread = threading.Thread(target=_measure, args=(found.config, answer), daemon=True)
    thread.start()
    thread.join(_SECONDS)
    _require(answer, f"cannot be built in {_SECONDS:.0f} seconds")
    if isinstance(answer[0], Exception):
        # Layers of one's own may make variables in ways that need their values at once.
        if isinstance(answer[0], InputError) or all(map(_is_ours, found.others)):
            raise answer[0]
        return
    needed, largest, takes, gives = answer[0]
    _require(
        needed <= found.weight_bytes,
        f"declares a network with {min(needed, 10**15):,} bytes of weights or more, and holds "
        f"{found.weight_bytes:,}",
    )
    _require(
        largest <= _MOST_VALUES,
        f"has a layer that gives {min(largest, 10**15):,} values or more for an image",
    )
    if input_shape and takes:
        same = zip(takes, input_shape, strict=False)
        fits = len(takes) == len(input_shape) and all(a in (None, b) for a, b in same)
        _require(fits, f"takes images of {takes}, not of {tuple(input_shape)}, as run.json says")
    if classes and gives:
        _require(gives == (classes,), f"gives {gives} for an image, not one number for each class")


def _is_ours(name):
    return name.startswith("cnn_cifar10>")


def _measure(config, answer):
    """Add bytes of weights, largest output, and shapes of input and output, or the error."""
    import keras

    try:
        with keras.StatelessScope(initialize_variables=False):
            # A copy, since Keras changes what it reads; without an optimizer, which needs values.
            network = json.loads(json.dumps({**config, "compile_config": None}))
            model = keras.saving.deserialize_keras_object(network)
        _require(isinstance(model, keras.Model), "holds no network")
        needed = sum(math.prod(each.shape) * _bytes(each.dtype) for each in model.weights)
        sizes = [math.prod(size or 1 for size in each.shape[1:]) for each in _outputs(model)]
        # A class of one's own may have neither.
        shapes = [getattr(model, f"{what}_shape", None) for what in ("input", "output")]
        _require(not any(isinstance(each, (list, dict)) for each in shapes), "is no classifier")
        takes, gives = (each and tuple(each[1:]) for each in shapes)
        answer.append((needed, max(sizes, default=0), takes, gives))
    except Exception as error:  # raised again in the thread that waits
        answer.append(error)


def _outputs(model):
    """Yield what each operation of a model gives, as far as it is known."""
    import keras

    for operation in getattr(model, "operations", ()):
        if isinstance(operation, keras.Model):
            yield from _outputs(operation)
        yield from keras.tree.flatten(operation.output)


def _bytes(dtype):
    return {"bool": 1, "int8": 1, "uint8": 1, "float16": 2, "bfloat16": 2, "float64": 8}.get(
        dtype, 4
    )
