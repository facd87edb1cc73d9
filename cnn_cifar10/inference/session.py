"""Sessions of ONNX Runtime: a model is tried on blank images, within limits, before it serves."""

import contextlib
import functools
import mmap
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cnn_cifar10.inference.artifact import DESCRIPTION, MAX_SIDE, MODEL_FILES, ArtifactError
from cnn_cifar10.inference.graph import check_graph, has_only_halves_to_fold
from cnn_cifar10.utils import MODEL_BYTES, check_file_size, first_line, usable_cores

if TYPE_CHECKING:
    import onnxruntime

_BLANK = 2  # images
_MEMORY = 768 << 20  # bytes that they may take, besides the weights
_SECONDS = 4.0  # that they may take


def open_session(
    model: bytes,
    place: str | os.PathLike = MODEL_FILES[0],
    input_shape: Sequence[int] | None = None,
    classes: int | None = None,
) -> "onnxruntime.InferenceSession":
    """Return ONNX Runtime's session of a model, once it answered blank images.

    Args:
        model: Bytes of the ONNX file.
        place: What errors call it.
        input_shape: `(height, width, 3)` of the images that it must take; `None` for any.
        classes: How many probabilities it must give; `None` for any number.

    Raises:
        ArtifactError: If it is no classifier of such images, or takes more memory or time for
            them than a classifier may.
    """
    with _naming(place):
        check_graph(model)
        _check_outputs(_try(model, input_shape), classes)
        # What is constant is computed with every run, as it was on trial. Computed when the model
        # is opened, all of it would stay in memory together.
        disabled = [] if has_only_halves_to_fold(model) else ["ConstantFolding"]
        return _session(model, _options(usable_cores()), disabled_optimizers=disabled)


def check_file(path: Path) -> None:
    """Check an ONNX file before its bytes are read; a file that is not there is not its matter.

    Raises:
        ArtifactError: If it is too large, or `check_graph` refuses it.
    """
    with contextlib.suppress(FileNotFoundError):
        check_file_size(path, MODEL_BYTES, ArtifactError)
        with (
            _naming(path),
            open(path, "rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as model,
        ):
            check_graph(model)


def _try(model, input_shape):
    """Return all outputs of a model for blank images, by name."""
    found: list = []
    options = _runtime().RunOptions()
    arguments = model, input_shape, options, found
    thread = threading.Thread(target=_run_blank, args=arguments, daemon=True)
    thread.start()
    seconds = _SECONDS + len(model) / 20e6
    thread.join(seconds)
    if not found:
        options.terminate = True  # ends after the operator that runs now
        raise ArtifactError(f"gives no answer to blank images in {seconds:.0f} seconds")
    if isinstance(found[0], Exception):
        raise found[0]
    return found[0]


def _check_outputs(outputs, classes):
    """Raise an `ArtifactError` if these are not the outputs of a classifier for blank images."""
    shapes = {name: getattr(each, "shape", None) for name, each in outputs.items()}
    rows = outputs.get("probabilities")
    if rows is None or len(shape := shapes["probabilities"] or ()) != 2:
        raise ArtifactError("gives no probabilities, (n, classes)")
    if shape[0] != _BLANK:
        raise ArtifactError(f"gives answers to {shape[0]:,} images where there were {_BLANK}")
    if classes and shape[1] != classes:
        raise ArtifactError(
            f"gives {shape[1]:,} probabilities; {DESCRIPTION} names {classes:,} classes"
        )
    if rows.dtype != "float32" or not (np.abs(rows.sum(axis=1) - 1) < 0.01).all():
        raise ArtifactError("gives probabilities that do not add up to 1")
    for name, axes in {"embedding": 2, "class_activation": 4}.items():
        if name in shapes and (len(shapes[name] or ()) != axes or shapes[name][0] != _BLANK):
            raise ArtifactError(f"gives the output {name} as {shapes[name]}, not in {axes} axes")
    if "class_activation" in shapes and shapes["class_activation"][3] != shape[1]:
        raise ArtifactError("gives class_activation for other classes")


def _run_blank(model, input_shape, options, found):
    """Add the outputs for blank images to a list, or the error; runs in a thread of its own."""
    try:
        session = _session(model, _trial_options())
        shape = _input_shape(session)
        if input_shape and tuple(input_shape) != tuple(shape):
            expected = f"{tuple(input_shape)}, as {DESCRIPTION} says"
            raise ArtifactError(f"takes images of {tuple(shape)}, not of {expected}")
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        names = [output.name for output in session.get_outputs()]
        pixels = np.zeros((_BLANK, *shape), "float32")
        outputs = session.run(names, {"pixels": pixels}, options)
        found.append(dict(zip(names, outputs, strict=True)))
    except Exception as error:  # raised again in the thread that waits
        wanting = "Available memory" in str(error)
        too_much = f"takes more than {_MEMORY >> 20} MB for {_BLANK} images"
        found.append(ArtifactError(too_much) if wanting else error)


def _input_shape(session):
    """Return height, width and channels of what a model takes."""
    inputs = session.get_inputs()
    if [each.name for each in inputs] != ["pixels"] or inputs[0].type != "tensor(float)":
        found = ", ".join(f"{each.name} of {each.type}" for each in inputs[:5])
        raise ArtifactError(f"must take one input, pixels of tensor(float), takes {found}")
    count, *shape = inputs[0].shape
    sizes = [size for size in shape if isinstance(size, int) and 0 < size <= MAX_SIDE]
    if isinstance(count, int) or len(shape) != 3 or sizes != shape or shape[2] != 3:
        raise ArtifactError(
            f"must take any number of images, (n, height, width, 3), takes {inputs[0].shape}"
        )
    return shape


@contextlib.contextmanager
def _naming(place):
    """Name the file in what goes wrong with it, in a line."""
    try:
        yield
    except Exception as error:  # ONNX Runtime's errors have no type in common
        raise ArtifactError(
            f"{os.fspath(place)}: {first_line(error)}; export the model again"
        ) from error


def _session(model, options, **more):
    return _runtime().InferenceSession(model, options, providers=["CPUExecutionProvider"], **more)


def _options(threads):
    options = _runtime().SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # what goes wrong is in the error
    # Threads that wait for the next run would keep the cores busy.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _trial_options():
    """Return options of a session that opens fast, and computes in a bounded memory."""
    _bound_memory()
    options, runtime = _options(usable_cores()), _runtime()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    for entry in ("use_env_allocators", "use_device_allocator_for_initializers"):
        options.add_session_config_entry(f"session.{entry}", "1")
    options.add_session_config_entry("session.disable_prepacking", "1")
    return options


@functools.cache
def _bound_memory():
    """Give trial sessions, which share one memory, no more than they may take."""
    runtime = _runtime()
    kind, default = runtime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, runtime.OrtMemType.DEFAULT
    bounds = runtime.OrtArenaCfg({"max_mem": _MEMORY, "arena_extend_strategy": 1})  # as requested
    where = runtime.OrtMemoryInfo("Cpu", kind, 0, default)
    runtime.create_and_register_allocator(where, bounds)


def _runtime():
    import onnxruntime

    return onnxruntime
