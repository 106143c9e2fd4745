"""Scheduled tasks, alert rules and the queues behind long answers."""

from __future__ import annotations

from typing import Any

from cipp_mcp.demo.calls import Answer, Call, answers
from cipp_mcp.demo.habits import as_text
from cipp_mcp.demo.powershell import first, label_or_text, text, truthy
from cipp_mcp.demo.world.activity import Row


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
    ids = [part.strip() for part in text(call.given("QueueIds")).split(",") if part.strip()]
    if not ids:
        return Answer({"Results": "Give QueueIds, they are required."}, 400)
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


def look_at(task: Row) -> None:
    """Brings a task that runs one step forward."""
    looks = task.get("_looks")
    if looks is None:
        return
    task["_looks"] = looks - 1
    task["TaskState"] = "Running" if looks > 1 else "Completed"
    if looks <= 1:
        task["Results"] = task["_outcome"]
        del task["_looks"]


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
    key = call.given("Id")
    if key:
        rows = [row for row in rows if row["RowKey"] == key]
    else:
        hidden = call.flag("ShowHidden") or truthy(call.sent("ShowHidden"))
        rows = [row for row in rows if row["Hidden"] == hidden]
        for name, column in (("Name", "Name"), ("Type", "Command")):
            wanted = first(call.asked(name), call.sent(name))
            rows = [row for row in rows if not wanted or row[column] == wanted]
        title = text(call.given("SearchTitle")).strip("*").lower()
        rows = [row for row in rows if title in row["Name"].lower()]
    if call.tenant_name and not call.all_tenants:
        names = (call.tenant.domain, call.tenant.id)
        rows = [row for row in rows if row["Tenant"] in names]
    for row in rows:
        look_at(row)
    return [task_row(row) for row in sorted(rows, key=lambda row: str(row["ScheduledTime"]), reverse=True)]


@answers("ListScheduledItemDetails")
def list_task_details(call: Call) -> Any:
    """Invoke-ListScheduledItemDetails.ps1: JSON made text by the handler."""
    key = call.given("RowKey")
    if not key:
        return Answer("RowKey is missing", 400)
    task = call.state.tasks.get(key)
    if task is None:
        return Answer(f"There is no task '{key}': not found", 404)
    look_at(task)
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
