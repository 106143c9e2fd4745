"""What changes have in common: finding the object, words of failure, new passwords."""

from __future__ import annotations

from typing import Any

from cipp_mcp.demo.answers.identity import missing
from cipp_mcp.demo.calls import Answer, Call, Refused, results
from cipp_mcp.demo.powershell import text
from cipp_mcp.demo.world import skus
from cipp_mcp.demo.world.mail import Mailbox, new_mailbox
from cipp_mcp.demo.world.seeds import guid, source
from cipp_mcp.demo.world.tenant import Row, Tenant

_LETTERS = "abcdefghjkmnpqrstuvwxyzABCDEFGHJKMNPQRSTUVWXYZ23456789"
_SIGNS = "!#%+?"


class Failed(Exception):
    """A step that did not succeed, with Graph's or Exchange's complaint."""


def fail(message: str, status: int = 500, listed: bool = False) -> Refused:
    """Ends the call with a failure in Results."""
    return Refused(Answer({"Results": [message] if listed else message}, status))


def user_of(tenant: Tenant, key: Any) -> Row:
    """The user with this id or UPN.

    Raises Failed.
    """
    found = tenant.user(text(key)) if key is not None else None
    if found is None:
        raise Failed(missing(text(key)))
    return found


def fresh(call: Call, *topic: object) -> str:
    """An id or draw that no earlier change has had."""
    state = call.state
    state.changes += 1
    return guid(state.seed, "change", state.changes, *topic)


def password(call: Call) -> str:
    """A password as CIPP makes them."""
    call.state.changes += 1
    chance = source(call.state.seed, "password", call.state.changes)
    letters = [chance.choice(_LETTERS) for _ in range(13)]
    return "".join([*letters, chance.choice(_SIGNS), str(chance.randrange(2, 10))])


def done(call: Call, message: str, tenant: Tenant | None = None, listed: bool = False) -> Any:
    """Logs a success and answers with it."""
    call.state.log(call.endpoint, message, tenant)
    return results([message] if listed else message)


def set_licences(call: Call, tenant: Tenant, user: Row, add: list[str], remove: list[str]) -> str:
    """Assigns and removes products (Set-CIPPUserLicense.ps1); the message tells what came of it.

    Products that the tenant has not bought or has no seat left of are refused as Graph does it.
    """
    upn = user["userPrincipalName"]
    held = [entry["skuId"] for entry in user["assignedLicenses"]]
    for sku_id in add:
        name = skus.BY_ID[sku_id].name if sku_id in skus.BY_ID else sku_id
        if sku_id not in tenant.owned:
            return f"Failed to change the licences of {upn}: License {sku_id} does not correspond to a valid company License."
        used = sum(sku_id in [entry["skuId"] for entry in other["assignedLicenses"]] for other in tenant.users.values())
        if sku_id not in held and used >= tenant.owned[sku_id]:
            text_ = f"Subscription with SKU {sku_id} ({name}) does not have any available licenses."
            return f"Failed to change the licences of {upn}: {text_}"
    kept = [sku_id for sku_id in held if sku_id not in remove or sku_id in add]
    kept += [sku_id for sku_id in add if sku_id not in kept]
    user["assignedLicenses"] = [{"disabledPlans": [], "skuId": sku_id} for sku_id in kept]
    box = tenant.mailboxes.get(user["id"])
    if skus.has_mailbox(user["assignedLicenses"]):
        if box is None:
            user["mail"] = user["mail"] or upn
            user["proxyAddresses"] = user["proxyAddresses"] or [f"SMTP:{upn}"]
            tenant.mailboxes[user["id"]] = new_mailbox(user, fresh(call, "mailbox"))
    elif box is not None and box.kind == "UserMailbox":
        del tenant.mailboxes[user["id"]]
    return f"Successfully changed the licences of {upn}; Microsoft shows it after a few minutes."


def remove_user(tenant: Tenant, user: Row) -> None:
    """Moves an account to the deleted items and takes it out of everything it was in."""
    key = user["id"]
    box = tenant.mailboxes.pop(key, None)
    groups = [group["id"] for group in tenant.groups.values() if key in group["_members"]]
    tenant.deleted[key] = {
        **tenant.users.pop(key),
        "TargetType": "User",
        "deletedDateTime": tenant.row["LastRefresh"],
        "_mailbox": box,
        "_groups": groups,
        "_mfa": tenant.mfa.pop(key),
    }
    for group in tenant.groups.values():
        for table in ("_members", "_owners"):
            group[table] = [member for member in group[table] if member != key]
    for members in tenant.roles.values():
        if key in members:
            members.remove(key)
    tenant.jit_admins.pop(key, None)


def restore_user(tenant: Tenant, key: str) -> None:
    """Brings a deleted account back with its mailbox and its groups.

    Raises Failed.
    """
    row = tenant.deleted.pop(key, None)
    if row is None:
        raise Failed(missing(key))
    internal = {name: row.pop(name) for name in ("_mailbox", "_groups", "_mfa", "TargetType", "deletedDateTime")}
    tenant.users[key] = row
    tenant.mfa[key] = internal["_mfa"]
    if isinstance(internal["_mailbox"], Mailbox):
        tenant.mailboxes[key] = internal["_mailbox"]
    for group in internal["_groups"]:
        if group in tenant.groups:
            tenant.groups[group]["_members"].append(key)


def mailbox_of(tenant: Tenant, key: Any) -> Mailbox:
    """The mailbox of this account.

    Raises Failed.
    """
    user = tenant.user(text(key)) if key is not None else None
    box = tenant.mailboxes.get(user["id"]) if user else None
    if box is None:
        raise Failed(
            f"The operation couldn't be performed because object '{text(key)}' couldn't be found on the server."
        )
    return box
