"""Groups of a tenant and the directory roles, with who is in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cipp_mcp.demo.world import skus
from cipp_mcp.demo.world.people import ascii_name
from cipp_mcp.demo.world.seeds import days_before, draw_guid, source, stamp

if TYPE_CHECKING:
    from cipp_mcp.demo.world.tenant import Tenant

Group = dict[str, Any]

# Template ids of Entra's built-in roles are the same in every tenant.
ROLES = (
    ("62e90394-69f5-4237-9190-012177145e10", "Global Administrator", "Can manage everything in the directory."),
    ("fe930be7-5e62-47db-91af-98c3a49a38b1", "User Administrator", "Can manage users and groups."),
    ("729827e3-9c14-49f7-bb1b-9608f156bbb8", "Helpdesk Administrator", "Can reset passwords of ordinary users."),
    ("29232cdf-9323-42fd-ade2-1d097af3e4de", "Exchange Administrator", "Can manage Exchange."),
    ("3a2c62db-5318-420d-8d74-23affee5d9d5", "Intune Administrator", "Can manage Intune."),
    ("194ae4cb-b126-40b2-bd5b-6091b380977d", "Security Administrator", "Can manage security settings."),
    ("f2ef992c-3afb-46b9-b7cf-a126ee74c451", "Global Reader", "Can read what a Global Administrator can."),
)
GLOBAL_ADMINISTRATOR = ROLES[0][0]


def public(row: dict[str, Any]) -> dict[str, Any]:
    """A row without what only the server knows (names that start with an underscore)."""
    return {name: value for name, value in row.items() if not name.startswith("_")}


def new_group(tenant: Tenant, group_id: str, name: str, kind: str, mail_local: str | None = None) -> Group:
    """A group as Graph returns it; `kind` is one of CIPP's words for a group's type."""
    mail = f"{mail_local}@{tenant.domain}" if mail_local and kind in ("m365", "distribution", "security") else None
    types = ["Unified"] if kind == "m365" else []
    if kind.startswith("dynamic"):
        types = ["DynamicMembership"]
    return {
        "id": group_id,
        "createdDateTime": stamp(tenant.today),
        "displayName": name,
        "description": None,
        "mail": mail,
        "mailEnabled": mail is not None,
        "mailNickname": mail_local or ascii_name(name).replace(".", ""),
        "resourceProvisioningOptions": [],
        "securityEnabled": kind in ("generic", "security", "azurerole", "dynamic"),
        "visibility": "Private" if kind == "m365" else None,
        "organizationId": tenant.id,
        "onPremisesSamAccountName": None,
        "membershipRule": None,
        "membershipRuleProcessingState": None,
        "groupTypes": types,
        "onPremisesSyncEnabled": None,
        "assignedLicenses": [],
        "isAssignableToRole": kind == "azurerole",
        "proxyAddresses": [f"SMTP:{mail}"] if mail else [],
        "_members": [],
        "_owners": [],
        "_hidden": False,
        "_internal_only": True,
        "_send_copies": False,
    }


def calculated_type(group: Group) -> str | None:
    """The word CIPP's forms use for the type (Invoke-ListGroups.ps1)."""
    if "Unified" in group["groupTypes"]:
        return "m365"
    if group["mailEnabled"]:
        return "security" if group["securityEnabled"] else "distributionList"
    return "generic" if group["securityEnabled"] else None


def readable_type(group: Group) -> str | None:
    words = {"m365": "Microsoft 365", "security": "Mail-Enabled Security", "generic": "Security"}
    words["distributionList"] = "Distribution List"
    return words.get(calculated_type(group) or "")


def make_groups(tenant: Tenant) -> dict[str, Group]:
    """A handful of groups of every type."""
    chance = source(tenant.seed, tenant.number, "groups")
    staff = [user for user in tenant.users.values() if user["department"] and user["givenName"]]
    active = [user for user in staff if user["accountEnabled"]]
    groups: dict[str, Group] = {}

    def add(name: str, kind: str, members: list[dict[str, Any]], local: str | None = None, **more: Any) -> Group:
        group = new_group(tenant, draw_guid(chance), name, kind, local)
        group["createdDateTime"] = days_before(tenant.today, chance.uniform(30, 1800))
        group["_members"] = [user["id"] for user in members]
        group["_owners"] = [user["id"] for user in active[:1]]
        group.update(more)
        groups[group["id"]] = group
        return group

    add(
        "All Staff",
        "m365",
        active,
        "allstaff",
        description="Everybody who works here",
        resourceProvisioningOptions=["Team"],
        visibility="Public",
    )
    departments = sorted({user["department"] for user in staff})
    for number, department in enumerate(departments):
        people = [user for user in active if user["department"] == department]
        local = ascii_name(department).replace(".", "-")
        team = ["Team"] if number % 2 == 0 else []
        add(
            f"{department} Team",
            "m365",
            people,
            local,
            description=f"Files and mail of {department}",
            resourceProvisioningOptions=team,
        )
    add(
        "MFA Exclusions",
        "generic",
        [user for user in tenant.users.values() if user["displayName"] == "Break Glass"],
        description="Accounts left out of conditional access",
    )
    add("Intune Pilot Devices", "generic", active[:3], description="First ring for device policies")
    licensed = add(
        "Licence - Business Apps", "generic", active[: max(1, len(active) // 2)], description="Group-based licences"
    )
    licensed["assignedLicenses"] = [skus.assigned(tenant.profile.main_sku)]
    add(
        "Managers",
        "distribution",
        [user for user in active if "Manager" in (user["jobTitle"] or "")],
        "managers",
        description="All managers",
    )
    add(
        "Finance Approvals",
        "security",
        [user for user in active if user["department"] == "Finance"],
        "approvals",
        description="May approve payments",
    )
    add(
        "Dynamic - Licensed Members",
        "dynamic",
        active,
        description="Filled by a rule",
        membershipRule='(user.userType -eq "Member") and (user.accountEnabled -eq true)',
        membershipRuleProcessingState="On",
    )
    add("Old Project Group", "generic", [], description=None, _owners=[])
    return groups


def make_roles(tenant: Tenant) -> dict[str, list[str]]:
    """Object ids of the members of every directory role, by template id."""
    admins = [user["id"] for user in tenant.users.values() if user["jobTitle"] == "Administrator"]
    staff = [user for user in tenant.users.values() if user["givenName"] and user["accountEnabled"]]
    it = [user["id"] for user in staff if user["department"] == "IT" and user["userType"] == "Member"]
    members: dict[str, list[str]] = {template: [] for template, _, _ in ROLES}
    # An owner who made himself Global Administrator: every estate has one.
    owner = [user["id"] for user in staff if user["userType"] == "Member"][:1]
    members[ROLES[0][0]] = admins + owner
    members[ROLES[2][0]] = it[:2]
    members[ROLES[3][0]] = it[:1]
    return members
