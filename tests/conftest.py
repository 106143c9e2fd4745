"""What the tests share: an embedded CIPP, settings for it, and real MCP clients of both eras."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from mcp import Client, StdioServerParameters

from cipp_mcp.demo import DemoCipp
from cipp_mcp.server.app import CippServer
from cipp_mcp.settings import Settings

ERAS = {"2025": "legacy", "2026": "auto"}


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def _no_settings_of_this_machine() -> None:
    for name in [name for name in os.environ if name.upper().startswith("CIPP_")]:
        del os.environ[name]


@pytest.fixture(scope="session")
def shared_demo() -> Iterator[DemoCipp]:
    """An embedded CIPP for tests that do not change it. Its certificate is trusted by this process from here on."""
    with DemoCipp() as demo:
        os.environ["SSL_CERT_FILE"] = demo.environment()["SSL_CERT_FILE"]
        yield demo


@pytest.fixture
def demo(shared_demo: DemoCipp) -> Iterator[DemoCipp]:
    """The shared embedded CIPP with an empty log and none of the answers that a test had set before."""
    shared_demo.requests.clear()
    yield shared_demo
    shared_demo.restore()


def settings_for(demo: DemoCipp, **changes: str) -> Settings:
    environment = {name: value for name, value in demo.environment().items() if name.startswith("CIPP_")}
    return Settings.from_environment(environment | changes)


@asynccontextmanager
async def in_memory(settings: Settings, era: str = "2026", **options: Any) -> AsyncIterator[Client]:
    """A client of `era` connected to a server in this process, which calls CIPP over real HTTPS."""
    async with Client(CippServer(settings).mcp, mode=ERAS[era], **options) as client:
        yield client


def over_stdio(
    environment: dict[str, str], era: str = "2026", *arguments: str, **options: Any
) -> AbstractAsyncContextManager[Client]:
    """A client of `era` connected to the server as a host starts it."""
    base = {name: value for name, value in os.environ.items() if not name.startswith("CIPP_")}
    command = StdioServerParameters(
        command=sys.executable, args=["-m", "cipp_mcp", *arguments], env=base | environment, cwd=os.getcwd()
    )
    return Client(command, mode=ERAS[era], **options)


def text_of(result: Any) -> str:
    """The text block of a tool result."""
    found: str = result.content[0].text
    return found


def body(result: Any) -> dict[str, Any]:
    """The JSON object of a tool result, checked to stand between its two fence lines."""
    first, inner, last = text_of(result).split("\n")
    marker = last.removeprefix("end ")
    assert marker in first
    assert "{" not in first + last
    parsed: dict[str, Any] = json.loads(inner)
    assert result.is_error is (parsed["outcome"] in ("failed", "refused"))
    return parsed


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    return body(await client.call_tool(tool, arguments))


async def read(client: Client, name: str, controls: dict[str, Any] | None = None, **arguments: Any) -> dict[str, Any]:
    return await call(client, "cipp_read", name=name, arguments=arguments, **(controls or {}))
