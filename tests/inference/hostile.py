"""Runs and exported models as a stranger might send them: hostile, malformed, or both.

    python tests/inference/hostile.py FOLDER

makes `FOLDER/runs/<kind>` with a `model.keras` each, and `FOLDER/exports/<kind>` with an
`artifact.json`, `SHA256SUMS` and `model.onnx` each; all else in them is as it should be. None
of them needs Keras to be made. What some of them would run leaves a file `ran` beside FOLDER.
"""

import functools
import hashlib
import io
import json
import os
import shutil
import struct
import sys
import zlib
from pathlib import Path

import h5py
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SHIPPED = Path(__file__).parents[2] / "models" / "custom_cnn"
RUNS, EXPORTS = {}, {}
"""Functions that make a kind, by name: of the parts of a run's model, and of an export's folder."""
SECONDS, MEGABYTES = 5, 1000
"""What opening one may take."""


def fault_of(answer):
    """Return what is wrong with how a command refused a file; empty if nothing is.

    Args:
        answer: A line of `programs/opens_hostile.py`.
    """
    said = answer["said"].rstrip("\n")
    right = answer["code"] == 2 and said.startswith("cnn-cifar10: ") and said.isprintable()
    if not right or f"/{answer['kind']}" not in said:
        return f"ended with {answer['code']} and said {said[-300:]!r}"
    return "" if answer["megabytes"] < MEGABYTES else f"took {answer['megabytes']} MB"


def make_runs(folder):
    """Make a run with a hostile `model.keras` of each kind; return their folders."""
    return [make_run(folder, kind) for kind in RUNS]


def make_run(folder, kind):
    """Make the run of a kind in a folder, and return its own folder."""
    run = folder / kind
    run.mkdir(parents=True)
    config = {"dataset": "digits", "model": "custom_cnn"}
    facts = json.loads((SHIPPED / "run.json").read_text())
    facts |= {"class_names": list("0123456789"), "config": config}
    (run / "config.json").write_text(json.dumps(config))
    (run / "run.json").write_text(json.dumps(facts))
    shutil.copy(SHIPPED / "history.csv", run)
    RUNS[kind](run / "model.keras")
    return run


def make_exports(folder):
    """Make an export of each hostile kind; return their folders."""
    return [make_export(folder, kind) for kind in EXPORTS]


def make_export(folder, kind):
    """Make the export of a kind in a folder, and return its own folder."""
    export = folder / kind
    export.mkdir(parents=True)
    for name in ("artifact.json", "model.onnx"):
        shutil.copy(SHIPPED / name, export)
    sign(export)
    EXPORTS[kind](export)
    return export


def sign(export):
    """List the checksums of an export's files, as a stranger can."""
    names = ("artifact.json", "model.onnx")
    digests = {name: hashlib.sha256((export / name).read_bytes()).hexdigest() for name in names}
    sums = "".join(f"{digest}  {name}\n" for name, digest in digests.items())
    (export / "SHA256SUMS").write_text(sums)


def run_kind(make):
    RUNS[make.__name__] = make
    return make


def export_kind(make):
    EXPORTS[make.__name__] = make
    return make


# Archives.


def archive(members):
    """Return the bytes of an archive of `(name, data, options)`, however wrong it is.

    Options: `method`, `size` (declared), `packed` (declared), `flags`, `mode` (of a file).
    """
    body, directory = io.BytesIO(), io.BytesIO()
    for name, data, options in members:
        packed = options.get("packed", len(data))
        head = struct.pack(
            *("<5H3L2H", 20, options.get("flags", 0), options.get("method", 0), 0, 0x21),
            *(options.get("crc", zlib.crc32(data)), packed, options.get("size", packed)),
            *(len(name.encode()), 0),
        )
        offset = body.tell()
        body.write(b"PK\3\4" + head + name.encode() + data)
        outer = struct.pack("<3H2L", 0, 0, 0, options.get("mode", 0o100644) << 16, offset)
        directory.write(b"PK\1\2\x14\3" + head + outer + name.encode())
    count, listed = len(members), directory.getvalue()
    end = struct.pack("<4H2LH", 0, 0, count & 0xFFFF, count & 0xFFFF, len(listed), body.tell(), 0)
    return body.getvalue() + listed + b"PK\5\6" + end


