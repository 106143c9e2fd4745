"""Serves many callers over Streamable HTTP, in both protocol eras, until a signal asks this process to end."""

from __future__ import annotations

import contextlib
import logging
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import anyio
import uvicorn
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.routes import build_resource_metadata_url, create_protected_resource_routes
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR
from pydantic import AnyHttpUrl
from starlette.types import ASGIApp

from cipp_mcp.connection.identity import LOCAL, Identity
from cipp_mcp.ending import leave_within, stop_on_signals
from cipp_mcp.errors import SettingsError
from cipp_mcp.http_settings import ENDPOINT, Listen
from cipp_mcp.logs import announce
from cipp_mcp.server.admission import Admitted, Unrevoked, Verifier
from cipp_mcp.server.app import CippServer
from cipp_mcp.server.door import Authentication, Door
from cipp_mcp.settings import Settings
from cipp_mcp.telemetry import observing

_log = logging.getLogger(__name__)
_KEEP_ALIVE = 75
"""Longer than a load balancer keeps an idle connection, so that it is never we who close one it is about to use."""

_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_LEFT_BEHIND = 5.0
_BACKLOG = 2048


def serve_http(settings: Settings) -> None:
    """Runs until SIGTERM, SIGINT or their like; a second signal ends the process at once.

    Raises SettingsError when the address cannot be had, or a file that the settings name is wrong.
    """
    listener = _bound(settings.http_listen)
    where = Listen(settings.http_listen.host, listener.getsockname()[1])
    with contextlib.closing(listener), observing(settings):
        anyio.run(_serve, replace(settings, http_listen=where), listener)


async def _serve(settings: Settings, listener: socket.socket) -> None:
    server = CippServer(settings, _who(settings))
    door = application(settings, server)
    config = uvicorn.Config(
        door,
        http="h11",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=max(1, int(settings.http_drain_seconds)),
        proxy_headers=bool(settings.http_trusted_proxies),
        forwarded_allow_ips=list(settings.http_trusted_proxies),
    )
    running = _Uvicorn(config)

    def stop() -> None:
        door.draining.set()
        running.should_exit = True
        leave_within(settings.http_drain_seconds + _LEFT_BEHIND, 1)

    announce(settings, f"serving MCP at http://{settings.http_listen}{ENDPOINT} (authentication: {settings.http_auth})")
    with stop_on_signals(stop):
        await running.serve(sockets=[listener])


class _Uvicorn(uvicorn.Server):
    """uvicorn, except that signals are ours."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def application(settings: Settings, server: CippServer) -> Door:
    """The ASGI application: the door, authentication if there is any, and MCP behind them."""
    public = settings.http_public_url or f"http://{settings.http_listen}{ENDPOINT}"
    verifier = _verifier(settings)
    routes: list[Any] = []
    metadata = scope = None
    if settings.http_auth == "entra":
        metadata = str(build_resource_metadata_url(AnyHttpUrl(public)))
        scope = wanted_scope(settings)
        authority = AnyHttpUrl(f"{settings.authority}/{settings.tenant_id}/v2.0")
        routes = create_protected_resource_routes(AnyHttpUrl(public), [authority], [scope], resource_name="cipp-mcp")
    app: ASGIApp = server.mcp.streamable_http_app(
        streamable_http_path=ENDPOINT,
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),  # the door does it
        custom_starlette_routes=routes,
    )
    open_paths = (urlsplit(metadata).path,) if metadata else ()
    if verifier is not None:
        admitting = Unrevoked(verifier, server.state)
        app = Authentication(app, admitting, open_paths=open_paths, metadata=metadata, scope=scope)
    if settings.http_allowed_origins:
        from starlette.middleware.cors import CORSMiddleware

        app = CORSMiddleware(
            app,
            allow_origins=settings.http_allowed_origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["*"],
            expose_headers=["Mcp-Session-Id", "WWW-Authenticate"],
        )
    return Door(
        app,
        hosts=allowed_hosts(settings),
        origins=settings.http_allowed_origins,
        open_paths=open_paths,
        ready=lambda: not settings.missing and server.state.is_ready,
        finish=partial(server.finish_changes, settings.http_drain_seconds),
    )


def wanted_scope(settings: Settings) -> str:
    """The scope that a person's host signs in for, as Entra writes it: the application's URI before the name."""
    uri = next(audience for audience in settings.http_audience if "://" in audience)
    return f"{uri.rstrip('/')}/{settings.http_scope}"


def allowed_hosts(settings: Settings) -> tuple[str, ...]:
    """The Host headers to accept: those configured, else those by which this server is known."""
    if settings.http_allowed_hosts:
        return settings.http_allowed_hosts
    where = settings.http_listen
    own = _LOOPBACK if where.is_loopback else (str(where).rpartition(":")[0],)
    public = (urlsplit(settings.http_public_url).netloc,) if settings.http_public_url else ()
    return (*own, *public)


def _who(settings: Settings) -> Any:
    return (lambda _ctx: LOCAL) if settings.http_auth == "none" else identity_of


def identity_of(ctx: Any) -> Identity:
    """Who sent the HTTP request that `ctx` belongs to; nobody is ever assumed."""
    user = ctx.request.scope.get("user") if ctx.request is not None else None
    token = user.access_token if isinstance(user, AuthenticatedUser) else None
    if not isinstance(token, Admitted):
        raise MCPError(INTERNAL_ERROR, "The request has no identity.")
    return token.identity


def _verifier(settings: Settings) -> Verifier | None:
    if settings.http_auth == "tokens":
        from cipp_mcp.server.bearer import StaticTokens

        assert settings.http_tokens is not None
        return StaticTokens(settings.http_tokens)
    if settings.http_auth == "entra":
        from cipp_mcp.connection.tls import ssl_context
        from cipp_mcp.server.entra import EntraTokens

        return EntraTokens(settings, ssl_context)
    return None


def _bound(where: Listen) -> socket.socket:
    family = socket.AF_INET6 if ":" in where.host else socket.AF_INET
    # asyncio switches Nagle's algorithm off only on sockets that say they are TCP.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if sys.platform != "win32":  # there it would let two servers share an address
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((where.host, where.port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise SettingsError(f"CIPP_HTTP_LISTEN={where}: cannot listen there ({error.strerror})") from None
    return listener
