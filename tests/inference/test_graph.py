"""What of a graph may be computed once, when it is opened."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from cnn_cifar10.inference import graph


def model(*nodes, dtype="float16"):
    weights = [numpy_helper.from_array(np.ones((4, 4), dtype), name) for name in ("a", "b")]
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [None, 4])
    last = helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)
    made = helper.make_graph(nodes, "graph", [pixels], [last], weights)
    return helper.make_model(made).SerializeToString()


def cast(weights, name, to=TensorProto.FLOAT):
    return helper.make_node("Cast", [weights], [name], to=to)


def product(weights):
    return helper.make_node("MatMul", ["pixels", weights], ["out"])


def test_weights_that_become_float32_are_computed_once():
    assert graph.has_only_halves_to_fold(model(cast("a", "c"), cast("b", "d"), product("c")))
    assert graph.has_only_halves_to_fold(model(product("a"), dtype="float32"))
    weights = numpy_helper.from_array(np.ones(3, "float16"))
    constant = helper.make_node("Constant", [], ["e"], value=weights)
    assert graph.has_only_halves_to_fold(model(constant, product("a")))


@pytest.mark.parametrize(
    "nodes",
    {
        "twice": [cast("a", "c"), cast("a", "d")],
        "in turn": [cast("a", "c"), cast("c", "d")],
        "to eight bytes": [cast("a", "c", TensorProto.DOUBLE)],
        "another operator": [helper.make_node("Expand", ["a", "b"], ["c"])],
        "of what was cast": [cast("a", "c"), helper.make_node("Add", ["c", "c"], ["d"])],
        "of nothing": [helper.make_node("RandomNormal", [], ["c"], shape=[10**6])],
    }.items(),
    ids=lambda pair: pair[0],
)
def test_what_may_take_any_memory_is_not(nodes):
    assert not graph.has_only_halves_to_fold(model(*nodes[1], product("a")))


def test_bytes_are_not_cast_from_another_type_and_are_few(monkeypatch):
    assert not graph.has_only_halves_to_fold(model(cast("a", "c"), product("c"), dtype="int8"))
    monkeypatch.setattr(graph, "_MOST_HALVES", 40)
    assert not graph.has_only_halves_to_fold(model(cast("a", "c"), product("c")))
