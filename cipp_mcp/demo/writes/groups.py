"""Groups made, changed and deleted."""

from __future__ import annotations

from typing import Any

from cipp_mcp.demo.calls import Answer, Call, answers, results
from cipp_mcp.demo.powershell import first, is_true, label_or_text, member, rows, text, truthy
from cipp_mcp.demo.world.groups import Group, new_group, readable_type
from cipp_mcp.demo.world.people import ascii_name
from cipp_mcp.demo.world.tenant import Tenant
from cipp_mcp.demo.writes.common import Failed, done, fail, fresh

# The order matters: New-CIPPGroup.ps1 takes the first pattern that fits.
_KINDS = (
    ("mail-enabled security", "security"),
    ("dynamicdistribution", "dynamicdistribution"),
    ("dynamic", "dynamic"),
    ("generic", "generic"),
    ("security", "security"),
    ("azurerole", "azurerole"),
    ("m365", "m365"),
    ("unified", "m365"),
    ("microsoft", "m365"),
    ("distribution", "distribution"),
    ("mail", "distribution"),
)
_MAIL = ("Distribution List", "Mail-Enabled Security")


@answers("AddGroup")
def add_group(call: Call) -> Any:
    """Invoke-AddGroup.ps1: the tenant may be a text, a label object or several of them."""
    sent = call.sent("tenantFilter")
    wanted = [text(label_or_text(entry)) for entry in rows(sent)]
    name, asked = text(call.sent("displayName")), text(call.sent("groupType")).lower()
    kind = next((kind for pattern, kind in _KINDS if pattern in asked), None)
    told, status = [], 200
    for tenant_name in wanted:
        tenant = call.state.tenant(tenant_name)
        problem = None
        if tenant is None:
            problem = f"Tenant '{tenant_name}' not found"
        elif kind is None:
            problem = f"The group type '{asked}' is not known"
        elif not name:
            problem = "A value is required for property 'displayName' of resource 'Group'."
        elif any(group["displayName"].lower() == name.lower() for group in tenant.groups.values()):
            problem = f"Group with name {name} already exists"
        if problem or tenant is None or kind is None:
            told.append(f"Failed: no group {name} in {tenant_name}. {problem}")
            status = 500
            continue
        _create(call, call.settled(tenant), name, kind)
        told.append(f"Successfully made the group {name} in {tenant_name}")
    return Answer({"Results": told}, status)


def _create(call: Call, tenant: Tenant, name: str, kind: str) -> None:
    local = text(call.sent("username")).partition("@")[0] or ascii_name(name).replace(".", "")
    group = new_group(tenant, fresh(call, "group", name), name, kind, local)
    group["description"] = call.sent("description")
    group["membershipRule"] = call.sent("membershipRules") if kind.startswith("dynamic") else None
    group["_internal_only"] = not is_true(call.sent("allowExternal"))
    for field, table in (("members", "_members"), ("owners", "_owners")):
        found = [tenant.user(text(label_or_text(entry))) for entry in rows(call.sent(field))]
        group[table] = [user["id"] for user in found if user is not None]
    tenant.groups[group["id"]] = group
    call.state.log(call.endpoint, f"Made the group {name}, {group['id']}", tenant)


@answers("EditGroup")
def edit_group(call: Call) -> Any:
    """Invoke-EditGroup.ps1: always 200; members to add may be bare, members to remove are read through .value."""
    tenant = call.find(text(label_or_text(call.sent("tenantFilter"))))
    key = text(label_or_text(call.sent("groupId")))
    group = tenant.groups.get(key)
    if group is None:
        return Answer(
            f"Resource '{key}' does not exist or one of its queried reference-property objects are not present.", 500
        )
    name = text(
        first(call.sent("groupName"), call.sent("displayName"), call.sent("groupId", "addedFields", "groupName"))
    )
    name = name or group["displayName"]
    told: list[str] = []
    fields = {"displayName": "displayName", "description": "description", "mailNickname": "mailNickname"}
    given = {column: call.sent(field) for field, column in fields.items() if truthy(call.sent(field))}
    if truthy(call.sent("membershipRules")):
        given["membershipRule"] = call.sent("membershipRules")
    if given:
        group.update(given)
        told.append(f"Success - The properties of {name} are changed and show after a while.")
    told += _members(call, tenant, group, name)
    kind = readable_type(group)
    if call.sent("allowExternal") is not None and kind != "Security":
        allowed = is_true(call.sent("allowExternal"))
        group["_internal_only"] = not allowed
        mail = text(call.sent("mail"))
        told.append(f"Mail from outside to {mail}: {'allowed' if allowed else 'blocked'}.")
    if kind == "Microsoft 365":
        if text(call.sent("visibility")):
            group["visibility"] = text(call.sent("visibility"))
            told.append(f"{name} is now {group['visibility']}.")
        if call.sent("hideFromOutlookClients") is not None:
            group["_hidden"] = is_true(call.sent("hideFromOutlookClients"))
            told.append(f"Successfully {'hid' if group['_hidden'] else 'showed'} {name} in Outlook.")
        if call.sent("sendCopies") is not None:
            group["_send_copies"] = is_true(call.sent("sendCopies"))
            state = "enabled" if group["_send_copies"] else "disabled"
            told.append(f"Copies to the inboxes of the members of {text(call.sent('mail'))}: {state}.")
    call.state.log(call.endpoint, f"Edited group {name}", tenant)
    return results(told)


