"""The server over HTTP as an operator starts it: a process on a free loopback port, and clients for it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from cipp_mcp.demo import DemoCipp
from cipp_mcp.demo.clients import MCP_CLIENT_ID, PEOPLE
from cipp_mcp.server.bearer import token_hash
from tests.conftest import ERAS

_PATIENCE = 30.0
_SAYS_WHERE = re.compile(r"serving MCP at (http://\S+)")
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
}


class HttpServer:
    """A running server."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, url: str) -> None:
        self.process = process
        self.url = url
        self._log = log

    @property
    def base(self) -> str:
        return self.url.removesuffix("/mcp")

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def wait_for(self, text: str) -> None:
        """Returns when `text` stands in the log."""
        end = time.monotonic() + _PATIENCE
        while text not in self.log:
            assert time.monotonic() < end, f"{text!r} never came; the log:\n{self.log}"
            time.sleep(0.01)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Asks the server to end and returns its exit code."""
        self.process.send_signal(number)
        return self.process.wait(_PATIENCE)

    def raw(self, request: bytes) -> bytes:
        """What comes back for exactly these bytes; empty when the connection is closed without an answer."""
        parts = urlsplit(self.url)
        with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10) as connection:
            connection.sendall(request)
            connection.settimeout(10)
            answer = b""
            while piece := connection.recv(65536):
                answer += piece
                head, found, rest = answer.partition(b"\r\n\r\n")
                length = re.search(rb"content-length: (\d+)", head)
                if found and length and len(rest) >= int(length[1]):
                    break
            return answer

    def post(self, message: Any, headers: dict[str, str] | None = None, path: str = "/mcp") -> httpx.Response:
        """The answer to one message of the 2026 era."""
        content = message if isinstance(message, bytes) else json.dumps(message).encode()
        standard = {
            "Accept": "application/json, text/event-stream",
            "Content-Type": "application/json",
            "MCP-Protocol-Version": "2026-07-28",
        }
        return httpx.post(self.base + path, content=content, headers=standard | (headers or {}), timeout=30)


@contextmanager
def serving(environment: dict[str, str], *arguments: str) -> Iterator[HttpServer]:
    """Starts the server with `environment` and yields it when it listens; it is ended afterwards."""
    base = {name: value for name, value in os.environ.items() if not name.startswith("CIPP_")}
    settings = {"CIPP_HTTP_LISTEN": "127.0.0.1:0", "CIPP_OPENAPI": "off"} | environment
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, "-m", "cipp_mcp", "serve", "--transport", "http", *arguments],
                env=base | settings,
                stdout=subprocess.DEVNULL,
                stderr=stream,
            )
        try:
            end = time.monotonic() + _PATIENCE
            while not (where := _SAYS_WHERE.search(log.read_text(encoding="utf-8"))):
                assert process.poll() is None, log.read_text(encoding="utf-8")
                assert time.monotonic() < end
                time.sleep(0.01)
            yield HttpServer(process, log, where[1])
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


@asynccontextmanager
async def client_of(url: str, token: str | None = None, era: str = "2026", **options: Any) -> AsyncIterator[Client]:
    """A real MCP client of `era`, with `token` as its bearer."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=httpx2.Timeout(60), verify=ssl.create_default_context()) as http,
        Client(streamable_http_client(url, http_client=http), mode=ERAS[era], **options) as client,
    ):
        yield client


def request(tool: str, arguments: dict[str, Any] | None = None, number: int = 1) -> dict[str, Any]:
    """A tools/call of the 2026 era."""
    params = {"name": tool, "arguments": arguments or {}, "_meta": META}
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}


def routed(message: dict[str, Any], **headers: str) -> dict[str, str]:
    """The headers that the 2026 era wants beside `message`."""
    named = {"Mcp-Method": message["method"]}
    if "name" in message.get("params", {}):
        named["Mcp-Name"] = message["params"]["name"]
    return named | headers


def token_file(path: Path, tokens: dict[str, str], groups: dict[str, list[str]] | None = None) -> Path:
    """A file with the hashes of `tokens` by caller."""
    callers = {
        name: {"sha256": token_hash(token), "groups": (groups or {}).get(name, [])} for name, token in tokens.items()
    }
    write(path, {"callers": callers})
    return path


def write(path: Path, document: Any) -> None:
    """Replaces the file in one step, as a careful operator does."""
    new = path.with_name(path.name + ".new")
    new.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    new.replace(path)


def with_entra(demo: DemoCipp, **changes: str) -> dict[str, str]:
    """The settings of a server that takes tokens of the embedded authority."""
    return (
        demo.environment()
        | {
            "CIPP_HTTP_AUTH": "entra",
            "CIPP_HTTP_AUDIENCE": MCP_CLIENT_ID,
        }
        | changes
    )


def on_behalf(demo: DemoCipp, **changes: str) -> dict[str, str]:
    """The settings of a server that calls CIPP in the name of whoever is signed in."""
    return with_entra(demo) | {
        "CIPP_CLIENT_ID": MCP_CLIENT_ID,
        "CIPP_SCOPE": f"api://{demo.client_id}/user_impersonation",
        "CIPP_HTTP_CALL_AS": "caller",
        **changes,
    }


def person_token(demo: DemoCipp, number: int = 0, **changes: Any) -> str:
    """A token of one of the two people, with claims replaced by `changes`; None takes a claim away."""
    claims = demo.identity.person_claims(list(PEOPLE.values())[number]) | changes
    return demo.identity.sign({name: value for name, value in claims.items() if value is not None})
