"""Runs commands as on a system that is not Linux: one line a command, its words apart by tabs.

There is no /proc, no fcntl, no resource, no alarm and no list of cores, and links are refused.
"""

import os
import pathlib
import signal
import sys

for module in ("fcntl", "resource"):
    sys.modules[module] = None
del os.sched_getaffinity, signal.setitimer

_stat, _open, _exists = os.stat, pathlib.Path.read_text, pathlib.Path.exists


def hide(place):
    if str(place).startswith("/proc"):
        raise FileNotFoundError(2, "No such file or directory", str(place))


def exists(self, **options):
    return not str(self).startswith("/proc") and _exists(self, **options)


def read_text(self, *arguments, **options):
    hide(self)
    return _open(self, *arguments, **options)


def symlink_to(self, *arguments, **options):
    error = OSError("a required privilege is not held by the client")
    error.winerror = 1314
    raise error


pathlib.Path.exists, pathlib.Path.read_text = exists, read_text
pathlib.Path.symlink_to = symlink_to

from cnn_cifar10.cli import main  # noqa: E402 (imported on that system)

codes = [main(line.rstrip("\n").split("\t")) for line in sys.stdin]
print("codes", *codes)
