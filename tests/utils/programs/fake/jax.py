"""Stands in for JAX: its import swallows Ctrl-C, as imports in C++ do."""

import contextlib
import os
import signal

with contextlib.suppress(BaseException):
    os.kill(os.getpid(), getattr(signal, os.environ["SIGNAL"]))
    sum(range(1000))
