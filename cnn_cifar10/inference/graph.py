"""Checks of an ONNX file before ONNX Runtime sees it: sizes, operators, where its data lie.

Also what of it may be computed once, when it is opened.

The file is Protocol Buffers' wire format: fields, each a number and a value; a value may be a
message of fields again. The libraries that read it make room for all that it declares. This
reads the few fields that decide whether that is safe, in place, and counts them.
"""

import math
import mmap
from collections.abc import Iterator
from typing import Any

from cnn_cifar10.inference.artifact import ArtifactError

_MOST_FIELDS, _MOST_NODES = 1_000_000, 20_000  # of a file; large networks have a tenth of it
_DOMAINS = ("", "ai.onnx")  # the standard's own operators

# Numbers of fields, from onnx.proto.
_GRAPH, _TRAINING, _FUNCTIONS = 7, 20, 25  # of a model
_NODE, _INITIALIZER, _SPARSE = 1, 5, 15  # of a graph
_INPUT, _OUTPUT, _OPERATOR, _ATTRIBUTE, _DOMAIN = 1, 2, 4, 5, 7  # of a node
_TENSOR, _TENSORS, _SUBGRAPHS, _SPARSE_TENSORS = 5, 10, (6, 11), (22, 23)  # of an attribute
_INTEGER = 3  # of an attribute
_DIMENSIONS, _TYPE, _NAME, _ELSEWHERE = 1, 2, 8, (3, 13, 14)  # of a tensor; in segments or files
_FLOAT, _FLOAT16 = 1, 10  # types

_MOST_HALVES = 256 << 20  # bytes of float16 weights that become float32 when a model is opened


def check_graph(model: bytes | mmap.mmap) -> None:
    """Check an ONNX file.

    Raises:
        ArtifactError: If it is no ONNX file, has parts that run again and again, operators that
            are not the standard's, data in other files, tensors that are not there, or more nodes
            than any network here. The message does not name the file.
    """
    reader = _Reader(model)
    try:
        graphs = [part for number, part in reader.fields((0, len(model))) if number == _GRAPH]
        _require(len(graphs) == 1, f"holds {len(graphs)} graphs, not one")
        numbers = {number for number, _ in reader.fields((0, len(model)))}
        _require(not numbers & {_TRAINING, _FUNCTIONS}, "holds functions or a training")
        _check_nodes(reader, graphs[0])
    except (IndexError, TypeError) as error:  # cut off, or a number where a message should be
        raise ArtifactError("is no ONNX model, or is damaged") from error


def has_only_halves_to_fold(model: bytes | mmap.mmap) -> bool:
    """Return whether all that a graph computes of its weights alone is float32 of float16.

    Each of the weights once, and not much of it: then this can be done when the model is opened.
    What else is computed of weights alone may take any memory.

    Args:
        model: A file that `check_graph` lets through.
    """
    reader = _Reader(model)
    ((start, end),) = (part for number, part in reader.fields((0, len(model))) if number == _GRAPH)
    halves, constant, nodes, held = set(), set(), [], 0
    for number, part in reader.fields((start, end)):
        if number == _INITIALIZER:
            fields = dict(reader.fields(part))
            name = reader.raw(fields[_NAME]) if _NAME in fields else b""
            constant.add(name)
            if fields.get(_TYPE) == _FLOAT16:
                halves.add(name)
                held += part[1] - part[0]
        elif number == _NODE:
            nodes.append(list(reader.fields(part)))
    for node in nodes:
        inputs = {reader.raw(part) for number, part in node if number == _INPUT} - {b""}
        if not inputs <= constant:
            continue
        outputs = {reader.raw(part) for number, part in node if number == _OUTPUT}
        kept = _operator(reader, node) == "Constant"
        if not kept and not (_is_cast_to_float(reader, node) and inputs <= halves):
            return False
        halves -= inputs
        constant |= outputs
    return held <= _MOST_HALVES


def _operator(reader, node):
    return next((reader.text(part) for number, part in node if number == _OPERATOR), "")


