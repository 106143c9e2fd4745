"""Users: lists, counts, devices, sign-ins, and what protects them."""

from __future__ import annotations

import base64
from typing import Any

from cipp_mcp.demo.calls import Answer, Call, answers
from cipp_mcp.demo.habits import placeholder, single_tenant
from cipp_mcp.demo.world import skus
from cipp_mcp.demo.world.devices import directory_device
from cipp_mcp.demo.world.policies import covering, global_administrators, memberships
from cipp_mcp.demo.world.tenant import Row, Tenant

# One grey pixel.
_PHOTO = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mOor6//DwAFfQJ+3q1KxQAAAABJRU5ErkJggg=="
)


def user_row(user: Row) -> Row:
    """A user with the columns that ListUsers adds."""
    local, _, domain = user["userPrincipalName"].rpartition("@")
    row = {name: value for name, value in user.items() if name != "signInActivity" and name[0] != "_"}
    return row | {
        "onPremisesSyncEnabled": bool(user["onPremisesSyncEnabled"]),
        "username": local,
        "Aliases": ", ".join(user["proxyAddresses"]),
        "LicJoined": skus.names(user["assignedLicenses"]),
        "primDomain": {"value": domain, "label": domain},
    }


def missing(key: Any) -> str:
    """Graph's words for an object that is not there."""
    return f"Resource '{key}' does not exist or one of its queried reference-property objects are not present."


@answers("ListUsers")
def list_users(call: Call) -> Any:
    """Invoke-ListUsers.ps1: one tenant only; for all of them it points elsewhere with a row of its own."""
    if call.all_tenants:
        return [{"Message": "Listing users of all tenants is deprecated here, use ListGraphRequest instead."}]
    key = call.asked("UserID")
    if not key:
        from cipp_mcp.demo.answers.graph import matching

        users = matching(list(call.tenant.users.values()), call.asked("graphFilter"))
        return [user_row(user) for user in users]
    user = call.tenant.user(key)
    if user is None:
        return Answer(missing(key), 500)
    row = user_row(user)
    if call.asked("IncludeLogonDetails"):
        activity = user["signInActivity"] or {}
        row["LastSigninApplication"] = "Office 365 Exchange Online" if activity else None
        row["LastSigninDate"] = activity.get("lastSignInDateTime")
        row["LastSigninStatus"] = "UserLoggedIn" if activity else None
        row["LastSigninResult"] = "Success" if activity else None
        row["LastSigninFailureReason"] = "Successfully signed in" if activity else None
    return [row]


@answers("ListUserCounts")
def list_user_counts(call: Call) -> Any:
    """Invoke-ListUserCounts.ps1."""
    if call.all_tenants:
        return dict.fromkeys(("Users", "LicUsers", "Gas", "Guests"), "Not Supported")
    users = call.tenant.users.values()
    return {
        "Users": len(users),
        "LicUsers": sum(bool(user["assignedLicenses"]) for user in users),
        "Gas": len(global_administrators(call.tenant)),
        "Guests": sum(user["userType"] == "Guest" for user in users),
    }


def mfa_rows(tenant: Tenant) -> list[Row]:
    """The MFA report of a tenant."""
    known = memberships(tenant)
    return [_mfa_row(tenant, user, known) for user in tenant.users.values()]


