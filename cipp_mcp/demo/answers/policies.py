"""Conditional access and named locations."""

from __future__ import annotations

import json
from typing import Any

from cipp_mcp.demo.calls import Call, answers
from cipp_mcp.demo.habits import queued, single_tenant
from cipp_mcp.demo.world.tenant import Row, Tenant


def location_row(location: Row) -> Row:
    ranges = ", ".join(entry["cidrAddress"] for entry in location.get("ipRanges", []))
    return {**location, "rangeOrLocation": ranges or ", ".join(location.get("countriesAndRegions", []))}


@answers("ListNamedLocations")
def list_named_locations(call: Call) -> Any:
    """Invoke-ListNamedLocations.ps1."""
    single_tenant(call)
    return [location_row(location) for location in call.tenant.locations.values()]


def _lines(names: list[str]) -> str:
    # Out-String ends every line, which is why these columns are never quite empty.
    return "\r\n".join(names) + "\r\n" if names else ""


def ca_row(tenant: Tenant, policy: Row) -> Row:
    """A policy with names for ids (Invoke-ListConditionalAccessPolicies.ps1)."""
    conditions, grant = policy["conditions"], policy["grantControls"] or {}
    users, apps, places = conditions["users"], conditions["applications"], conditions["locations"] or {}
    known = {key: row["displayName"] for key, row in (tenant.users | tenant.groups | tenant.locations).items()}

    def named(ids: list[str]) -> list[str]:
        return [known.get(key, key) for key in ids]

    platforms = conditions.get("platforms") or {}
    return {
        "id": policy["id"],
        "displayName": policy["displayName"],
        "customer": None,
        "Tenant": tenant.domain,
        "createdDateTime": policy["createdDateTime"],
        "modifiedDateTime": policy["modifiedDateTime"],
        "state": policy["state"],
        "clientAppTypes": ",".join(conditions["clientAppTypes"]),
        "includePlatforms": ",".join(platforms.get("includePlatforms", [])),
        "excludePlatforms": ",".join(platforms.get("excludePlatforms", [])),
        "includeLocations": ",".join(named(places.get("includeLocations", []))),
        "excludeLocations": ",".join(named(places.get("excludeLocations", []))),
        "includeApplications": ",".join(apps["includeApplications"]),
        "excludeApplications": ",".join(apps["excludeApplications"]),
        "includeUserActions": "",
        "includeAuthenticationContextClassReferences": "",
        **{name: _lines(named(users[name])) for name in users},
        "grantControlsOperator": grant.get("operator", ""),
        "builtInControls": ",".join(grant.get("builtInControls", [])),
        "customAuthenticationFactors": "",
        "termsOfUse": "",
        "rawjson": json.dumps(policy),
    }


@answers("ListConditionalAccessPolicies")
def list_ca_policies(call: Call) -> Any:
    """Invoke-ListConditionalAccessPolicies.ps1."""

    def rows() -> list[Row]:
        found = [ca_row(tenant, policy) for tenant in call.tenants for policy in tenant.ca_policies.values()]
        return sorted(found, key=lambda row: str(row["id"]), reverse=True)

    if call.all_tenants:
        return queued(call, "Conditional Access Policies - All Tenants", rows)
    return {"Results": rows(), "Metadata": None}
