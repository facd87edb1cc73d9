"""Worker processes: functions called apart from this process, whose threads share one lock.

A worker belongs to a thread, and answers through a pipe that ends with the process. So
nothing is left of it where that is killed.
"""

import collections
import contextlib
import functools
import os
import pickle
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from cnn_cifar10.utils import usable_cores, warn_once

IDLE_SECONDS = 60
"""What a worker waits for its next call before it ends."""

_MAIN = "from cnn_cifar10.datasets.workers import work; work({})"
_BROKEN = (OSError, EOFError, pickle.UnpicklingError)  # what a pipe that ends raises
_of_thread = threading.local()


def call_apart(function: Callable, *arguments: Any) -> Any:
    """Return what a function returns, or raise what it raises, from this thread's worker.

    Where no worker can be kept alive, the thread calls the function itself.

    Args:
        function: A function that can be imported, and prints nothing.
        arguments: What can be pickled.
    """
    while not getattr(_of_thread, "goes_alone", False):
        worker, _of_thread.worker = getattr(_of_thread, "worker", None), None
        is_new = worker is None
        try:
            worker = worker or _Worker()
            answer = worker.call(function, arguments)
        except _BROKEN as error:
            if is_new:  # another may have ended while it was idle
                _of_thread.goes_alone = True
                reason = error if isinstance(error, OSError) else "it ended early"
                warn_once(f"a worker process cannot be used, so a thread reads images ({reason})")
        else:
            _of_thread.worker = worker
            if isinstance(answer, Exception):
                raise answer
            return answer
    return function(*arguments)


def call_each(function: Callable, jobs: Iterable[tuple], *, apart: bool) -> Iterator[Any]:
    """Yield what a function returns for each job, in order, from the threads of this process.

    Fewer than two jobs a core are begun, or their results held, before they are asked for. The
    others are dropped with the iterator.

    Args:
        function: As for `call_apart`.
        jobs: Arguments of each call.
        apart: Whether the threads call it apart from this process.
    """
    each = functools.partial(call_apart, function) if apart else function
    waiting: collections.deque[Future] = collections.deque()
    try:
        for job in jobs:
            waiting.append(threads().submit(each, *job))
            if len(waiting) == 2 * usable_cores() - 1:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def threads() -> ThreadPoolExecutor:
    """Return the decoding threads of this process: after a fork, the parent's do not run."""
    return _threads(os.getpid())


@functools.cache
def _threads(process_id):
    return ThreadPoolExecutor(usable_cores(), thread_name_prefix="decode")


class _Worker:
    def __init__(self):
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _MAIN.format(IDLE_SECONDS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            process_group=0,  # Ctrl-C is for this process, which ends the worker
        )
        weakref.finalize(self, _end, self._process)

    def call(self, function, arguments):
        pickle.dump((function, arguments), self._process.stdin)
        self._process.stdin.flush()
        return _receive(self._process.stdout)


def _end(process):
    with contextlib.suppress(OSError):
        process.stdin.close()
    process.stdout.close()
    process.wait()


def work(idle_seconds: int) -> None:
    """Answer calls until the pipe ends, or none comes for so long."""
    for number in (signal.SIGINT, signal.SIGTERM):  # the end of the pipe ends this process
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    calls, answers = os.fdopen(0, "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # for what a decoder prints
    while True:
        _set_alarm(idle_seconds)
        try:
            function, arguments = pickle.load(calls)
        except _BROKEN:
            return
        _set_alarm(0)
        try:
            answer = function(*arguments)
        except Exception as error:
            answer = error
        _send(answers, answer)


def _set_alarm(seconds):
    if hasattr(signal, "alarm"):
        signal.alarm(seconds)


def _send(file, answer):
    """Write an answer; arrays follow what is pickled, without a copy."""
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(answer, 5, buffer_callback=buffers.append)
    parts = [memoryview(data), *(buffer.raw() for buffer in buffers)]
    pickle.dump([part.nbytes for part in parts], file)
    for part in parts:
        file.write(part)
    file.flush()


def _receive(file):
    data, *buffers = (_read(file, size) for size in pickle.load(file))
    return pickle.loads(data, buffers=buffers)


def _read(file, size):
    part = np.empty(size, "uint8")
    if file.readinto(part) < size:
        raise EOFError
    return part
