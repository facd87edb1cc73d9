"""Server of an application, with limits of connections and of the time to send a request."""

import asyncio
import collections
import functools
import gc
import json
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from cnn_cifar10.serving.limits import Limits

_BACKLOG = 256  # connections that the system keeps until they are taken
_SPARE_FILES = 128  # beside connections
_PAUSE = 0.002  # seconds between two parts of all bodies that were refused and still come
_SLACK = 5  # seconds after which the connection is closed where no answer could be given


class Server(uvicorn.Server):
    """Answers requests until the process is told to end, then finishes those under way.

    Args:
        app: The application.
        limits: The limits.
        started: Called once it listens.
    """

    def __init__(self, app: ASGIApp, limits: Limits, started: Callable[[], None] = lambda: None):
        self._connections, self._started = Connections(limits), started
        super().__init__(
            uvicorn.Config(
                app,
                http=functools.partial(GuardedProtocol, self._connections),  # type: ignore[arg-type]
                log_level="error",
                access_log=False,
                server_header=False,
                ws="none",
                backlog=_BACKLOG,
                timeout_graceful_shutdown=int(limits.ending_seconds),
            )
        )

    async def startup(self, sockets=None):
        """Begin to listen."""
        await super().startup(sockets)
        # What is there now stays: the collector need not look through it again and again,
        # while requests wait.
        gc.collect()
        gc.freeze()
        self._started()

    async def on_tick(self, counter):
        """Do what is due every tenth of a second."""
        if counter % 10 == 0:
            self._connections.close_overdue()
        return await super().on_tick(counter)


class Connections:
    """The open connections.

    Where there are too many, the one that has waited longest for its client is closed: those
    of clients that send and receive stay.

    Args:
        limits: The limits.

    Attributes:
        limits: The limits.
        refused: Those whose request was refused and whose body still comes.
    """

    def __init__(self, limits: Limits):
        self.limits = limits
        self.refused: set[GuardedProtocol] = set()
        self._most = min(limits.connections, _open_files(limits.connections) - _SPARE_FILES)
        self._most_of_one = min(limits.connections_per_address, self._most)
        self._addresses: dict[GuardedProtocol, str] = {}
        self._counts: collections.Counter[str] = collections.Counter()
        self._deadlines: dict[GuardedProtocol, float] = {}  # who waits longest is first

    def admit(self, connection: "GuardedProtocol") -> bool:
        """Return whether there is room for a new connection."""
        address = connection.client[0] if connection.client else ""
        own = (each for each in self._deadlines if self._addresses[each] == address)
        if self._counts[address] >= self._most_of_one and not self._close(next(own, None)):
            return False
        longest = next(iter(self._deadlines), None)
        if len(self._addresses) >= self._most and not self._close(longest):
            return False
        self._addresses[connection] = address
        self._counts[address] += 1
        return True

    def _close(self, connection):
        if connection is not None:
            self.remove(connection)
            connection.transport.abort()
        return connection is not None

    def remove(self, connection: "GuardedProtocol") -> None:
        """Forget a connection."""
        self.refused.discard(connection)
        self._deadlines.pop(connection, None)
        address = self._addresses.pop(connection, None)
        if address is not None:
            self._counts[address] -= 1
            if not self._counts[address]:
                del self._counts[address]

    def wait(self, connection: "GuardedProtocol", seconds: float | None) -> None:
        """Note that a connection waits for its client, at most so long; `None` if it does not."""
        self._deadlines.pop(connection, None)
        if seconds is not None and connection in self._addresses:
            self._deadlines[connection] = connection.loop.time() + seconds

    def close_overdue(self) -> None:
        """Close the connections whose client has let them wait too long."""
        now = asyncio.get_running_loop().time()
        for connection in [each for each, when in self._deadlines.items() if when < now]:
            self._close(connection)


def _open_files(wanted):
    """Let this process open so many files beside the usual, if it may; return how many it may."""
    try:
        import resource
    except ImportError:
        return wanted + _SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted += _SPARE_FILES + _BACKLOG
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == resource.RLIM_INFINITY else soft


class GuardedProtocol(HttpToolsProtocol):
    """HTTP connection that tells `Connections` when it waits for its client.

    Args:
        connections: The open connections.
        options: As for uvicorn's protocol.
    """

    def __init__(self, connections: Connections, **options):
        super().__init__(**options)
        self._connections, self._limits = connections, connections.limits
        self._unread = 0  # bytes that are no body, of a request that is not all there

    def connection_made(self, transport):
        """Begin."""
        super().connection_made(transport)
        if self._connections.admit(self):
            self._connections.wait(self, self._limits.header_seconds)
        else:
            transport.abort()

    def connection_lost(self, exc):
        """End."""
        self._connections.remove(self)
        super().connection_lost(exc)

    def data_received(self, data):
        """Take what has come."""
        self._unread += len(data)
        super().data_received(data)
        if self._unread > self._limits.header_bytes:
            self.send_400_response(f"the header has more than {self._limits.header_bytes} bytes")

    def send_400_response(self, msg):
        """Answer what is no request."""
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            body = json.dumps({"detail": msg}).encode()
            head = f"HTTP/1.1 400 Bad Request\r\nContent-Length: {len(body)}\r\n"
            head += "Content-Type: application/json\r\nConnection: close\r\n\r\n"
            self.transport.write(head.encode() + body)
        self.transport.close()

    def on_headers_complete(self):
        """Start to answer; the body may still be on its way."""
        self._unread = 0
        self._connections.wait(self, self._limits.seconds + _SLACK)
        super().on_headers_complete()

    def on_body(self, body):
        """Take a part of the body; slowly, where many go on to send what was refused."""
        self._unread = 0
        super().on_body(body)
        if self.cycle is not None and self.cycle.response_complete and not self.flow.read_paused:
            self._connections.refused.add(self)
            self.flow.pause_reading()
            self.loop.call_later(_PAUSE * len(self._connections.refused), self._resume_reading)

    def _resume_reading(self):
        if not self.transport.is_closing():
            self.flow.resume_reading()

    def on_message_complete(self):
        """Take the end of the request."""
        self._unread = 0
        self._connections.refused.discard(self)
        super().on_message_complete()
        self._work_or_wait()

    def on_response_complete(self):
        """Go on with the next request."""
        super().on_response_complete()
        self._work_or_wait()

    def pause_writing(self):
        """Wait until the client takes more of the answer."""
        super().pause_writing()
        self._connections.wait(self, self._limits.seconds + _SLACK)

    def resume_writing(self):
        """Go on with the answer."""
        super().resume_writing()
        self._work_or_wait()

    def _work_or_wait(self):
        works = self.cycle is not None and not self.cycle.response_complete
        self._connections.wait(self, None if works else self._limits.header_seconds)
