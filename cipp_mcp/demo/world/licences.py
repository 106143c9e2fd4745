"""Subscriptions of a tenant: what was bought, what is used, until when."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

from cipp_mcp.demo.world import skus
from cipp_mcp.demo.world.groups import readable_type
from cipp_mcp.demo.world.seeds import days_before, guid, source, stamp

if TYPE_CHECKING:
    from cipp_mcp.demo.world.tenant import Tenant


def used(tenant: Tenant) -> dict[str, list[dict[str, Any]]]:
    """The users that hold each product, by product id."""
    found: dict[str, list[dict[str, Any]]] = {}
    for user in tenant.users.values():
        for entry in user["assignedLicenses"]:
            found.setdefault(entry["skuId"], []).append(user)
    return found


def make_owned(tenant: Tenant) -> dict[str, int]:
    """Seats bought, by product id: some to spare, and one product of which a few too many were bought."""
    chance = source(tenant.seed, tenant.number, "licences")
    owned = {}
    for number, (sku_id, users) in enumerate(sorted(used(tenant).items())):
        free = skus.BY_ID[sku_id].part in skus.FREE
        spare = 9999 if free else chance.choice((0, 1, 2, 3)) + (max(2, len(users) // 4) if number == 0 else 0)
        owned[sku_id] = len(users) + spare
    return owned


def licence_rows(tenant: Tenant) -> list[dict[str, Any]]:
    """Rows of the licence overview (Get-CIPPLicenseOverview.ps1): counts are text, as CIPP sends them."""
    holders = used(tenant)
    rows = []
    for sku_id, total in tenant.owned.items():
        sku, users = skus.BY_ID[sku_id], holders.get(sku_id, [])
        groups = [
            {
                "displayName": group["displayName"],
                "calculatedGroupType": readable_type(group),
                "id": group["id"],
                "onPremisesSyncEnabled": False,
            }
            for group in tenant.groups.values()
            if any(entry["skuId"] == sku_id for entry in group["assignedLicenses"])
        ]
        assigned = [
            {name: user[name] for name in ("displayName", "userPrincipalName", "id")}
            for user in sorted(users, key=lambda user: str(user["displayName"]))
        ]
        rows.append(
            {
                "Tenant": tenant.domain,
                "License": sku.name,
                "CountUsed": str(len(users)),
                "CountAvailable": str(total - len(users)),
                "TotalLicenses": str(total),
                "skuId": sku_id,
                "skuPartNumber": sku.name,
                "availableUnits": str(total - len(users)),
                "TermInfo": [_term(tenant, sku_id, total)],
                "AssignedUsers": assigned or None,
                "AssignedGroups": groups or None,
                "ServicePlans": [
                    {"servicePlanName": name, "servicePlanId": plan, "provisioningStatus": "Success"}
                    for name, plan in sku.plans
                ],
            }
        )
    return sorted(rows, key=lambda row: str(row["License"]))


def _term(tenant: Tenant, sku_id: str, total: int) -> dict[str, Any]:
    chance = source(tenant.seed, tenant.number, "term", sku_id)
    days = chance.randrange(5, 360)
    return {
        "Status": "Enabled",
        "Term": chance.choice(("Yearly", "Yearly", "Monthly")),
        "TotalLicenses": total,
        "DaysUntilRenew": days,
        "NextLifecycle": stamp(tenant.today + datetime.timedelta(days=days)),
        "CreatedDateTime": days_before(tenant.today, 365 - days),
        "IsTrial": False,
        "SubscriptionId": guid(tenant.seed, tenant.number, "subscription", sku_id),
        "CSPSubscriptionId": guid(tenant.seed, tenant.number, "csp", sku_id),
        "OCPSubscriptionId": guid(tenant.seed, tenant.number, "ocp", sku_id),
    }


def subscribed_skus(tenant: Tenant) -> list[dict[str, Any]]:
    """Graph's ``subscribedSkus``."""
    holders = used(tenant)
    return [
        {
            "id": f"{tenant.id}_{sku_id}",
            "skuId": sku_id,
            "skuPartNumber": skus.BY_ID[sku_id].part,
            "capabilityStatus": "Enabled",
            "appliesTo": "User",
            "consumedUnits": len(holders.get(sku_id, [])),
            "prepaidUnits": {"enabled": total, "suspended": 0, "warning": 0, "lockedOut": 0},
        }
        for sku_id, total in tenant.owned.items()
    ]
