"""What the host is shown of an endpoint: its JSON Schema, its one-line signature, its description.

Schemas are inlined and free of ``$ref`` and unions, since one odd schema makes some hosts drop the whole list.
"""

from __future__ import annotations

import re
from typing import Any

from cipp_mcp.registry.models import Endpoint, Parameter, Risk

TENANT_DESCRIPTION = "Tenant: default domain or id, from ListTenants"
_PORTABLE = re.compile(r"^[A-Za-z0-9_.-]{1,64}$")
_RUNNERS: dict[Risk, str] = {"read": "cipp_read", "write": "cipp_change"}
_FIELDS = {
    "type": "array",
    "items": {"type": "string"},
    "description": "Columns to return, dotted paths allowed; * for all. Left out: the usual ones",
}
_CONTROLS: dict[str, dict[str, Any]] = {
    "fields": _FIELDS,
    "limit": {"type": "integer", "minimum": 1, "maximum": 2000, "description": "Most rows to return (default 50)"},
    "cursor": {"type": "string", "description": "Next rows: the cursor of the answer before"},
    "fresh": {"type": "boolean", "description": "true reads anew instead of repeating a recent answer"},
    "resume": {"type": "string", "description": "Handle of a pending answer, to wait on for it"},
    "preview": {"type": "boolean", "description": "true shows the exact request and sends nothing"},
    "verify": {"type": "boolean", "description": "true reads the change back afterwards"},
    "confirmation": {
        "type": "string",
        "description": "Handle from an answer with outcome confirm, after the person's yes",
    },
}
READ_CONTROLS = ("fields", "limit", "cursor", "fresh", "resume")
CHANGE_CONTROLS = ("preview", "verify", "confirmation", "resume")
_EXTRA = {
    "type": "object",
    "additionalProperties": True,
    "description": "Fields that CIPP reads but this list lacks, sent as they are",
}


def runner_of(risk: Risk) -> str:
    """The gateway tool that runs calls of this risk."""
    return _RUNNERS.get(risk, "cipp_critical")


def control_schema(name: str) -> dict[str, Any]:
    """The schema of one of the arguments that steer the answer rather than the call."""
    return dict(_CONTROLS[name])


def input_schema(endpoint: Endpoint, *, controls: bool = False) -> dict[str, Any]:
    """The input schema of `endpoint`; with `controls` as a tool of its own has it (fields, limit, cursor …)."""
    properties = {name: _parameter_schema(name, p) for name, p in _ordered(endpoint)}
    if endpoint.body is not None and "items" not in properties:
        properties["items"] = {
            "type": "array",
            "items": {"type": "object", "additionalProperties": True},
            "description": "Several changes in one call: one object of the arguments above for each",
        }
    if controls:
        wanted = READ_CONTROLS if endpoint.risk == "read" else CHANGE_CONTROLS
        for name in wanted:
            properties.setdefault(name, dict(_CONTROLS[name]))
    properties.setdefault("extra", dict(_EXTRA))
    schema: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    required = [name for name, p in _ordered(endpoint) if is_required(endpoint, name, p)]
    if required and endpoint.body is None:
        schema["required"] = required
    return schema


def is_required(endpoint: Endpoint, name: str, parameter: Parameter) -> bool:
    """Whether the call cannot be made without `name`; facts nobody has verified say so too often."""
    return parameter.required and (name == "tenantFilter" or endpoint.verified != "spec")


def signature(endpoint: Endpoint) -> str:
    """The parameters in one line: ``tenantFilter* UserID? Enable=true|false*``; ``*`` marks what is required."""
    words = []
    for name, parameter in _ordered(endpoint):
        mark = "*" if is_required(endpoint, name, parameter) else "?"
        shape = ""
        if parameter.enum and len(parameter.enum) <= 5:
            shape = "=" + "|".join(map(str, parameter.enum))
        elif parameter.type == "boolean":
            shape = "=true|false"
        elif parameter.type == "array":
            shape = "[]"
        elif parameter.type == "object":
            shape = "{}"
        words.append(f"{name}{shape}{mark}")
    return " ".join(words)


def tool_description(endpoint: Endpoint) -> str:
    """The description of an endpoint listed as a tool of its own."""
    # A description stands unfenced before the model: the words of a deployment's own document are left to cipp_describe.
    described = endpoint.description if endpoint.reviewed else ""
    parts = [f"{endpoint.summary}.", described, endpoint.side_effects, *endpoint.notes]
    return " ".join(part for part in parts if part)[:1900]


def _ordered(endpoint: Endpoint) -> list[tuple[str, Parameter]]:
    return sorted(
        endpoint.parameters.items(),
        key=lambda pair: (pair[0] != "tenantFilter", not is_required(endpoint, *pair), pair[0].lower()),
    )


def _parameter_schema(name: str, parameter: Parameter) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": parameter.type}
    words = [parameter.description or (TENANT_DESCRIPTION if name == "tenantFilter" else "")]
    if parameter.enum:
        if parameter.closed and parameter.type == "string":
            schema["enum"] = [str(value) for value in parameter.enum]
        else:
            words.append(f"Known values: {', '.join(map(str, parameter.enum[:30]))}")
    if parameter.required_when:
        conditions = (
            f"{argument} is {'given' if values == ['*'] else ' or '.join(values)}"
            for argument, values in parameter.required_when.items()
        )
        words.append(f"Needed when {' or '.join(conditions)}")
    if parameter.default is not None:
        words.append(f"Default: {parameter.default}")
    if parameter.send == "epoch":
        words.append("ISO 8601")
    description = ". ".join(word.rstrip(".") for word in words if word)
    if description:
        schema["description"] = description
    if parameter.type == "array":
        schema["items"] = _parameter_schema("", parameter.items or Parameter())
    if parameter.type == "object":
        if parameter.properties:
            # A name like @odata.type may be passed but not be shown: some hosts drop a tool for it.
            portable = {inner: p for inner, p in parameter.properties.items() if _PORTABLE.match(inner)}
            schema["properties"] = {inner: _parameter_schema("", p) for inner, p in portable.items()}
            required = [inner for inner, p in portable.items() if p.required]
            if required:
                schema["required"] = required
            open_ = parameter.open or len(portable) < len(parameter.properties)
        else:
            open_ = True
        schema["additionalProperties"] = open_
    return schema
