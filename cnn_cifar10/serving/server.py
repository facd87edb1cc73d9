"""Server process: address, token, start, and a shutdown that finishes open requests.

The processes that decode import this too, so nothing here loads the application at once.
"""

import contextlib
import ipaddress
import logging
import signal
import socket
import sys
from collections.abc import Collection

from cnn_cifar10.inference import Classifier
from cnn_cifar10.utils import InputError

TOKEN_VARIABLE = "CNN_CIFAR10_TOKEN"
"""Environment variable of the token; a command's arguments can be read by every user."""

_SHORTEST_TOKEN = 16


def serve(
    classifiers: dict[str, Classifier],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str | None = None,
    allowed_hosts: Collection[str] = (),
) -> None:
    """Answer requests until the process is told to end, then finish those under way.

    Args:
        classifiers: As for `create_app`.
        host: Address to listen on.
        port: Port to listen on, 0 to 65535; 0 takes a free one.
        token: As for `create_app`; needed if the address is not this machine's own.
        allowed_hosts: More names by which browsers may know the service, such as that of a
            proxy. Without any, a service with a token on another address takes every name.

    Raises:
        InputError: If others could reach the service without a token, the token is
            short, or the address cannot be listened on.
    """
    if not token and not _is_local(host):
        raise InputError(
            f"{host} can be reached from elsewhere: set {TOKEN_VARIABLE} to a token to ask for"
        )
    if token and len(token) < _SHORTEST_TOKEN:
        raise InputError(
            f"{TOKEN_VARIABLE} has {len(token)} characters, and needs {_SHORTEST_TOKEN} or more; "
            "make one with `openssl rand -hex 16`"
        )
    listener = _listen(host, port)

    from cnn_cifar10.serving.app import create_app
    from cnn_cifar10.serving.connections import Server
    from cnn_cifar10.serving.limits import Limits
    from cnn_cifar10.serving.protection import LOCAL_HOSTS

    # A malformed request is reported to its sender; in the log, anyone could write as they please.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    limits = Limits()
    known = {*LOCAL_HOSTS, host, *allowed_hosts} if allowed_hosts or _is_local(host) else None
    app = create_app(classifiers, token=token, limits=limits, hosts=known)
    # uvicorn raises a signal again once it has shut down.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    address = _address(listener)
    server = Server(
        app, limits, lambda: print(f"{address} answers; {address}/docs says what", flush=True)
    )
    server.run(sockets=[listener])


def _listen(host, port):
    if not 0 <= port <= 65535:
        raise InputError(f"port must be in 0 to 65535, received {port}")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        fault = f"cannot listen on {host} port {port}: {error.strerror}; choose another"
        raise InputError(fault) from error


def _address(listener):
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _is_local(host):
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"
