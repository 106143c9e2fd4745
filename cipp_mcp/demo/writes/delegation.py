"""Who may do what with a mailbox and its calendar."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cipp_mcp.demo.calls import Call, answers, results
from cipp_mcp.demo.powershell import first, label_or_text, member, rows, text, truthy
from cipp_mcp.demo.world.mail import Mailbox
from cipp_mcp.demo.world.tenant import Tenant
from cipp_mcp.demo.writes.common import Failed, done, fail, mailbox_of

_LEVELS = {"fullaccess": "full_access", "sendas": "send_as", "sendonbehalf": "send_on_behalf"}


_OTHER_LEVELS = frozenset({"readpermission", "externalaccount", "deleteitem", "changepermission", "changeowner"})


def grant(tenant: Tenant, box: Mailbox, level: str, who: str, add: bool) -> str:
    """Gives or takes one permission (Set-CIPPMailboxPermission.ps1); unknown people are refused."""
    verb = "add" if add else "remove"
    other = tenant.user(who)
    if other is None:
        return f"Could not {verb} {level} of {who} on {box.upn}: not found."
    upn = other["userPrincipalName"]
    holders: list[str] = getattr(box, _LEVELS.get(level.lower(), "full_access"))
    if level.lower() in _LEVELS:
        if add and upn not in holders:
            holders.append(upn)
        elif not add and upn in holders:
            holders.remove(upn)
    past = "Granted" if add else "Removed"
    return f"{past} {level} on {box.upn}: {who}"


_BUCKETS = (
    ("RemoveFullAccess", "FullAccess", False),
    ("AddFullAccess", "FullAccess", True),
    ("AddFullAccessNoAutoMap", "FullAccess", True),
    ("AddSendAs", "SendAs", True),
    ("RemoveSendAs", "SendAs", False),
    ("AddSendOnBehalf", "SendOnBehalf", True),
    ("RemoveSendOnBehalf", "SendOnBehalf", False),
)


@answers("ExecEditMailboxPermissions")
def edit_permissions(call: Call) -> Any:
    """Invoke-ExecEditMailboxPermissions.ps1: every bucket is read through .value, so bare strings do nothing."""
    key, told = text(call.sent("userID")), []
    box = None
    for bucket, level, add in _BUCKETS:
        for who in map(text, rows(call.sent(bucket, "value"))):
            try:
                box = box or mailbox_of(call.tenant, key)
                told.append(grant(call.tenant, box, level, who, add))
            except Failed as error:
                told.append(f"Could not {'add' if add else 'remove'} {level} for {who} on {key}. Error: {error}")
    return results(told)


@answers("ExecModifyMBPerms")
def modify_permissions(call: Call) -> Any:
    """Invoke-ExecModifyMBPerms.ps1: takes several shapes; the tenants of an array of several run together into none."""
    wanted: list[Any] = []
    if isinstance(call.body, list):
        wanted = call.body
    elif truthy(call.sent("mailboxRequests")):
        wanted = rows(call.sent("mailboxRequests"))
    elif truthy(call.sent("userID")) and truthy(call.sent("permissions")):
        wanted = [call.body]
    if not wanted:
        raise fail("Failed: no mailbox was named", 400, listed=True)
    name = text(label_or_text(call.sent("tenantFilter")))
    tenant = call.find(name) if name and call.state.tenant(name) else None
    told = []
    for request in wanted:
        if tenant is None:
            continue
        try:
            box = mailbox_of(tenant, member(request, "userID"))
        except Failed:
            # An account that cannot be found is passed over without a word.
            continue
        for entry in _permissions(member(request, "permissions")):
            levels = [level.strip() for level in text(member(entry, "PermissionLevel")).split(",")]
            people = [text(label_or_text(who)) for who in rows(member(entry, "UserID"))]
            add = text(member(entry, "Modification")).lower() != "remove"
            for who in people:
                for level in levels:
                    if level.lower() in _LEVELS or level.lower() in _OTHER_LEVELS:
                        told.append(grant(tenant, box, level, who, add))
    return results(told or ["Nothing valid to change"])


def _permissions(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return list(value.values()) if any(name.isdigit() for name in value) else [value]
    return rows(value)


@answers("ExecEditCalendarPermissions")
def calendar(call: Call) -> Any:
    """Invoke-ExecEditCalendarPermissions.ps1: in the body, people and rights are label objects."""
    key = text(call.given("userid"))
    who = text(first(call.asked("UserToGetPermissions"), call.sent("UserToGetPermissions", "value")))
    rights = text(first(call.asked("Permissions"), call.sent("Permissions", "value")))
    gone = text(first(call.asked("RemoveAccess"), call.sent("RemoveAccess", "value")))
    folder = text(call.given("FolderName")) or "Calendar"
    try:
        box = mailbox_of(call.tenant, key)
        if gone:
            if box.calendar.pop(gone, None) is None:
                raise Failed(f"{gone} has no right to take away.")
            return done(call, f"Successfully took {gone} off {key}:\\{folder}", call.tenant)
        if not who or not rights:
            raise Failed("Cannot bind argument to parameter 'User' because it is null.")
    except Failed as error:
        raise fail(f"Failed to change the rights of {who or gone} on {key}. Error: {error}", 403) from error
    box.calendar[who] = rights
    told = f"Successfully made {who} {rights} of {key}:\\{folder}."
    return done(call, told, call.tenant)


@answers("ExecModifyCalPerms", "ExecModifyContactPerms")
def modify_folder_permissions(call: Call) -> Any:
    """Invoke-ExecModifyCalPerms.ps1 and Invoke-ExecModifyContactPerms.ps1: one failure makes the whole answer a 500."""
    key = text(call.sent("userID"))
    if not key.strip():
        raise fail("Failed: userID is missing", 400, listed=True)
    if call.tenant.user(key) is None:
        raise fail(f"Failed: the account '{key}' does not exist", 404, listed=True)
    told, good = [], True
    for entry in _permissions(call.sent("permissions")):
        rights = text(label_or_text(member(entry, "PermissionLevel")))
        removes = text(member(entry, "Modification")).lower() == "remove"
        for who in (text(label_or_text(person)) for person in rows(member(entry, "UserID"))):
            try:
                box = mailbox_of(call.tenant, key)
                folder = box.calendar if call.endpoint == "ExecModifyCalPerms" else box.contacts
                if removes and folder.pop(who, None) is None:
                    raise Failed(f"{who} has no right to take away.")
            except Failed as error:
                told.append(f"Failed to change the rights of {who} on {key}. Error: {error}")
                good = False
                continue
            if removes:
                told.append(f"Successfully took {who} off {key}")
            else:
                folder[who] = rights
                told.append(f"Successfully made {who} {rights} of {key}.")
    if not told:
        told, good = ["Failed: nothing came of it."], False
    return results(told, 200 if good else 500)
