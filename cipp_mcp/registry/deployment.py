"""Lays a deployment's own document over the catalogue: what it has more, lacks, spells or takes differently."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from cipp_mcp.registry.caution import is_transport, raised_by_role, rules_for_news
from cipp_mcp.registry.document import Document
from cipp_mcp.registry.merge import derive_entry, merge_entry, tenant_name
from cipp_mcp.registry.models import NEVER_CALLABLE, Area, Risk
from cipp_mcp.registry.openapi import area_of
from cipp_mcp.registry.reconcile import Conflict, Reconciler
from cipp_mcp.registry.words import canonical, split_name

Baked = Mapping[str, tuple[Area, dict[str, Any]]]
"""The catalogue as it is installed: name -> (area, entry)."""

_PORTABLE = re.compile(r"^\$?[A-Za-z0-9_.-]{1,58}$")
_OWN_TOOLS = re.compile(r"^cipp_", re.IGNORECASE)
_NEWER = (
    "This endpoint is newer than the catalogue: nobody has checked what it does or what it changes. Its facts come from "
    "the deployment's own document."
)
_GRAVER = (
    "The deployment's document asks for more rights than this endpoint used to need, so it counts as a change to CIPP "
    "itself until somebody has checked it."
)
# With fewer of the catalogue's endpoints than this a document is only a part, and proves nothing by its silence.
_WHOLE = 0.5


@dataclass
class Overlay:
    """What a document changes about the catalogue."""

    entries: dict[str, tuple[Area, dict[str, Any]]] = field(default_factory=dict)
    """Entries to use instead of the catalogue's, and new ones."""
    spelling: dict[str, str] = field(default_factory=dict)
    """The deployment's spelling of names, where it is not the catalogue's."""
    missing: dict[str, str] = field(default_factory=dict)
    """Endpoints that the deployment lacks -> what does the nearest thing there, or nothing."""
    added: list[str] = field(default_factory=list)
    changed: dict[str, list[str]] = field(default_factory=dict)
    """Endpoints whose facts differ -> which."""
    conflicts: list[Conflict] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def overlay_of(document: Document, baked: Baked) -> Overlay:
    """What `document` changes about the catalogue `baked`.

    Never raises: an endpoint that makes no valid entry stays as it was, and is named in `problems`.
    """
    overlay = Overlay(problems=list(document.problems))
    ours = {canonical(name): name for name in baked}
    theirs: dict[str, str] = {}
    for name in document.facts:
        folded = canonical(name)
        if folded in theirs:
            overlay.problems.append(f"{name} stands in the document twice, also as {theirs[folded]}")
            if name != ours.get(folded):
                continue  # the catalogue's own spelling counts, else the first
        theirs[folded] = name
    for folded, name in theirs.items():
        facts = document.facts[name]
        if folded in ours:
            _lay_over(overlay, ours[folded], name, facts, baked)
        else:
            _add(overlay, name, facts, document.prose.get(name, ""))
    found = len(theirs.keys() & ours.keys())
    heard = {*theirs, *map(canonical, document.unreadable), *map(canonical, NEVER_CALLABLE)}
    silent = [name for name in baked if canonical(name) not in heard]
    if found < _WHOLE * len(ours):
        overlay.problems.append(
            f"it describes {found} of {len(ours)} known endpoints; the others were left as they are"
        )
    else:
        gone = set(silent)
        overlay.missing = {name: _instead(name, baked, overlay, gone) for name in silent}
    return overlay


