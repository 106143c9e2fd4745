"""The files by which others install this server: MCPB manifest, MCP registry entry, install badges.

All are made from the project's own data (version, settings, tools), so that none of it stands in two places;
``UPDATE_SNAPSHOTS=1 python -m pytest tests/test_packages.py`` renews the files.
"""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote

from cipp_mcp import __version__
from cipp_mcp.calls.policy import Policy
from cipp_mcp.registry import Registry
from cipp_mcp.server.tools import listed_tools
from cipp_mcp.settings import SETTINGS, Settings

NAME = "cipp-mcp"
# The registry gives a namespace to whoever proves to own it: io.github.<owner> to that GitHub account or organisation.
REGISTRY_NAME = "io.github.cipp-mcp/cipp-mcp"
DESCRIPTION = "Every endpoint of CIPP, the Microsoft 365 portal of managed service providers, for any LLM"
_SERVER_SCHEMA = "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"
_LONG = (
    "Search, read and query all customer tenants of your CIPP deployment, and change them where you allow it. "
    "Starts read-only; graver changes need a higher access level and a person's yes. "
    "Needs a CIPP API client (Integrations > CIPP-API); its role in CIPP is the outer limit."
)
# In the form that Claude Desktop shows: (key, title, type, default; no default means that it is required).
_FORM: tuple[tuple[str, str, str, str | bool | None], ...] = (
    ("CIPP_URL", "CIPP address", "string", None),
    ("CIPP_TENANT_ID", "Tenant id", "string", None),
    ("CIPP_CLIENT_ID", "Client id", "string", None),
    ("CIPP_CLIENT_SECRET", "Client secret", "string", None),
    ("CIPP_ACCESS", "Access", "string", "read"),
    ("CIPP_TENANTS", "Tenants", "string", "AllTenants"),
    ("CIPP_ALLOW_SECRETS", "Show passwords and keys", "boolean", False),
)
_HELP = {setting.name: setting.help for setting in SETTINGS}
_SECRETS = ("CIPP_CLIENT_SECRET",)


def mcpb_manifest() -> dict[str, Any]:
    """``manifest.json`` of the MCP bundle, manifest version 0.4: the host runs it by uv and asks for the settings.

    Every setting that may be left empty has a default: hosts pass on the placeholder of one that has no value.
    """
    tools = listed_tools(Settings(), Registry.load(), Policy(access="admin", secrets=True))
    return {
        "manifest_version": "0.4",
        "name": NAME,
        "display_name": "CIPP",
        "version": __version__,
        "description": DESCRIPTION,
        "long_description": _LONG,
        "author": {"name": "The cipp-mcp authors"},
        "license": "MIT",
        "keywords": ["cipp", "microsoft-365", "msp", "entra", "intune", "exchange"],
        "server": {
            "type": "uv",
            "entry_point": "cipp_mcp/__main__.py",
            "mcp_config": {
                "command": "uv",
                "args": ["run", "--no-dev", "--directory", "${__dirname}", NAME],
                "env": {
                    **{name: f"${{user_config.{_key(name)}}}" for name, *_ in _FORM},
                    # Without bytecode every start takes a second longer.
                    "UV_COMPILE_BYTECODE": "1",
                },
            },
        },
        "tools": [{"name": tool["name"], "description": tool["description"]} for tool in tools],
        "tools_generated": True,
        "prompts_generated": True,
        "compatibility": {"platforms": ["darwin", "win32", "linux"], "runtimes": {"python": ">=3.11"}},
        "user_config": {_key(name): _option(name, title, kind, default) for name, title, kind, default in _FORM},
    }


def registry_entry() -> dict[str, Any]:
    """``server.json`` for the MCP registry: the package on PyPI, and the variables it takes."""
    package = {
        "registryType": "pypi",
        "identifier": NAME,
        "version": __version__,
        "runtimeHint": "uvx",
        "transport": {"type": "stdio"},
        "environmentVariables": [_variable(name, default) for name, _, _, default in _FORM],
    }
    return {
        "$schema": _SERVER_SCHEMA,
        "name": REGISTRY_NAME,
        "title": "CIPP",
        "description": DESCRIPTION,
        "version": __version__,
        "packages": [package],
    }


def badges_markdown() -> str:
    """The README's install links for VS Code and Cursor, after the line by which the registry knows the package."""
    return "\n".join(
        [
            f"<!-- mcp-name: {REGISTRY_NAME} -->",
            f"[![Install in VS Code](https://img.shields.io/badge/VS_Code-Install-0098FF)]({vscode_link()})",
            f"[![Install in Cursor](https://cursor.com/deeplink/mcp-install-dark.svg)]({cursor_link()})",
        ]
    )


def vscode_link() -> str:
    """The address that adds the server to VS Code, which asks for the four values and keeps the secret hidden."""
    wanted = [name for name, _, _, default in _FORM if default is None]
    inputs = [
        {"type": "promptString", "id": _key(name), "description": _HELP[name], "password": name in _SECRETS}
        for name in wanted
    ]
    config = {
        "type": "stdio",
        "command": "uvx",
        "args": [NAME],
        "env": {name: f"${{input:{_key(name)}}}" for name in wanted},
    }
    parts = {"name": "cipp", "config": _json(config), "inputs": _json(inputs)}
    query = "&".join(f"{name}={quote(text, safe='')}" for name, text in parts.items())
    return f"https://insiders.vscode.dev/redirect/mcp/install?{query}"


def cursor_link() -> str:
    """The address that adds the server to Cursor, with its four values still empty: an empty value counts as not set."""
    config = {"command": "uvx", "args": [NAME], "env": {name: "" for name, _, _, default in _FORM if default is None}}
    encoded = base64.b64encode(_json(config).encode()).decode("ascii")
    return f"https://cursor.com/en/install-mcp?name=cipp&config={quote(encoded, safe='')}"


def file_text(document: dict[str, Any]) -> str:
    """`document` as it stands in its file."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _key(name: str) -> str:
    return name.removeprefix("CIPP_").lower()


def _option(name: str, title: str, kind: str, default: str | bool | None) -> dict[str, Any]:
    option: dict[str, Any] = {"type": kind, "title": title, "description": _HELP[name], "required": default is None}
    if default is not None:
        option["default"] = default
    return option | ({"sensitive": True} if name in _SECRETS else {})


def _variable(name: str, default: str | bool | None) -> dict[str, Any]:
    variable: dict[str, Any] = {"name": name, "description": _HELP[name], "isRequired": default is None}
    if isinstance(default, bool):
        variable |= {"default": str(default).lower(), "format": "boolean"}
    elif default is not None:
        variable["default"] = default
    return variable | ({"isSecret": True} if name in _SECRETS else {})


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
