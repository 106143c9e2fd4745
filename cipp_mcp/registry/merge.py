"""Puts the two layers of an entry together, and new facts under an existing hand-written layer."""

from __future__ import annotations

from typing import Any

from cipp_mcp.registry.caution import cautious_risk, credential_fields
from cipp_mcp.registry.models import AREAS, Area, Endpoint, Entry, Parameter
from cipp_mcp.registry.openapi import area_of
from cipp_mcp.registry.words import canonical, split_name

_TENANT_NAMES = ("tenantfilter", "tenantid", "tenant", "tenantname")
_VERBS = {
    "List": "Lists",
    "Get": "Gets",
    "Add": "Adds",
    "Edit": "Changes",
    "Set": "Sets",
    "Remove": "Removes",
    "Delete": "Deletes",
    "Exec": "Runs",
    "Patch": "Changes",
    "Copy": "Copies",
}


def merge_patch(target: Any, patch: Any) -> Any:
    """JSON merge patch, RFC 7396; returns a new value and leaves both arguments alone."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result


def merge_entry(raw: dict[str, Any], area: Area) -> Endpoint:
    """The `Endpoint` that an entry of a file describes.

    Raises pydantic.ValidationError when the entry does not follow the schema.
    """
    entry = Entry.model_validate(raw)
    facts = entry.facts
    patched: dict[str, dict[str, Any]] = merge_patch(facts.parameters, entry.parameters)
    parameters: dict[str, Parameter] = {}
    for name, shape in patched.items():
        host_name, wire = name, shape.get("wire")
        if name == entry.tenant:
            host_name = "tenantFilter"
        elif name.startswith("$"):
            host_name = "odata_" + name[1:]
        if host_name != name:
            shape = {**shape, "wire": wire or name}
        parameters[host_name] = Parameter.model_validate(shape)
    imported = {name: kind for kind, names in facts.response.fields.items() for name in names}
    kinds = {"array": "list", "object": "object", "message": "message", "unknown": "object"}
    response = entry.response
    if response.kind is None:
        response = response.model_copy(update={"kind": kinds[facts.response.type]})
    return Endpoint(
        name=entry.name,
        area=area,
        title=entry.title,
        summary=entry.summary,
        description=entry.description,
        keywords=entry.keywords,
        method=facts.method,
        role=facts.role,
        tag=facts.tag,
        risk=entry.risk,
        risk_when=entry.risk_when,
        side_effects=entry.side_effects,
        scope=entry.scope,
        tenant_form=entry.tenant_form,
        targets=entry.targets,
        verify=entry.verify,
        cache=_cache_seconds(entry),
        parameters=parameters,
        open=facts.open if entry.open is None else entry.open,
        one_of=entry.one_of,
        has_body=facts.method != "GET",
        body=entry.body,
        response=response,
        fields=merge_patch(imported, response.fields),
        retry=entry.retry or ("safe" if entry.risk == "read" else "never"),
        notes=entry.notes,
        verified=entry.verified,
        unwritten=entry.unwritten,
    )


def _cache_seconds(entry: Entry) -> int:
    if entry.cache is not None:
        return entry.cache
    if entry.risk != "read" or entry.retry == "never" or "guid" in entry.response.habits or "Queue" in entry.name:
        return 0
    return 300 if entry.scope == "none" else 30


def import_facts(
    facts: dict[str, dict[str, Any]], existing: dict[Area, list[dict[str, Any]]]
) -> dict[Area, list[dict[str, Any]]]:
    """Renews the facts under every existing entry and adds an unwritten entry for each new endpoint.

    Entries whose endpoint the document no longer has are dropped; all hand-written keys are kept as they are, also
    when CIPP has changed an endpoint's case or a leading ``invoke-``.
    """
    areas: dict[Area, list[dict[str, Any]]] = {area: [] for area in AREAS}
    spelt = {canonical(name): name for name in facts}
    known: set[str] = set()
    for area, entries in existing.items():
        for entry in entries:
            name = entry["name"] if entry["name"] in facts else spelt.get(canonical(entry["name"]))
            if name is not None:
                known.add(name)
                areas[area].append({**entry, "name": name, "facts": facts[name]})
    for name, fact in facts.items():
        if name not in known:
            areas[area_of(fact["tag"])].append(derive_entry(name, fact))
    return areas


def derive_entry(name: str, facts: dict[str, Any]) -> dict[str, Any]:
    """An entry made from facts alone, marked `unwritten`; its risk errs on the side of caution."""
    words = split_name(name)
    tenant = tenant_name(facts.get("parameters", {}))
    entry: dict[str, Any] = {
        "name": name,
        "title": " ".join(words),
        "summary": derive_summary(name, facts["tag"], bool(tenant)),
        "risk": cautious_risk(name, facts),
        "scope": "tenant" if tenant else "estate",
    }
    if tenant:
        entry["tenant"] = tenant
    secrets = credential_fields(facts)
    if secrets:
        entry["response"] = {"secrets": secrets}
    return {**entry, "unwritten": True, "facts": facts}


def derive_summary(name: str, tag: str, has_tenant: bool) -> str:
    """An honest one-liner for an endpoint nobody has described yet."""
    words = split_name(name)
    verb = _VERBS.get(words[0], "")
    thing = " ".join(words[1:] if verb else words).lower()
    where = " of a tenant" if has_tenant else ""
    return f"{verb or 'Calls'} {thing or name}{where} (not described yet; CIPP files it under {tag.split(' > ')[-1]})"[
        :100
    ]


def tenant_name(parameters: dict[str, Any]) -> str | None:
    """CIPP's name for the tenant among `parameters`, if one of them plainly is it."""
    folded = {name.lower(): name for name in parameters}
    return next((folded[name] for name in _TENANT_NAMES if name in folded), None)