def changed_facts(base: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Which facts differ: ``method``, ``role``, ``parameters.ID.in`` …"""
    found = [key for key in ("method", "role", "tag", "body", "open", "any_tenant") if base.get(key) != new.get(key)]
    before, after = base.get("parameters") or {}, new.get("parameters") or {}
    for name in sorted({*before, *after}, key=str.lower):
        if name not in before:
            found.append(f"+parameters.{name}")
        elif name not in after:
            found.append(f"-parameters.{name}")
        else:
            keys = {*before[name], *after[name]}
            found += [
                f"parameters.{name}.{key}" for key in sorted(keys) if before[name].get(key) != after[name].get(key)
            ]
    if base.get("response") != new.get("response"):
        found.append("response")
    return found


def _lay_over(overlay: Overlay, name: str, spelt: str, facts: dict[str, Any], baked: Baked) -> None:
    area, entry = baked[name]
    if spelt != name:
        overlay.spelling[name] = spelt
    base = entry["facts"]
    facts = _with_our_case(facts, base)
    differences = changed_facts(base, facts)
    if not differences:
        return
    renewed, conflicts = renewed_entry(entry, facts)
    if not _is_valid(renewed, area, overlay):
        return
    overlay.changed[name] = differences
    overlay.conflicts += conflicts
    overlay.entries[name] = (area, renewed)


def renewed_entry(entry: dict[str, Any], facts: dict[str, Any]) -> tuple[dict[str, Any], list[Conflict]]:
    """(`entry` over the new `facts`, the corrections that had to give way).

    Its risk can only rise: by a new role, a verb that changes, and arguments or values that ask for more.
    """
    base, name = entry["facts"], str(entry["name"])
    reconciler = Reconciler(name)
    renewed = {**entry, "facts": facts}
    before, after = base.get("parameters") or {}, facts.get("parameters") or {}
    patch = reconciler.parameters(entry.get("parameters") or {}, before, after)
    patch |= {key: None for key in after if not _PORTABLE.match(key) and key not in before}
    renewed["parameters"] = patch
    if entry.get("open") is not None and not reconciler.value(
        "open", entry["open"], base.get("open"), facts.get("open")
    ):
        del renewed["open"]
    if base.get("body") != facts.get("body"):
        is_array = facts.get("body") == "array"
        if bool(entry.get("body")) != is_array:
            reconciler.value("body", "array" if entry.get("body") else "object", base.get("body"), facts.get("body"))
        renewed.pop("body", None)
        if is_array:
            renewed["body"] = entry.get("body") or {"array": True}
    each = (renewed.get("body") or {}).get("each")
    if each is not None and after.get(each, {}).get("in") == "query":
        renewed["body"] = {"array": True}  # its elements no longer become items of the body
    available = {key.lower() for key in ({*after, *patch} - {key for key, shape in patch.items() if shape is None})}
    _renew_tenant(renewed, after, available)
    if entry.get("one_of"):
        groups = [[one for one in group if one.lower() in available | {"tenantfilter"}] for group in entry["one_of"]]
        renewed["one_of"] = [group for group in groups if group]
    _renew_risk(renewed, base, facts)
    return renewed, reconciler.conflicts


def _renew_tenant(renewed: dict[str, Any], after: Mapping[str, Any], available: set[str]) -> None:
    tenant = renewed.get("tenant")
    if tenant is not None and tenant.lower() in available:
        return
    found = tenant_name(dict(after))
    renewed.pop("tenant", None)
    if found is not None:
        renewed["tenant"] = found
        if renewed["scope"] == "none":
            renewed["scope"] = "tenant"


def _renew_risk(renewed: dict[str, Any], base: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    risk: Risk = renewed["risk"]
    if base.get("role") != facts.get("role"):
        risk = raised_by_role(risk, str(facts.get("role", "")))
    reads = risk in ("read", "secret")
    if reads and base["method"] == "GET" and facts["method"] != "GET":
        # Handlers do not look at the verb, and CIPP's document has corrected many; a List stays one, an Exec may not.
        risk = risk if split_name(str(renewed["name"]))[0].lower() == "list" else "platform"
    if risk != renewed["risk"]:
        renewed["risk"] = risk
        renewed["retry"] = "never"
        renewed["notes"] = [*(renewed.get("notes") or []), _GRAVER]
        # A rule that lowers the risk was written for an endpoint that has since become another.
        renewed.pop("risk_when", None)
        return
    rules = rules_for_news(risk, base, facts)
    if rules:
        renewed["risk_when"] = [*rules, *(renewed.get("risk_when") or [])]


def _add(overlay: Overlay, name: str, facts: dict[str, Any], prose: str) -> None:
    if is_transport(name) or _OWN_TOOLS.match(name):
        overlay.problems.append(
            f"{name} may carry calls inside calls, or is named like a tool of this server; left out"
        )
        return
    area = area_of(facts["tag"])
    entry = derive_entry(name, facts)
    words = [word.lower() for word in split_name(name)]
    entry["keywords"] = list(dict.fromkeys([" ".join(words), *words[1:], area]))
    entry["description"] = f"The deployment's own document says: “{prose}”" if prose else ""
    entry["notes"] = [_NEWER]
    hidden = {key: None for key in facts.get("parameters") or {} if not _PORTABLE.match(key)}
    if hidden:
        entry["parameters"] = hidden
    if facts.get("body") == "array":
        entry["body"] = {"array": True}
    if _is_valid(entry, area, overlay):
        overlay.entries[name] = (area, entry)
        overlay.added.append(name)


def _is_valid(entry: dict[str, Any], area: Area, overlay: Overlay) -> bool:
    try:
        merge_entry(entry, area)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))[:60]
        overlay.problems.append(f"{entry['name']} makes no valid entry ({where}); it was left as it is")
        return False
    return True


def _with_our_case(facts: dict[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """`facts` with the catalogue's spelling of arguments that differ in case only, which CIPP does not look at."""
    spelt = {name.lower(): name for name in base.get("parameters") or {}}
    parameters = facts.get("parameters")
    if not parameters or all(spelt.get(name.lower(), name) == name for name in parameters):
        return facts
    return {**facts, "parameters": {spelt.get(name.lower(), name): shape for name, shape in parameters.items()}}


def _instead(name: str, baked: Baked, overlay: Overlay, gone: set[str]) -> str:
    """What a caller of a missing endpoint should look at: a new namesake, the neighbour of a read that we point to,
    or a near name; for a change only names of the same verb, since a neighbour may well do the opposite."""
    reads = baked[name][1]["risk"] in ("read", "secret")
    verb = split_name(name)[0]
    fresh = [other for other in overlay.added if split_name(other)[0].lower() == verb.lower()]
    close = difflib.get_close_matches(name.lower(), [other.lower() for other in fresh], 1, cutoff=0.75)
    if close:
        return next(other for other in fresh if other.lower() == close[0])
    for word in re.findall(r"[A-Z][A-Za-z0-9]+", str(baked[name][1].get("description", ""))) if reads else ():
        if word not in baked or word == name or word in gone or word in NEVER_CALLABLE:
            continue
        if baked[word][1]["risk"] == "read":
            return str(word)
    here = [other for other in baked if other not in gone and split_name(other)[0] == verb]
    close = difflib.get_close_matches(name, here, 1, cutoff=0.75)
    return close[0] if close else ""
