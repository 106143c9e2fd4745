"""Groups and roles."""

from __future__ import annotations

from typing import Any

from cipp_mcp.demo.answers.identity import missing
from cipp_mcp.demo.calls import Answer, Call, answers
from cipp_mcp.demo.habits import single_tenant, with_tenant
from cipp_mcp.demo.world.groups import ROLES, Group, calculated_type, public, readable_type
from cipp_mcp.demo.world.tenant import Row, Tenant

_PERSON = ("id", "userPrincipalName", "displayName", "mail", "mailNickname")


def sid(object_id: str) -> str:
    """The security identifier that Entra derives from an object id."""
    number = bytes.fromhex(object_id.replace("-", ""))
    little = number[3::-1] + number[5:3:-1] + number[7:5:-1] + number[8:]
    parts = [int.from_bytes(little[start : start + 4], "little") for start in range(0, 16, 4)]
    return "S-1-12-1-" + "-".join(map(str, parts))


def people(tenant: Tenant, ids: list[str]) -> list[Row]:
    """Members as Graph lists them, sorted by name."""
    users = [tenant.users[key] for key in ids if key in tenant.users]
    return sorted(({name: user[name] for name in _PERSON} for user in users), key=lambda row: str(row["displayName"]))


def group_row(tenant: Tenant, group: Group) -> Row:
    """A group with the columns that ListGroups adds."""
    members = [tenant.users[key]["userPrincipalName"] for key in group["_members"] if key in tenant.users]
    owners = [tenant.users[key]["userPrincipalName"] for key in group["_owners"] if key in tenant.users]
    return public(group) | {
        "primDomain": (group["mail"] or "").rpartition("@")[2],
        "membersCsv": ",".join(members),
        "ownersCsv": ",".join(owners),
        "teamsEnabled": "Team" in group["resourceProvisioningOptions"],
        "groupType": readable_type(group),
        "calculatedGroupType": calculated_type(group),
        "dynamicGroupBool": "DynamicMembership" in group["groupTypes"],
        "SID": sid(group["id"]),
    }


def group_rows(tenant: Tenant) -> list[Row]:
    rows = [group_row(tenant, group) for group in tenant.groups.values()]
    return sorted(rows, key=lambda row: str(row["displayName"]).lower())


@answers("ListGroups")
def list_groups(call: Call) -> Any:
    """Invoke-ListGroups.ps1: a list, or one unwrapped object when a group is named."""
    key = call.asked("groupID")
    members, owners = call.flag("members"), call.flag("owners")
    if (members or owners) and not key:
        return Answer({"Results": "Give 'groupID' together with 'members' or 'owners'."}, 400)
    if not key:
        if call.all_tenants or call.flag("UseReportDB"):
            return with_tenant(call, group_rows)
        rows = group_rows(call.tenant)
        for row in rows:
            if call.flag("expandMembers"):
                row["members"] = [{"userPrincipalName": upn} for upn in row["membersCsv"].split(",") if upn]
            else:
                row["membersCsv"] = ""
            row["ownersCsv"] = row["ownersCsv"] if call.flag("expandOwners") else ""
        return rows
    single_tenant(call)
    tenant = call.tenant
    group = tenant.groups.get(key)
    if group is None:
        return Answer(missing(key), 403)
    kind = call.asked("groupType")
    mail = kind in ("Distribution List", "Mail-Enabled Security", "Microsoft 365")
    return {
        "groupInfo": {name: value for name, value in group_row(tenant, group).items() if not name.endswith("Csv")},
        "members": people(tenant, group["_members"]) if members else [],
        "owners": people(tenant, group["_owners"]) if owners else [],
        # Without a group type the handler negates null.
        "allowExternal": not (group["_internal_only"] if mail else None),
        "sendCopies": group["_send_copies"] if kind == "Microsoft 365" else None,
        "hideFromOutlookClients": group["_hidden"] if kind == "Microsoft 365" else None,
        "SID": sid(group["id"]),
    }


@answers("ListUserGroups")
def list_user_groups(call: Call) -> Any:
    """Invoke-ListUserGroups.ps1."""
    single_tenant(call)
    user = call.tenant.user(call.asked("userId"))
    if user is None:
        return Answer(missing(call.asked("userId")), 500)
    groups = [group for group in call.tenant.groups.values() if user["id"] in group["_members"]]
    return [
        {
            "id": group["id"],
            "DisplayName": group["displayName"],
            "MailEnabled": group["mailEnabled"],
            "Mail": group["mail"],
            "SecurityGroup": group["securityEnabled"],
            "GroupTypes": ",".join(group["groupTypes"]),
            "OnPremisesSync": group["onPremisesSyncEnabled"],
            "IsAssignableToRole": group["isAssignableToRole"],
            "calculatedGroupType": calculated_type(group),
            "groupType": readable_type(group),
        }
        for group in sorted(groups, key=lambda group: str(group["displayName"]))
    ]


@answers("ListGroupSenderAuthentication")
def list_sender_authentication(call: Call) -> Any:
    """Invoke-ListGroupSenderAuthentication.ps1."""
    group = call.tenant.groups.get(call.asked("groupid") or "")
    return {"allowedToReceiveExternal": bool(group and not group["_internal_only"])}


@answers("ListRoles")
def list_roles(call: Call) -> Any:
    """Invoke-ListRoles.ps1."""
    if call.all_tenants:
        return Answer("Failed: roles are read for one tenant at a time.", 400)
    tenant = call.tenant
    rows = []
    for template, name, text in ROLES:
        members = [
            {**{key: person[key] for key in ("displayName", "userPrincipalName", "id")}, "directoryScopeId": "/"}
            for person in people(tenant, tenant.roles[template])
        ]
        rows.append(
            {
                "Id": template,
                "roleTemplateId": template,
                "DisplayName": name,
                "Description": text,
                "Members": members,
                "MemberCount": len(members),
                "isBuiltIn": True,
                "isEnabled": True,
                "SID": sid(template),
            }
        )
    return rows
