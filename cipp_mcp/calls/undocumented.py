"""The way to an endpoint that stands in no document: named exactly, at access admin, with everything inside extra."""

from __future__ import annotations

from cipp_mcp.calls.policy import Policy
from cipp_mcp.registry import Endpoint, Registry
from cipp_mcp.registry.caution import is_transport
from cipp_mcp.registry.document import ENDPOINT_NAME
from cipp_mcp.registry.merge import merge_entry
from cipp_mcp.registry.words import split_name

_READING_VERBS = ("list", "get")
HINT = (
    "If your CIPP has it all the same, cipp_critical calls it with every argument inside extra, after a person's yes."
)


def undocumented(registry: Registry, name: str, arguments: object, policy: Policy) -> Endpoint | None:
    """An endpoint made up for this one call, of risk platform; None where the call does not ask for one.

    It needs access admin and an ``extra`` (an empty one will do), so that a mere slip of the pen is never sent.
    """
    name = name.strip()
    if policy.access != "admin" or not isinstance(arguments, dict) or "extra" not in arguments:
        return None
    if registry.resolve(name) is not None or not ENDPOINT_NAME.match(name) or is_transport(name):
        return None
    reads = split_name(name)[0].lower() in _READING_VERBS
    entry = {
        "name": name,
        "title": " ".join(split_name(name)),
        "summary": "Calls an endpoint that stands in no document",
        "side_effects": "Nobody has described what it does or changes.",
        "risk": "platform",
        "scope": "estate",
        "tenant": "tenantFilter",
        "parameters": {"tenantFilter": {"in": "both"}},
        "response": {"kind": "object"},
        "notes": [f"{name} is neither in the catalogue nor in the document of this CIPP."],
        "unwritten": True,
        "facts": {"method": "GET" if reads else "POST"},
    }
    return merge_entry(entry, "cipp").model_copy(update={"reviewed": False})
