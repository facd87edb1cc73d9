"""Shared by the tests of the service: servers, and images that cost a decoder much."""

import contextlib
import io
import os
import re
import socket
import struct
import subprocess
import sys
import threading
import zlib
from types import SimpleNamespace

import httpx
import numpy as np
import pytest
from PIL import Image

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


def encoded(image, kind="PNG", **options):
    """Return the file of an image, given as one of Pillow or as an array."""
    file = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(file, kind, **options)
    return file.getvalue()


def many_scans(size, scans):
    """Return a progressive JPEG of black that has so many scans."""
    data = encoded(Image.new("RGB", size), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * scans + data[-2:]


def large_png(width, height, color=2, ancillary=()):
    """Return a PNG of black; its pixels are never in memory."""
    samples = {0: 1, 2: 3, 6: 4}[color]
    header = struct.pack(">IIBBBBB", width, height, 8, color, 0, 0, 0)
    squeezed = zlib.compressobj(1)
    row = bytes(1 + samples * width)
    body = b"".join(squeezed.compress(row) for _ in range(height)) + squeezed.flush()
    chunks = [(b"IHDR", header), *ancillary, (b"IDAT", body), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )


def animated(kind, frames, size=(500, 500)):
    """Return an animation of noise."""
    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 256, (*size, 3), "uint8")) for _ in range(frames)]
    return encoded(images[0], kind, save_all=True, append_images=images[1:])


@pytest.fixture(scope="session")
def make():
    """Functions that make image files."""
    return SimpleNamespace(
        encoded=encoded, many_scans=many_scans, large_png=large_png, animated=animated
    )
