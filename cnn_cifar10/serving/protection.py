"""Protection of the service: security headers, names of the service, the token.

ASGI middleware, in which a request is refused before its body is read.
"""

import base64
import logging
import secrets
import time
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from cnn_cifar10.serving.limits import Limits

LOCAL_HOSTS: frozenset[str] = frozenset({"localhost", "127.0.0.1", "::1"})
"""Names of this machine, for itself."""

DOCUMENTATION = "/docs"
"""Path of the page about the service, whose scripts and styles stand in its text."""

_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
_INLINE = "; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'"
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
_log = logging.getLogger(__name__)


class SecurityHeaders:
    """ASGI middleware that adds headers: browsers load nothing from other hosts."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def add_headers(message):
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                if scope["path"].startswith(DOCUMENTATION):
                    headers["Content-Security-Policy"] = _POLICY + _INLINE
            await send(message)

        await self._app(scope, receive, add_headers)


class OwnPagesAlone:
    """ASGI middleware that answers no page of another site.

    Another site can lead its own name to this machine (DNS rebinding), and then knows the
    service by that name; or it can let a browser send a form here, which then names the site.

    Args:
        app: The application.
        hosts: Names by which the service is known; `None` takes any.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] | None):
        self._app = app
        self._hosts = None if hosts is None else {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        answer = self._app
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            host, origin = headers.get("host", "").lower(), headers.get("origin", "").lower()
            if self._hosts is not None and _name(host) not in self._hosts:
                fault = "the service is not known by this name; `cnn-cifar10 serve --allow-host`"
                answer = JSONResponse({"detail": f"{fault} takes its names"}, 400)
            elif origin and origin.partition("://")[2] != host:
                fault = "a page of another site asks; use the service's own page or a program"
                answer = JSONResponse({"detail": fault}, 403)
        await answer(scope, receive, send)


def _name(host):
    """Return the name in a `Host` header, without port and brackets."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


class TokenRequired:
    """ASGI middleware that answers only requests with the token.

    Programs send it as `Authorization: Bearer TOKEN`; browsers ask for it, and
    send it as the password of HTTP's basic authentication, with any name.

    An address that shows wrong tokens is not listened to for a while: nobody can guess fast.

    Args:
        app: The application.
        token: The token.
        open_paths: Paths that need none.
        limits: The limits.
    """

    def __init__(self, app: ASGIApp, token: str, open_paths: Collection[str], limits: Limits):
        self._app, self._token, self._open_paths = app, token.encode(), open_paths
        self._failures = _Failures(limits.wrong_tokens)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        is_open = scope["type"] == "lifespan" or scope["path"] in self._open_paths
        answer = self._app if is_open else self._check(scope)
        await answer(scope, receive, send)

    def _check(self, scope):
        """Return the application, or another answer."""
        address = (scope.get("client") or ("",))[0]
        given = Headers(scope=scope).get("authorization")
        if given and (seconds := self._failures.seconds_left(address)):
            detail = f"too many wrong tokens from {address}; try again in {seconds} s"
            return JSONResponse({"detail": detail}, 429, {"Retry-After": str(seconds)})
        if given and secrets.compare_digest(_token(given), self._token):
            return self._app
        if given:
            self._failures.add(address)
        return JSONResponse(
            {"detail": "send the header `Authorization: Bearer TOKEN` with the service's token"},
            401,
            {"WWW-Authenticate": 'Basic realm="cnn-cifar10", charset="UTF-8"'},
        )


def _token(authorization):
    """Return the token in a header, `b""` without one."""
    scheme, _, given = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return given.strip().encode("latin-1")
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(given.strip(), validate=True).partition(b":")[2]
        except ValueError:  # other characters than Base64 has
            return b""
    return b""


class _Failures:
    """Counts wrong tokens by address, a minute long."""

    _seconds, _most_addresses = 60, 10_000

    def __init__(self, most):
        self._most = most
        self._counts: dict[str, tuple[float, int]] = {}  # when the first came, and how many

    def seconds_left(self, address):
        """Return how long this address is not listened to, 0 if it is."""
        began, count = self._counts.get(address, (0.0, 0))
        left = began + self._seconds - time.monotonic()
        return int(left) + 1 if count >= self._most and left > 0 else 0

    def add(self, address):
        now = time.monotonic()
        began, count = self._counts.pop(address, (now, 0))
        if began + self._seconds < now:
            began, count = now, 0
        if len(self._counts) >= self._most_addresses:
            self._counts.pop(next(iter(self._counts)))
        self._counts[address] = began, count + 1
        _log.warning("wrong token from %s (%d in a minute)", address or "unknown", count + 1)
