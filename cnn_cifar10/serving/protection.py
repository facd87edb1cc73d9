"""What stands between the network and the service: headers, the token, limits.

ASGI middleware, in which a request is refused before its body is read.
"""

import asyncio
import base64
import binascii
import contextlib
import secrets
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse

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


@dataclass(frozen=True)
class Limits:
    """How much the service takes on.

    Attributes:
        megabytes: Of a request's body.
        pictures: In a request.
        requests: Predictions at a time; more are refused with status 503.
        seconds: For a request's body to arrive, and then for its answer.
    """

    megabytes: float = 32
    pictures: int = 32
    requests: int = 64
    seconds: float = 30


class SecurityHeaders:
    """ASGI middleware that adds the headers which tell browsers to trust nothing else."""

    def __init__(self, app):
        self._app = app

    async def __call__(self, scope, receive, send):
        """Answer one request."""

        async def add_headers(message):
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        await self._app(scope, receive, add_headers)


class TokenRequired:
    """ASGI middleware that answers only those who know the token.

    Programs send it as `Authorization: Bearer TOKEN`; browsers ask for it, and
    send it as the password of HTTP's basic authentication, with any name.

    Args:
        app: The application.
        token: The token.
        open_paths: Paths that need none.
    """

    def __init__(self, app, token, open_paths):
        self._app, self._token, self._open_paths = app, token.encode(), open_paths

    async def __call__(self, scope, receive, send):
        """Answer one request."""
        if scope["type"] == "lifespan" or scope["path"] in self._open_paths or self._knows(scope):
            await self._app(scope, receive, send)
            return
        refusal = JSONResponse(
            {"detail": "send the header `Authorization: Bearer TOKEN` with the service's token"},
            401,
            {"WWW-Authenticate": 'Basic realm="cnn-cifar10", charset="UTF-8"'},
        )
        await refusal(scope, receive, send)

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
    """ASGI middleware that refuses what is more than the service takes on.

    Args:
        app: The application.
        limits: `Limits`.
        paths: Paths that are limited.
        in_progress: `prometheus_client.Gauge` of the requests let in.
    """

    def __init__(self, app, limits, paths, in_progress):
        self._app, self._limits, self._paths, self._gauge = app, limits, paths, in_progress
        self._places = asyncio.Semaphore(limits.requests)

    async def __call__(self, scope, receive, send):
        """Answer one request."""
        if scope["type"] != "http" or scope["path"] not in self._paths:
            await self._app(scope, receive, send)
            return
        if self._places.locked():
            refusal = JSONResponse(
                {"detail": "too many requests at once; try again"}, 503, {"Retry-After": "1"}
            )
            await refusal(scope, receive, send)
            return
        # A sender who has gone waits for no answer.
        async with self._places:
            with self._gauge.track_inprogress(), contextlib.suppress(ClientDisconnect):
                await self._app(scope, self._limited(scope, receive), send)

    def _limited(self, scope, receive):
        limits = self._limits
        deadline = asyncio.get_running_loop().time() + limits.seconds
        announced, received = int(Headers(scope=scope).get("content-length", 0)), 0
        most = limits.megabytes * 10**6
        large = f"the request has more than {limits.megabytes:g} MB; send fewer or smaller pictures"
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
