"""Shared by the tests of the service: servers, and images that cost a decoder much."""

import contextlib
import importlib.util
import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

from cnn_cifar10.serving.app import create_app
from cnn_cifar10.serving.connections import Server
from cnn_cifar10.serving.limits import Limits


@pytest.fixture(scope="session")
def serving():
    """A context manager that runs the application, and gives a client of it."""
    return _serving


@contextlib.contextmanager
def _serving(classifiers, limits=None, **options):
    limits = limits or Limits()
    listener = socket.create_server(("127.0.0.1", 0))
    started = threading.Event()
    server = Server(create_app(classifiers, limits=limits, **options), limits, started.set)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        assert started.wait(20)
        port = listener.getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="session")
def process():
    """A context manager that runs `cnn-cifar10 serve`; gives the process and its address."""
    return _process


@contextlib.contextmanager
def _process(*arguments, open_files=None, **environment):
    command = [sys.executable, "-m", "cnn_cifar10", "serve", *map(str, arguments)]
    if open_files:
        command = ["sh", "-c", f'ulimit -n {open_files}; exec "$@"', "sh", *command]
    server = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    try:
        line = server.stdout.readline()
        yield server, re.match(r"(http://\S+) answers", line).group(1)
    finally:
        server.kill()
        server.communicate()


@pytest.fixture(scope="session")
def make():
    """The module `costly_images.py` beside this: functions that make image files."""
    path = Path(__file__).with_name("costly_images.py")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
