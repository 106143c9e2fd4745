"""The endpoints that the embedded CIPP has: those of the registry, spelt exactly so."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from cipp_mcp.registry.files import read_all
from cipp_mcp.registry.merge import merge_entry
from cipp_mcp.registry.models import Endpoint

# Config/FeatureFlags.json: what a fresh deployment has switched off, and the description that the refusal carries.
_FLAGS = {
    "The best practice analyser is deprecated and switched off in this deployment.": (
        "BestPracticeAnalyser_List",
        "ExecBPA",
        "ListBPA",
        "ListBPATemplates",
        "RemoveBPATemplate",
    ),
    "These pages for super administrators exist only in container deployments.": (
        "ExecCIPPUsers",
        "ListCIPPUsers",
        "ExecContainerManagement",
        "ExecAppServiceDomains",
        "ListContainerLogs",
        "ListWorkerHealth",
    ),
    "The MCP endpoint of CIPP itself is switched off in this deployment.": ("ExecMcp",),
}
FLAGGED = {name: why for why, names in _FLAGS.items() for name in names}
BINARY = frozenset({"ListUserPhoto"})
REDIRECTS = frozenset({"ListSharepointAdminUrl"})


@dataclass(frozen=True)
class Known:
    """One endpoint and whether CIPP's access check looks at the tenant it is called for."""

    endpoint: Endpoint
    any_tenant: bool


@cache
def catalogue() -> dict[str, Known]:
    """Every endpoint by its exact name."""
    found = {}
    for area, entries in read_all().items():
        for raw in entries:
            endpoint = merge_entry(raw, area)
            found[endpoint.name] = Known(endpoint, bool(raw["facts"].get("any_tenant")))
    return found