@functools.cache
def _shipped_parts():
    import zipfile

    with zipfile.ZipFile(SHIPPED / "model.keras") as file:
        return {name: file.read(name) for name in file.namelist()}


def parts(**changed):
    """Return the members of the shipped model, some changed: `config`, `weights`, `more`."""
    shipped = _shipped_parts()
    config = changed.get("config", shipped["config.json"])
    config = config if isinstance(config, bytes) else json.dumps(config).encode()
    return [
        ("metadata.json", shipped["metadata.json"], {}),
        ("config.json", config, changed.get("config_options", {})),
        (
            "model.weights.h5",
            changed.get("weights", shipped["model.weights.h5"]),
            changed.get("weights_options", {}),
        ),
        *changed.get("more", ()),
    ]


def bomb(megabytes):
    """Return a deflated stream of zeros, in a thousandth of their size."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return block * megabytes + b"\3\0"


def write_archive(path, **changed):
    path.write_bytes(archive(parts(**changed)))


@run_kind
def empty(path):
    path.touch()


@run_kind
def text(path):
    path.write_text("<html>not found</html>" * 1000)


@run_kind
def cut_off(path):
    path.write_bytes(archive(parts())[:500_000])


@run_kind
def config_bomb(path):
    options = {"method": 8, "size": 4000 << 20, "crc": 0}
    write_archive(path, config=bomb(4000), config_options=options)


@run_kind
def weights_bomb(path):
    options = {"method": 8, "size": 4000 << 20, "crc": 0}
    write_archive(path, weights=bomb(4000), weights_options=options)


@run_kind
def weights_larger_than_the_file(path):
    write_archive(path, weights_options={"size": 0xFFFFFFF0, "packed": 0xFFFFFFF0})


@run_kind
def sixty_thousand_files(path):
    more = [(f"assets/{number}", b"", {}) for number in range(60_000)]
    write_archive(path, more=more)


@run_kind
def path_that_leads_out(path):
    write_archive(path, more=[("../../../ran", b"x", {}), ("assets/../../../../ran", b"x", {})])


@run_kind
def link_in_the_archive(path):
    write_archive(path, more=[("assets", b"/etc", {"mode": 0o120777})])


@run_kind
def config_twice(path):
    write_archive(path, more=[("config.json", b"{}", {})])


@run_kind
def encrypted(path):
    write_archive(path, weights_options={"flags": 1})


@run_kind
def unknown_compression(path):
    write_archive(path, weights_options={"method": 99})


@run_kind
def more_than_a_zip_can_count(path):
    data = archive(parts())
    end = struct.pack("<LQ2H2L4Q", 0x06064B50, 44, 45, 45, 0, 0, 2**62, 2**62, 2**62, 0)
    locator = struct.pack("<LLQL", 0x07064B50, 0, len(data) - 22, 1)
    path.write_bytes(data[:-22] + end + locator + data[-22:])


@run_kind
def program_before_the_archive(path):
    path.write_bytes(b"#!/bin/sh\ntouch ran\nexit\n" + archive(parts()))


@run_kind
def no_weights(path):
    path.write_bytes(archive(parts()[:2]))


@run_kind
def pipe(path):
    os.mkfifo(path)


@run_kind
def endless_device(path):
    path.symlink_to("/dev/zero")


@run_kind
def folder(path):
    path.mkdir()


@run_kind
def ten_gigabytes_of_nothing(path):
    path.touch()
    os.truncate(path, 10 << 30)


# Configs.


def shipped_config():
    return json.loads(_shipped_parts()["config.json"])


def write_config(path, change):
    """Write the shipped model with a change of its config's layers."""
    config = shipped_config()
    change(config["config"]["layers"])
    write_archive(path, config=config)


def find(layers, kind, place=0):
    return [layer for layer in layers if layer["class_name"] == kind][place]


@run_kind
def config_not_utf8(path):
    write_archive(path, config=b'{"module": "\xff\xfe"}')


@run_kind
def config_no_json(path):
    write_archive(path, config=b"import os; os.system('touch ran')")


@run_kind
def config_nested_deeply(path):
    write_archive(path, config=b'{"config":' + b"[" * 100_000 + b"]" * 100_000 + b"}")