def _members(call: Call, tenant: Tenant, group: Group, name: str) -> list[str]:
    told = []
    for field, table, add in (
        ("AddMember", "_members", True),
        ("RemoveMember", "_members", False),
        ("AddOwner", "_owners", True),
        ("RemoveOwner", "_owners", False),
    ):
        for entry in rows(call.sent(field)):
            # Only members to add are looked up when they come as a bare string.
            value = text(first(member(entry, "value"), entry if field == "AddMember" else None))
            who = text(first(member(entry, "addedFields", "userPrincipalName"), value))
            told.append(_change(tenant, group, table, value, who, name, add))
    return told


def _change(tenant: Tenant, group: Group, table: str, key: str, who: str, name: str, add: bool) -> str:
    role = "member" if table == "_members" else "owner"
    user = tenant.user(key)
    if user is None:
        return (
            f"Error - Resource '{key}' does not exist or one of its queried reference-property objects are not present."
        )
    if "DynamicMembership" in group["groupTypes"] and role == "member":
        return "Error - Insufficient privileges: the members of a dynamic group follow its rule."
    held: list[str] = group[table]
    if add and user["id"] in held:
        return "Error - One or more added object references already exist for the following modified properties: 'members'."
    if not add and user["id"] not in held:
        return f"Error - Resource '{key}' does not exist in the group's {role}s."
    if add:
        held.append(user["id"])
    else:
        held.remove(user["id"])
    return f"Success - {'Added' if add else 'Removed'} {role} {who} {'to' if add else 'from'} {name} group"


def _group(call: Call, key: str) -> Group:
    found = call.tenant.groups.get(key)
    if found is None:
        raise Failed(
            f"Resource '{key}' does not exist or one of its queried reference-property objects are not present."
        )
    return found


@answers("ExecGroupsDelete")
def delete_group(call: Call) -> Any:
    """Invoke-ExecGroupsDelete.ps1: a group type that does not fit sends the call to the wrong service, or to none."""
    key, name = (
        text(call.given("id")),
        text(call.given("displayName")),
    )
    kind = text(call.given("GroupType"))
    try:
        group = _group(call, key)
        if kind in _MAIL and readable_type(group) not in _MAIL:
            raise Failed(f"The operation couldn't be performed because object '{key}' couldn't be found.")
        if kind in ("Microsoft 365", "Security") and readable_type(group) in _MAIL:
            raise Failed("Graph cannot change a group that Exchange keeps.")
    except Failed as error:
        raise fail(f"Could not remove the group {name}. Error: {error}") from error
    if kind not in (*_MAIL, "Microsoft 365", "Security"):
        return results(None)
    del call.tenant.groups[key]
    return done(call, f"Successfully removed the group {name} ({kind})", call.tenant)


@answers("ExecGroupsHideFromGAL", "ExecGroupsDeliveryManagement")
def group_switch(call: Call) -> Any:
    """Invoke-ExecGroupsHideFromGAL.ps1 and Invoke-ExecGroupsDeliveryManagement.ps1: anything but "true" is no."""
    key = text(call.given("ID"))
    hides = call.endpoint == "ExecGroupsHideFromGAL"
    field = "HideFromGAL" if hides else "OnlyAllowInternal"
    on = text(first(call.asked(field), call.sent(field))).lower() == "true"
    try:
        group = _group(call, key)
    except Failed as error:
        raise fail(f"Failed to change {key}. Error: {error}") from error
    group["_hidden" if hides else "_internal_only"] = on
    if hides:
        return done(call, f"Successfully {'hid' if on else 'showed'} {key} in the address list", call.tenant)
    return done(call, f"Set {'only internal' if on else 'internal and external'} senders for group {key}", call.tenant)
