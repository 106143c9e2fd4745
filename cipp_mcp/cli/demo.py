"""The embedded CIPP on the command line: settings that point to it, and a short real session."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anyio

from cipp_mcp.errors import SettingsError
from cipp_mcp.settings import Settings


@contextmanager
def demo_settings(users: int = 300, tenants: int = 4) -> Iterator[Settings]:
    """Starts an embedded CIPP of this size and yields settings for it.

    The caller's own `CIPP_*` choices stay, its connection does not. Raises SettingsError for sizes that cannot be.
    """
    from cipp_mcp.demo import DemoCipp

    try:
        embedded = DemoCipp(users=users, tenants=tenants)
    except ValueError as error:
        raise SettingsError(f"--demo-users {users} --demo-tenants {tenants}: {error}") from None
    with embedded as demo:
        environment = {**without_connection(os.environ), **demo.environment()}
        os.environ["SSL_CERT_FILE"] = environment["SSL_CERT_FILE"]
        yield Settings.from_environment(environment)


def without_connection(environment: Any) -> dict[str, str]:
    """`environment` without the settings that say which CIPP is meant."""
    own = ("CIPP_URL", "CIPP_TENANT_ID", "CIPP_SCOPE", "CIPP_AUTHORITY")
    return {
        name: value
        for name, value in environment.items()
        if name.upper() not in own and not name.upper().startswith("CIPP_CLIENT_")
    }


def show_demo() -> int:
    """Runs a short session through the real server over stdio and prints it, then the configuration to paste."""
    from cipp_mcp.demo import DemoCipp

    with DemoCipp() as demo:
        environment = {**without_connection(os.environ), **demo.environment()}
        Settings.from_environment(environment)
        anyio.run(_session, environment)
    _print_configuration()
    return 0


async def _session(environment: dict[str, str]) -> None:
    from mcp import Client, StdioServerParameters

    parameters = StdioServerParameters(command=sys.executable, args=["-m", "cipp_mcp"], env=environment)
    async with Client(parameters) as client:
        tools = (await client.list_tools()).tools
        _say("tools/list", ", ".join(tool.name for tool in tools))
        await _show(client, "cipp_search", {"query": "which users have no MFA", "limit": 3})
        tenants = await _show(client, "ListTenants", {"fields": ["displayName", "defaultDomainName", "customerId"]})
        place = tenants["columns"].index("defaultDomainName")
        tenant = tenants["rows"][0][place]
        users = await _show(
            client, "cipp_read", {"name": "ListMFAUsers", "arguments": {"tenantFilter": tenant}, "limit": 5}
        )
        sql = f"SELECT AccountEnabled, count(*) AS users FROM {users['result']} GROUP BY 1"
        await _show(client, "cipp_query", {"sql": sql})


async def _show(client: Any, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    answer = await client.call_tool(tool, arguments)
    body: dict[str, Any] = json.loads(answer.content[0].text.split("\n")[1])
    _say(f"{tool} {json.dumps(arguments, ensure_ascii=False)}", json.dumps(body, ensure_ascii=False))
    return body


def _say(title: str, text: str) -> None:
    print(f"\n> {title}\n{text}", flush=True)


def _print_configuration() -> None:
    from cipp_mcp.cli.setup import server_command

    # By full path: a host does not look into the virtual environment that this may be running in.
    program, arguments = server_command()
    command = {"command": program, "args": [*arguments, "--demo"]}
    real = {
        "command": program,
        "args": arguments,
        "env": {
            "CIPP_URL": "https://your-cipp.example.com",
            "CIPP_TENANT_ID": "<tenant id>",
            "CIPP_CLIENT_ID": "<client id>",
            "CIPP_CLIENT_SECRET": "<secret>",
        },
    }
    print("\nTo try this in your MCP host (Claude Desktop's claude_desktop_config.json), with the embedded CIPP:")
    print(json.dumps({"mcpServers": {"cipp": command}}, indent=2))
    print("\nWith your own CIPP (cipp-mcp setup asks for these values, tests them and writes the file):")
    print(json.dumps({"mcpServers": {"cipp": real}}, indent=2))
