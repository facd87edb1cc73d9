"""Server process: address, token, start, and a shutdown that finishes open requests."""

import contextlib
import gc
import ipaddress
import logging
import signal
import socket
import sys

import uvicorn

from cnn_cifar10.inference import Classifier
from cnn_cifar10.serving.app import create_app
from cnn_cifar10.serving.protection import Limits
from cnn_cifar10.utils import InputError

TOKEN_VARIABLE = "CNN_CIFAR10_TOKEN"
"""Environment variable of the token; a command's arguments can be read by every user."""


def serve(
    classifiers: dict[str, Classifier],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str | None = None,
) -> None:
    """Answer requests until the process is told to end, then finish those under way.

    Args:
        classifiers: As for `create_app`.
        host: Address to listen on.
        port: Port to listen on, 0 to 65535; 0 takes a free one.
        token: As for `create_app`; needed if the address is not this machine's own.

    Raises:
        InputError: If others could reach the service without a token, or the
            address cannot be listened on.
    """
    if not token and not _is_local(host):
        raise InputError(
            f"{host} can be reached from elsewhere: set {TOKEN_VARIABLE} to a token to ask for"
        )
    listener, limits = _listen(host, port), Limits()
    # A malformed request is reported to its sender; in the log, anyone could write as they please.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    config = uvicorn.Config(
        create_app(classifiers, token=token, limits=limits),
        log_level="error",
        access_log=False,
        server_header=False,
        ws="none",
        timeout_graceful_shutdown=int(limits.seconds),
    )
    # uvicorn raises a signal again once it has shut down.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    _Server(config).run(sockets=[listener])


class _Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        # What is there now stays: the collector need not look through it again and again,
        # while requests wait.
        gc.collect()
        gc.freeze()
        host, port = sockets[0].getsockname()[:2]
        host = f"[{host}]" if ":" in host else host
        print(f"http://{host}:{port} answers; http://{host}:{port}/docs says what", flush=True)


def _listen(host, port):
    if not 0 <= port <= 65535:
        raise InputError(f"port must be in 0 to 65535, received {port}")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        fault = f"cannot listen on {host} port {port}: {error.strerror}; choose another"
        raise InputError(fault) from error


def _is_local(host):
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"
