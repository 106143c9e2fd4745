"""Search across tenants."""

from __future__ import annotations

from typing import Any

from cipp_mcp.demo.calls import Call, answers
from cipp_mcp.demo.world import skus
from cipp_mcp.demo.world.activity import Row


@answers("ExecUniversalSearch")
def search(call: Call) -> Any:
    """Invoke-ExecUniversalSearch.ps1: users by name or UPN over all tenants, five to a tenant."""
    wanted = (call.asked("name") or "").lower()
    rows: list[Row] = []
    for tenant in call.state.visible(call.client.own_tenants):
        hits = [user for user in tenant.users.values() if _fits(user, wanted)][:5]
        names = ("id", "displayName", "userPrincipalName", "mail", "jobTitle", "businessPhones")
        rows += [{"_TenantId": tenant.id, **{name: user[name] for name in names}} for user in hits]
    return rows


@answers("ExecUniversalSearchV2")
def search_cached(call: Call) -> Any:
    """Invoke-ExecUniversalSearchV2.ps1: users, groups, applications or licences."""
    wanted, limit = (call.asked("searchTerms") or "").lower(), int(call.asked("limit") or 10)
    kind = (call.asked("type") or "Users").lower()
    rows: list[Row] = []
    for tenant in call.state.visible(call.client.own_tenants):
        tables: dict[str, tuple[dict[str, Row], tuple[str, ...]]] = {
            "users": (tenant.users, ("id", "userPrincipalName", "displayName")),
            "groups": (tenant.groups, ("id", "displayName", "mail", "mailEnabled", "securityEnabled", "groupTypes")),
            "applications": (tenant.apps, ("id", "appId", "displayName", "publisherName")),
        }
        if kind == "licenses":
            for sku_id, total in tenant.owned.items():
                sku = skus.BY_ID[sku_id]
                data = {"skuId": sku_id, "skuPartNumber": sku.part, "displayName": sku.name, "totalAvailable": total}
                if wanted in sku.name.lower():
                    rows.append(
                        {"Tenant": tenant.domain, "Type": "Licenses", "RowKey": f"Licenses-{sku_id}", "Data": data}
                    )
            continue
        table, names = tables.get(kind, tables["users"])
        title = kind.title() if kind in tables else "Users"
        for row in table.values():
            if _fits(row, wanted):
                data = {name: row[name] for name in names}
                rows.append({"Tenant": tenant.domain, "Type": title, "RowKey": f"{title}-{row['id']}", "Data": data})
    return rows[:limit]


def _fits(row: Row, wanted: str) -> bool:
    found = (row["displayName"], row.get("userPrincipalName"), row.get("mail"))
    return bool(wanted) and any(wanted in str(value or "").lower() for value in found)