@run_kind
def config_nested_a_little(path):
    config = shipped_config()
    for _ in range(200):
        config = {"module": "keras", "class_name": "Model", "config": {"inner": config}}
    write_archive(path, config=config)


@run_kind
def config_of_millions(path):
    write_archive(path, config=b'{"config": [' + b"0," * 12_000_000 + b"0]}")


@run_kind
def config_is_a_list(path):
    write_archive(path, config=[1, 2, 3])


@run_kind
def config_too_large(path):
    write_archive(path, config=b" " * (40 << 20))


@run_kind
def lambda_layer(path):
    def change(layers):
        find(layers, "LeakyReLU").update(
            class_name="Lambda",
            config={"function": {"class_name": "__lambda__", "config": {"value": "4wAAAAA="}}},
        )

    write_config(path, change)


@run_kind
def lambda_as_activation(path):
    part = {"module": "builtins", "class_name": "__lambda__", "config": {"value": "4wAAAAA="}}
    write_config(path, lambda layers: find(layers, "Conv2D")["config"].update(activation=part))


@run_kind
def saved_model_as_layer(path):
    part = {"filepath": "/tmp/evil", "call_endpoint": "serve", "name": "x", "trainable": False}
    write_config(
        path, lambda layers: find(layers, "LeakyReLU").update(class_name="TFSMLayer", config=part)
    )


@run_kind
def layer_that_reads_a_file(path):
    part = {"vocabulary": "/etc/passwd", "name": "x"}
    write_config(
        path,
        lambda layers: find(layers, "LeakyReLU").update(class_name="StringLookup", config=part),
    )


def _class_of(module, name, config, registered=None):
    part = {"module": module, "class_name": name, "config": config, "registered_name": registered}

    def make(path):
        write_config(
            path,
            lambda layers: find(layers, "Conv2D")["config"].update(kernel_initializer=part),
        )

    return make


RUNS["class_of_another_module"] = _class_of("os", "system", {"command": "touch ran"})
RUNS["function_of_python"] = _class_of("os", "function", "system", "system")
RUNS["download"] = _class_of("keras.utils", "get_file", {"origin": "http://localhost/x"})
RUNS["unsafe_mode"] = _class_of("keras.config", "enable_unsafe_deserialization", {})
RUNS["loader"] = _class_of("keras.saving", "load_model", {"filepath": "/tmp/x.keras"})
RUNS["part_that_reads_a_file"] = _class_of(
    "keras_hub.tokenizers", "X", {"vocabulary": "/etc/passwd"}, "keras_hub>BytePairTokenizer"
)
RUNS["torch_module"] = _class_of("keras.layers", "TorchModuleWrapper", {"module": "gASVAAAA"})


@run_kind
def code_beside_the_model(path):
    code = path.parent / "evil.py"
    code.write_text(
        f"open({str(path.parents[1] / 'ran')!r}, 'w')\n"
        "import keras\n"
        "@keras.saving.register_keras_serializable('evil')\n"
        "class Evil(keras.layers.Layer): pass\n"
    )
    facts = json.loads((path.parent / "run.json").read_text())
    digest = hashlib.sha256(code.read_bytes()).hexdigest()
    facts["network"] = {"source": f"{code}:Evil", "sha256": digest}
    (path.parent / "run.json").write_text(json.dumps(facts))
    write_config(
        path,
        lambda layers: find(layers, "LeakyReLU").update(
            module="evil", class_name="Evil", registered_name="evil>Evil"
        ),
    )


@run_kind
def forty_million_filters(path):
    write_config(
        path, lambda layers: find(layers, "Conv2D", 3)["config"].update(filters=40_000_000)
    )


@run_kind
def huge_dense_layer(path):
    write_config(path, lambda layers: find(layers, "Dense")["config"].update(units=10**9))


@run_kind
def number_without_end(path):
    write_config(path, lambda layers: find(layers, "Dense")["config"].update(units=10**300))


@run_kind
def sixty_thousand_layers(path):
    def change(layers):
        one = json.dumps(find(layers, "LeakyReLU", -1))
        layers += [json.loads(one) for _ in range(20_000)]

    write_config(path, change)


