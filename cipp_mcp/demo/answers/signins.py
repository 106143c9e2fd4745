"""Sign-ins: what accounts did, and which of them did nothing for long."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from cipp_mcp.demo.calls import Call, answers
from cipp_mcp.demo.habits import placeholder, single_tenant
from cipp_mcp.demo.world.seeds import parse_stamp, stamp
from cipp_mcp.demo.world.tenant import Row, Tenant


@answers("ListUserSigninLogs")
def list_user_signins(call: Call) -> Any:
    """Invoke-ListUserSigninLogs.ps1: by object id, fifty at most."""
    single_tenant(call)
    rows = [row for row in call.tenant.signins if row["userId"] == call.asked("UserID")]
    return rows[: int(call.asked("top") or 50)]


@answers("ListSignIns")
def list_signins(call: Call) -> Any:
    """Invoke-ListSignIns.ps1."""
    single_tenant(call)
    since = stamp(call.state.today - timedelta(days=float(call.asked("Days") or 7)))
    rows = [row for row in call.tenant.signins if row["createdDateTime"] >= since]
    if call.flag("failedLogonsOnly"):
        rows = [row for row in rows if row["status"]["errorCode"] == 50126]
    threshold = int(call.asked("FailureThreshold") or 0)
    if call.asked("failedLogonsOnly") and threshold:
        counts: dict[str, int] = {}
        for row in rows:
            counts[row["userPrincipalName"]] = counts.get(row["userPrincipalName"], 0) + 1
        rows = [row for row in rows if counts[row["userPrincipalName"]] >= threshold]
    return [
        {
            **row,
            "additionalDetails": row["status"]["additionalDetails"],
            "errorCode": row["status"]["errorCode"],
            "locationcipp": f"{row['location']['city']} - {row['location']['countryOrRegion']}",
        }
        for row in rows
    ]


@answers("ListBasicAuth")
def list_basic_auth(call: Call) -> Any:
    """Invoke-ListBasicAuth.ps1: sign-ins by old protocols."""

    def rows() -> list[Row]:
        return [
            {
                "Tenant": tenant.domain,
                "clientAppUsed": row["clientAppUsed"],
                "userPrincipalName": row["userPrincipalName"],
                "Status": row["status"],
            }
            for tenant in call.tenants
            for row in tenant.signins
            if row["clientAppUsed"] == "IMAP4"
        ]

    if not call.all_tenants:
        return rows()
    waiting = {"MetaData": "Loading data for all tenants, ask again in ten minutes"}
    return placeholder(call, "Basic Auth - All Tenants", waiting, rows)


@answers("ListInactiveAccounts")
def list_inactive(call: Call) -> Any:
    """Invoke-ListInactiveAccounts.ps1: enabled members who have not signed in for 180 days or the number given."""
    days = int(call.asked("InactiveDays") or 180)
    rows = []
    for tenant in call.tenants:
        for user in tenant.users.values():
            if not user["accountEnabled"] or user["userType"] == "Guest":
                continue
            activity = user["signInActivity"] or {}
            seen = [activity[name] for name in ("lastSignInDateTime", "lastNonInteractiveSignInDateTime") if activity]
            idle = (tenant.today - parse_stamp(max(seen))).days if seen else None
            if idle is None or idle >= days:
                rows.append(_inactive(tenant, user, activity, idle))
    return rows


def _inactive(tenant: Tenant, user: Row, activity: Row, idle: int | None) -> Row:
    return {
        "tenantId": tenant.domain,
        "tenantDisplayName": tenant.name,
        "azureAdUserId": user["id"],
        "userPrincipalName": user["userPrincipalName"],
        "displayName": user["displayName"],
        "userType": user["userType"],
        "createdDateTime": user["createdDateTime"],
        "lastSignInDateTime": activity.get("lastSignInDateTime"),
        "lastNonInteractiveSignInDateTime": activity.get("lastNonInteractiveSignInDateTime"),
        "lastRefreshedDateTime": stamp(tenant.today),
        "numberOfAssignedLicenses": len(user["assignedLicenses"]),
        "daysSinceLastSignIn": idle,
        "accountEnabled": user["accountEnabled"],
        "Tenant": tenant.domain,
    }
