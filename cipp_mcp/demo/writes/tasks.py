"""The scheduler and the rules that raise alerts."""

from __future__ import annotations

import datetime
import re
from typing import Any

from cipp_mcp.demo.calls import Answer, Call, answers, results
from cipp_mcp.demo.powershell import first, is_true, label_or_text, member, plain, rows, text, truthy
from cipp_mcp.demo.world.seeds import stamp
from cipp_mcp.demo.world.tenant import Row
from cipp_mcp.demo.writes.common import fresh

# Anything that is spelt like one of CIPP's functions passes for one.
_COMMAND = re.compile(r"^[A-Za-z]+-CIPP[A-Za-z0-9]+$", re.IGNORECASE)
_BLOCKED = re.compile(
    r"^(Get-CIPPAuthentication|Get-GraphToken|Get-CIPPAzIdentityToken|New-CIPPAPIConfig)$", re.IGNORECASE
)
_OPERATORS = frozenset("eq ne like notlike match notmatch gt lt ge le in notin contains notcontains".split())


def add_task(call: Call, task: Row) -> Row:
    """Puts a task into the table (Add-CIPPScheduledTask.ps1)."""
    key = task.get("RowKey") or fresh(call, "task", task["Name"])
    seconds = str(task.get("ScheduledTime") or "0")
    when = call.state.today if not seconds.isdigit() or int(seconds) == 0 else None
    moment = when or datetime.datetime.fromtimestamp(int(seconds), datetime.UTC)
    row = {
        "PartitionKey": "ScheduledTask",
        "TaskState": "Planned",
        "Recurrence": "0",
        "PostExecution": "",
        "Hidden": False,
        "Trigger": None,
        "Reference": None,
        "Results": "Planned",
        "excludedTenants": "",
        "AlertComment": "",
        "ExecutedTime": None,
        "Timestamp": stamp(call.state.today),
        **task,
        "RowKey": key,
        "ScheduledTime": stamp(moment),
    }
    call.state.tasks[key] = row
    call.state.log(call.endpoint, f"Planned {row['Name']}, {key}")
    return row


def added(task: Row) -> str:
    """The scheduler's answer to a task that waits."""
    return f"Successfully planned {task['Name']}, due within a quarter of an hour."


def run_now(call: Call, task: Row, outcome: Any = None) -> str:
    """Lets a task run: it is done after a number of looks at it."""
    task["TaskState"] = "Planned"
    task["_looks"] = call.state.queue_polls
    task["_outcome"] = outcome if outcome is not None else [f"{task['Name']} has run"]
    return f"{task['Name']} starts now"


@answers("AddScheduledItem", "AddScriptedAlert")
def add_scheduled_item(call: Call) -> Any:
    """Invoke-AddScheduledItem.ps1: always 200; hidden counts by its presence in the query alone.

    Invoke-AddScriptedAlert.ps1 hands its body on to it as a hidden task; of several tenants it makes AllTenants.
    """
    alert = call.endpoint == "AddScriptedAlert"
    tenants = rows(call.sent("tenantFilter"))
    tenant = "AllTenants" if len(tenants) > 1 and alert else text(label_or_text(tenants[0] if tenants else None))
    key = text(call.sent("RowKey"))
    known = call.state.tasks.get(key)
    runs = is_true(call.sent("RunNow"))
    if known is not None and runs:
        return results(run_now(call, known))
    asked_hidden = alert or call.asked("hidden") is not None
    hidden = asked_hidden or (known is not None and bool(known["Hidden"]))
    name = text(call.sent("Name"))
    unique = call.given("DisallowDuplicateName")
    open_names = [
        task["Name"] for task in call.state.tasks.values() if task["TaskState"] not in ("Completed", "Failed")
    ]
    if truthy(unique) and name in open_names:
        return results(f"A task {name} already exists")
    command = text(label_or_text(call.sent("Command")))
    if not _COMMAND.match(command):
        return results(f"Error - '{command}' is no command of CIPP.")
    if _BLOCKED.match(command):
        return results(f"Error - '{command}' is not allowed here.")
    wanted = [word for word in ("Webhook", "Email", "PSA") if is_true(call.sent("PostExecution", word))]
    posts = wanted or [text(entry) for entry in rows(call.sent("PostExecution", "value"))]
    task = add_task(
        call,
        {
            "RowKey": key or None,
            "Name": name,
            "Command": command,
            "Tenant": tenant,
            "Parameters": plain(call.sent("Parameters") or {}),
            "ScheduledTime": text(first(call.sent("DesiredStartTime"), call.sent("ScheduledTime"))),
            "Recurrence": text(label_or_text(call.sent("Recurrence"))) or "0",
            "PostExecution": ",".join(posts),
            "Hidden": hidden,
            "Reference": call.sent("Reference"),
            "Trigger": plain(call.sent("Trigger")),
            "AlertComment": text(call.sent("AlertComment")),
            "excludedTenants": ",".join(text(member(entry, "value")) for entry in rows(call.sent("excludedTenants"))),
        },
    )
    return results(run_now(call, task) if runs else added(task))