def _mfa_row(tenant: Tenant, user: Row, known: dict[str, tuple[set[str], set[str]]]) -> Row:
    # Get-CIPPMFAState.ps1
    mfa = tenant.mfa[user["id"]]
    policies = [
        policy
        for policy in covering(tenant, user, known)
        if "mfa" in ((policy["grantControls"] or {}).get("builtInControls") or [])
    ]
    active = [policy for policy in policies if policy["state"] == "enabled"]
    return {
        "Tenant": tenant.domain,
        "ID": user["id"],
        "UPN": user["userPrincipalName"],
        "DisplayName": user["displayName"],
        "AccountEnabled": user["accountEnabled"],
        "PerUser": mfa["state"],
        "isLicensed": bool(user["assignedLicenses"]),
        "MFARegistration": bool(mfa["methods"]),
        "MFACapable": bool(mfa["methods"]),
        "MFAMethods": mfa["methods"],
        "CoveredByCA": "Enforced - All Apps" if active else "Not Enforced",
        "CAPolicies": [
            {
                "DisplayName": policy["displayName"],
                "UserIncluded": True,
                "AllApps": True,
                "PolicyState": policy["state"],
            }
            for policy in policies
        ],
        "CoveredBySD": not tenant.ca_policies,
        "IsAdmin": bool(known.get(user["id"], (set(), set()))[1]),
        "UserType": user["userType"],
        "RowKey": user["userPrincipalName"].replace("#", ""),
        "PartitionKey": "users",
    }


@answers("ListMFAUsers")
def list_mfa_users(call: Call) -> Any:
    """Invoke-ListMFAUsers.ps1: a made-up row for all tenants until the cache is filled."""

    def rows() -> list[Row]:
        return [row for tenant in call.tenants for row in mfa_rows(tenant)]

    if not call.all_tenants or call.flag("UseReportDB"):
        return rows()
    waiting = {"UPN": "Loading data for all tenants, ask again in a few minutes"}
    return placeholder(call, "MFA Users - All Tenants", waiting, rows)


@answers("ListPerUserMFA")
def list_per_user_mfa(call: Call) -> Any:
    """Invoke-ListPerUserMFA.ps1."""
    single_tenant(call)
    tenant = call.tenant
    if call.flag("allUsers"):
        return [
            {
                "userPrincipalName": user["userPrincipalName"],
                "id": user["id"],
                "perUserMfaState": tenant.mfa[user["id"]]["state"],
            }
            for user in tenant.users.values()
        ]
    key = call.asked("userId")
    user = tenant.user(key)
    if user is None:
        return Answer([f"Failed to read the MFA state of {key}: {missing(key)}"], 500)
    return [{"PerUserMFAState": tenant.mfa[user["id"]]["state"], "UserPrincipalName": key}]


@answers("ListUserDevices")
def list_user_devices(call: Call) -> Any:
    """Invoke-ListUserDevices.ps1: every failure is an empty list."""
    user = None if call.all_tenants else call.tenant.user(call.asked("UserID"))
    if user is None:
        return []
    rows = []
    for device in call.tenant.devices.values():
        if device["userId"] == user["id"]:
            entra = directory_device(device)
            rows.append({"ID": entra["id"], **entra, "onPremisesSyncEnabled": False, "EPMID": device["id"]})
    return rows


@answers("ListUserConditionalAccessPolicies")
def list_user_policies(call: Call) -> Any:
    """Invoke-ListUserConditionalAccessPolicies.ps1: a failure is a list with one empty object."""
    user = None if call.all_tenants else call.tenant.user(call.asked("UserID"))
    if user is None:
        return [{}]
    rows = []
    covered = covering(call.tenant, user, memberships(call.tenant))
    for policy in call.tenant.ca_policies.values():
        applies = policy in covered and policy["state"] != "disabled"
        rows.append({**policy, "policyApplies": applies, "analysisReasons": "notSet" if applies else "users"})
    return rows


@answers("ListUserPhoto")
def list_user_photo(call: Call) -> Any:
    """Invoke-ListUserPhoto.ps1 decodes the picture itself and sends bytes."""
    user = call.tenant.user(call.asked("UserID"))
    if user is None:
        return Answer("Exception calling FromBase64String: the input is not a valid Base-64 string.", 500)
    return Answer(user.get("_photo", _PHOTO), content_type="image/png")


@answers("ListDeletedItems")
def list_deleted(call: Call) -> Any:
    """Invoke-ListDeletedItems.ps1."""
    single_tenant(call)
    return [{name: value for name, value in row.items() if name[0] != "_"} for row in call.tenant.deleted.values()]
