"""Answers for every endpoint that has no content of its own, made from the shape the registry declares."""

from __future__ import annotations

from typing import Any

from cipp_mcp.demo import plausible
from cipp_mcp.demo.calls import Answer, Call
from cipp_mcp.demo.catalogue import catalogue
from cipp_mcp.demo.world import seeds
from cipp_mcp.demo.world.tenant import Row, Tenant

# What an error record looks like; the document declares these fields, CIPP sends them only when something failed.
_NOISE = frozenset({"exception", "categoryinfo", "invocationinfo", "errordetails", "etag", "scriptstacktrace", "error"})


def generic(call: Call) -> Any:
    """Rows, an object or a message, the same for the same call; with made-up secrets where the registry knows of any."""
    endpoint = catalogue()[call.endpoint].endpoint
    answer = _answer(call)
    for path in endpoint.response.secrets:
        answer = _planted(answer, path.split("."), seeds.guid(call.state.seed, call.endpoint, "secret")[:13])
    return answer


def _answer(call: Call) -> Any:
    endpoint = catalogue()[call.endpoint].endpoint
    response, fields = endpoint.response, endpoint.fields
    if endpoint.risk not in ("read", "secret"):
        message = f"Successfully processed the request: {endpoint.title.lower()}."
        call.state.log(call.endpoint, message)
        return {"Results": message}
    if response.kind == "binary":
        return Answer(b"", content_type="application/octet-stream")
    if response.kind == "text":
        return Answer(f"{endpoint.title} of {_tenants(call)[0].name}")
    rows = [_row(call, tenant, number) for tenant in _tenants(call) for number in range(1 + len(call.endpoint) % 4)]
    enveloped = "Results" in fields or any(path.startswith("Results.") for path in response.secrets)
    enveloped = enveloped or (response.kind == "message" and endpoint.name.startswith("List"))
    if response.kind == "object" and not enveloped:
        return rows[0]
    return {"Results": rows, **({"Metadata": {}} if "Metadata" in fields else {})} if enveloped else rows


def _planted(node: Any, path: list[str], secret: str) -> Any:
    """The answer with a secret at a dotted path, which passes through lists."""
    if isinstance(node, list):
        return [_planted(entry, path, secret) for entry in node] or [_planted({}, path, secret)]
    name, *rest = path
    if isinstance(node, str):
        node = {"resultText": node, "state": "success"}
    if not isinstance(node, dict):
        return node
    if rest:
        return node | {name: _planted(node.get(name) or {}, rest, secret)}
    known = node.get(name)
    return node | {
        name: f"{known} {secret}" if isinstance(known, str) and name in ("resultText", "Results") else secret
    }


def declared_row(call: Call, key: str) -> Row:
    """A row with every declared field, for content that knows only some of them."""
    return _row(call, call.state.tenants[0], sum(key.encode()))


def _tenants(call: Call) -> list[Tenant]:
    if call.all_tenants:
        return call.tenants
    known = call.state.tenant(call.tenant_name) if call.tenant_name else None
    return [known or call.state.tenants[0]]


def _row(call: Call, tenant: Tenant, number: int) -> Row:
    endpoint = catalogue()[call.endpoint].endpoint
    fields: dict[str, str] = endpoint.fields or {"id": "string", "displayName": "string"}
    columns = {column.split(".")[0]: "any" for column in endpoint.response.columns}
    wanted = columns | {name: kind for name, kind in fields.items() if name.lower() not in _NOISE}
    if len(wanted) > len({"Results", "Metadata"} & set(wanted)):
        wanted = {name: kind for name, kind in wanted.items() if name not in ("Results", "Metadata")}
    row = {name: plausible.value(tenant, call.endpoint, name, kind, number) for name, kind in wanted.items()}
    for column in endpoint.response.columns:
        outer, _, inner = column.partition(".")
        if inner and column not in row and "." not in inner and not isinstance(row[outer], list):
            nested = row[outer] if isinstance(row[outer], dict) else {}
            row[outer] = nested | {inner: plausible.value(tenant, call.endpoint, inner, "any", number)}
        elif inner and column not in row and isinstance(row[outer], dict):
            middle, _, last = inner.partition(".")
            row[outer] |= {middle: {last: plausible.value(tenant, call.endpoint, last, "any", number)}}
    return row
