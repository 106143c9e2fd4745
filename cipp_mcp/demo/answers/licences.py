"""Licences: the overview, the report, the distributor's subscriptions."""

from __future__ import annotations

import datetime
from typing import Any

from cipp_mcp.demo.calls import Answer, Call, answers
from cipp_mcp.demo.habits import placeholder, queued
from cipp_mcp.demo.world import skus
from cipp_mcp.demo.world.licences import licence_rows
from cipp_mcp.demo.world.seeds import days_before, guid, source, stamp
from cipp_mcp.demo.world.tenant import Row


@answers("ListLicenses")
def list_licences(call: Call) -> Any:
    """Invoke-ListLicenses.ps1: a made-up row for all tenants until the cache is filled."""

    def rows() -> list[Row]:
        return [row for tenant in call.tenants for row in licence_rows(tenant)]

    if not call.all_tenants:
        return rows()
    text = "Loading data for all tenants, ask again in a minute"
    return placeholder(call, "Licenses (All Tenants)", {"Tenant": text, "License": text}, rows)


@answers("ListLicensesReport")
def list_licences_report(call: Call) -> Any:
    """Invoke-ListLicensesReport.ps1: the same rows in an envelope, without the term's name."""

    def rows() -> list[Row]:
        found = [row for tenant in call.tenants for row in licence_rows(tenant)]
        for row in found:
            row["TermInfo"] = [
                {name: value for name, value in term.items() if name != "Term"} for term in row["TermInfo"]
            ]
        return found

    if call.all_tenants:
        return queued(call, "Licenses (All Tenants)", rows, flagged=True)
    return {"Results": rows(), "Metadata": {}}


@answers("ListCSPLicenses")
def list_csp_licences(call: Call) -> Any:
    """Invoke-ListCSPLicenses.ps1 with the Sherweb integration mapped."""
    if call.all_tenants:
        return Answer(["Unable to retrieve CSP licenses; the tenant is not mapped to a Sherweb customer."], 400)
    tenant = call.tenant
    rows = []
    for sku_id, total in tenant.owned.items():
        sku, chance = skus.BY_ID[sku_id], source(tenant.seed, tenant.number, "csp", sku_id)
        if sku.part in skus.FREE:
            continue
        renewal = stamp(tenant.today + datetime.timedelta(days=chance.randrange(10, 360)))
        rows.append(
            {
                "id": guid(tenant.seed, tenant.number, "sherweb", sku_id),
                "productName": sku.name,
                "sku": f"CFQ7TTC0{chance.randrange(1000, 9999)}:0001_P1Y_MO",
                "quantity": total,
                "purchaseDate": days_before(tenant.today, chance.uniform(100, 800)),
                "billingCycle": "Monthly",
                "commitmentTerm": {
                    "type": "Yearly",
                    "termEndDate": renewal,
                    "renewalConfiguration": {"renewalDate": renewal, "scheduledQuantity": total},
                },
            }
        )
    return rows
