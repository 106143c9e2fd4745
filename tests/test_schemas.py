"""What the host is shown holds for every model: plain JSON Schema, portable names, honest annotations."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from cipp_mcp.calls.policy import Policy
from cipp_mcp.registry import Registry
from cipp_mcp.registry.files import folder
from cipp_mcp.registry.models import Entry
from cipp_mcp.registry.schema import input_schema
from cipp_mcp.server.tools import INSTRUCTIONS, listed_tools
from cipp_mcp.settings import Settings

FULL = Policy(access="admin", secrets=True)
SNAPSHOTS = Path(__file__).parent / "snapshots"
_NAME = re.compile(r"^[A-Za-z0-9_.-]{1,64}$")
_ALLOWED = {
    "type",
    "properties",
    "required",
    "items",
    "description",
    "enum",
    "additionalProperties",
    "minimum",
    "maximum",
}


def matches_snapshot(name: str, value: Any) -> None:
    """Compares with ``snapshots/<name>.json``; UPDATE_SNAPSHOTS=1 writes it instead."""
    path = SNAPSHOTS / f"{name}.json"
    text = json.dumps(value, ensure_ascii=False, indent=1) + "\n"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        path.write_text(text, encoding="utf-8", newline="\n")
    assert path.is_file(), f"no snapshot {path.name}; run with UPDATE_SNAPSHOTS=1 and read what it writes"
    assert text == path.read_text(encoding="utf-8")


def _schemas(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield schema
    for inner in schema.get("properties", {}).values():
        yield from _schemas(inner)
    if "items" in schema:
        yield from _schemas(schema["items"])


def test_every_tool_has_a_portable_schema() -> None:
    tools = listed_tools(Settings(tools=("all",)), Registry.load(), FULL)
    assert len(tools) > 200
    for tool in tools:
        assert _NAME.match(tool["name"])
        jsonschema.Draft202012Validator.check_schema(tool["inputSchema"])
        assert tool["inputSchema"]["type"] == "object"
        assert tool["inputSchema"]["properties"]
        for schema in _schemas(tool["inputSchema"]):
            assert set(schema) <= _ALLOWED, tool["name"]
            assert isinstance(schema["type"], str)
            assert all(_NAME.match(name) for name in schema.get("properties", {})), tool["name"]
            assert set(schema.get("required", ())) <= set(schema.get("properties", {}))


def test_every_endpoint_has_a_portable_schema_whatever_its_risk() -> None:
    for endpoint in Registry.load():
        schema = input_schema(endpoint, controls=True)
        jsonschema.Draft202012Validator.check_schema(schema)
        for inner in _schemas(schema):
            assert all(_NAME.match(name) for name in inner.get("properties", {})), endpoint.name


def test_every_tool_says_what_it_may_do() -> None:
    for tool in listed_tools(Settings(tools=("all",)), Registry.load(), FULL):
        hints = tool["annotations"]
        assert set(hints) == {"readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"}
        assert not (hints["readOnlyHint"] and hints["destructiveHint"])
        assert tool["title"]
        assert 0 < len(tool["description"]) <= 2000


def test_only_the_tenant_and_odata_names_differ_from_cipps() -> None:
    for endpoint in Registry.load():
        for name, parameter in endpoint.parameters.items():
            if parameter.wire and "." not in parameter.wire:
                assert name == "tenantFilter" or name == "odata_" + parameter.wire.removeprefix("$"), endpoint.name


def test_the_gateway_is_as_reviewed() -> None:
    matches_snapshot("gateway", listed_tools(Settings(), Registry.load(), FULL))


@pytest.mark.parametrize(
    "name", ["ListUsers", "ListGraphRequest", "AddUser", "EditGroup", "ExecBulkLicense", "ExecDisableUser"]
)
def test_the_schema_of_an_endpoint_is_as_reviewed(name: str) -> None:
    matches_snapshot(name, input_schema(Registry.load()[name], controls=True))


def test_the_tool_list_is_the_same_every_time() -> None:
    settings = Settings(tools=("all",))
    assert json.dumps(listed_tools(settings, Registry.load(), FULL)) == json.dumps(
        listed_tools(settings, Registry.load(), FULL)
    )


def test_instructions_stay_under_two_kilobytes() -> None:
    assert len(INSTRUCTIONS.encode()) < 2000


def test_editors_get_the_schema_of_an_entry() -> None:
    schema = json.loads((folder() / "schema.json").read_text(encoding="utf-8"))
    assert schema["properties"]["endpoints"]["items"] == {"$ref": "#/$defs/Entry"}
    assert set(schema["$defs"]["Entry"]["properties"]) == set(Entry.model_fields)
