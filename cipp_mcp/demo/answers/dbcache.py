"""ListDBCache: the nightly copy of the estate, one collection at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cipp_mcp.demo.answers import collaboration, groups, identity, mailboxes, tenants
from cipp_mcp.demo.calls import Answer, Call, answers
from cipp_mcp.demo.world import graph, licences
from cipp_mcp.demo.world.groups import public
from cipp_mcp.demo.world.tenant import Row, Tenant


def _table(name: str) -> Callable[[Tenant], list[Row]]:
    return lambda tenant: [public(row) for row in getattr(tenant, name).values()]


def _graph(path: str) -> Callable[[Tenant], list[Row]]:
    return graph.COLLECTIONS[path]


def _roles(tenant: Tenant) -> list[Row]:
    return [
        {**row, "members": groups.people(tenant, tenant.roles[row["id"]])}
        for row in graph.COLLECTIONS["directoryroles"](tenant)
    ]


TYPES: dict[str, Callable[[Tenant], list[Row]]] = {
    "Apps": _table("apps"),
    "CASMailbox": lambda tenant: [{"UserPrincipalName": box.upn, **box.protocols} for box in tenant.mailboxes.values()],
    "ConditionalAccessPolicies": _table("ca_policies"),
    "Devices": _graph("devices"),
    "Domains": _table("domains"),
    "ExoTransportRules": _table("transport_rules"),
    "Groups": lambda tenant: [
        {**groups.group_row(tenant, group), "members": groups.people(tenant, group["_members"])}
        for group in tenant.groups.values()
    ],
    "Guests": lambda tenant: [user for user in tenant.users.values() if user["userType"] == "Guest"],
    "IntuneApplications": _table("intune_apps"),
    "IntuneDeviceCompliancePolicies": _table("compliance_policies"),
    "LicenseOverview": licences.licence_rows,
    "MFAState": identity.mfa_rows,
    "Mailboxes": mailboxes.mailbox_rows,
    "ManagedDevices": _table("devices"),
    "NamedLocations": _table("locations"),
    "OAuth2PermissionGrants": _graph("oauth2permissiongrants"),
    "Organization": lambda tenant: [tenants.organisation(tenant)],
    "RiskyUsers": _table("risky"),
    "Roles": _roles,
    "ServicePrincipals": _table("apps"),
    "SharePointSiteListing": lambda tenant: [public(site) for site in tenant.sites.values() if not site["_personal"]],
    "Teams": collaboration.team_rows,
    "Users": lambda tenant: [
        {**public(user), "signInActivity": user["signInActivity"]} for user in tenant.users.values()
    ],
}


@answers("ListDBCache")
def list_cache(call: Call) -> Any:
    """Invoke-ListDBCache.ps1: type names differ from Graph's; an unknown one is an empty list."""
    if not call.asked("tenantFilter"):
        return Answer({"Results": "Error: tenantFilter query parameter is required"}, 400)
    kind = call.asked("type")
    name = next((known for known in TYPES if known.lower() == (kind or "").lower()), None)
    if call.flag("countsOnly"):
        wanted = list(TYPES) if kind in (None, "", "_availableTypes") else [name] if name else []
        return {
            "Results": [
                {
                    "Tenant": tenant.domain,
                    "Type": each,
                    "Count": len(TYPES[each](tenant)),
                    "LastRefresh": tenant.row["LastRefresh"],
                }
                for tenant in call.tenants
                for each in wanted
            ]
        }
    if not kind:
        return Answer({"Results": "Error: type query parameter is required", "AvailableTypes": sorted(TYPES)}, 400)
    if kind == "_availableTypes":
        return {"Results": sorted(TYPES)}
    if name is None:
        return {"Results": []}
    if call.all_tenants:
        return {"Results": [{**row, "Tenant": tenant.domain} for tenant in call.tenants for row in TYPES[name](tenant)]}
    return {"Results": TYPES[name](call.tenant)}
