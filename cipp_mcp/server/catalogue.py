"""Answers of the tools that need no CIPP: searching and describing the catalogue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cipp_mcp.errors import Refused
from cipp_mcp.registry import NEVER_CALLABLE, Endpoint, Registry
from cipp_mcp.registry.models import AREAS, RISKS
from cipp_mcp.registry.schema import input_schema, runner_of, signature
from cipp_mcp.registry.search import Search, overview
from cipp_mcp.results.budget import compact, tokens

_SEARCH_TOKENS = 720
_DESCRIBE_TOKENS = 2850
_DEFAULT_HITS = 6
_COMPARED = 25
_AREA_HINTS = {
    "identity": "users, groups, roles, devices in Entra, MFA, licences of people, sign-ins",
    "exchange": "mailboxes, forwarding, rules, spam filter, quarantine, transport, contacts, rooms",
    "tenant": "tenants, standards, conditional access, alerts, domains, GDAP, applications, reports",
    "endpoint": "Intune devices, policies, apps, Autopilot, scripts, Defender deployment",
    "security": "incidents, alerts, Safe Links, DLP, sensitivity labels, retention",
    "teams-sharepoint": "Teams, voice, SharePoint sites, OneDrive, sharing",
    "cipp": "CIPP itself: settings, logs, scheduler, extensions, backups, queues",
    "tools": "breach look-up, custom scripts, GitHub templates, report builder",
}


def search_answer(
    search: Search, registry: Registry, arguments: dict[str, Any], reaches: Callable[[Endpoint], bool] = lambda _: True
) -> dict[str, Any]:
    """What cipp_search returns: hits with signatures, or the areas when the query is empty.

    What the caller does not reach is left out.

    Raises Refused for an area or a risk that does not exist.
    """
    query = str(arguments.get("query") or "").strip()
    area, risk = arguments.get("area"), arguments.get("risk")
    if area is not None and area not in AREAS:
        raise Refused(f"There is no area {area!r}. Areas: {', '.join(AREAS)}.")
    if risk is not None and risk not in RISKS:
        raise Refused(f"There is no risk {risk!r}. Risks: {', '.join(RISKS)}.")
    if not query:
        return _browse(registry, area, risk, reaches)
    limit = _whole(arguments.get("limit"), _DEFAULT_HITS, 20)
    found = search.find(query[:500], area=area, risk=risk, limit=_COMPARED)
    hits = [hit for hit in found if reaches(hit.endpoint)][:limit]
    if not hits:
        near = search.near(query[:100])
        return {
            "hits": [],
            "near": near,
            "areas": overview(registry),
            "hint": "Nothing fits. Try other words, one of the near names, or an area with an empty query.",
        }
    shown = sorted((hit.endpoint for hit in hits), key=lambda endpoint: bool(endpoint.absent))
    return {"hits": _fitted([_line(endpoint) for endpoint in shown], _SEARCH_TOKENS - 40)}


def describe_answer(registry: Registry, arguments: dict[str, Any]) -> dict[str, Any]:
    """What cipp_describe returns: one full entry per name, as many as the budget holds."""
    names = arguments.get("names")
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise Refused('names must be a list of endpoint names, such as ["ListUsers"].')
    described: list[dict[str, Any]] = []
    unknown: list[str] = []
    left_out: list[str] = []
    used = 60
    for name in dict.fromkeys(names):
        known = registry.resolve(name)
        if known is None or known in NEVER_CALLABLE:
            near = registry.near(name) if known is None else []
            unknown.append(
                f"{name[:60]}" + (f" (near: {', '.join(near)})" if near else " (not callable)" if known else "")
            )
            continue
        if registry[known].absent:
            unknown.append(f"{known} ({registry[known].absent})")
            continue
        entry = _entry(registry[known])
        cost = tokens(compact(entry)) + 1
        if used + cost > _DESCRIBE_TOKENS and not described:
            entry = _shortened(entry)
            cost = tokens(compact(entry)) + 1
        if used + cost > _DESCRIBE_TOKENS:
            left_out.append(known)
            continue
        used += cost
        described.append(entry)
    answer: dict[str, Any] = {"endpoints": described}
    if unknown:
        answer["unknown"] = unknown[:10]
    if left_out:
        answer["left_out"] = left_out[:20]
        answer["hint"] = "Describe those in a call of their own."
    return answer


def _browse(registry: Registry, area: Any, risk: Any, reaches: Callable[[Endpoint], bool]) -> dict[str, Any]:
    if area is None and risk is None:
        counts = overview(registry)
        return {
            "areas": {name: f"{counts[name]} endpoints: {_AREA_HINTS[name]}" for name in AREAS},
            "hint": "Search by task, such as 'mailboxes that forward outside', or give an area.",
        }
    wanted = (e for e in registry if area in (None, e.area) and risk in (None, e.risk) and e.callable)
    names = [e.name for e in wanted if reaches(e)]
    kept: list[str] = []
    for name in sorted(names, key=str.lower):
        if tokens(compact([*kept, name])) > _SEARCH_TOKENS - 60:
            break
        kept.append(name)
    answer: dict[str, Any] = {"endpoints": kept, "total": len(names)}
    if len(kept) < len(names):
        answer["hint"] = f"{len(names) - len(kept)} more; add words to narrow the list."
    return answer


def _line(endpoint: Endpoint) -> str:
    if endpoint.absent:
        return f"{endpoint.name} [{endpoint.absent}]"
    head = f"{endpoint.name} [{endpoint.risk}] {endpoint.summary}"
    parameters = signature(endpoint)
    return f"{head} ({parameters})" if parameters else head


def _fitted(lines: list[str], budget: int) -> list[str]:
    """The lines within `budget` tokens: long signatures are shortened before a hit is dropped."""
    for length in (400, 280, 220, 180, 150, 130):
        shorter = [line if len(line) <= length else line[:length].rsplit(" ", 1)[0] + " …)" for line in lines]
        if tokens(compact(shorter)) <= budget:
            return shorter
    while tokens(compact(shorter)) > budget:
        shorter.pop()
    return shorter


def _entry(endpoint: Endpoint) -> dict[str, Any]:
    response = endpoint.response
    entry: dict[str, Any] = {
        "name": endpoint.name,
        "runner": runner_of(endpoint.risk),
        "risk": endpoint.risk,
        "area": endpoint.area,
        "summary": endpoint.summary,
        "description": endpoint.description,
        "side_effects": endpoint.side_effects,
        "notes": endpoint.notes,
        "risk_when": [
            f"{rule.argument}={'any' if rule.values is None else '|'.join(map(str, rule.values))}: {rule.risk}"
            for rule in endpoint.risk_when
        ],
        "role": endpoint.role,
        "inputSchema": input_schema(endpoint),
        "answer": response.kind,
        "columns": response.columns,
        "more_columns": ", ".join(name for name in endpoint.fields if name not in response.columns)[:400],
        "all_tenants": "all-tenants" in response.habits or None,
    }
    return {name: value for name, value in entry.items() if value not in ("", [], None)}


def _shortened(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry too large for one answer, with nested objects named rather than spelt out."""
    schema = entry["inputSchema"]
    slim = {
        name: {
            key: value[:120] if isinstance(value, str) else value
            for key, value in shape.items()
            if key in ("type", "description")
        }
        for name, shape in schema["properties"].items()
    }
    slim_entry = {**entry, "inputSchema": {**schema, "properties": slim}, "more_columns": ""}
    while tokens(compact(slim_entry)) > _DESCRIBE_TOKENS - 60 and slim:
        for shape in slim.values():
            shape.pop("description", None)
        if tokens(compact(slim_entry)) > _DESCRIBE_TOKENS - 60:
            slim.popitem()
    slim_entry["hint"] = "Nested fields are not shown; they are passed as plain objects."
    return slim_entry


def _whole(value: Any, default: int, most: int) -> int:
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= most:
        raise Refused(f"limit must be a whole number from 1 to {most}.")
    return int(value)
