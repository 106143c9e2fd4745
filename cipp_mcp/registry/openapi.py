"""Reads facts out of an OpenAPI 3 document of CIPP.

Only names, methods, roles, places, types and known values are taken; prose is not (CIPP is AGPL, and its
sentences describe PowerShell rather than what a caller wants). Where the document is known to be wrong the
hand-written layer of `tool_specs` corrects it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cipp_mcp.registry.models import Area

_AREA_OF_TAG: dict[str, Area] = {
    "Identity": "identity",
    "Email-Exchange": "exchange",
    "Tenant": "tenant",
    "Endpoint": "endpoint",
    "Security": "security",
    "Teams-Sharepoint": "teams-sharepoint",
    "CIPP": "cipp",
    "Tools": "tools",
}
METHODS = ("get", "post", "put", "patch", "delete")
_MAX_DEPTH = 8
# CIPP's own document takes 7,600 steps in all and 280 at most for one operation.
_MAX_STEPS = 80_000
_MAX_STEPS_EACH = 4_000
_TYPES = ("string", "integer", "number", "boolean", "object", "array")


class DocumentError(ValueError):
    """The document is not a usable OpenAPI description of CIPP; the message says what is wrong with it."""


class OperationError(ValueError):
    """One operation cannot be understood; the message says why."""


def read_document(document: Any) -> dict[str, dict[str, Any]]:
    """Returns endpoint name -> facts (the shape of `models.Facts`) for every operation of `document`.

    Raises DocumentError when it has no paths or an operation cannot be understood.
    """
    if not isinstance(document, dict) or not isinstance(document.get("paths"), dict):
        raise DocumentError("not an OpenAPI document: it has no 'paths' object")
    resolver = Resolver(document)
    facts: dict[str, dict[str, Any]] = {}
    for path, item in document["paths"].items():
        name = path.removeprefix("/api/").strip("/")
        for method in METHODS:
            if isinstance(item, dict) and isinstance(item.get(method), dict):
                facts[name] = operation_facts(method, item[method], resolver)
    if not facts:
        raise DocumentError("not an OpenAPI document of CIPP: it describes no operation")
    return facts


def area_of(tag: str) -> Area:
    """The area that a tag such as ``Identity > Reports`` belongs to; unknown tags are CIPP's own."""
    return _AREA_OF_TAG.get(tag.split(" > ")[0], "cipp")


