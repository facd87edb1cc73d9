"""Import of TensorFlow without its start-up lines.

TensorFlow's C++ libraries write to file descriptor 2 while they are loaded, before any
setting is read; `TF_CPP_MIN_LOG_LEVEL` silences only what they write afterwards. Run as
a program, this file copies lines to standard error, but for those of the log.
"""

import functools
import logging
import os
import re
import subprocess
import sys
from importlib.machinery import ModuleSpec, PathFinder

_LOG_LINE = re.compile(
    rb"[IWE]\d{4} [\d:.]+ .*\]|WARNING: All log messages before absl|To enable the following instr"
)


def quiet_tensorflow() -> None:
    """Keep TensorFlow's log from standard error, its start-up lines too, whoever imports it.

    So it is in processes that this one starts, too. Errors still come out: those of Python,
    fatal ones of C++, and lines of other forms. Where `TF_CPP_MIN_LOG_LEVEL` is set to
    another level than 3, nothing is kept back. Neither is said that several models trace
    functions of the same name.
    """
    level = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if level != "3":
        return
    logging.getLogger("tensorflow").addFilter(is_no_retracing)
    if _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)


def is_no_retracing(record: logging.LogRecord) -> bool:
    """Return whether a line of the log is another than that a function is traced anew."""
    return "triggered tf.function retracing" not in record.getMessage()


class _Finder:
    @staticmethod
    def find_spec(name, path=None, target=None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name) if name == "tensorflow" else None
        if spec and spec.loader:
            filtered = functools.partial(_filtered, spec.loader.exec_module)
            spec.loader.exec_module = filtered  # type: ignore[method-assign]
        return spec


def _filtered(execute, module):
    """Execute a module while another process, which outlives a crash, filters what it writes."""
    if sys.stderr is None:
        return execute(module)
    sys.stderr.flush()
    arguments = [sys.executable, "-S", "-E", __file__]
    # In a session of its own Ctrl-C does not reach it.
    reader = subprocess.Popen(arguments, stdin=subprocess.PIPE, start_new_session=True)
    stderr = os.dup(2)
    os.dup2(reader.stdin.fileno(), 2)
    reader.stdin.close()
    try:
        execute(module)
    finally:
        sys.stderr.flush()
        os.dup2(stderr, 2)
        os.close(stderr)
        reader.wait()


if __name__ == "__main__":
    for line in sys.stdin.buffer:
        if not _LOG_LINE.match(line):
            sys.stderr.buffer.write(line)
            sys.stderr.buffer.flush()
