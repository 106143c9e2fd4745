"""What is done about an attack: the account is locked, alerts and incidents are worked on."""

from __future__ import annotations

from typing import Any

from cipp_mcp.demo.calls import Call, answers, results
from cipp_mcp.demo.powershell import member, text, to_boolean
from cipp_mcp.demo.world.seeds import stamp
from cipp_mcp.demo.world.tenant import Row
from cipp_mcp.demo.writes.common import Failed, done, fail, password, user_of


@answers("ExecBECRemediate")
def remediate(call: Call) -> Any:
    """Invoke-ExecBECRemediate.ps1: every step tells of itself with a state; the new password is among them."""
    name, tenant = text(call.sent("username")), call.tenant
    try:
        user = user_of(tenant, name)
    except Failed as error:
        steps = ("reset password", "disable account", "revoke sessions", "remove MFA methods", "process inbox rules")
        return results([{"resultText": f"Failed: could not {step}: {error}", "state": "error"} for step in steps])
    secret = user["_password"] = password(call)
    user["lastPasswordChangeDateTime"] = stamp(call.state.today)
    user["accountEnabled"] = False
    user["_revoked"] = user.get("_revoked", 0) + 1
    told = f"Successfully gave {name} a new password."
    steps_done: list[Row] = [
        {"resultText": f"{told} It is {secret}", "copyField": secret, "state": "success"},
        {"resultText": f"Successfully blocked sign-in of {name}", "state": "success"},
        {"resultText": f"Successfully ended all sessions of {name}", "state": "success"},
    ]
    methods = tenant.mfa[user["id"]]["methods"]
    if methods:
        told = f"Successfully removed the MFA methods {', '.join(methods)} of {name}."
        steps_done.append({"resultText": told, "state": "success"})
    else:
        steps_done.append({"resultText": f"{name} has no MFA methods", "state": "info"})
    tenant.mfa[user["id"]]["methods"] = []
    box = tenant.mailboxes.get(user["id"])
    rules = box.rules if box else []
    for rule in rules:
        rule["Enabled"] = False
    found = f"Successfully switched off {len(rules)} inbox rules of {name}" if rules else f"{name} has no inbox rules."
    steps_done.append({"resultText": found, "state": "success" if rules else "info"})
    steps_done.append({"resultText": f"Successfully set OneDrive sharing of {name} to Disabled", "state": "success"})
    call.state.log(call.endpoint, f"Locked the account {name}", tenant)
    return results(steps_done)


@answers("ExecSetSecurityIncident")
def set_incident(call: Call) -> Any:
    """Invoke-ExecSetSecurityIncident.ps1: a severity counts as a label object only; redirected incidents are refused."""
    key = text(call.sent("GUID"))
    if int(text(call.sent("Redirected")) or 0) >= 1:
        return results(f"Refused: {key} is merged into another incident")
    incident = call.tenant.incidents.get(key)
    kind, finding = call.sent("Classification"), call.sent("Determination")
    if incident is None or (kind is not None and finding is None):
        raise fail(f"Failed to change the incident {key}: {'not found' if incident is None else 'ScriptHalted'}")
    changes = {"status": call.sent("Status"), "severity": member(call.sent("Severity"), "value")}
    if kind is not None:
        changes |= {"classification": kind, "determination": finding}
    if to_boolean(call.sent("AssignToSelf")):
        changes["assignedTo"] = call.client.name
    given = {name: value for name, value in changes.items() if value is not None}
    incident |= {**given, "lastUpdateDateTime": stamp(call.state.today)}
    told = ", ".join(f"{name} to {value}" for name, value in given.items())
    return done(call, f"Incident {key}: {told}", call.tenant)


@answers("ExecSetSecurityAlert", "ExecSetMdoAlert")
def set_alert(call: Call) -> Any:
    """Invoke-ExecSetSecurityAlert.ps1 and Invoke-ExecSetMdoAlert.ps1."""
    key, status = text(call.given("GUID")), call.given("Status")
    alert = call.tenant.alerts.get(key)
    if alert is None:
        raise fail(f"Failed to change the alert {key}: not found")
    alert |= {"status": status} if status is not None else {}
    if call.endpoint == "ExecSetMdoAlert":
        for name in ("Classification", "Determination"):
            if call.given(name) is not None:
                alert[name.lower()] = call.given(name)
        alert["assignedTo"] = text(call.given("Assigned")) or call.client.name
        return done(call, f"Alert {key} is now {text(status)}", call.tenant)
    return done(call, f"Alert {key} is now {text(status)}", call.tenant)