@run_kind
def huge_activations(path):
    write_config(
        path,
        lambda layers: find(layers, "Rescaling").update(
            class_name="UpSampling2D", config={"size": [4000, 4000], "name": "rescaling"}
        ),
    )


@run_kind
def layers_in_a_circle(path):
    def change(layers):
        node = find(layers, "Rescaling")["inbound_nodes"][0]["args"][0]["config"]
        node["keras_history"] = ["probabilities", 0, 0]

    write_config(path, change)


@run_kind
def other_images_than_it_says(path):
    facts = json.loads((path.parent / "run.json").read_text())
    (path.parent / "run.json").write_text(json.dumps({**facts, "input_shape": [28, 28, 3]}))
    write_archive(path)


@run_kind
def escapes_in_the_names(path):
    def change(layers):
        find(layers, "Dense").update(class_name="\x1b[2J\x1b]0;owned\x07\u202eesneD\nall is well")

    write_config(path, change)


# Weights.


def write_weights(path, change):
    """Write the shipped model with a change of the HDF5 file of its weights."""
    file = io.BytesIO(_shipped_parts()["model.weights.h5"])
    with h5py.File(file, "r+") as opened:
        change(opened)
    write_archive(path, weights=file.getvalue())


_KERNEL = "layers/conv2d/vars/0"


def _replaced(**how):
    """Return a change that puts another variable in the place of the first kernel."""

    def change(file):
        del file[_KERNEL]
        file.create_dataset(_KERNEL, **how)

    return change


@run_kind
def weights_no_hdf5(path):
    write_archive(path, weights=bytes(1_000_000))


@run_kind
def weights_damaged(path):
    data = bytearray(_shipped_parts()["model.weights.h5"])
    data[100:3000] = b"\xff" * 2900
    write_archive(path, weights=bytes(data))


@run_kind
def weights_in_another_file(path):
    def change(file):
        del file[_KERNEL]
        file[_KERNEL] = h5py.ExternalLink("/etc/passwd", "x")

    write_weights(path, change)


@run_kind
def weights_by_link(path):
    def change(file):
        del file[_KERNEL]
        file[_KERNEL] = h5py.SoftLink("/layers/conv2d_1/vars/0")

    write_weights(path, change)


@run_kind
def weights_of_a_terabyte(path):
    write_weights(path, _replaced(shape=(2**38,), dtype="f4", chunks=(2**20,), compression="gzip"))


@run_kind
def weights_that_are_not_there(path):
    write_weights(path, _replaced(shape=(2**31,), dtype="f4"))


@run_kind
def weights_raw_elsewhere(path):
    external = [("/etc/passwd", 0, 3456)]
    write_weights(path, _replaced(shape=(3, 3, 3, 32), dtype="f4", external=external))


@run_kind
def weights_of_objects(path):
    write_weights(path, _replaced(data=["x"] * 10, dtype=h5py.string_dtype()))


@run_kind
def weights_of_another_shape(path):
    write_weights(path, _replaced(data=np.zeros((3, 3, 3, 31), "float32")))


@run_kind
def weights_in_a_circle(path):
    def change(file):
        del file["layers/conv2d"]
        file["layers/conv2d"] = file["layers"]

    write_weights(path, change)


# Exports: the description and the checksums.


def write_description(export, data):
    (export / "artifact.json").write_bytes(data)
    sign(export)


def _described(change):
    def make(export):
        description = json.loads((SHIPPED / "artifact.json").read_text())
        change(description)
        write_description(export, json.dumps(description).encode())

    return make


def _bytes(data):
    return lambda export: write_description(export, data)