class Resolver:
    """Looks up references in one document, and counts: references that lead to each other multiply without end."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._steps = 0
        self._steps_here = 0

    def begin(self) -> None:
        """Starts the count of the next operation."""
        self._steps_here = 0

    def __call__(self, node: Any) -> dict[str, Any]:
        """Follows ``$ref`` and a single-element ``allOf``, as far as a sane document nests them.

        Raises DocumentError when an operation, or the whole document, takes more steps than a sane one.
        """
        self._steps += 1
        self._steps_here += 1
        if self._steps > _MAX_STEPS:
            raise DocumentError("its references multiply beyond all bounds")
        if self._steps_here > _MAX_STEPS_EACH:
            raise OperationError("its references multiply beyond all bounds")
        for _ in range(_MAX_DEPTH):
            if not isinstance(node, dict):
                return {}
            if "$ref" in node:
                node = self._follow(str(node["$ref"]))
            elif isinstance(node.get("allOf"), list) and len(node["allOf"]) == 1:
                node = node["allOf"][0]
            else:
                return node
        return {}

    def _follow(self, reference: str) -> Any:
        node: Any = self._document
        for part in reference.removeprefix("#/").split("/"):
            node = node.get(part) if isinstance(node, dict) else None
        return node


def operation_facts(method: str, operation: dict[str, Any], resolve: Resolver) -> dict[str, Any]:
    """The facts of one operation. What it holds is taken as it is: a caller who does not trust it checks them."""
    resolve.begin()
    tags = operation.get("tags") or [""]
    facts: dict[str, Any] = {
        "method": method.upper(),
        "tag": str(tags[0]),
        "role": str(operation.get("x-cipp-role", "")),
    }
    if operation.get("x-cipp-any-tenant"):
        facts["any_tenant"] = True
    parameters: dict[str, dict[str, Any]] = {}
    for parameter in map(resolve, operation.get("parameters") or []):
        name = parameter.get("name")
        if isinstance(name, str) and parameter.get("in") == "query":
            shape = _shape(parameter.get("schema"), resolve)
            required = {"required": True} if parameter.get("required") else {}
            parameters[name] = {"in": "query", **shape, **required}
    content = resolve(operation.get("requestBody")).get("content")
    if isinstance(content, dict) and content:
        body = resolve(resolve(next(iter(content.values()))).get("schema"))
        if body.get("type") == "array":
            facts["body"] = "array"
            body = {**resolve(body.get("items")), "additionalProperties": True}
        else:
            facts["body"] = "object"
        if body.get("additionalProperties"):
            facts["open"] = True
        _add_body(parameters, body, resolve)
    if parameters:
        facts["parameters"] = dict(sorted(parameters.items(), key=lambda pair: pair[0].lower()))
    response = _response(operation, resolve)
    if response:
        facts["response"] = response
    return facts


def _add_body(parameters: dict[str, dict[str, Any]], body: dict[str, Any], resolve: Resolver) -> None:
    required = set(body.get("required") or ())
    folded = {name.lower(): name for name in parameters}
    for name, schema in (body.get("properties") or {}).items():
        entry = {"in": "body", **_shape(schema, resolve)}
        # CIPP reads body and query names without regard to case, so the two spellings are one argument.
        twin = folded.get(name.lower())
        if twin:
            entry = {**parameters.pop(twin), **entry, "in": "both"}
        if name in required:
            entry["required"] = True
        parameters[name] = entry


def _shape(schema: Any, resolve: Resolver, depth: int = 0) -> dict[str, Any]:
    reference = str((schema or {}).get("$ref", "")) if isinstance(schema, dict) else ""
    node = resolve(schema)
    if not reference and isinstance(schema, dict) and isinstance(schema.get("allOf"), list) and schema["allOf"]:
        reference = str(schema["allOf"][0].get("$ref", ""))
    if reference.endswith("/LabelValue"):
        return {"type": "string", "send": "value"}
    if reference.endswith("/LabelValueNumber"):
        return {"type": "number", "send": "value"}
    kind = _kind(node)
    shape: dict[str, Any] = {"type": kind}
    known = node.get("enum") or node.get("x-cipp-observed-values")
    if known:
        shape["enum"] = list(known)
    if kind == "array":
        shape["items"] = _shape(node.get("items"), resolve, depth + 1) if depth < _MAX_DEPTH else {"type": "object"}
    if kind == "object":
        properties = node.get("properties") or {}
        if properties and depth < _MAX_DEPTH:
            required = set(node.get("required") or ())
            shape["properties"] = {
                name: _shape(inner, resolve, depth + 1) | ({"required": True} if name in required else {})
                for name, inner in properties.items()
            }
        if node.get("additionalProperties") or not properties:
            shape["open"] = True
    return shape


def _kind(node: dict[str, Any]) -> str:
    """The JSON type of a schema; of a union (OpenAPI 3.1) the first that is not null."""
    kind = node.get("type", "object" if "properties" in node else "string")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "string")
    return kind if kind in _TYPES else "string"


def _response(operation: dict[str, Any], resolve: Resolver) -> dict[str, Any]:
    answer = resolve((operation.get("responses") or {}).get("200"))
    content = answer.get("content")
    if not isinstance(content, dict) or not content:
        return {}
    schema = resolve(next(iter(content.values()))).get("schema") or {}
    if str(schema.get("$ref", "")).endswith("/StandardResults"):
        return {"type": "message"}
    node = resolve(schema)
    rows = resolve(node.get("items")) if node.get("type") == "array" else node
    fields: dict[str, list[str]] = {}
    for name, kind in sorted(_fields(rows)):
        fields.setdefault(kind, []).append(name)
    shape = node.get("type") if node.get("type") in ("array", "object") else "unknown"
    return {"type": shape} | ({"fields": dict(sorted(fields.items()))} if fields else {})


def _fields(rows: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, schema in (rows.get("properties") or {}).items():
        yield name, str(schema.get("type", "any")) if isinstance(schema, dict) else "any"