@answers("RemoveScheduledItem")
def remove_scheduled_item(call: Call) -> Any:
    """Invoke-RemoveScheduledItem.ps1 says the same whether there was such a task or not."""
    call.state.tasks.pop(text(call.asked("id") or call.sent("id")), None)
    return results("Successfully removed the task.")


@answers("AddAlert")
def add_alert(call: Call) -> Any:
    """Invoke-AddAlert.ps1: a rule over audit logs, or the change of one when RowKey is sent."""
    for condition in rows(call.sent("conditions")):
        operator = text(member(condition, "Operator", "value"))
        if operator and operator.lower() not in _OPERATORS:
            return Answer({"error": f"Invalid operator: {operator}"}, 400)
        name = text(member(condition, "Property", "label"))
        if name and not re.fullmatch(r"[a-zA-Z0-9_.]+", name):
            return Answer({"error": f"Invalid property name: {name}"}, 400)
    key = text(call.sent("RowKey")) or fresh(call, "alert")
    tenants = rows(plain(call.sent("tenantFilter")))
    empty = {"label": None, "value": None}
    call.state.webhook_rules[key] = {
        "PartitionKey": "Webhookv2",
        "RowKey": key,
        "Tenants": [entry if isinstance(entry, dict) else {"label": None, "value": entry} for entry in tenants],
        "Conditions": [
            {
                "Property": plain(member(condition, "Property")) or empty,
                "Operator": plain(member(condition, "Operator")) or empty,
                "Input": plain(member(condition, "Input"))
                if isinstance(plain(member(condition, "Input")), dict)
                else empty,
            }
            for condition in rows(call.sent("conditions"))
        ],
        "Actions": [
            {"label": text(member(entry, "label")), "value": member(entry, "value")}
            for entry in rows(call.sent("actions"))
        ],
        "type": text(member(call.sent("logbook"), "value")),
        "AlertComment": text(call.sent("AlertComment")),
        "excludedTenants": rows(plain(call.sent("excludedTenants"))),
    }
    told = f"Made an audit-log alert for {len(tenants)} tenants; Microsoft may take hours to send the first."
    return results([told])


@answers("RemoveQueuedAlert")
def remove_alert(call: Call) -> Any:
    """Invoke-RemoveQueuedAlert.ps1: the kind of event decides the table."""
    key = text(call.given("ID"))
    kind = text(call.given("EventType"))
    table: dict[str, Row] = call.state.webhook_rules if kind.lower() == "audit log alert" else call.state.tasks
    if table.pop(key, None) is None:
        return results(f"Failed to remove the alert {key}: not found.", 500)
    return results(f"Successfully removed the alert {key}")
