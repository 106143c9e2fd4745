"""The steps towards the HTTP server, for products that do not start a program on this machine."""

from __future__ import annotations

_CALL = """\
     POST https://SERVER/mcp
     Authorization: Bearer TOKEN
     Content-Type: application/json
     Accept: application/json, text/event-stream
     MCP-Protocol-Version: 2026-07-28
     Mcp-Method: tools/call
     Mcp-Name: cipp_read

     {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
       "name": "cipp_read", "arguments": {"name": "ListUserCounts", "arguments": {"tenantFilter": "contoso.com"}},
       "_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28",
                 "io.modelcontextprotocol/clientInfo": {"name": "flow", "version": "1"},
                 "io.modelcontextprotocol/clientCapabilities": {}}}}"""

_FIXED = (
    "A flow that always makes the same call needs no model: it may call CIPP itself, at {url}/api/<endpoint>. "
    "The /api is needed, since without it the front end answers with HTML."
)

STEPS: dict[str, tuple[str, tuple[str, ...]]] = {
    "copilot-studio": (
        "Copilot Studio",
        (
            "Open your agent, then Tools > Add a tool > New tool > Model Context Protocol.",
            "Server URL: https://SERVER/mcp. Description: what the agent should use it for, such as 'Microsoft 365 of our "
            "customers, through CIPP'.",
            "Authentication: OAuth 2.0 with the server's Entra application, or API key in the header Authorization with the "
            "value 'Bearer TOKEN'.",
            "Create a connection, add the tool to the agent, and try: which tenants are there?",
        ),
    ),
    "claude.ai": (
        "claude.ai and Claude's mobile apps",
        (
            "Settings > Connectors > Add custom connector (in Team and Enterprise an owner adds it for the organisation).",
            "Remote MCP server URL: https://SERVER/mcp. Under advanced settings: client id and secret of the server's Entra "
            "application, with the redirect URI https://claude.ai/api/mcp/auth_callback registered there.",
            "Connect, sign in with your Microsoft account, and allow the tools in a chat.",
        ),
    ),
    "n8n": (
        "n8n",
        (
            "Add the node 'MCP Client Tool' to an AI Agent.",
            "Endpoint: https://SERVER/mcp. Server transport: HTTP Streamable. Authentication: Bearer, with TOKEN.",
            "Choose the tools; leave cipp_change and cipp_critical out unless the agent may change things.",
            _FIXED,
        ),
    ),
    "rewst": (
        "Rewst",
        (
            f"In a workflow, add a generic HTTP request and keep TOKEN in an organisation variable or secret:\n{_CALL}",
            "The answer's result.content[0].text holds the reply: its second line is JSON.",
            _FIXED,
        ),
    ),
    "power-automate": (
        "Power Automate",
        (
            f"In a flow, add the action HTTP, with TOKEN from Key Vault:\n{_CALL}",
            "The answer's result.content[0].text holds the reply: its second line is JSON.",
            _FIXED,
        ),
    ),
}


def steps(name: str, url: str | None) -> str:
    """The numbered steps for the product `name`; `url` is the address of CIPP, if it is known."""
    title, own = STEPS[name]
    common = (
        "Run the HTTP server where the product can reach it, with the same CIPP_* settings as environment variables:\n"
        "     cipp-mcp serve --transport http\n"
        "   behind a reverse proxy with HTTPS, with CIPP_HTTP_PUBLIC_URL=https://SERVER/mcp. Callers have to sign in: "
        "CIPP_HTTP_AUTH=entra, or tokens for bearer tokens (TOKEN below; cipp-mcp token makes one for each caller).",
    )
    lines = [f"{title}:"]
    for number, text in enumerate((*common, *own), 1):
        lines.append(f"  {number}. {text.replace('{url}', url or 'https://your-cipp')}")
    return "\n".join(lines)
