"""Resources: the catalogue, one endpoint's entry, tenants, the policy in force, and kept results by handle.

The lists are the same for as long as a caller's policy is; what comes and goes (results) is reached by a template.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import mcp_types as types
from mcp.shared.exceptions import MCPError

from cipp_mcp.calls.caller import Caller
from cipp_mcp.calls.guard import Guard
from cipp_mcp.calls.policy import Policy
from cipp_mcp.calls.tenants import Tenant
from cipp_mcp.errors import CippError, Refused
from cipp_mcp.registry import AREAS, RISKS, Area, Endpoint, Registry
from cipp_mcp.registry.following import Report
from cipp_mcp.registry.schema import runner_of
from cipp_mcp.results.budget import compact, prune, tokens
from cipp_mcp.results.shape import FENCE_TOKENS, MAX_PAGE_ROWS, row_page
from cipp_mcp.server.catalogue import describe_answer
from cipp_mcp.server.fence import fenced
from cipp_mcp.server.prompts import FRESH_MS, invalid

_JSON, _TEXT, _MARKDOWN = "application/json", "text/plain", "text/markdown"
_START = re.compile(r"^\d{1,9}$")
TEMPLATES: dict[str, tuple[str, str, str, str]] = {
    "cipp://catalogue/{area}": ("area", "Endpoints of one area", "Name, risk and summary of each endpoint", _MARKDOWN),
    "cipp://endpoints/{name}": (
        "endpoint",
        "One endpoint",
        "Input schema, risk, warnings and answer columns of an endpoint",
        _JSON,
    ),
    "cipp://tenants/{tenant}": ("tenant", "One tenant", "Name, id and domains of a tenant", _TEXT),
    "cipp://results/{handle}{?from}": (
        "result",
        "A kept result",
        "Rows of an answer fetched before, with all columns, from a row number on",
        _TEXT,
    ),
}


class Resources:
    """The resources as one caller sees them.

    `guard` gives the tenants that this caller may touch, `report` says how the catalogue stands to the deployment;
    `budget` is the most tokens of one resource, `fallback` what happens where nobody can be asked.
    """

    def __init__(
        self,
        registry: Registry,
        caller: Caller,
        guard: Callable[[], Awaitable[Guard]],
        report: Callable[[], Report],
        *,
        budget: int,
        fallback: str,
    ) -> None:
        self._registry = registry
        self._caller = caller
        self._policy = caller.policy
        self._guard = guard
        self._report = report
        self._budget = budget
        self._fallback = fallback

    def listed(self) -> types.ListResourcesResult:
        """What can be read without filling in anything."""
        areas = [
            _entry(f"cipp://catalogue/{area}", f"catalogue-{area}", f"Catalogue: {area}", f"Endpoints of {area}")
            for area in AREAS
            if reachable(self._registry, self._policy, area)
        ]
        fixed = [
            _entry("cipp://catalogue", "catalogue", "Catalogue", "The areas and how many endpoints each has"),
            *areas,
            _entry("cipp://tenants", "tenants", "Tenants", "The tenants this server may touch", _TEXT),
            _entry("cipp://policy", "policy", "Policy in force", "What this server lets a model do", _JSON),
            _entry("cipp://deployment", "deployment", "Deployment", "How the catalogue differs from your CIPP", _TEXT),
            _entry("cipp://results", "results", "Kept results", "Handles of answers fetched before", _TEXT),
        ]
        document = {"resources": fixed, "ttlMs": FRESH_MS, "cacheScope": "private"}
        return types.ListResourcesResult.model_validate(document)

    @staticmethod
    def templates() -> types.ListResourceTemplatesResult:
        """What is reached by filling in a name."""
        entries = [
            {"uriTemplate": uri, "name": name, "title": title, "description": text, "mimeType": media}
            for uri, (name, title, text, media) in TEMPLATES.items()
        ]
        document = {"resourceTemplates": entries, "ttlMs": FRESH_MS, "cacheScope": "private"}
        return types.ListResourceTemplatesResult.model_validate(document)

    async def read(self, uri: str) -> types.ReadResourceResult:
        """The contents of the resource at `uri`.

        Raises MCPError: -32602 when there is none, -32603 when CIPP could not be asked.
        """
        try:
            media, text, fresh_ms = await self._read(uri)
        except Refused as refusal:
            raise invalid(" ".join(filter(None, (refusal.message, refusal.hint))), uri=uri[:500]) from None
        except CippError as error:
            raise MCPError(types.INTERNAL_ERROR, " ".join(filter(None, (error.message, error.hint)))) from None
        contents = [{"uri": uri, "mimeType": media, "text": text}]
        document = {"contents": contents, "ttlMs": fresh_ms, "cacheScope": "private"}
        return types.ReadResourceResult.model_validate(document)

    async def _read(self, uri: str) -> tuple[str, str, int]:
        """(media type, text, milliseconds for which it may be kept)."""
        kind, argument, start = _parsed(uri)
        if kind == "catalogue":
            text = self._area(argument) if argument else self._areas()
            return _MARKDOWN, text, FRESH_MS
        if kind == "endpoints" and argument:
            return _JSON, compact(self._endpoint(argument)), FRESH_MS
        if kind == "policy" and not argument:
            return _JSON, compact(self._policy_in_force()), 0
        if kind == "deployment" and not argument:
            return _TEXT, fenced(self._differences()), 0
        if kind == "tenants":
            guard = await self._guard()
            body = _tenant(guard.resolve(argument)) if argument else self._tenants(guard)
            return _TEXT, fenced(body), 0
        if kind == "results":
            await self._caller.bring(argument)
            return _TEXT, fenced(self._rows(argument, start) if argument else self._results()), 0
        raise _unknown(uri)

    def _areas(self) -> str:
        lines = [
            f"- {area}: {len(found)} endpoints (cipp://catalogue/{area})"
            for area in AREAS
            if (found := reachable(self._registry, self._policy, area))
        ]
        return "\n".join(["# Endpoints of CIPP by area", "", *lines])

    def _area(self, text: str) -> str:
        area = next((known for known in AREAS if known == text.lower()), None)
        found = reachable(self._registry, self._policy, area) if area else []
        if area is None or not found:
            areas = [known for known in AREAS if reachable(self._registry, self._policy, known)]
            raise Refused(f"There is no area {text[:80]!r}. Areas: {', '.join(areas)}.")
        lines = [f"# {area}: {len(found)} endpoints", ""]
        for endpoint in found:
            lines.append(f"- {endpoint.name} [{endpoint.risk}] {endpoint.summary}")
        if tokens("\n".join(lines)) > self._budget:
            lines = [*lines[:2], *(f"- {endpoint.name} [{endpoint.risk}]" for endpoint in found)]
        left_out = 0
        while tokens("\n".join(lines)) > self._budget - 20:
            lines.pop()
            left_out += 1
        return "\n".join([*lines, *([f"… {left_out} more: cipp_search finds them"] if left_out else [])])

    def _endpoint(self, text: str) -> dict[str, Any]:
        name = self._registry.resolve(text)
        if name is not None and self._registry[name].absent and self._policy.reaches(self._registry[name]):
            raise Refused(f"{name} is {self._registry[name].absent}.")
        if name is None or not _is_visible(self._registry[name], self._policy):
            near = [n for n in self._registry.near(text, 8) if _is_visible(self._registry[n], self._policy)][:3]
            raise Refused(f"There is no endpoint {text[:80]!r}." + (f" Near: {', '.join(near)}." if near else ""))
        entry: dict[str, Any] = describe_answer(self._registry, {"names": [name]})["endpoints"][0]
        return entry

    def _policy_in_force(self) -> dict[str, Any]:
        policy = self._policy
        allowed = policy.risks()
        body: dict[str, Any] = {
            "access": policy.access,
            "runs": {risk: runner_of(risk) for risk in RISKS if risk in allowed},
            "refuses": [risk for risk in RISKS if risk not in allowed],
            "asks_a_person_for": [risk for risk in RISKS if risk in allowed and policy.asks(risk)],
            "where_nobody_can_be_asked": self._fallback,
            "shows_secrets": policy.secrets,
            "tenants": "those of cipp://tenants" if policy.tenants else "all",
            "several_tenants_in_one_change": policy.all_tenant_writes,
            "endpoints": len(reachable(self._registry, policy)),
            "areas": [area for area in AREAS if reachable(self._registry, policy, area)],
            "calls_per_minute": policy.rate or "unlimited",
        }
        return body

    def _differences(self) -> Any:
        """What the deployment has more, less or otherwise than the catalogue, as far as this caller may know of it."""
        whole = asdict(self._report())

        def may_know(name: str) -> bool:
            return name in self._registry and self._policy.reaches(self._registry[name])

        whole["added"] = [name for name in whole["added"] if may_know(name)]
        for part in ("missing", "changed", "renamed"):
            whole[part] = {name: value for name, value in whole[part].items() if may_know(name)}
        whole["conflicts"] = [one for one in whole["conflicts"] if may_know(str(one.get("endpoint")))]
        body = {name: value for name, value in whole.items() if value not in (None, [], {})}
        return prune(body, self._budget - FENCE_TOKENS)[0]

    def _tenants(self, guard: Guard) -> dict[str, Any]:
        body: dict[str, Any] = {"total": len(guard.allowed), "tenants": []}
        room = self._budget - 80
        for tenant in sorted(guard.allowed, key=lambda tenant: tenant.name.lower()):
            room -= tokens(compact(_tenant(tenant))) + 1
            if room < 0:
                body["hint"] = "Not all fit; ListTenants with cipp_query finds the others."
                break
            body["tenants"].append(_tenant(tenant))
        return body

    def _results(self) -> dict[str, Any]:
        kept = self._caller.results.handles()
        entries = [{"result": r.handle, "rows": r.count, "from": r.source} for r in reversed(kept)]
        while tokens(compact(entries)) > self._budget - 40:
            entries.pop()
        return {"total": len(kept), "results": entries}

    def _rows(self, handle: str, start: int) -> dict[str, Any]:
        results = self._caller.results
        result = results.get(handle)
        rows = results.rows(handle, start, MAX_PAGE_ROWS)
        body: dict[str, Any] = {"from": result.source}
        room = self._budget - FENCE_TOKENS - tokens(compact(body)) - 60
        page = row_page(rows, result, start=start, limit=MAX_PAGE_ROWS, columns=(), fields=("*",), budget=room)
        following = page.pop("cursor", None)
        page.pop("hint", None)
        if following:
            page["next"] = f"cipp://results/{handle}?from={following.partition(':')[2]}"
        return body | page


def reachable(registry: Registry, policy: Policy, area: Area | None = None) -> list[Endpoint]:
    """The endpoints (of `area`) that `policy` lets a caller know of, in catalogue order."""
    return [registry[name] for name in registry.names(area) if _is_visible(registry[name], policy)]


def _is_visible(endpoint: Endpoint, policy: Policy) -> bool:
    return endpoint.callable and policy.reaches(endpoint)


def _parsed(uri: str) -> tuple[str, str, int]:
    """(kind, argument, first row) of ``cipp://kind/argument?from=row``."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        raise _unknown(uri) from None
    argument = unquote(parts.path.removeprefix("/"))
    query = parse_qs(parts.query, keep_blank_values=True)
    start = query.pop("from", ["0"])
    if parts.scheme != "cipp" or parts.fragment or query or (parts.query and parts.netloc != "results"):
        raise _unknown(uri)
    if len(start) != 1 or not _START.match(start[0]):
        raise Refused("from must be a row number, such as 200.")
    return parts.netloc.lower(), argument, int(start[0])


def _unknown(uri: str) -> Refused:
    known = ["cipp://catalogue", "cipp://tenants", "cipp://policy", "cipp://deployment", "cipp://results", *TEMPLATES]
    return Refused(f"There is no resource {uri[:200]!r}. Resources: {', '.join(known)}.")


def _tenant(tenant: Tenant) -> dict[str, str]:
    known = {"name": tenant.name, "domain": tenant.domain, "id": tenant.id, "initial": tenant.initial}
    return {name: value for name, value in known.items() if value and (name != "initial" or value != tenant.domain)}


def _entry(uri: str, name: str, title: str, description: str, media: str = _MARKDOWN) -> dict[str, Any]:
    return {"uri": uri, "name": name, "title": title, "description": description, "mimeType": media}
