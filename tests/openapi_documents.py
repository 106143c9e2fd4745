"""Documents made by rule: the inverse of the importer, and a deployment that has drifted away from the catalogue."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

from cipp_mcp.registry import NEVER_CALLABLE, Registry

Facts = dict[str, dict[str, Any]]

_COMPONENTS = {
    "schemas": {
        "LabelValue": {"type": "object", "properties": {"label": {"type": "string"}, "value": {"type": "string"}}},
        "LabelValueNumber": {
            "type": "object",
            "properties": {"label": {"type": "string"}, "value": {"type": "number"}},
        },
        "StandardResults": {"type": "object", "properties": {"Results": {}}},
    }
}
_USED_BY_THE_SERVER_ITSELF = {"ListTenants", "ListGraphRequest", "GetVersion"}


def baked_facts() -> Facts:
    """A copy of the facts of the whole catalogue."""
    return {name: copy.deepcopy(entry["facts"]) for name, (_, entry) in Registry.load().baked.items()}


def document_of(facts: Facts) -> dict[str, Any]:
    """The OpenAPI document from which the importer reads exactly these facts."""
    paths = {f"/api/{name}": {one["method"].lower(): _operation(name, one)} for name, one in facts.items()}
    return {"openapi": "3.1.0", "info": {"title": "CIPP API", "version": "auto"}, "paths": paths} | {
        "components": _COMPONENTS
    }


def _operation(name: str, facts: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {"summary": name, "tags": [facts["tag"]], "x-cipp-role": facts["role"]}
    if facts.get("any_tenant"):
        operation["x-cipp-any-tenant"] = True
    query, body = [], {}
    for argument, shape in facts.get("parameters", {}).items():
        if shape["in"] != "body":
            query.append(
                {"name": argument, "in": "query", "required": bool(shape.get("required")), "schema": _schema(shape)}
            )
        if shape["in"] != "query":
            body[argument] = shape
    if query:
        operation["parameters"] = query
    if "body" in facts:
        schema = _object(body)
        if facts["body"] == "array":
            schema = {"type": "array", "items": schema}
        elif facts.get("open"):
            schema["additionalProperties"] = True
        operation["requestBody"] = {"content": {"application/json": {"schema": schema}}}
    operation["responses"] = {"200": {"description": "Success", **_response(facts.get("response"))}}
    return operation


def _object(shapes: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": {name: _schema(shape) for name, shape in shapes.items()}}
    required = [name for name, shape in shapes.items() if shape.get("required")]
    return schema | ({"required": required} if required else {})


def _schema(shape: dict[str, Any]) -> dict[str, Any]:
    if shape.get("send") == "value":
        kind = "LabelValue" if shape["type"] == "string" else "LabelValueNumber"
        return {"$ref": f"#/components/schemas/{kind}"}
    schema: dict[str, Any] = {"type": shape["type"]}
    if "enum" in shape:
        schema["enum"] = shape["enum"]
    if "items" in shape:
        schema["items"] = _schema(shape["items"])
    if "properties" in shape:
        schema |= _object(shape["properties"])
        if shape.get("open"):
            schema["additionalProperties"] = True
    return schema


def _response(response: dict[str, Any] | None) -> dict[str, Any]:
    if response is None:
        return {}
    fields = {
        name: {} if kind == "any" else {"type": kind}
        for kind, names in response.get("fields", {}).items()
        for name in names
    }
    properties = {"properties": fields} if fields else {}
    schemas: dict[str, dict[str, Any]] = {
        "message": {"$ref": "#/components/schemas/StandardResults"},
        "array": {"type": "array", "items": properties},
        "object": {"type": "object", **properties},
        "unknown": properties,
    }
    return {"content": {"application/json": {"schema": schemas[response["type"]]}}}


@dataclass
class Drift:
    """What `drifted` did to the facts: names by what happened to them."""

    facts: Facts
    removed: set[str] = field(default_factory=set)
    added: dict[str, str] = field(default_factory=dict)
    """New name -> the endpoint whose facts it has."""
    renamed: dict[str, str] = field(default_factory=dict)
    """The catalogue's name -> the new spelling."""
    verbs: set[str] = field(default_factory=set)
    moved: set[str] = field(default_factory=set)
    demanding: set[str] = field(default_factory=set)
    promoted: set[str] = field(default_factory=set)

    @property
    def document(self) -> dict[str, Any]:
        return document_of(self.facts)


def drifted(offset: int = 0) -> Drift:
    """The catalogue's facts with removals, additions, renames, other verbs, moved arguments, new required ones and
    other roles, each for one endpoint in fourteen; `offset` chooses which."""
    drift = Drift(baked_facts())
    names = sorted(set(drift.facts) - NEVER_CALLABLE - _USED_BY_THE_SERVER_ITSELF)
    for position, name in enumerate(names):
        facts = drift.facts[name]
        match (position + offset) % 14:
            case 0:
                del drift.facts[name]
                drift.removed.add(name)
            case 1:
                drift.added[name + "Anew"] = name
                drift.facts[name + "Anew"] = copy.deepcopy(facts)
            case 2:
                spelling = f"invoke-{name}" if position % 2 else name.swapcase()
                drift.facts[spelling] = drift.facts.pop(name)
                drift.renamed[name] = spelling
            case 3:
                _turn(facts)
                drift.verbs.add(name)
            case 4:
                _move(facts)
                drift.moved.add(name)
            case 5:
                facts.setdefault("parameters", {})["needsThisToo"] = {
                    "in": "query" if facts["method"] == "GET" else "body",
                    "type": "string",
                    "required": True,
                }
                facts["parameters"] = _in_order(facts["parameters"])
                if facts["method"] != "GET":
                    facts.setdefault("body", "object")
                drift.demanding.add(name)
            case 6:
                if facts["role"].endswith(".Read"):
                    facts["role"] += "Write"
                    drift.promoted.add(name)
    return drift


def _in_order(parameters: dict[str, Any]) -> dict[str, Any]:
    return dict(sorted(parameters.items(), key=lambda pair: pair[0].lower()))


def _turn(facts: dict[str, Any]) -> None:
    """GET becomes POST and the other way round, with the arguments where they then have to be."""
    to_post = facts["method"] == "GET"
    facts["method"] = "POST" if to_post else "GET"
    facts.pop("body", None)
    facts.pop("open", None)
    if to_post:
        facts["body"] = "object"
    for shape in facts.get("parameters", {}).values():
        shape["in"] = "body" if to_post else "query"


def _move(facts: dict[str, Any]) -> None:
    """Every argument goes to the other place, where the verb allows."""
    if facts["method"] == "GET":
        return
    facts.setdefault("body", "object")
    for shape in facts.get("parameters", {}).values():
        shape["in"] = "body" if shape["in"] == "query" else "query"
