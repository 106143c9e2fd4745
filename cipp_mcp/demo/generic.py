"""Answers for every endpoint that has no content of its own, made from the shape the registry declares."""

from __future__ import annotations

import random
from typing import Any

from cipp_mcp.demo.calls import Answer, Call
from cipp_mcp.demo.catalogue import catalogue
from cipp_mcp.demo.world import seeds
from cipp_mcp.demo.world.tenant import Row, Tenant

_DATES = ("datetime", "date", "timestamp", "time", "expiry", "expiration", "lastrefresh", "createdat", "updatedat")
_TENANTS = frozenset({"tenant", "tenantfilter", "defaultdomainname", "tenantname", "partitionkey", "domain"})
_PEOPLE = frozenset(
    {"userprincipalname", "upn", "mail", "email", "user", "username", "appliedby", "createdby", "updatedby"}
)
_TITLES = frozenset({"displayname", "name", "title", "label", "templatename", "rulename", "policyname"})
_YES_NO = ("is", "has", "enable", "allow", "require")
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
    row = {name: _value(call, tenant, name, kind, number) for name, kind in wanted.items()}
    for column in endpoint.response.columns:
        outer, _, inner = column.partition(".")
        if inner and column not in row and "." not in inner and not isinstance(row[outer], list):
            nested = row[outer] if isinstance(row[outer], dict) else {}
            row[outer] = nested | {inner: _value(call, tenant, inner, "any", number)}
        elif inner and column not in row and isinstance(row[outer], dict):
            middle, _, last = inner.partition(".")
            row[outer] |= {middle: {last: _value(call, tenant, last, "any", number)}}
    return row


def _value(call: Call, tenant: Tenant, name: str, kind: str, number: int) -> Any:
    chance = seeds.source(call.state.seed, call.endpoint, tenant.number, name, number)
    folded = name.lower()
    if kind == "array":
        return []
    if kind == "object":
        return {}
    if kind == "boolean" or (kind == "any" and folded.startswith(_YES_NO)):
        return chance.random() < 0.5
    if kind in ("integer", "number") or folded.endswith(("count", "percentage", "score", "priority")):
        return chance.randrange(0, 100)
    if "." in name:
        return None
    return _text(call, tenant, name, number, chance)


def _text(call: Call, tenant: Tenant, name: str, number: int, chance: random.Random) -> str:
    folded = name.lower()
    if folded in _TENANTS:
        return tenant.domain
    if folded in ("tenantid", "customerid"):
        return tenant.id
    if folded == "results":
        return f"{call.endpoint} of {tenant.name}"
    if folded in ("id", "guid", "rowkey") or name.endswith(("Id", "ID", "Guid", "GUID")):
        return seeds.guid(call.state.seed, call.endpoint, tenant.number, name, number)
    if folded.endswith(_DATES):
        return seeds.days_before(tenant.today, chance.uniform(1, 200))
    if folded in _PEOPLE:
        users = list(tenant.users.values())
        return str(users[chance.randrange(len(users))]["userPrincipalName"])
    if folded.endswith("url"):
        return f"https://{tenant.domain}/{folded}"
    if folded.endswith(("state", "status")):
        return "Enabled" if chance.random() < 0.7 else "Disabled"
    words = " ".join(catalogue()[call.endpoint].endpoint.title.split()[1:]) or call.endpoint
    return f"{words} {number + 1}" if folded in _TITLES else f"{name} {number + 1}"
