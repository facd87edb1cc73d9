"""Bodies of requests: received within limits before the application is asked for anything."""

import asyncio
import collections
import contextlib
from collections.abc import Collection

from prometheus_client import Gauge
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cnn_cifar10.serving.limits import CHEAP_BYTES, Limits

TOO_MANY = "too many requests at once; try again"


class LimitedUploads:
    """ASGI middleware that refuses requests beyond the limits.

    A request takes a place, of which there are so many, when all of its body is there: a slow
    sender takes none. An answer with status 503 waits, without a place, so that clients that ask
    again and again leave time to others.

    Args:
        app: The application.
        limits: The limits.
        paths: Paths that are limited.
        in_progress: Gauge of the requests that have a place.
    """

    def __init__(self, app: ASGIApp, limits: Limits, paths: Collection[str], in_progress: Gauge):
        self._app, self._limits, self._paths, self._gauge = app, limits, paths, in_progress
        self._places = asyncio.Semaphore(limits.requests)
        self._large_places = asyncio.Semaphore(limits.decoding_waits)
        self._arriving: set[_Upload] = set()
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["path"] not in self._paths:
            return await self._app(scope, receive, send)
        upload, answer = _Upload(), _Answer(send)
        try:
            refused = await self._receive(upload, scope, receive)
            if refused := refused or self._refuse_if_full(upload.size):
                await refused(scope, receive, answer)
            else:
                async with self._places, self._large_place(upload.size):
                    with self._gauge.track_inprogress():
                        await self._app(scope, upload.replay(receive), answer)
            self._let_go(upload)
            if answer.held:
                await asyncio.sleep(self._limits.refusal_seconds)
                await answer.release()
        except _SenderGone:
            pass  # who waits for no answer
        except asyncio.CancelledError:  # of the server, which has waited long enough
            if answer.held:
                await answer.release()
            elif not answer.has_begun:
                await refusal(503, "the service ends; try again later")(scope, receive, send)
        finally:
            self._let_go(upload)

    def _let_go(self, upload):
        self._held -= upload.size
        upload.size = 0

    def _refuse_if_full(self, size):
        full = self._places.locked() or (size > CHEAP_BYTES and self._large_places.locked())
        return refusal(503, TOO_MANY) if full else None

    def _large_place(self, size):
        return self._large_places if size > CHEAP_BYTES else contextlib.nullcontext()

    async def _receive(self, upload, scope, receive):
        """Receive the body; return an answer if it goes beyond the limits."""
        limits = self._limits
        most = limits.megabytes * 10**6
        large = f"the request has more than {limits.megabytes:g} MB; send fewer or smaller images"
        announced = int(Headers(scope=scope).get("content-length", 0))
        if announced > most:
            return refusal(413, large)
        if refused := self._refuse_if_full(announced):
            return refused
        self._arriving.add(upload)
        try:
            async with asyncio.timeout(limits.seconds) as upload.timeout:
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _SenderGone
                    self._held += upload.add(message.get("body", b""))
                    if upload.size > most:
                        return refusal(413, large)
                    self._make_room()
                    if upload.is_refused:
                        return refusal(503, TOO_MANY)
                    more = message.get("more_body", False)
        except TimeoutError:
            if upload.is_refused:
                return refusal(503, TOO_MANY)
            slow = f"the request took more than {limits.seconds:g} s to arrive; send it again"
            return refusal(408, slow)
        finally:
            self._arriving.discard(upload)
        return None

    def _make_room(self):
        """Refuse the largest uploads while there are more bytes than are held."""
        while self._held > self._limits.held_megabytes * 10**6 and self._arriving:
            largest = max(self._arriving, key=lambda upload: upload.size)
            self._arriving.discard(largest)
            self._held -= largest.refuse()


class _Upload:
    """The body of a request."""

    def __init__(self):
        self.size, self.is_refused = 0, False
        self.timeout: asyncio.Timeout | None = None
        self._pieces: collections.deque[bytes] = collections.deque()

    def add(self, piece):
        self._pieces.append(piece)
        self.size += len(piece)
        return len(piece)

    def refuse(self):
        """Let go of what there is, and return its size; whoever receives the rest wakes up."""
        size, self.size, self.is_refused = self.size, 0, True
        self._pieces.clear()
        self.timeout.reschedule(0)
        return size

    def replay(self, receive):
        """Return a function that gives the body, and then what `receive` gives."""

        async def replayed():
            if not self._pieces:
                return await receive()
            piece = self._pieces.popleft()  # is freed as soon as it is read
            return {"type": "http.request", "body": piece, "more_body": bool(self._pieces)}

        return replayed


class _Answer:
    """Sends an answer, and holds one with status 503 back."""

    def __init__(self, send):
        self._send = send
        self.has_begun, self.held = False, list[Message]()

    async def __call__(self, message):
        if self.held or message.get("status") == 503:
            self.held.append(message)
        else:
            self.has_begun = True
            await self._send(message)

    async def release(self):
        held, self.held, self.has_begun = self.held, [], True
        for message in held:
            await self._send(message)


class _SenderGone(Exception):
    """The sender has closed the connection."""


def refusal(status, detail):
    headers = {503: {"Retry-After": "1"}, 408: {"Connection": "close"}}.get(status)
    return JSONResponse({"detail": detail}, status, headers)
