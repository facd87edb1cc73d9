"""PyTorch's files of weights: every number of them, and nothing but numbers."""

import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cnn_cifar10.architectures.torch_weights import read_torch_weights
from cnn_cifar10.utils import InputError


@pytest.fixture(scope="module")
def arrays():
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(3, 4)).astype("float32")
    return {
        "conv.weight": rng.normal(size=(2, 3, 5, 1)).astype("float32"),
        "bn.num_batches_tracked": np.array(7, "int64"),
        "fc.weight": matrix,
        "fc.weight_transposed": matrix.T,
        "fc.second_row": matrix[1],
        "fc.every_other": matrix[:, 1::2],
        "counts": np.array([-1, 2**40], "int64"),
        "empty": np.zeros((0, 3), "float32"),
    }


@pytest.fixture(scope="module")
def content(arrays, torch_file):
    return torch_file(arrays)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("weights") / "model.pth"


@pytest.fixture(autouse=True)
def little_memory():
    """What asks for much memory fails at once; a damaged file can ask for any amount."""
    status = Path("/proc/self/statm")
    if not status.exists():
        yield
        return
    import resource

    used = int(status.read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**30, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def read(path, content):
    path.write_bytes(content)
    return read_torch_weights(path)


def error_of(path, content):
    with pytest.raises(InputError) as raised:
        read(path, content)
    message = str(raised.value)
    assert message.startswith(f"{path}: is no PyTorch file of weights (")
    assert "\n" not in message
    return message


def test_arrays_come_back_in_order_with_shape_and_type(path, arrays, content):
    state = read(path, content)
    assert list(state) == list(arrays)
    for name, array in arrays.items():
        assert state[name].dtype == array.dtype, name
        np.testing.assert_array_equal(state[name], array)


def test_arrays_that_shared_numbers_in_the_file_are_apart_in_memory(path, arrays, content):
    state = read(path, content)
    state["fc.second_row"][:] = 0
    np.testing.assert_array_equal(state["fc.weight"], arrays["fc.weight"])
    assert state["fc.weight"].flags.writeable


def test_what_torch_itself_writes_is_read(path, arrays):
    torch = pytest.importorskip("torch", reason="needs torch: pip install 'cnn-cifar10[torch]'")
    state = {name: torch.tensor(array) for name, array in arrays.items()}
    state["fc.weight_transposed"] = state["fc.weight"].T
    state["parameter"] = torch.nn.Parameter(torch.arange(3.0)).detach()
    torch.save(state, path, _use_new_zipfile_serialization=False)
    read_back = read_torch_weights(path)
    assert list(read_back) == list(state)
    for name, tensor in state.items():
        np.testing.assert_array_equal(read_back[name], tensor.numpy())


def test_the_test_files_are_what_torch_reads_as_the_same_numbers(path, arrays, content):
    torch = pytest.importorskip("torch", reason="needs torch: pip install 'cnn-cifar10[torch]'")
    path.write_bytes(content)
    for name, tensor in torch.load(path, weights_only=True).items():
        np.testing.assert_array_equal(tensor.numpy(), arrays[name])


def test_the_published_file_holds_the_networks_arrays(lite0_weights):
    state = read_torch_weights(lite0_weights)
    counters = [name for name in state if name.endswith("num_batches_tracked")]
    arrays = [array for name, array in state.items() if name not in counters]
    assert (len(arrays), len(counters)) == (247, 49)
    assert {array.dtype.name for array in arrays} == {"float32"}
    assert {(state[name].dtype.name, state[name].shape) for name in counters} == {("int64", ())}
    assert state["_conv_stem.weight"].shape == (32, 3, 3, 3)
    assert state["_blocks.0._depthwise_conv.weight"].shape == (32, 1, 3, 3)
    assert state["_fc.weight"].shape == (1000, 1280)
    assert sum(array.size for array in arrays) == 4_694_024
    assert all(np.isfinite(array).all() for array in arrays)
    for name, total in {
        "_conv_stem.weight": -26.811376610887237,
        "_bn0.running_var": 214.57079964876175,
        "_blocks.7._depthwise_conv.weight": 67.5069812447764,
        "_fc.weight": -470.63256730128705,
        "_fc.bias": -0.04981697298353538,
    }.items():
        assert state[name].astype("float64").sum() == pytest.approx(total, rel=1e-9), name


class _Call:
    def __init__(self, function, *arguments):
        self._call = function, arguments

    def __reduce__(self):
        return self._call


def global_call(module, name, *arguments):
    """A pickle that calls a function, whether it is installed or not."""
    packed = pickle.dumps(arguments, 2)[2:-1]
    return b"\x80\x02c" + f"{module}\n{name}\n".encode() + packed + b"R."


@pytest.mark.parametrize("place", ["the start", "the numbers"])
@pytest.mark.parametrize(
    ("payload", "asked_for"),
    [
        (lambda mark: pickle.dumps(_Call(os.system, f"touch {mark}")), f"{os.name}.system"),
        (lambda mark: pickle.dumps(_Call(os.system, f"touch {mark}"), 0), f"{os.name}.system"),
        (lambda mark: pickle.dumps(_Call(eval, f"open({mark!r}, 'w')")), "builtins.eval"),
        (lambda mark: pickle.dumps(_Call(getattr, "", "join")), "builtins.getattr"),
        (lambda mark: global_call("torch", "load", mark), "torch.load"),
        (lambda mark: global_call("torch.hub", "load", mark, "x"), "torch.hub.load"),
        (lambda mark: global_call("torch._utils", "_rebuild_tensor", 1), "torch._utils._rebuild_"),
        (lambda mark: global_call("torch", "FloatStorage.newbyteorder"), "torch.FloatStorage.new"),
        (lambda mark: global_call("torch", "HalfStorage"), "torch.HalfStorage"),
        (lambda mark: global_call("collections", "OrderedDict.update"), "collections.OrderedDict."),
        (lambda mark: global_call("subprocess", "Popen", ["touch", mark]), "subprocess.Popen"),
        (lambda mark: global_call("numpy", "load", mark), "numpy.load"),
    ],
)
def test_a_pickle_that_would_run_code_is_refused_and_not_run(
    tmp_path, torch_file, place, payload, asked_for
):
    mark = tmp_path / "it ran"
    content = payload(str(mark))
    if place == "the numbers":
        head = torch_file({})
        content = head[: head.index(b"ccollections") - 2] + content
    message = error_of(tmp_path / "model.pth", content)
    assert f"(it asks for {asked_for}" in message
    assert not mark.exists()


def test_a_file_cut_off_anywhere_is_refused(path, torch_file):
    content = torch_file({"a": np.arange(3, dtype="float32"), "n": np.array(1, "int64")})
    assert list(read(path, content)) == ["a", "n"]
    for length in range(len(content)):
        error_of(path, content[:length])


def test_other_files_are_refused(path, tmp_path):
    archive = tmp_path / "new.pth"
    with zipfile.ZipFile(archive, "w") as file:  # PyTorch's format from version 1.6 on
        file.writestr("archive/data.pkl", pickle.dumps({}, 2))
        file.writestr("archive/version", "3\n")
    for content in (
        archive.read_bytes(),
        b"",
        b"\x89HDF\r\n\x1a\n" + bytes(100),
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
        pickle.dumps({"a": 1}),
        pickle.dumps(np.arange(3)),
        pickle.dumps(0x1950A86A20F9469CFC6C) + pickle.dumps(1001) * 4,
    ):
        error_of(path, content)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError) as raised:
        read_torch_weights(tmp_path / "absent.pth")
    assert str(raised.value) == (
        f"{tmp_path}/absent.pth: cannot read the weights: No such file or directory"
    )
    with pytest.raises(InputError, match="cannot read the weights: Is a directory"):
        read_torch_weights(tmp_path)


