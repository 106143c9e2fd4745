"""CIPP itself: versions, queues, logs, scheduled tasks, alerts, search."""

from __future__ import annotations

from typing import Any

from cipp_mcp.demo.calls import Call, answers
from cipp_mcp.demo.catalogue import FLAGGED
from cipp_mcp.demo.powershell import first

VERSION = "10.8.2"


@answers("GetVersion")
def get_version(call: Call) -> Any:
    """Invoke-GetVersion.ps1."""
    return {
        "LocalCIPPVersion": call.asked("LocalVersion"),
        "RemoteCIPPVersion": VERSION,
        "LocalCIPPAPIVersion": VERSION,
        "RemoteCIPPAPIVersion": VERSION,
        "OutOfDateCIPP": bool(call.asked("LocalVersion")) and call.asked("LocalVersion") != VERSION,
        "OutOfDateCIPPAPI": False,
    }


@answers("GetCippAlerts")
def get_alerts(call: Call) -> Any:
    """Invoke-GetCippAlerts.ps1."""
    return [
        {"title": "Demo data", "Alert": "Nothing here is real.", "link": "", "type": "info", "setupCompleted": True}
    ]


@answers("PublicPing")
def ping(call: Call) -> Any:
    """Invoke-PublicPing.ps1."""
    return {"Message": "pong", "RequestHeaders": {}}


@answers("ListApiTest")
def api_test(call: Call) -> Any:
    """Invoke-ListApiTest.ps1 echoes the request, its token included."""
    limited = call.client.own_tenants is not None
    tenants = [tenant.id for tenant in call.state.visible(call.client.own_tenants)] if limited else None
    headers = {"authorization": "Bearer not-a-real-token", "x-ms-client-principal-name": call.client.client_id}
    request = {"Headers": headers, "Query": dict(call.query), "Body": None, "Params": {"CIPPEndpoint": call.endpoint}}
    return {
        "Request": request,
        "TriggerMetadata": {"Headers": headers, "InvocationId": call.client.client_id},
        "AllowedTenants": tenants,
        "AllowedGroups": None,
        "RequestContext": {"AllowedTenants": tenants, "AllowedGroups": None},
    }


@answers("ListLogs")
def list_logs(call: Call) -> Any:
    """Invoke-ListLogs.ps1: today's entries, unless Filter=true asks for others."""
    logs = call.state.logs
    if call.asked("ListLogs"):
        days = sorted({row["DateFilter"] for row in logs})
        return [{"value": day, "label": day} for day in days]
    if call.asked("logentryid"):
        return [row for row in logs if row["RowKey"] == call.asked("logentryid")]
    today = logs[0]["DateFilter"]
    visible = {tenant.domain for tenant in call.state.visible(call.client.own_tenants)} | {"None", "CIPP"}
    rows = [row for row in logs if row["Tenant"] in visible]
    if not call.flag("Filter"):
        return [row for row in rows if row["DateFilter"] == today]
    begin = first(call.asked("StartDate"), call.asked("DateFilter")) or today
    end = first(call.asked("EndDate"), call.asked("DateFilter")) or (begin if begin != today else today)
    rows = [row for row in rows if begin <= row["DateFilter"] <= end]
    levels = [level.lower() for level in (call.asked("Severity") or "").split(",") if level]
    tenant = (call.asked("Tenant") or "").lower()
    if levels:
        rows = [row for row in rows if row["Severity"].lower() in levels]
    if tenant and tenant != "alltenants":
        rows = [row for row in rows if tenant in row["Tenant"].lower() or tenant == row["TenantID"]]
    for name, column in (("API", "API"), ("User", "User")):
        wanted = (call.asked(name) or "").strip("*").lower()
        rows = [row for row in rows if wanted in row[column].lower()]
    return rows


@answers("ListAuditLogs")
def list_audit_logs(call: Call) -> Any:
    """Invoke-ListAuditLogs.ps1."""
    tenants = call.tenants if call.tenant_name else call.state.visible(call.client.own_tenants)
    rows = [row for tenant in tenants for row in tenant.audit_logs]
    key = call.asked("LogId")
    rows = sorted(
        (row for row in rows if not key or row["LogId"] == key), key=lambda row: str(row["Timestamp"]), reverse=True
    )
    return {"Results": rows, "Metadata": {"Count": len(rows), "Filter": ""}}


@answers("ListFeatureFlags")
def list_flags(call: Call) -> Any:
    """Invoke-ListFeatureFlags.ps1."""
    rows = []
    for why in sorted(set(FLAGGED.values())):
        names = [name for name in FLAGGED if FLAGGED[name] == why]
        row = {"Id": names[0], "Name": names[0], "Description": why, "Enabled": False, "AllowUserToggle": True}
        rows.append({**row, "Endpoints": names, "Pages": [], "Timers": [], "Hidden": False})
    return rows
