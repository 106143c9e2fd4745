"""Guests, addresses, administrators for a while."""

from __future__ import annotations

import datetime
from typing import Any

from cipp_mcp.demo.calls import Call, answers, results
from cipp_mcp.demo.powershell import label_or_text, rows, text, to_boolean
from cipp_mcp.demo.world.people import new_user
from cipp_mcp.demo.world.seeds import stamp
from cipp_mcp.demo.writes.common import done, fail, fresh, password


@answers("AddGuest")
def add_guest(call: Call) -> Any:
    """Invoke-AddGuest.ps1: without sendInvite no message goes out."""
    tenant, mail, name = call.tenant, text(call.sent("mail")), text(call.sent("displayName"))
    invited = to_boolean(call.sent("sendInvite"))
    if "@" not in mail:
        raise fail("Failed: the address to invite is invalid.", 400, listed=True)
    local, _, company = mail.partition("@")
    user = new_user(tenant, fresh(call, "guest", mail), f"{local}_{company}#EXT#@{tenant.initial}", name or mail)
    user |= {"mail": mail, "userType": "Guest", "creationType": "Invitation", "proxyAddresses": [f"SMTP:{mail}"]}
    user |= {"externalUserState": "PendingAcceptance", "usageLocation": None}
    tenant.users[user["id"]] = user
    tenant.mfa[user["id"]] = {"methods": [], "state": "disabled"}
    how = "by mail" if invited else "without a mail"
    return done(call, f"Invited {name}, {how}", tenant, listed=True)


@answers("EditUserAliases")
def edit_aliases(call: Call) -> Any:
    """Invoke-EditUserAliases.ps1: comma lists; every failure comes under 200."""
    key = text(call.sent("id"))
    if not key.strip():
        raise fail("Failed: id is missing", 400, listed=True)
    user = call.tenant.user(key)
    if user is None or user["id"] not in call.tenant.mailboxes:
        return results(["Failed: the mailbox was not found"])
    told, addresses = [], list(user["proxyAddresses"])
    primary = text(call.sent("MakePrimary")).split(":")[-1]
    if primary:
        if primary.lower() not in [address[5:].lower() for address in addresses]:
            return results([f"Failed: {primary} is none of the addresses, not found."])
        others = [f"smtp:{address[5:]}" for address in addresses if address[5:].lower() != primary.lower()]
        addresses, user["mail"] = [f"SMTP:{primary}", *others], primary
        told.append("Success. The primary address is another one.")
    removed = [part.strip().lower() for part in text(call.sent("RemovedAliases")).split(",") if part.strip()]
    if removed:
        addresses = [address for address in addresses if address[5:].lower() not in removed]
        told.append("Success. Aliases are gone.")
    added = [part.strip() for part in text(call.sent("AddedAliases")).split(",") if part.strip()]
    known = [address[5:].lower() for address in addresses]
    new = [f"smtp:{alias.removeprefix('smtp:')}" for alias in added if alias.removeprefix("smtp:").lower() not in known]
    if new:
        addresses += new
        told.append("Success. Aliases are there.")
    user["proxyAddresses"] = addresses
    return results(told or ["Nothing was to be changed."])


@answers("ExecJITAdmin")
def jit_admin(call: Call) -> Any:
    """Invoke-ExecJITAdmin.ps1: a new account or an existing one becomes administrator for a while."""
    tenant = call.find(text(label_or_text(call.sent("tenantFilter"))))
    told: list[Any] = []
    if text(call.sent("userAction")).lower() == "create":
        upn = f"{text(call.sent('Username'))}@{text(label_or_text(call.sent('Domain')))}"
        name = f"{text(call.sent('FirstName'))} {text(call.sent('LastName'))}"
        user = new_user(tenant, fresh(call, "jit", upn), upn, name)
        user["_password"] = password(call)
        tenant.users[user["id"]], tenant.mfa[user["id"]] = user, {"methods": [], "state": "disabled"}
        told.append({"resultText": f"Made the account {upn}", "copyField": upn, "state": "success"})
        secret = user["_password"]
        told.append({"resultText": f"Its password is {secret}", "copyField": secret, "state": "success"})
    else:
        key = text(call.sent("existingUser", "value"))
        found = tenant.user(key)
        if found is None:
            raise fail(f"Could not find the account {key}", 400, listed=True)
        user = found
        told.append(
            {
                "resultText": f"Account {user['userPrincipalName']}",
                "copyField": user["userPrincipalName"],
                "state": "success",
            }
        )
    roles = [text(label_or_text(entry)) for entry in rows(call.sent("AdminRoles"))]
    for role in roles:
        if user["id"] not in tenant.roles.setdefault(role, []):
            tenant.roles[role].append(user["id"])
    tenant.jit_admins[user["id"]] = {
        **{name: user[name] for name in ("id", "displayName", "userPrincipalName", "accountEnabled")},
        "jitAdminEnabled": True,
        "jitAdminExpiration": _moment(call.sent("EndDate")),
        "jitAdminStartDate": _moment(call.sent("StartDate")),
        "jitAdminReason": text(call.sent("reason")),
        "jitAdminCreatedBy": call.client.name,
        "memberOf": roles,
    }
    told.append(f"Ends at {_moment(call.sent('EndDate'))}")
    return results(told)


def _moment(value: Any) -> str:
    return stamp(datetime.datetime.fromtimestamp(int(text(value) or 0), datetime.UTC))
