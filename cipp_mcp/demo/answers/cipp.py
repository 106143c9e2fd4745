"""CIPP itself: versions, queues, logs, scheduled tasks, alerts, search."""

from __future__ import annotations

from typing import Any

from cipp_mcp.demo.calls import Answer, Call, answers
from cipp_mcp.demo.catalogue import FLAGGED
from cipp_mcp.demo.habits import as_text
from cipp_mcp.demo.powershell import first, label_or_text, text, truthy
from cipp_mcp.demo.world import skus
from cipp_mcp.demo.world.activity import Row

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
    """Invoke-ListApiTest.ps1 echoes the request."""
    tenants = [tenant.id for tenant in call.state.visible(call.client.own_tenants)]
    every = call.client.own_tenants is None
    return {
        "AllowedTenants": ["AllTenants"] if every else tenants,
        "AllowedGroups": ["AllGroups"],
        "Headers": {},
        "EnvironmentVariables": {},
    }


@answers("ListCippQueue")
def list_queue(call: Call) -> Any:
    """Invoke-ListCippQueue.ps1: each look at a queue brings it forward."""
    wanted, reference = call.asked("QueueId"), call.asked("Reference")
    rows = []
    for queue in call.state.queues.all():
        if (not wanted or queue.id == wanted) and (not reference or queue.reference == reference):
            queue.look()
            rows.append(queue.row())
    return rows[::-1]


@answers("ListCippQueues")
def list_queues(call: Call) -> Any:
    """Invoke-ListCippQueues.ps1."""
    ids = [part.strip() for part in text(call.either("QueueIds")).split(",") if part.strip()]
    if not ids:
        return Answer({"Results": "QueueIds is required."}, 400)
    found, missing = [], []
    for key in ids:
        queue = call.state.queues.get(key)
        if queue is None:
            missing.append(key)
        else:
            queue.look()
            found.append(queue.row())
    done = [row for row in found if row["Status"] == "Completed"]
    total, completed = sum(row["TotalTasks"] for row in found), sum(row["CompletedTasks"] for row in found)
    running = len(found) - len(done)
    return {
        "Queues": found,
        "MissingQueueIds": missing,
        "Summary": {
            "TotalQueues": len(ids),
            "FoundQueues": len(found),
            "CompletedQueues": len(done),
            "RunningQueues": running,
            "FailedQueues": 0,
            "TotalTasks": total,
            "CompletedTasks": completed,
            "RunningTasks": running,
            "FailedTasks": 0,
            "PercentComplete": round(100 * completed / total, 1) if total else 0,
            "IsComplete": running == 0,
            "Status": "Running" if running else "Completed" if found else "Not found",
        },
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


def task_row(task: Row) -> Row:
    """A task as the list shows it: the tenant as a label object, the recurrence never empty."""
    row = {name: value for name, value in task.items() if name[0] != "_"}
    tenant = task["Tenant"] or "None"
    row["Tenant"] = {"label": tenant, "value": tenant, "type": "Tenant"} if tenant != "None" else "None"
    row["Recurrence"] = "Once" if str(task["Recurrence"]) in ("", "0", "None") else task["Recurrence"]
    return row


@answers("ListScheduledItems")
def list_tasks(call: Call) -> Any:
    """Invoke-ListScheduledItems.ps1: hidden tasks or the others, never both, unless one is asked for by id."""
    rows = list(call.state.tasks.values())
    key = first(call.asked("Id"), call.sent("Id"))
    if key:
        rows = [row for row in rows if row["RowKey"] == key]
    else:
        hidden = call.flag("ShowHidden") or truthy(call.sent("ShowHidden"))
        rows = [row for row in rows if row["Hidden"] == hidden]
        for name, column in (("Name", "Name"), ("Type", "Command")):
            wanted = first(call.asked(name), call.sent(name))
            rows = [row for row in rows if not wanted or row[column] == wanted]
        title = text(first(call.asked("SearchTitle"), call.sent("SearchTitle"))).strip("*").lower()
        rows = [row for row in rows if title in row["Name"].lower()]
    if call.tenant_name and not call.all_tenants:
        names = (call.tenant.domain, call.tenant.id)
        rows = [row for row in rows if row["Tenant"] in names]
    return [task_row(row) for row in sorted(rows, key=lambda row: str(row["ScheduledTime"]), reverse=True)]


@answers("ListScheduledItemDetails")
def list_task_details(call: Call) -> Any:
    """Invoke-ListScheduledItemDetails.ps1: JSON made text by the handler."""
    key = first(call.asked("RowKey"), call.sent("RowKey"))
    if not key:
        return Answer("Required parameter 'RowKey' is missing", 400)
    task = call.state.tasks.get(key)
    if task is None:
        return Answer(f"Task with RowKey '{key}' not found", 404)
    done = task["Results"]
    results = [] if done is None else done if isinstance(done, list) else [done]
    detail = {"Timestamp": task["Timestamp"], "Tenant": task["Tenant"], "Results": results}
    return as_text({"Task": task_row(task), "Details": [detail]})


@answers("ListAlertsQueue")
def list_alerts(call: Call) -> Any:
    """Invoke-ListAlertsQueue.ps1: audit-log rules and scripted alerts in one list, as text."""
    rows = []
    for rule in call.state.webhook_rules.values():
        parts = [
            f"When {part['Property']['label']} is {part['Operator']['label']} {part['Input'].get('value')}"
            for part in rule["Conditions"]
        ]
        rows.append(
            {
                "Tenants": [label_or_text(entry.get("label")) for entry in rule["Tenants"]],
                "Conditions": " and ".join(parts),
                "excludedTenants": rule["excludedTenants"],
                "Actions": ",".join(str(action["label"]) for action in rule["Actions"]),
                "LogType": rule["type"],
                "EventType": "Audit log Alert",
                "RowKey": rule["RowKey"],
                "PartitionKey": rule["PartitionKey"],
                "RepeatsEvery": "When received",
                "AlertComment": rule["AlertComment"],
                "RawAlert": rule,
            }
        )
    for task in call.state.tasks.values():
        if task["Hidden"] and task["Command"].lower().startswith("get-cippalert"):
            rows.append(
                {
                    "RowKey": task["RowKey"],
                    "PartitionKey": task["PartitionKey"],
                    "excludedTenants": [name for name in task["excludedTenants"].split(",") if name],
                    "Tenants": [{"label": task["Tenant"], "value": task["Tenant"], "type": "Tenant"}],
                    "Conditions": task["Name"],
                    "Actions": task["PostExecution"],
                    "LogType": "Scripted",
                    "EventType": "Scheduled Task",
                    "RepeatsEvery": task["Recurrence"],
                    "AlertComment": task.get("AlertComment"),
                    "RawAlert": task,
                    "ScriptName": None,
                }
            )
    return as_text(rows)


@answers("ListFeatureFlags")
def list_flags(call: Call) -> Any:
    """Invoke-ListFeatureFlags.ps1."""
    return [
        {
            "Id": why.split(".")[0],
            "Enabled": False,
            "Description": why,
            "Endpoints": [name for name in FLAGGED if FLAGGED[name] == why],
        }
        for why in sorted(set(FLAGGED.values()))
    ]


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
