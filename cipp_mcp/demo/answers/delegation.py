"""Who may do what with a mailbox, its calendar and its contacts."""

from __future__ import annotations

from typing import Any

from cipp_mcp.demo.answers.mailboxes import mailbox_of, mailbox_row
from cipp_mcp.demo.calls import Call, answers
from cipp_mcp.demo.habits import from_report, with_tenant
from cipp_mcp.demo.world.mail import Mailbox
from cipp_mcp.demo.world.tenant import Row, Tenant


@answers("ListmailboxPermissions")
def list_permissions(call: Call) -> Any:
    """Invoke-ListmailboxPermissions.ps1: of one mailbox live, of all of them from the reporting database."""
    if from_report(call) and not call.asked("userId"):
        return with_tenant(call, _by_user if call.flag("ByUser") else _by_mailbox)
    box = mailbox_of(call, call.asked("userId"))
    rows = [{"User": "NT AUTHORITY\\SELF", "Permissions": "FullAccess, ReadPermission"}]
    rows += [{"User": name, "Permissions": "FullAccess"} for name in box.full_access]
    rows += [{"User": name, "Permissions": "SendAs"} for name in box.send_as]
    rows += [{"User": name, "Permissions": "SendOnBehalf"} for name in box.send_on_behalf]
    return rows


def _grants(box: Mailbox) -> list[Row]:
    grants = [{"User": name, "AccessRights": "FullAccess"} for name in box.full_access]
    return grants + [{"User": name, "AccessRights": "SendAs"} for name in box.send_as]


def _by_mailbox(tenant: Tenant) -> list[Row]:
    return [
        {
            "MailboxUPN": box.upn,
            "MailboxDisplayName": box.name,
            "MailboxType": box.kind,
            "PermissionCount": len(grants),
            "Permissions": grants,
        }
        for box in tenant.mailboxes.values()
        if (grants := _grants(box))
    ]


def _by_user(tenant: Tenant) -> list[Row]:
    found: dict[str, list[Row]] = {}
    for box in tenant.mailboxes.values():
        for grant in _grants(box):
            entry = {"Mailbox": box.name, "MailboxUPN": box.upn, "AccessRights": grant["AccessRights"]}
            found.setdefault(str(grant["User"]), []).append(entry)
    return [
        {"User": user, "UserMailboxType": "UserMailbox", "MailboxCount": len(grants), "Permissions": grants}
        for user, grants in sorted(found.items())
    ]


@answers("ListCalendarPermissions")
def list_calendar_permissions(call: Call) -> Any:
    """Invoke-ListCalendarPermissions.ps1."""
    if from_report(call) and not call.asked("UserID"):
        return with_tenant(call, _calendars)
    box = mailbox_of(call, call.asked("UserID"))
    return [
        {
            "Identity": f"{box.upn}:\\Calendar",
            "User": user,
            "AccessRights": [rights],
            "FolderName": "Calendar",
            "MailboxInfo": mailbox_row(call.tenant, box),
        }
        for user, rights in box.calendar.items()
    ]


def _calendars(tenant: Tenant) -> list[Row]:
    rows = []
    for box in tenant.mailboxes.values():
        grants = [
            {"User": user, "AccessRights": rights, "FolderName": "Calendar"}
            for user, rights in box.calendar.items()
            if user not in ("Default", "Anonymous")
        ]
        if grants:
            rows.append(
                {
                    "CalendarUPN": box.upn,
                    "CalendarDisplayName": box.name,
                    "CalendarType": box.kind,
                    "FolderName": "Calendar",
                    "PermissionCount": len(grants),
                    "Permissions": grants,
                }
            )
    return rows


@answers("ListContactPermissions")
def list_contact_permissions(call: Call) -> Any:
    """Invoke-ListContactPermissions.ps1."""
    box = mailbox_of(call, call.asked("UserID"))
    return [
        {
            "Identity": f"{box.upn}:\\Contacts",
            "User": user,
            "AccessRights": [rights],
            "FolderName": "Contacts",
            "MailboxInfo": mailbox_row(call.tenant, box),
        }
        for user, rights in box.contacts.items()
    ]
