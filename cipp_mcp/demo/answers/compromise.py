"""The check for a compromised account, and accounts that are administrators for a while."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from cipp_mcp.demo.calls import Call, answers
from cipp_mcp.demo.habits import as_text, queued
from cipp_mcp.demo.world.groups import public
from cipp_mcp.demo.world.seeds import stamp
from cipp_mcp.demo.world.tenant import Row, Tenant


@answers("ListJITAdmin")
def list_jit_admin(call: Call) -> Any:
    """Invoke-ListJITAdmin.ps1: for one tenant at once, for all of them by way of a queue."""

    def rows() -> list[Row]:
        return [
            {"Tenant": tenant.domain, **row} if call.all_tenants else row
            for tenant in call.tenants
            for row in tenant.jit_admins.values()
        ]

    if call.all_tenants:
        return queued(call, "JIT Admin List - All Tenants", rows)
    return {"Results": rows(), "Metadata": {"Method": "BulkRequest"}}


@answers("ExecBECCheck")
def check_compromise(call: Call) -> Any:
    """Invoke-ExecBECCheck.ps1: the first call starts the check and tells a GUID; ask with it until it is ready."""
    key = call.asked("userid") or call.asked("GUID")
    checks = call.state.compromise_checks
    if key not in checks or call.flag("overwrite"):
        checks[key] = 0
        return {"GUID": call.asked("userid")}
    if not call.asked("GUID"):
        return {"GUID": call.asked("userid")}
    checks[key] += 1
    if checks[key] <= call.state.queue_polls:
        return {"Waiting": True}
    found = next(((tenant, user) for tenant in call.state.tenants if (user := tenant.user(key))), None)
    if found is None:
        return {"Waiting": True}
    tenant, user = found
    box = tenant.mailboxes.get(user["id"])
    week = stamp(tenant.today - timedelta(days=7))
    # The stored result is JSON as text, and goes out as such.
    return as_text(_findings(tenant, user, box.rules if box else [], week))


def _findings(tenant: Tenant, user: Row, rules: list[Row], week: str) -> Row:
    return {
        "AddedApps": [],
        "SuspectUserMailboxLogons": [],
        "LastSuspectUserLogon": [row for row in tenant.signins if row["userId"] == user["id"]][:10],
        "SuspectUserDevices": [],
        "NewRules": rules,
        "InboxRuleChanges": [],
        "SentMessages": [row for row in tenant.trace if row["SenderAddress"] == user["userPrincipalName"]][:50],
        "MailboxPermissionChanges": [],
        "NewUsers": [
            {name: row[name] for name in ("userPrincipalName", "displayName", "createdDateTime", "id")}
            for row in tenant.users.values()
            if row["createdDateTime"] >= week
        ],
        "MFADevices": [{"@odata.type": f"#{name}"} for name in tenant.mfa[user["id"]]["methods"]],
        "ChangedPasswords": [
            {name: row[name] for name in ("displayName", "userPrincipalName", "lastPasswordChangeDateTime")}
            for row in tenant.users.values()
            if row["lastPasswordChangeDateTime"] >= week
        ],
        "IntuneDevices": [public(row) for row in tenant.devices.values() if row["userId"] == user["id"]],
        "ExtractResult": "Successfully extracted logs from auditlog",
        "ExtractedAt": stamp(tenant.today),
    }