@pytest.mark.parametrize(
    ("shape", "strides", "offset"),
    [((4,), (1,), 0), ((3,), (1,), 1), ((2, 2), (2, 1), 0), ((3,), (1,), -1), ((3,), (-1,), 0)],
)
def test_an_array_that_reaches_beyond_its_numbers_is_refused(
    path, torch_file, shape, strides, offset
):
    content = torch_file({"a": np.arange(3, dtype="float32")}, layout=(offset, shape, strides))
    error_of(path, content)


def test_an_array_of_endless_repetitions_is_refused(path, torch_file):
    repeated = torch_file({"a": np.arange(3, dtype="float32")}, layout=(0, (2**40,), (0,)))
    error_of(path, repeated)


def test_numbers_that_would_fill_the_memory_are_refused(path, torch_file):
    content = torch_file({"a": np.arange(3, dtype="float32")})
    end = len(content) - 3 * 4
    assert int.from_bytes(content[end - 8 : end], "little") == 3
    for count in (2**44, 2**61, 2**63):
        error_of(path, content[: end - 8] + count.to_bytes(8, "little") + content[end:])


@given(content=st.binary(max_size=300))
@example(content=b"\x80\x02r\xff\xff\xff\xff.")
@example(content=b"\x80\x04\x8e" + b"\xff" * 7 + b"\x0f.")
@example(content=b"\x80\x04\x8c\x05to\nrc\x8c\x01x\x93.")
@settings(max_examples=300)
def test_random_bytes_are_refused(path, content):
    error_of(path, content)


@given(data=st.data())
@settings(max_examples=300)
def test_a_damaged_file_is_read_or_refused_in_one_line(path, content, data):
    damaged = bytearray(content)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    message = None
    try:
        state = read(path, bytes(damaged))
    except InputError as error:
        message = str(error)
    if message is None:
        assert all(isinstance(array, np.ndarray) for array in state.values())
    else:
        assert message.startswith(f"{path}: is no PyTorch file of weights (")
        assert "\n" not in message