EXPORTS["description_empty"] = _bytes(b"")
EXPORTS["description_no_json"] = _bytes(b"{'class_names': 1}")
EXPORTS["description_is_a_list"] = _bytes(b"[]")
EXPORTS["description_nested_deeply"] = _bytes(b"[" * 200_000 + b"]" * 200_000)
EXPORTS["description_not_utf8"] = _bytes(b'{"run": "\xff"}')
EXPORTS["description_too_large"] = _bytes(b" " * (40 << 20))
EXPORTS["description_of_nothing"] = _bytes(b"{}")
EXPORTS["names_of_numbers"] = _described(lambda each: each.update(class_names=list(range(10))))
EXPORTS["names_twice"] = _described(lambda each: each.update(class_names=["cat"] * 10))
EXPORTS["names_too_few"] = _described(lambda each: each.update(class_names=["cat", "dog"]))
EXPORTS["names_in_a_string"] = _described(lambda each: each.update(class_names="0123456789"))
EXPORTS["no_input"] = _described(lambda each: each.pop("input"))
EXPORTS["input_is_text"] = _described(lambda each: each.update(input="32x32"))
EXPORTS["input_huge"] = _described(lambda each: each["input"].update(shape=[None, 10**9, 10**9, 3]))
EXPORTS["input_of_another_size"] = _described(
    lambda each: each["input"].update(shape=[None, 64, 64, 3])
)
EXPORTS["input_negative"] = _described(lambda each: each["input"].update(shape=[None, -1, -1, 3]))
EXPORTS["unknown_fit"] = _described(lambda each: each["input"].update(fit="\x1b[31mred\n"))
EXPORTS["metrics_in_a_list"] = _described(lambda each: each.update(metrics=[1]))
EXPORTS["metrics_infinite"] = _described(
    lambda each: each["metrics"]["test"].update(loss=float("inf"))
)


@export_kind
def description_is_a_pipe(export):
    (export / "artifact.json").unlink()
    os.mkfifo(export / "artifact.json")


@export_kind
def description_without_end(export):
    (export / "artifact.json").unlink()
    (export / "artifact.json").symlink_to("/dev/zero")


@export_kind
def no_checksums(export):
    (export / "SHA256SUMS").unlink()


@export_kind
def checksums_of_bytes(export):
    (export / "SHA256SUMS").write_bytes(bytes(range(256)) * 100)


@export_kind
def checksums_a_folder(export):
    (export / "SHA256SUMS").unlink()
    (export / "SHA256SUMS").mkdir()


@export_kind
def checksums_of_ten_gigabytes(export):
    os.truncate(export / "SHA256SUMS", 10 << 30)


@export_kind
def checksums_of_another(export):
    (export / "SHA256SUMS").write_text(f"{'0' * 64}  artifact.json\n{'0' * 64}  model.onnx\n")


# Exports: ONNX files.


def write_onnx(export, data):
    (export / "model.onnx").write_bytes(data)
    sign(export)


def _onnx_bytes(change):
    return lambda export: write_onnx(export, change((SHIPPED / "model.onnx").read_bytes()))


EXPORTS["onnx_empty"] = _onnx_bytes(lambda data: b"")
EXPORTS["onnx_text"] = _onnx_bytes(lambda data: b"<html>not found</html>" * 1000)
EXPORTS["onnx_cut_off"] = _onnx_bytes(lambda data: data[: len(data) // 2])
EXPORTS["onnx_zeros"] = _onnx_bytes(lambda data: bytes(1000))
EXPORTS["onnx_without_a_graph"] = _onnx_bytes(lambda data: b"\x08\x08")
EXPORTS["onnx_twice"] = _onnx_bytes(lambda data: data + data)
# Messages of two bytes each, for which a parser makes room for two hundred.
EXPORTS["onnx_of_millions_of_nodes"] = _onnx_bytes(
    lambda data: b"\x3a" + _varint(40_000_000) + b"\x0a\x00" * 20_000_000
)
EXPORTS["onnx_nested_deeply"] = _onnx_bytes(lambda data: _nested(20_000))


def _varint(number):
    parts = bytearray()
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])


def _nested(times):
    """Return a model with a graph in an attribute of a node in a graph, and so on."""
    data = b""
    for _ in range(times):
        for key in (b"\x32", b"\x2a", b"\x0a"):  # graph of an attribute of a node
            data = key + _varint(len(data)) + data
        if len(data) > 1_000_000:
            break
    return b"\x3a" + _varint(len(data)) + data


@export_kind
def onnx_ten_gigabytes_of_nothing(export):
    os.truncate(export / "model.onnx", 10 << 30)


@export_kind
def onnx_two_gigabytes_of_nothing(export):
    (export / "model.onnx").write_bytes(b"")
    os.truncate(export / "model.onnx", 2**31 - 1)


@export_kind
def onnx_is_a_pipe(export):
    (export / "model.onnx").unlink()
    os.mkfifo(export / "model.onnx")


