"""Licences and accounts by the dozen."""

from __future__ import annotations

from typing import Any

from cipp_mcp.demo.calls import Call, answers, results
from cipp_mcp.demo.powershell import label_or_text, member, plain, rows, text, truthy
from cipp_mcp.demo.world.people import new_user
from cipp_mcp.demo.writes.common import fresh, password, set_licences


@answers("ExecBulkLicense")
def bulk_license(call: Call) -> Any:
    """Invoke-ExecBulkLicense.ps1: an array; products are label objects, bare strings vanish."""
    told: list[str] = []
    for entry in rows(call.body):
        tenant = call.state.tenant(text(member(entry, "tenantFilter")))
        if tenant is None:
            told.append(
                f"Failed: the licences cannot be changed for {text(member(entry, 'tenantFilter'))}. Error: not found"
            )
            continue
        call.settled(tenant)
        operation = text(label_or_text(member(entry, "LicenseOperation"))).lower()
        wanted, given_up, replaced = (
            [text(value) for value in rows(member(entry, name, "value"))]
            for name in ("Licenses", "LicensesToRemove", "LicensesToReplace")
        )
        for key in map(text, rows(member(entry, "userIds"))):
            user = tenant.users.get(key)
            if user is None:
                told.append(f"Failed: {tenant.domain} has no user {key}, not found")
                continue
            held = [license["skuId"] for license in user["assignedLicenses"]]
            add = wanted if operation in ("add", "replace") else []
            remove: list[str] = []
            if operation == "remove":
                remove = (
                    held if truthy(member(entry, "RemoveAllLicenses")) else [sku for sku in given_up if sku in held]
                )
            elif operation == "replace":
                remove = (
                    held if truthy(member(entry, "ReplaceAllLicenses")) else [sku for sku in replaced if sku in held]
                )
            if add or remove:
                told.append(set_licences(call, tenant, user, add, remove))
            else:
                told.append(f"Nothing to change in the licences of {user['userPrincipalName']}")
    return results(told)


@answers("AddUserBulk")
def add_user_bulk(call: Call) -> Any:
    """Invoke-AddUserBulk.ps1: rows without name or domain are errors of their own; each new password is told."""
    wanted = rows(call.sent("BulkUser"))
    if not wanted:
        return results({"resultText": "Error: BulkUser holds no users", "state": "error"})
    tenant, told = call.tenant, []
    for entry in wanted:
        local, domain = text(member(entry, "mailNickName")), text(member(entry, "domain"))
        name = (
            text(member(entry, "displayName"))
            or f"{text(member(entry, 'givenName'))} {text(member(entry, 'surname'))}".strip()
        )
        missing = [
            field for field, value in (("mailNickName", local), ("domain", domain), ("displayName", name)) if not value
        ]
        if missing:
            told.append(
                {
                    "resultText": f"Missing for {name or 'a user'}: {', '.join(missing)}",
                    "state": "error",
                }
            )
            continue
        upn = f"{local}@{domain}"
        if tenant.user(upn) is not None or domain.lower() not in tenant.domains:
            told.append(
                {
                    "resultText": f"Failed: no account {upn}, the name is taken or the domain is not verified",
                    "state": "error",
                }
            )
            continue
        user = new_user(tenant, fresh(call, "bulk", upn), upn, name)
        for field, value in plain(entry).items():
            if field in user and field not in ("id", "userPrincipalName") and value not in (None, ""):
                user[field] = value
        secret = user["_password"] = text(member(entry, "password")) or password(call)
        tenant.users[user["id"]], tenant.mfa[user["id"]] = user, {"methods": [], "state": "disabled"}
        told.append({"resultText": f"Made the account {upn} for {name}", "copyField": secret, "state": "success"})
        licences = [text(label_or_text(licence)) for licence in rows(call.sent("licenses"))]
        if licences:
            told.append({"resultText": set_licences(call, tenant, user, licences, []), "state": "success"})
    return results(told)
