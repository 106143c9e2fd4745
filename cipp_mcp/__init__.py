"""cipp-mcp: every endpoint of a CIPP deployment as MCP tools."""

__version__ = "0.1.0"
