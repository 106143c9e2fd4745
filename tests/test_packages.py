"""What others install from is valid, current, and starts the server: bundle manifest, registry entry, badges."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jsonschema
import pytest

from cipp_mcp import __version__
from cipp_mcp.cli.docs import put_between
from cipp_mcp.cli.packages import (
    REGISTRY_NAME,
    badges_markdown,
    cursor_link,
    file_text,
    mcpb_manifest,
    registry_entry,
    vscode_link,
)
from cipp_mcp.demo import DemoCipp
from cipp_mcp.settings import Settings
from tests.conftest import over_stdio

ROOT = Path(__file__).parents[1]
_PLACEHOLDER = re.compile(r"\$\{([^}]+)\}")
_FILLED = {
    "url": "https://cipp.example.com",
    "tenant_id": "contoso.onmicrosoft.com",
    "client_id": "11111111-2222-4333-8444-555555555555",
    "client_secret": "a secret",
}
_TEXT = {"type": "string", "minLength": 1}
_EXACT_VERSION = {"type": "string", "maxLength": 255, "pattern": r"^\d+\.\d+\.\d+[0-9A-Za-z.+-]*$"}
# The rules of the registry's schema of 2025-12-11, and of the official registry for packages on PyPI.
REGISTRY_RULES = {
    "type": "object",
    "required": ["$schema", "name", "description", "version", "packages"],
    "properties": {
        "$schema": {"const": "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"},
        "name": {"type": "string", "maxLength": 200, "pattern": r"^[a-zA-Z0-9.-]+\.[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+$"},
        "title": {**_TEXT, "maxLength": 100},
        "description": {**_TEXT, "maxLength": 100},
        "version": _EXACT_VERSION,
        "packages": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["registryType", "identifier", "version", "transport"],
                "properties": {
                    "registryType": {"const": "pypi"},
                    "identifier": {"type": "string", "pattern": "^[a-z0-9][a-z0-9-]*$"},
                    "version": _EXACT_VERSION,
                    "runtimeHint": {"const": "uvx"},
                    "transport": {"const": {"type": "stdio"}},
                    "environmentVariables": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["name"],
                            "properties": {
                                "name": {"type": "string", "pattern": "^CIPP_[A-Z_]+$"},
                                "description": _TEXT,
                                "isRequired": {"type": "boolean"},
                                "isSecret": {"type": "boolean"},
                                "default": {"type": "string"},
                                "format": {"enum": ["string", "number", "boolean", "filepath"]},
                            },
                            "additionalProperties": False,
                        },
                    },
                },
                "additionalProperties": False,
            },
        },
    },
    "additionalProperties": False,
}
# The strict rules of manifest version 0.4, as far as this manifest uses it.
MANIFEST_RULES = {
    "type": "object",
    "required": ["manifest_version", "name", "version", "description", "author", "server"],
    "properties": {
        "manifest_version": {"const": "0.4"},
        "version": _EXACT_VERSION,
        "author": {"type": "object", "required": ["name"], "properties": {"name": _TEXT}},
        "server": {
            "type": "object",
            "required": ["type", "entry_point", "mcp_config"],
            "properties": {
                "type": {"const": "uv"},
                "entry_point": _TEXT,
                "mcp_config": {
                    "type": "object",
                    "required": ["command"],
                    "properties": {
                        "command": _TEXT,
                        "args": {"type": "array", "items": _TEXT},
                        "env": {"type": "object", "additionalProperties": {"type": "string"}},
                    },
                    "additionalProperties": False,
                },
            },
            "additionalProperties": False,
        },
        "tools": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": _TEXT, "description": _TEXT},
                "additionalProperties": False,
            },
        },
        "tools_generated": {"type": "boolean"},
        "prompts_generated": {"type": "boolean"},
        "user_config": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "required": ["type", "title", "description"],
                "properties": {
                    "type": {"enum": ["string", "number", "boolean", "directory", "file"]},
                    "title": _TEXT,
                    "description": _TEXT,
                    "required": {"type": "boolean"},
                    "default": {"type": ["string", "boolean"]},
                    "sensitive": {"type": "boolean"},
                },
                "additionalProperties": False,
            },
        },
        **{name: {} for name in ("name", "display_name", "description", "long_description", "license", "keywords")},
        "compatibility": {"type": "object"},
    },
    "additionalProperties": False,
}


def environment_of(manifest: dict[str, Any], filled: dict[str, str]) -> dict[str, str]:
    """The environment with which a host starts the bundle: defaults, then what the person filled in."""
    values = {name: option["default"] for name, option in manifest["user_config"].items() if "default" in option}
    values = {name: str(value).lower() if isinstance(value, bool) else value for name, value in values.items()} | filled
    known = {f"user_config.{name}": value for name, value in values.items()}
    environment = manifest["server"]["mcp_config"]["env"]
    return {name: _PLACEHOLDER.sub(lambda m: known.get(m[1], m[0]), text) for name, text in environment.items()}


def printed_version() -> str:
    """What ``cipp-mcp --version`` prints."""
    command = [sys.executable, "-m", "cipp_mcp", "--version"]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return run.stdout.strip().removeprefix("cipp-mcp ")


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from texts(inner)


@pytest.mark.parametrize(("name", "make"), [("manifest.json", mcpb_manifest), ("server.json", registry_entry)])
def test_the_files_that_others_read_are_current(name: str, make: Any) -> None:
    path = ROOT / name
    if os.environ.get("UPDATE_SNAPSHOTS"):
        path.write_text(file_text(make()), encoding="utf-8", newline="\n")
    assert path.read_text(encoding="utf-8") == file_text(make()), f"{name} is stale; run with UPDATE_SNAPSHOTS=1"


def test_the_readmes_badges_are_current() -> None:
    path = ROOT / "README.md"
    text = path.read_text(encoding="utf-8")
    renewed = put_between(text, "badges", badges_markdown())
    if os.environ.get("UPDATE_SNAPSHOTS"):
        path.write_text(renewed, encoding="utf-8", newline="\n")
    assert path.read_text(encoding="utf-8") == renewed, "the badges are stale; run with UPDATE_SNAPSHOTS=1"
    assert f"<!-- mcp-name: {REGISTRY_NAME} -->" in renewed


@pytest.mark.anyio
async def test_the_version_is_the_same_everywhere() -> None:
    manifest = json.loads((ROOT / "manifest.json").read_text(encoding="utf-8"))
    entry = json.loads((ROOT / "server.json").read_text(encoding="utf-8"))
    async with over_stdio({}, "2025") as client:
        assert client.server_info is not None
        served = client.server_info.version
    found = [manifest["version"], entry["version"], entry["packages"][0]["version"], printed_version(), served]
    assert set(found) == {__version__}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["hatch"]["version"]["path"] == "cipp_mcp/__init__.py"


def test_the_manifest_keeps_the_rules_of_its_version() -> None:
    jsonschema.validate(mcpb_manifest(), MANIFEST_RULES)


def test_every_placeholder_of_the_manifest_gets_a_value() -> None:
    manifest = mcpb_manifest()
    for option in manifest["user_config"].values():
        assert option["required"] is not ("default" in option)
    named = {name for text in texts(manifest["server"]) for name in _PLACEHOLDER.findall(text)}
    assert named == {"__dirname", *(f"user_config.{name}" for name in manifest["user_config"])}
    assert (ROOT / manifest["server"]["entry_point"]).is_file()


def test_a_filled_in_bundle_starts_with_settings_that_are_accepted() -> None:
    manifest = mcpb_manifest()
    settings = Settings.from_environment(environment_of(manifest, _FILLED))
    assert settings.missing == []
    assert (settings.access, settings.tenants, settings.allow_secrets) == ("read", (), False)
    changed = _FILLED | {"access": "write", "tenants": "contoso.com", "allow_secrets": "true"}
    settings = Settings.from_environment(environment_of(manifest, changed))
    assert (settings.access, settings.tenants, settings.allow_secrets) == ("write", ("contoso.com",), True)


def test_secrets_are_marked_wherever_they_are_asked_for() -> None:
    assert [name for name, o in mcpb_manifest()["user_config"].items() if o.get("sensitive")] == ["client_secret"]
    variables = registry_entry()["packages"][0]["environmentVariables"]
    assert [variable["name"] for variable in variables if variable.get("isSecret")] == ["CIPP_CLIENT_SECRET"]
    inputs = json.loads(parse_qs(urlsplit(vscode_link()).query)["inputs"][0])
    assert [one["id"] for one in inputs if one["password"]] == ["client_secret"]


@pytest.mark.anyio
async def test_the_manifest_names_the_tools_that_a_host_will_see(demo: DemoCipp) -> None:
    everything = {"CIPP_ACCESS": "admin", "CIPP_ALLOW_SECRETS": "true"}
    async with over_stdio(demo.environment() | everything) as client:
        listed = [(tool.name, tool.description) for tool in (await client.list_tools()).tools]
    assert [(tool["name"], tool["description"]) for tool in mcpb_manifest()["tools"]] == listed


def test_the_registry_entry_keeps_the_registrys_rules() -> None:
    jsonschema.validate(registry_entry(), REGISTRY_RULES)


@pytest.mark.parametrize(
    ("path", "value"),
    [("version", "latest"), ("version", "^1.0.0"), ("description", "x" * 101), ("name", "cipp-mcp"), ("surprise", "x")],
)
def test_the_rules_would_notice_a_wrong_entry(path: str, value: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(registry_entry() | {path: value}, REGISTRY_RULES)


def test_the_badges_carry_a_configuration_that_starts_the_server() -> None:
    query = parse_qs(urlsplit(vscode_link()).query)
    config, inputs = json.loads(query["config"][0]), json.loads(query["inputs"][0])
    assert (config["command"], config["args"]) == ("uvx", ["cipp-mcp"])
    asked = {f"${{input:{one['id']}}}": _FILLED[one["id"]] for one in inputs}
    assert Settings.from_environment({n: asked[text] for n, text in config["env"].items()}).missing == []

    query = parse_qs(urlsplit(cursor_link()).query)
    config = json.loads(base64.b64decode(query["config"][0]))
    assert (config["command"], config["args"]) == ("uvx", ["cipp-mcp"])
    assert set(Settings.from_environment(config["env"]).missing) == set(config["env"])
