"""Defender's incidents and alerts."""

from __future__ import annotations

from typing import Any

from cipp_mcp.demo.calls import Call, answers
from cipp_mcp.demo.habits import queued
from cipp_mcp.demo.world.tenant import Row, Tenant


def _incident(tenant: Tenant, row: Row) -> Row:
    return {
        "Tenant": tenant.domain,
        "Id": row["id"],
        "Status": row["status"],
        "IncidentUrl": row["incidentWebUrl"],
        "RedirectId": row["redirectIncidentId"],
        "DisplayName": row["displayName"],
        "Created": row["createdDateTime"],
        "Updated": row["lastUpdateDateTime"],
        "AssignedTo": row["assignedTo"],
        "Classification": row["classification"],
        "Determination": row["determination"],
        "Severity": row["severity"],
        "Tags": ", ".join(row["tags"]),
        "Comments": row["comments"],
    }


@answers("ExecIncidentsList")
def list_incidents(call: Call) -> Any:
    """Invoke-ExecIncidentsList.ps1: dates are eight digits."""
    begin, end = call.asked("StartDate") or "", call.asked("EndDate") or "99999999"

    def rows() -> list[Row]:
        found = [_incident(tenant, row) for tenant in call.tenants for row in tenant.incidents.values()]
        kept = [row for row in found if begin <= row["Created"][:10].replace("-", "") <= end]
        return sorted(kept, key=lambda row: str(row["Id"]), reverse=True)

    if call.all_tenants:
        return queued(call, "Incidents - All Tenants", rows)
    return {"Results": rows(), "Metadata": None}


def _alert(tenant: Tenant, row: Row) -> Row:
    return {
        "Tenant": tenant.domain,
        "GUID": None,
        "Id": row["id"],
        "Title": row["title"],
        "Category": row["category"],
        "EventDateTime": row["eventDateTime"],
        "Severity": row["severity"],
        "Status": row["status"],
        "RawResult": row,
        "InvolvedUsers": row["userStates"],
    }


@answers("ExecAlertsList")
def list_alerts(call: Call) -> Any:
    """Invoke-ExecAlertsList.ps1: counts with the alerts inside them, in a list of one."""

    def rows() -> list[Row]:
        found = [_alert(tenant, row) for tenant in call.tenants for row in tenant.alerts.values()]
        found.sort(key=lambda row: str(row["EventDateTime"]), reverse=True)
        live = [row for row in found if row["Status"] in ("newAlert", "inProgress")]
        counts = {
            f"Severity{level.title()}{'' if level == 'informational' else 'Alerts'}Count": sum(
                row["Severity"] == level for row in live
            )
            for level in ("high", "medium", "low", "informational")
        }
        new = sum(row["Status"] == "newAlert" for row in found)
        return [{"NewAlertsCount": new, "InProgressAlertsCount": len(live) - new, **counts, "MSResults": found}]

    if call.all_tenants:
        return queued(call, "Alerts List - All Tenants", rows)
    return {"Results": rows(), "Metadata": {}}


@answers("ExecMDOAlertsList")
def list_mail_alerts(call: Call) -> Any:
    """Invoke-ExecMdoAlertsList.ps1."""

    def rows() -> list[Row]:
        return [
            {**row, "Tenant": tenant.domain}
            for tenant in call.tenants
            for row in tenant.alerts.values()
            if row["serviceSource"] == "microsoftDefenderForOffice365"
        ]

    if call.all_tenants:
        return queued(call, "MDO Alerts - All Tenants", rows)
    return {"Results": rows(), "Metadata": None}