def model(nodes, *, initializers=(), inputs=None, outputs=None, functions=(), domains=()):
    """Return the bytes of a model of these nodes; others make probabilities of `pixels`."""
    inputs = inputs or [("pixels", TensorProto.FLOAT, ["n", 32, 32, 3])]
    outputs = outputs or [("probabilities", TensorProto.FLOAT, ["n", 10])]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(*each) for each in inputs],
        [helper.make_tensor_value_info(*each) for each in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in initializers],
    )
    versions = [helper.make_opsetid("", 15), *(helper.make_opsetid(each, 1) for each in domains)]
    made = helper.make_model(graph, opset_imports=versions, functions=functions)
    made.ir_version = 8
    return made.SerializeToString()


def classify(factor=None):
    """Return nodes from `pixels` to probabilities, multiplied by a number that nodes compute."""
    node = helper.make_node
    nodes = [
        node("ReduceMean", ["pixels"], ["mean"], axes=[1, 2], keepdims=0),
        node("MatMul", ["mean", "kernel"], ["logits"]),
    ]
    if factor is None:
        return [*nodes, node("Softmax", ["logits"], ["probabilities"])]
    return [
        *nodes,
        node("ReduceMax", [factor], ["number"], keepdims=0),
        node("Mul", ["logits", "number"], ["scaled"]),
        node("Softmax", ["scaled"], ["probabilities"]),
    ]


KERNEL = ("kernel", np.ones((3, 10), "float32"))


def _graph(nodes, *initializers, **more):
    def make(export):
        write_onnx(export, model(nodes, initializers=[KERNEL, *initializers], **more))

    return make


def _body(outputs):
    """Return a graph for loops and branches: of an iteration, a condition, and numbers."""
    scalar = [("iteration", TensorProto.INT64, []), ("goes_on", TensorProto.BOOL, [])]
    nodes = [helper.make_node("Identity", ["goes_on"], ["goes_on_still"])]
    given = [helper.make_tensor_value_info("goes_on_still", TensorProto.BOOL, [])]
    inputs = [helper.make_tensor_value_info(*each) for each in scalar]
    return helper.make_graph(nodes, "body", inputs if outputs else [], given)