def _is_cast_to_float(reader, node):
    attributes = [dict(reader.fields(part)) for number, part in node if number == _ATTRIBUTE]
    to_float = [each.get(_INTEGER) for each in attributes] == [_FLOAT]
    return _operator(reader, node) == "Cast" and to_float


def _check_nodes(reader, graph):
    nodes = 0
    for number, part in reader.fields(graph):
        if number == _NODE:
            nodes += 1
            _require(nodes <= _MOST_NODES, f"has more than {_MOST_NODES:,} nodes")
            _check_node(reader, part)
        elif number == _INITIALIZER:
            _check_tensor(reader, part)
        _require(number != _SPARSE, "has sparse tensors")
    _require(nodes, "has no nodes")


def _check_node(reader, node):
    parts = list(reader.fields(node))
    named = {number: reader.text(part) for number, part in parts if number in (_OPERATOR, _DOMAIN)}
    operator, domain = named.get(_OPERATOR, ""), named.get(_DOMAIN, "")
    own = domain in _DOMAINS
    _require(own, f"has the operator {operator} of {domain}, which is not ONNX's own")
    for attribute in (part for number, part in parts if number == _ATTRIBUTE):
        for number, part in reader.fields(attribute):
            _require(
                number not in _SUBGRAPHS,
                f"has the operator {operator}, which runs a graph of its own, as loops do",
            )
            _require(number not in _SPARSE_TENSORS, "has sparse tensors")
            if number in (_TENSOR, _TENSORS):
                _check_tensor(reader, part)


def _check_tensor(reader, tensor):
    sizes: list[int] = []
    for number, part in reader.fields(tensor):
        _require(number not in _ELSEWHERE, "has data in other files than its own")
        if number == _DIMENSIONS:
            sizes += reader.integers(part) if isinstance(part, tuple) else [part]
    start, end = tensor
    # An element has half a byte or more.
    fits = len(sizes) <= 16 and math.prod(sizes) <= 2 * (end - start)
    _require(fits, f"declares a tensor of {_shape(sizes)}, of which it holds {end - start:,} bytes")


def _shape(sizes):
    return "x".join(map(str, sizes[:16])) if sizes else "one number"


def _require(holds, fault):
    if not holds:
        raise ArtifactError(fault)


class _Reader:
    """Reads fields in place. A message is a pair: where it starts and ends."""

    def __init__(self, data: bytes | mmap.mmap):
        self._data, self._left = data, _MOST_FIELDS

    def fields(self, message: tuple[int, int]) -> Iterator[tuple[int, Any]]:
        """Yield number and value of each field: an integer, or the place of a message."""
        at, end = message
        while at < end:
            self._left -= 1
            _require(self._left >= 0, f"has more than {_MOST_FIELDS:,} fields")
            key, at = self._varint(at, end)
            number, kind = key >> 3, key & 7
            if not number:
                raise IndexError
            if kind == 0:
                value, at = self._varint(at, end)
                yield number, value
                continue
            if kind == 2:
                size, at = self._varint(at, end)
            elif kind in (1, 5):
                size = {1: 8, 5: 4}[kind]
            else:  # groups, which ONNX does not have
                raise IndexError
            if at + size > end:
                raise IndexError
            if kind == 2:
                yield number, (at, at + size)
            at += size

    def text(self, message: tuple[int, int]) -> str:
        """Return a text, or its first letters."""
        start, end = message
        return self._data[start : min(end, start + 100)].decode("utf-8", "replace")

    def raw(self, message: tuple[int, int]) -> bytes:
        """Return a text whole, as it is stored."""
        return self._data[message[0] : message[1]]

    def integers(self, message: tuple[int, int]) -> list[int]:
        """Return packed integers, 17 at most."""
        at, end = message
        found: list[int] = []
        while at < end and len(found) < 17:
            value, at = self._varint(at, end)
            found.append(value)
        return found

    def _varint(self, at, end):
        value = shift = 0
        while True:
            if at >= end or shift > 63:
                raise IndexError
            byte = self._data[at]
            value |= (byte & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if byte < 0x80:
                return value, at
