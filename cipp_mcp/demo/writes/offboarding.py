"""Offboarding: a task for each leaver, whose steps are carried out at once."""

from __future__ import annotations

from typing import Any

from cipp_mcp.demo.calls import Answer, Call, Refused, answers, results
from cipp_mcp.demo.powershell import first, is_true, label_or_text, plain, rows, text, truthy
from cipp_mcp.demo.world.mail import out_of_office
from cipp_mcp.demo.world.tenant import Row, Tenant
from cipp_mcp.demo.writes.common import Failed, password, remove_user, set_licences, user_of
from cipp_mcp.demo.writes.tasks import add_task, added, run_now

_ACTIONS = (
    "ConvertToShared", "HideFromGAL", "removeCalendarInvites", "removePermissions", "removeCalendarPermissions",
    "RemoveRules", "RemoveMobile", "RemoveGroups", "RemoveLicenses", "RevokeSessions", "DisableSignIn", "ClearImmutableId",
    "ResetPass", "RemoveMFADevices", "RemoveTeamsPhoneDID", "DeleteUser", "DisableOneDriveSharing", "disableForwarding",
)  # fmt: skip


@answers("ExecOffboardUser")
def offboard(call: Call) -> Any:
    """Invoke-ExecOffboardUser.ps1: a scheduled task for each user; the job itself runs here at once when not scheduled."""
    users = [text(label_or_text(entry)) for entry in rows(call.sent("user"))]
    problems = []
    if not users:
        problems.append("Failed: 'user' is missing.")
    wrong = [upn for upn in users if "@" not in upn]
    if wrong:
        problems.append(f"Invalid user names: {', '.join(wrong)}.")
    given = [name for name in ("AccessNoAutomap", "AccessAutomap", "OnedriveAccess") if rows(call.sent(name))]
    chosen = [name for name in _ACTIONS if is_true(call.sent(name))]
    forward, message = text(label_or_text(call.sent("forward"))), text(call.sent("OOO"))
    if not (chosen or given or forward or message):
        problems.append("Failed: no action was chosen.")
    if problems:
        raise Refused(Answer({"Results": problems}, 400))
    later, told = truthy(call.sent("Scheduled", "enabled")), []
    for upn in users:
        task = {
            "Name": f"Offboarding: {upn}",
            "Command": "Invoke-CIPPOffboardingJob",
            "Tenant": call.tenant.domain,
            "Parameters": {"Username": upn, "options": plain(call.body)},
            "ScheduledTime": text(call.sent("Scheduled", "date")) if later else "0",
            "Reference": call.sent("reference"),
        }
        row = add_task(call, task)
        told.append(
            added(row) if later else run_now(call, row, _leave(call, call.tenant, upn, chosen, forward, message))
        )
    return results(told)


def _leave(call: Call, tenant: Tenant, upn: str, chosen: list[str], forward: str, message: str) -> list[str]:
    try:
        return carry_out(call, tenant, user_of(tenant, upn), chosen, forward, message)
    except Failed as error:
        return [f"Failed to see {upn} off. Error: {first(str(error), '')}"]


def carry_out(call: Call, tenant: Tenant, user: Row, chosen: list[str], forward: str, message: str) -> list[str]:
    """Does what was chosen, in the job's order, and tells what was done."""
    upn, key, told = user["userPrincipalName"], user["id"], []
    box = tenant.mailboxes.get(key)
    if "DisableSignIn" in chosen:
        user["accountEnabled"] = False
        told.append(f"Successfully blocked sign-in of {upn}")
    if "ResetPass" in chosen:
        user["_password"] = password(call)
        told.append(f"Successfully gave {upn} a new password")
    if "RevokeSessions" in chosen:
        user["_revoked"] = user.get("_revoked", 0) + 1
        told.append(f"Successfully ended all sessions of {upn}")
    if "RemoveMFADevices" in chosen:
        tenant.mfa[key]["methods"] = []
        told.append(f"Successfully removed the MFA methods of {upn}")
    if "RemoveGroups" in chosen:
        for group in tenant.groups.values():
            if key in group["_members"]:
                group["_members"].remove(key)
                told.append(f"Successfully took {upn} out of {group['displayName']}")
    if box is not None:
        if "HideFromGAL" in chosen:
            box.hidden = True
            told.append(f"Successfully hid {upn} from the address list")
        if "RemoveRules" in chosen:
            box.rules.clear()
            told.append(f"Successfully deleted all inbox rules of {upn}")
        if "RemoveMobile" in chosen:
            box.phones.clear()
            told.append(f"Successfully removed the mobile devices of {upn}")
        if "disableForwarding" in chosen:
            box.forwarding_smtp = box.forwarding_internal = None
            told.append(f"Successfully disabled forwarding of {upn}")
        elif forward:
            box.forwarding_internal = forward
            told.append(f"Successfully set forwarding of {upn} to {forward}")
        if message:
            box.out_of_office = out_of_office("Enabled", message, message)
            told.append(f"Successfully set the out-of-office message of {upn}")
        if "ConvertToShared" in chosen:
            box.kind = "SharedMailbox"
            told.append(f"Successfully converted {upn} to a shared mailbox")
    if "removePermissions" in chosen:
        for other in tenant.mailboxes.values():
            for grants in (other.full_access, other.send_as, other.send_on_behalf):
                if upn in grants:
                    grants.remove(upn)
        told.append(f"Successfully removed the mailbox permissions of {upn}")
    if "RemoveLicenses" in chosen:
        told.append(set_licences(call, tenant, user, [], [entry["skuId"] for entry in user["assignedLicenses"]]))
    if "DeleteUser" in chosen:
        remove_user(tenant, user)
        told.append(f"Successfully deleted user {upn}")
    return told
