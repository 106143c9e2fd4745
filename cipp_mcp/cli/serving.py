"""The command lines of ``serve``, ``token`` and ``revoke``; what they do is imported only when they run."""

from __future__ import annotations

import argparse
import os
from typing import Any

from cipp_mcp.setting_values import GUID

_FLAGS = {
    "listen": ("CIPP_HTTP_LISTEN", "ADDRESS:PORT", "address to listen on"),
    "public_url": ("CIPP_HTTP_PUBLIC_URL", "URL", "address under which clients know this server"),
    "allowed_hosts": ("CIPP_HTTP_ALLOWED_HOSTS", "HOSTS", "Host headers to accept, separated by commas"),
    "allowed_origins": ("CIPP_HTTP_ALLOWED_ORIGINS", "ORIGINS", "web origins to accept, separated by commas"),
}


def add_serve(commands: Any) -> None:
    """Adds ``serve`` to the sub-commands."""
    serve = commands.add_parser(
        "serve",
        help="serve MCP over stdio, or over HTTP for many callers",
        description="Serves MCP. Everything else is set by CIPP_* environment variables; a flag wins over its variable.",
    )
    serve.add_argument("--transport", choices=("stdio", "http"), default="stdio", help="default: stdio")
    for flag, (name, shape, meaning) in _FLAGS.items():
        serve.add_argument(f"--{flag.replace('_', '-')}", metavar=shape, help=f"HTTP: {meaning} ({name})")
    serve.add_argument("--demo", action="store_true", default=argparse.SUPPRESS, help="use the embedded CIPP")
    serve.set_defaults(run=_serve)


def add_token(commands: Any) -> None:
    """Adds ``token`` to the sub-commands."""
    token = commands.add_parser(
        "token",
        help="make a bearer token for a caller of the HTTP server",
        description="Prints a new token, which is kept nowhere, and the entry for the file in CIPP_HTTP_TOKENS.",
    )
    token.add_argument("name", help="name of the caller, as the policy file and the audit use it")
    token.set_defaults(run=_token)


def add_revoke(commands: Any) -> None:
    """Adds ``revoke`` to the sub-commands."""
    revoke = commands.add_parser(
        "revoke",
        help="shut a caller out of all instances at once",
        description="Writes to the state that instances share (CIPP_STATE_URL, CIPP_STATE_KEY, CIPP_URL as they have "
        "them): within a second no instance lets the caller in any more, whatever token they bring.",
    )
    revoke.add_argument("name", help="name of the caller: as in the token file, or the object id of a person or agent")
    revoke.add_argument("--undo", action="store_true", help="let the caller in again")
    revoke.set_defaults(run=_revoke)


def _serve(arguments: argparse.Namespace) -> int:
    from contextlib import nullcontext

    from cipp_mcp.errors import SettingsError
    from cipp_mcp.settings import Settings

    given = {name: getattr(arguments, flag) for flag, (name, _, _) in _FLAGS.items() if getattr(arguments, flag)}
    if given and arguments.transport == "stdio":
        raise SettingsError(f"The flags for {', '.join(given)} need --transport http.")
    os.environ.update(given)
    if arguments.demo:
        from cipp_mcp.cli.demo import demo_settings

        source = demo_settings()
    else:
        source = nullcontext(Settings.from_environment(os.environ))  # type: ignore[assignment]
    with source as settings:
        if arguments.transport == "http":
            from cipp_mcp.server.http import serve_http

            serve_http(settings)
        else:
            from cipp_mcp.server.stdio import serve_stdio

            serve_stdio(settings)
    return 0


def _token(arguments: argparse.Namespace) -> int:
    import json

    from pydantic import ValidationError

    from cipp_mcp.errors import SettingsError
    from cipp_mcp.server.bearer import TokenFile, new_token, token_hash

    token = new_token()
    entry = {arguments.name: {"sha256": token_hash(token)}}
    try:
        TokenFile.model_validate({"callers": entry})
    except ValidationError:
        raise SettingsError(
            f"{arguments.name!r} cannot be a caller's name; it takes letters, digits and @ . _ -, 100 at most."
        ) from None
    print(f"Token of {arguments.name} (shown once): {token}")
    print(f'Entry for "callers" in the file of CIPP_HTTP_TOKENS: {json.dumps(entry)[1:-1]}')
    return 0


def _revoke(arguments: argparse.Namespace) -> int:
    import anyio

    from cipp_mcp.errors import SettingsError
    from cipp_mcp.settings import Settings
    from cipp_mcp.state import StateLost, open_state

    settings = Settings.from_environment(os.environ)
    if settings.state_url is None:
        raise SettingsError(
            "CIPP_STATE_URL is not set, so there is no shared state; take the caller out of CIPP_HTTP_TOKENS instead."
        )
    # Entra writes object ids in lower case, and so do identities.
    name = arguments.name.lower() if GUID.match(arguments.name) else arguments.name

    async def write() -> None:
        state = open_state(settings)
        try:
            await state.revoke(name, not arguments.undo)
        finally:
            await state.close()

    try:
        anyio.run(write)
    except StateLost:
        raise SettingsError("Redis (CIPP_STATE_URL) cannot be reached. Nothing was changed.") from None
    print(f"{name} {'may come in again' if arguments.undo else 'is shut out of all instances'}.")
    return 0
