"""The baseline of every benchmark: a lowlevel MCP server without tools, or with one that relays an HTTP body.

It speaks over stdio, or over Streamable HTTP where BARE_PORT says at which port.
"""

from __future__ import annotations

import os
from typing import Any

import anyio
import mcp_types as types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

_SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}}


def build(tools: bool) -> Server[Any]:
    """The server; with `tools` its one tool makes the same httpx call that cipp-mcp makes, and returns the body."""
    if not tools:
        return Server("bare")
    client: Any = None

    async def list_tools(_ctx: Any, _params: Any) -> types.ListToolsResult:
        tool = {"name": "get", "description": "Gets", "inputSchema": _SCHEMA}
        return types.ListToolsResult.model_validate({"tools": [tool]})

    async def call_tool(_ctx: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        nonlocal client
        if client is None:
            import ssl

            import httpx

            trust = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
            client = httpx.AsyncClient(base_url=os.environ["BARE_URL"], verify=trust)
        headers = {"Authorization": f"Bearer {os.environ['BARE_TOKEN']}"}
        response = await client.get((params.arguments or {})["path"], headers=headers)
        return types.CallToolResult.model_validate({"content": [{"type": "text", "text": response.text}]})

    return Server("bare", on_list_tools=list_tools, on_call_tool=call_tool, get_tool_input_schema={"get": _SCHEMA}.get)


async def main() -> None:
    server = build(bool(os.environ.get("BARE_URL")))
    if os.environ.get("BARE_PORT"):
        import uvicorn

        app, port = server.streamable_http_app(), int(os.environ["BARE_PORT"])
        config = uvicorn.Config(app, port=port, http="h11", ws="none", log_config=None, timeout_keep_alive=75)
        await uvicorn.Server(config).serve()
        return
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


if __name__ == "__main__":
    anyio.run(main)