_node = helper.make_node
EXPORTS["onnx_loop"] = _graph(
    [_node("Loop", ["count", "yes"], [], body=_body(True)), *classify()],
    ("count", np.array(2**62)),
    ("yes", np.array(True)),
)
EXPORTS["onnx_if"] = _graph(
    [
        _node("If", ["yes"], ["a"], then_branch=_body(False), else_branch=_body(False)),
        *classify(),
    ],
    ("yes", np.array(True)),
)
EXPORTS["onnx_scan"] = _graph(
    [_node("Scan", ["kernel"], ["a"], body=_body(True), num_scan_inputs=1), *classify()]
)
EXPORTS["onnx_constant_of_a_terabyte"] = _graph(
    [_node("ConstantOfShape", ["shape"], ["big"]), *classify("big")],
    ("shape", np.array([2**19, 2**19])),
)
EXPORTS["onnx_expand"] = _graph(
    [_node("Expand", ["one", "shape"], ["big"]), *classify("big")],
    ("one", np.float32(1)),
    ("shape", np.array([40_000, 40_000])),
)
EXPORTS["onnx_tile"] = _graph(
    [_node("Tile", ["one", "times"], ["big"]), *classify("big")],
    ("one", np.ones(1, "float32")),
    ("times", np.array([2**33])),
)
EXPORTS["onnx_range"] = _graph(
    [
        _node("Range", ["start", "end", "step"], ["long"]),
        _node("Cast", ["long"], ["big"], to=TensorProto.FLOAT),
        *classify("big"),
    ],
    ("start", np.array(0)),
    ("end", np.array(2**40)),
    ("step", np.array(1)),
)
EXPORTS["onnx_outer_product"] = _graph(
    [_node("MatMul", ["column", "row"], ["big"]), *classify("big")],
    ("column", np.ones((60_000, 1), "float32")),
    ("row", np.ones((1, 60_000), "float32")),
)
EXPORTS["onnx_resize"] = _graph(
    [_node("Resize", ["pixels", "", "scales"], ["big"]), *classify("big")],
    ("scales", np.array([1, 2000, 2000, 1], "float32")),
)
EXPORTS["onnx_pad"] = _graph(
    [_node("Pad", ["pixels", "pads"], ["big"]), *classify("big")],
    ("pads", np.array([0, 0, 0, 0, 0, 50_000, 50_000, 0])),
)
EXPORTS["onnx_slow"] = _graph(
    [
        _node("ConstantOfShape", ["shape"], ["m0"]),
        *(_node("MatMul", [f"m{i}", f"m{i}"], [f"m{i + 1}"]) for i in range(2000)),
        *classify("m2000"),
    ],
    ("shape", np.array([2000, 2000])),
)
EXPORTS["onnx_other_operators"] = _graph(
    [
        _node("System", ["pixels"], ["a"], domain="evil\x1b[2J"),
        *classify(),
    ],
    domains=["evil\x1b[2J"],
)
EXPORTS["onnx_functions"] = _graph(
    [_node("Again", ["pixels"], ["a"], domain="own"), *classify()],
    domains=["own"],
    functions=[
        helper.make_function(
            *("own", "Again", ["x"], ["y"]),
            [_node("Again", ["x"], ["y"], domain="own")],
            [helper.make_opsetid("own", 1)],
        )
    ],
)
EXPORTS["onnx_two_inputs"] = _graph(
    classify(),
    inputs=[
        ("pixels", TensorProto.FLOAT, ["n", 32, 32, 3]),
        ("more", TensorProto.FLOAT, [10**9]),
    ],
)
EXPORTS["onnx_of_whole_numbers"] = _graph(
    [_node("Cast", ["bytes"], ["pixels"], to=TensorProto.FLOAT), *classify()],
    inputs=[("bytes", TensorProto.UINT8, ["n", 32, 32, 3])],
)
EXPORTS["onnx_of_one_image"] = _graph(
    classify(), inputs=[("pixels", TensorProto.FLOAT, [1, 32, 32, 3])]
)
EXPORTS["onnx_of_any_size"] = _graph(
    classify(), inputs=[("pixels", TensorProto.FLOAT, ["n", "height", "width", 3])]
)
EXPORTS["onnx_without_probabilities"] = _graph(
    classify(), outputs=[("logits", TensorProto.FLOAT, ["n", 10])]
)
EXPORTS["onnx_no_probabilities"] = _graph(
    [*classify()[:-1], _node("Identity", ["logits"], ["probabilities"])]
)
EXPORTS["onnx_not_a_number"] = _graph(
    [_node("Div", ["zero", "zero"], ["nan"]), *classify("nan")], ("zero", np.zeros(1, "float32"))
)
EXPORTS["onnx_gives_one_row"] = _graph(
    [
        *classify()[:-1],
        _node("ReduceMean", ["logits"], ["row"], axes=[0], keepdims=1),
        _node("Softmax", ["row"], ["probabilities"]),
    ]
)


def _tensor(change):
    """Return a kind whose kernel is changed in the file."""

    def make(export):
        made = onnx.load_from_string(model(classify(), initializers=[KERNEL]))
        change(made.graph)
        write_onnx(export, made.SerializeToString())

    return make


def _external(graph):
    kernel = graph.initializer[0]
    kernel.ClearField("raw_data")
    kernel.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "../../../../../etc/passwd"), ("length", "120")):
        entry = kernel.external_data.add()
        entry.key, entry.value = key, value


def _declared(graph):
    graph.initializer[0].dims[:] = [2**31, 2**31]


def _sparse(graph):
    values = numpy_helper.from_array(np.ones(1, "float32"), "sparse")
    places = numpy_helper.from_array(np.zeros(1, "int64"), "places")
    graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [2**20, 2**20]))


EXPORTS["onnx_data_in_another_file"] = _tensor(_external)
EXPORTS["onnx_tensor_that_is_not_there"] = _tensor(_declared)
EXPORTS["onnx_sparse_tensor"] = _tensor(_sparse)


if __name__ == "__main__":
    place = Path(sys.argv[1])
    made = [*make_runs(place / "runs"), *make_exports(place / "exports")]
    print(f"{len(made)} folders in {place}")
