"""Protection of the service: security headers, the token, limits on requests.

ASGI middleware, in which a request is refused before its body is read.
"""

import asyncio
import base64
import binascii
import contextlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass

from prometheus_client import Gauge
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_HEADERS = {
    # Inline scripts and styles: the API page's and the web page's own; no answer holds
    # HTML that a user sent.
    "Content-Security-Policy": "default-src 'self'; script-src 'self' 'unsafe-inline'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}
_NO_TOKEN = JSONResponse(
    {"detail": "send the header `Authorization: Bearer TOKEN` with the service's token"},
    401,
    {"WWW-Authenticate": 'Basic realm="cnn-cifar10", charset="UTF-8"'},
)
_TOO_MANY = JSONResponse(
    {"detail": "too many requests at once; try again"}, 503, {"Retry-After": "1"}
)


@dataclass(frozen=True)
class Limits:
    """The limits of the service.

    Attributes:
        megabytes: Of a request's body.
        images: In a request.
        requests: Predictions at a time; more are refused with status 503.
        seconds: For a request's body to arrive, and then for its answer.
    """

    megabytes: float = 32
    images: int = 32
    requests: int = 64
    seconds: float = 30


class SecurityHeaders:
    """ASGI middleware that adds headers: browsers load nothing from other hosts."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def add_headers(message):
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        await self._app(scope, receive, add_headers)


class TokenRequired:
    """ASGI middleware that answers only requests with the token.

    Programs send it as `Authorization: Bearer TOKEN`; browsers ask for it, and
    send it as the password of HTTP's basic authentication, with any name.

    Args:
        app: The application.
        token: The token.
        open_paths: Paths that need none.
    """

    def __init__(self, app: ASGIApp, token: str, open_paths: Collection[str]):
        self._app, self._token, self._open_paths = app, token.encode(), open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        is_open = scope["type"] == "lifespan" or scope["path"] in self._open_paths
        answer = self._app if is_open or self._knows(scope) else _NO_TOKEN
        await answer(scope, receive, send)

    def _knows(self, scope):
        scheme, _, given = Headers(scope=scope).get("authorization", "").partition(" ")
        given = given.strip().encode("latin-1")
        if scheme.lower() == "basic":
            try:
                given = base64.b64decode(given, validate=True).partition(b":")[2]
            except binascii.Error:
                return False
        elif scheme.lower() != "bearer":
            return False
        return secrets.compare_digest(given, self._token)


class LimitedRequests:
    """ASGI middleware that refuses requests beyond the limits.

    Args:
        app: The application.
        limits: The limits.
        paths: Paths that are limited.
        in_progress: Gauge of the requests that are let in.
    """

    def __init__(self, app: ASGIApp, limits: Limits, paths: Collection[str], in_progress: Gauge):
        self._app, self._limits, self._paths, self._gauge = app, limits, paths, in_progress
        self._places = asyncio.Semaphore(limits.requests)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["path"] not in self._paths:
            return await self._app(scope, receive, send)
        if self._places.locked():
            return await _TOO_MANY(scope, receive, send)
        # A sender who has gone waits for no answer.
        async with self._places:
            with self._gauge.track_inprogress(), contextlib.suppress(ClientDisconnect):
                await self._app(scope, self._limited(scope, receive), send)

    def _limited(self, scope, receive):
        limits = self._limits
        deadline = asyncio.get_running_loop().time() + limits.seconds
        announced, received = int(Headers(scope=scope).get("content-length", 0)), 0
        most = limits.megabytes * 10**6
        large = f"the request has more than {limits.megabytes:g} MB; send fewer or smaller images"
        slow = f"the request took more than {limits.seconds:g} s to arrive; send it again"

        async def receive_within_limits():
            nonlocal received
            if announced > most:
                raise HTTPException(413, large)
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError as error:
                raise HTTPException(408, slow, {"Connection": "close"}) from error
            received += len(message.get("body", b""))
            if received > most:
                raise HTTPException(413, large)
            return message

        return receive_within_limits
