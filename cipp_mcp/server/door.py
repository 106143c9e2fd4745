"""What every HTTP request passes before MCP sees it: health, paths, framing, Host, Origin, and who it comes from.

Whoever is turned away gets a status and a word; the reason stands in this server's log.
"""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cipp_mcp.http_settings import ENDPOINT
from cipp_mcp.server.admission import NotAdmitted, Verifier

_log = logging.getLogger(__name__)
HEALTH, READY = "/healthz", "/readyz"
# A second one of these is how a request is made to mean one thing to a proxy and another to us.
_SINGLE = (
    "authorization",
    "content-length",
    "content-type",
    "host",
    "mcp-method",
    "mcp-name",
    "mcp-protocol-version",
    "mcp-session-id",
    "origin",
    "transfer-encoding",
)
_LOG_EVERY = 10.0
_MAX_TOKEN = 32 * 1024
_MAX_HEADERS = 48 * 1024


class Door:
    """Lets through to `app` what may reach it, and tells a load balancer whether to send more."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: tuple[str, ...],
        origins: tuple[str, ...],
        open_paths: tuple[str, ...],
        ready: Callable[[], bool],
        finish: Callable[[], Awaitable[None]],
    ) -> None:
        """`open_paths` need no Origin to be allowed; `finish` is awaited before the application shuts down."""
        self._app = app
        self._hosts = frozenset(hosts)
        self._origins = frozenset(origins)
        self._open_paths = open_paths
        self._ready = ready
        self._finish = finish
        self._turned_away = Counted()
        self.draining = anyio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, self._finishing(receive), send)
        elif scope["type"] == "http":
            await self._request(scope, receive, send)

    def _finishing(self, receive: Receive) -> Receive:
        async def wrapped() -> Message:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await self._finish()
            return message

        return wrapped

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["raw_path"].decode("latin-1")
        if path in (HEALTH, READY):
            await self._health(path, scope, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(path, scope, headers)
        if refusal is not None:
            status, why = refusal
            self._turned_away.note(why, scope)
            await answer(send, status, {"error": why})
        elif scope["method"] == "GET" and path == ENDPOINT:
            await self._stream(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _refusal(self, path: str, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        names = Counter(name for name, _ in scope["headers"])
        if any(names[name.encode()] > 1 for name in _SINGLE):
            return 400, "duplicate header"
        if sum(len(name) + len(value) for name, value in scope["headers"]) > _MAX_HEADERS:
            return 431, "headers too large"
        if "transfer-encoding" in headers and "content-length" in headers:
            return 400, "ambiguous length"
        if not self._is_known_host(headers.get("host", "")):
            return 421, "unknown host"
        if path != ENDPOINT and path not in self._open_paths:
            return 404, "not found"
        origin = headers.get("origin")
        # Nobody's page is foreign to itself, and Host is one of ours by now.
        own = f"{scope['scheme']}://{headers.get('host', '')}".lower()
        if origin is not None and path not in self._open_paths and origin.lower() not in (*self._origins, own):
            return 403, "origin not allowed"
        if self.draining.is_set():
            return 503, "shutting down"
        return None

    def _is_known_host(self, host: str) -> bool:
        host = host.lower()
        name, _, port = host.rpartition(":")
        return host in self._hosts or (port.isdigit() and name in self._hosts)

    async def _health(self, path: str, scope: Scope, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            await answer(send, 405, {"error": "method not allowed"}, allow="GET, HEAD")
        elif path == HEALTH or (self._ready() and not self.draining.is_set()):
            await answer(send, 200, {"status": "ok"})
        else:
            await answer(send, 503, {"status": "unavailable"})

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A stream that a client keeps open for messages to come; it must not hold up the end of the process."""
        open_ = False

        async def noted(message: Message) -> None:
            nonlocal open_
            open_ = message["type"] == "http.response.start" or message.get("more_body", False)
            await send(message)

        async with anyio.create_task_group() as group:

            async def end() -> None:
                await self.draining.wait()
                group.cancel_scope.cancel()

            group.start_soon(end)
            await self._app(scope, receive, noted)
            group.cancel_scope.cancel()
        if open_:
            await send({"type": "http.response.body", "body": b"", "more_body": False})


class Authentication:
    """Lets through who brings a token that `verifier` accepts, and hands on who that is."""

    def __init__(
        self, app: ASGIApp, verifier: Verifier, *, open_paths: tuple[str, ...], metadata: str | None, scope: str | None
    ) -> None:
        """`metadata` is the address of the protected-resource metadata (RFC 9728), `scope` what to sign in for."""
        self._app = app
        self._verifier = verifier
        self._open_paths = open_paths
        self._challenge = [f'resource_metadata="{metadata}"'] if metadata else []
        self._challenge += [f'scope="{scope}"'] if scope else []
        self._turned_away = Counted()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["raw_path"].decode("latin-1") in self._open_paths:
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("authorization", "")
        kind, _, token = given.partition(" ")
        try:
            if kind.lower() != "bearer" or not token.strip():
                raise NotAdmitted("no bearer token", error="")
            if len(token) > _MAX_TOKEN:
                raise NotAdmitted("the token is too long")
            scope["user"] = AuthenticatedUser(await self._verifier.verify(token.strip()))
        except NotAdmitted as reason:
            self._turned_away.note(str(reason), scope)
            await self._refuse(send, reason)
            return
        await self._app(scope, receive, send)

    async def _refuse(self, send: Send, reason: NotAdmitted) -> None:
        if reason.status == 503:
            await answer(send, 503, {"error": reason.error}, retry_after="10")
            return
        # RFC 6750 §3: without a token there is no error to name.
        said = [f'error="{reason.error}"'] if reason.error else []
        challenge = "Bearer " + ", ".join([*said, *self._challenge])
        await answer(send, reason.status, {"error": reason.error or "unauthorized"}, www_authenticate=challenge.strip())


class Counted:
    """A log of what was turned away that nobody can flood: one line for each reason in ten seconds."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}
        self._unsaid: Counter[str] = Counter()

    def note(self, why: str, scope: Scope) -> None:
        now = time.monotonic()
        if now - self._since.get(why, float("-inf")) < _LOG_EVERY:
            self._unsaid[why] += 1
            return
        more = f" ({self._unsaid.pop(why)} more since)" if self._unsaid[why] else ""
        self._since[why] = now
        client = scope.get("client")
        _log.warning("turned away a request from %s: %s%s", client[0] if client else "an unknown address", why, more)


async def answer(send: Send, status: int, body: dict[str, Any], **headers: str) -> None:
    """Sends a whole answer; an underscore in the name of a header stands for a dash."""
    content = json.dumps(body).encode()
    lines = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
        (b"cache-control", b"no-store"),
        *((name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()),
    ]
    # The body of a refused request is not read, so nothing may follow it on this connection.
    if status >= 400:
        lines.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": content})
