"""Accounts made, changed, licensed and sent off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cipp_mcp.demo.calls import Answer, Call, answers, results
from cipp_mcp.demo.powershell import label_or_text, member, plain, rows, text, truthy
from cipp_mcp.demo.world.people import new_user
from cipp_mcp.demo.world.seeds import stamp
from cipp_mcp.demo.world.tenant import Row, Tenant
from cipp_mcp.demo.writes.common import Failed, fail, fresh, password, set_licences
from cipp_mcp.demo.writes.tasks import add_task

_PLAIN = (
    "givenName",
    "surname",
    "displayName",
    "department",
    "jobTitle",
    "mobilePhone",
    "streetAddress",
    "city",
    "state",
    "postalCode",
    "country",
    "companyName",
)
_CLEARABLE = frozenset((*_PLAIN, "businessPhones", "otherMails")) - {"displayName"}


def _mails(value: Any) -> list[str]:
    return [part.strip() for entry in rows(value) for part in text(entry).split(",") if part.strip()]


def _upn(body: Any) -> str:
    domain = member(body, "Domain")
    return f"{text(member(body, 'username'))}@{text(domain if truthy(domain) else member(body, 'PrimDomain', 'value'))}"


def _scheduled(call: Call, body: Any, command: str, name: str, doing: str) -> Any:
    when = text(member(body, "Scheduled", "date"))
    task = {"Parameters": {"UserObj": plain(body)}, "ScheduledTime": when, "Tenant": call.tenant.domain}
    add_task(call, {"Name": name, "Command": command, **task})
    return results([f"Successfully planned to {doing} {text(member(body, 'DisplayName'))}"])


@answers("AddUser")
def add_user(call: Call) -> Any:
    """Invoke-AddUser.ps1: a licence or a domain that is a bare string is not seen."""
    body = call.body
    if not truthy(call.sent("tenantFilter")):
        return Answer({"Results": {"resultText": "Error: tenantFilter is missing.", "state": "error"}}, 400)
    if truthy(call.sent("Scheduled", "Enabled")):
        return _scheduled(call, body, "New-CIPPUserTask", f"Make the account {_upn(body)}", "create")
    tenant = call.tenant
    try:
        user, secret = _create(call, tenant, body)
    except Failed as error:
        raise fail(f"Failed: no account. Error: {error}", listed=True) from error
    upn = user["userPrincipalName"]
    told: list[Any] = [
        "Made the account.",
        {"resultText": f"It is called {upn}", "copyField": upn, "state": "success"},
        {"resultText": f"Its password is {secret}", "copyField": secret, "state": "success"},
    ]
    licences = [text(entry) for entry in rows(call.sent("licenses", "value"))]
    if licences:
        told.append(set_licences(call, tenant, user, licences, []))
    aliases = text(call.sent("AddedAliases")).split()
    if aliases:
        user["proxyAddresses"] += [f"smtp:{alias}" for alias in aliases]
        told.append("Added Aliases: " + ", ".join(aliases))
    told += _join_groups(tenant, user, call.sent("AddToGroups"))
    copied: Row = {"Success": [], "Error": [], "Skipped": []}
    source = tenant.user(text(call.sent("copyFrom", "value")))
    if source is not None:
        copied["Success"] = _copy_groups(tenant, source, user)
        told += copied["Success"]
    if truthy(call.sent("setManager")):
        told.append(_manager(tenant, user, call.sent("setManager", "value")))
    return {"Results": told, "CopyFrom": copied, "User": {name: user[name] for name in user if name[0] != "_"}}


def _create(call: Call, tenant: Tenant, body: Any) -> tuple[Row, str]:
    upn = _upn(body)
    local, _, domain = upn.partition("@")
    name = text(member(body, "displayName"))
    if not local or not domain:
        raise Failed("Property userPrincipalName is invalid.")
    if not name:
        raise Failed("A value is required for property 'displayName' of resource 'User'.")
    if domain.lower() not in tenant.domains:
        raise Failed("The domain portion of the userPrincipalName property is invalid. Use a verified domain.")
    if tenant.user(upn) is not None:
        raise Failed("Another object with the same value for property userPrincipalName already exists.")
    user = new_user(tenant, fresh(call, "user", upn), upn, name)
    for field in _PLAIN:
        if member(body, field) is not None:
            user[field] = text(member(body, field))
    user["usageLocation"] = label_or_text(member(body, "usageLocation")) or user["usageLocation"]
    user["otherMails"] = _mails(member(body, "otherMails"))
    user["businessPhones"] = [text(entry) for entry in rows(member(body, "businessPhones"))]
    for more, wrapped in (("defaultAttributes", True), ("customData", False)):
        extra = member(body, more)
        for field in extra if isinstance(extra, Mapping) else ():
            value = extra[field]
            user[field] = plain(member(value, "value") if wrapped else value)
    user["_password"] = text(member(body, "password")) or password(call)
    user["_must_change"] = truthy(member(body, "MustChangePass"))
    tenant.users[user["id"]] = user
    tenant.mfa[user["id"]] = {"methods": [], "state": "disabled"}
    call.state.log(call.endpoint, f"Made the account {name}, {user['id']}", tenant)
    return user, user["_password"]


def _join_groups(tenant: Tenant, user: Row, wanted: Any) -> list[str]:
    told = []
    for entry in rows(wanted):
        group = tenant.groups.get(text(member(entry, "value")))
        name = text(member(entry, "label")) or text(entry)
        if group is None:
            told.append(
                f"Failed to put the account into {name}: Resource '{text(member(entry, 'value'))}' does not exist"
            )
        elif user["id"] not in group["_members"]:
            group["_members"].append(user["id"])
            told.append(f"Success. {user['displayName']} is now in {name or group['displayName']}")
    return told


def _copy_groups(tenant: Tenant, source: Row, user: Row) -> list[str]:
    told = []
    for group in tenant.groups.values():
        if source["id"] in group["_members"] and "DynamicMembership" not in group["groupTypes"]:
            group["_members"].append(user["id"])
            told.append(f"{user['userPrincipalName']} is now in {group['displayName']}")
    return told


def _manager(tenant: Tenant, user: Row, key: Any) -> str:
    manager = tenant.user(text(key))
    if manager is None:
        return f"Failed: {user['userPrincipalName']} has no new manager: Resource '{text(key)}' does not exist"
    user["manager"] = {name: manager[name] for name in ("id", "userPrincipalName", "displayName")}
    return f"Successfully made {manager['userPrincipalName']} the manager of {user['userPrincipalName']}"


@answers("EditUser")
def edit_user(call: Call) -> Any:
    """Invoke-EditUser.ps1: empty fields are left alone, licences that are sent replace all; failures come under 200."""
    body, key = call.body, text(call.sent("id"))
    if not key.strip():
        raise fail("Failed: id is missing", 400, listed=True)
    if truthy(call.sent("Scheduled", "Enabled")):
        return _scheduled(call, body, "Set-CIPPUser", f"Change the account {text(call.sent('DisplayName'))}", "edit")
    tenant, told = call.tenant, []
    user = tenant.user(key)
    if user is None:
        return results([f"Failed to change the account. Resource '{key}' does not exist."])
    upn = _upn(body)
    local, _, domain = upn.partition("@")
    if local and domain.lower() in tenant.domains:
        told += _apply(call, tenant, user, upn)
    else:
        told.append("Failed to change the account. Property userPrincipalName is invalid.")
    licences, drop = (
        [text(entry) for entry in rows(call.sent("licenses", "value"))],
        truthy(call.sent("removeLicenses")),
    )
    held = [entry["skuId"] for entry in user["assignedLicenses"]]
    if licences or drop:
        if held == licences and not drop:
            told.append("Success. The licences were right already.")
        else:
            told.append(set_licences(call, tenant, user, [] if drop else licences, held))
    aliases = text(call.sent("AddedAliases")).split()
    if aliases:
        user["proxyAddresses"] += [f"smtp:{alias}" for alias in aliases]
        told.append("Success. Aliases are there.")
    told += _join_groups(tenant, user, call.sent("AddToGroups"))
    for entry in rows(call.sent("RemoveFromGroups")):
        group = tenant.groups.get(text(member(entry, "value")))
        if group is not None and user["id"] in group["_members"]:
            group["_members"].remove(user["id"])
            told.append(f"Success. {user['displayName']} is no longer in {text(member(entry, 'label'))}")
    if truthy(call.sent("setManager")):
        told.append(_manager(tenant, user, call.sent("setManager", "value")))
    return results(told)


def _apply(call: Call, tenant: Tenant, user: Row, upn: str) -> list[str]:
    body = call.body
    for field in _PLAIN:
        if text(member(body, field)).strip():
            user[field] = text(member(body, field))
    location = text(label_or_text(member(body, "usageLocation")))
    user["usageLocation"] = location or user["usageLocation"]
    user["userPrincipalName"], user["mailNickname"] = upn, upn.partition("@")[0]
    box = tenant.mailboxes.get(user["id"])
    if box is not None:
        box.upn, box.name = upn, user["displayName"]
    if _mails(member(body, "otherMails")):
        user["otherMails"] = _mails(member(body, "otherMails"))
    if rows(member(body, "businessPhones")):
        user["businessPhones"] = [text(entry) for entry in rows(member(body, "businessPhones"))]
    for field in map(text, rows(member(body, "clearProperties"))):
        if field in _CLEARABLE:
            user[field] = [] if field in ("businessPhones", "otherMails") else None
    told = ["Success. The account is changed."]
    call.state.log(call.endpoint, f"Changed the account {user['displayName']}, {user['id']}", tenant)
    if text(member(body, "password")):
        user["_password"] = text(member(body, "password"))
        user["lastPasswordChangeDateTime"] = stamp(call.state.today)
        told.append(f"Success. The password is now {user['_password']}")
    return told


@answers("PatchUser")
def patch_user(call: Call) -> Any:
    """Invoke-PatchUser.ps1: an object or an array of them, each with its own tenant; fields go to Graph as they are."""
    entries = rows(call.body)
    if not entries or any(not text(member(entry, name)) for entry in entries for name in ("id", "tenantFilter")):
        raise fail("Failed: id or tenantFilter is missing somewhere", 400, listed=True)
    problems, patched, managers, tenants = [], 0, 0, set()
    for entry in entries:
        tenant = call.find(text(member(entry, "tenantFilter")))
        tenants.add(tenant.id)
        key = text(member(entry, "id"))
        user = tenant.user(key)
        if user is None:
            problems.append(f"Failed to change {key} of {tenant.domain}: Resource '{key}' does not exist")
            continue
        fields = {name: value for name, value in plain(entry).items() if name.lower() not in _NOT_PATCHED}
        unknown = [name for name in fields if name not in user]
        if unknown:
            problems.append(f"Failed to change {key} of {tenant.domain}: Property '{unknown[0]}' does not exist")
            continue
        if fields:
            user.update(fields)
            patched += 1
        if text(member(entry, "manager")):
            _manager(tenant, user, member(entry, "manager"))
            managers += 1
    across = f"in {len(tenants)} tenant{'s' * (len(tenants) != 1)}"
    if problems:
        return Answer({"Results": [*problems, f"Successfully changed {patched} of {len(entries)}"]}, 400)
    if managers:
        return results([f"Successfully gave {managers} a manager {across}"])
    return results([f"Successfully changed {patched} {across}"])


_NOT_PATCHED = frozenset({"id", "tenantfilter", "manager", "sponsor"})
