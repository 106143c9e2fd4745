"""Serves one host over stdin and stdout."""

from __future__ import annotations

import anyio

from cipp_mcp.settings import Settings


def serve_stdio(settings: Settings) -> None:
    """Runs until the host closes stdin. stdout carries the protocol and nothing else."""
    from mcp.server.stdio import stdio_server

    from cipp_mcp.server.app import CippServer

    async def main() -> None:
        server = CippServer(settings).mcp
        async with stdio_server() as (read, write):
            await server.run(read, write, server.create_initialization_options())

    anyio.run(main)
