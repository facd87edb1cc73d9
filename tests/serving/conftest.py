"""Shared by the tests of the service: a server in a thread."""

import contextlib
import socket
import threading

import httpx
import pytest
import uvicorn

from cnn_cifar10.serving.app import create_app


@pytest.fixture(scope="session")
def serving():
    """A context manager that runs the application, and gives a client of it."""
    return _serving


@contextlib.contextmanager
def _serving(classifiers, **options):
    listener = socket.create_server(("127.0.0.1", 0))
    app = create_app(classifiers, **options)
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", ws="none"))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        port = listener.getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()
