"""Sign-in, passwords, second factors, sessions: what is done to an account in an emergency."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from cipp_mcp.demo.calls import Answer, Call, answers, results
from cipp_mcp.demo.powershell import first, is_true, label_or_text, member, rows, text, to_boolean
from cipp_mcp.demo.world.seeds import guid, source, stamp
from cipp_mcp.demo.writes.common import Failed, done, fail, password, remove_user, restore_user, user_of


@answers("ExecDisableUser")
def disable_user(call: Call) -> Any:
    """Invoke-ExecDisableUser.ps1: without Enable the account is disabled; text that is no boolean is an error."""
    key, enabled = text(call.given("ID")), to_boolean(call.given("Enable"))
    try:
        user = user_of(call.tenant, key)
    except Failed as error:
        raise fail(f"Failed to change the sign-in of {key}. Error: {error}") from error
    user["accountEnabled"] = enabled
    return done(
        call,
        f"Successfully {'allowed' if enabled else 'blocked'} sign-in of {key} (accountEnabled {enabled})",
        call.tenant,
    )


@answers("ExecResetPass")
def reset_password(call: Call) -> Any:
    """Invoke-ExecResetPass.ps1: without MustChange the new password stays."""
    key = text(call.given("ID"))
    name = text(first(call.asked("displayName"), call.sent("displayName"), key))
    must = to_boolean(call.given("MustChange"))
    try:
        user = user_of(call.tenant, key)
    except Failed as error:
        raise fail(f"Failed to give {name} ({key}) a new password. Error: {error}") from error
    user["_password"], user["_must_change"] = password(call), must
    user["lastPasswordChangeDateTime"] = stamp(call.state.today)
    call.state.log(call.endpoint, f"Gave {name} ({key}) a new password", call.tenant)
    told = f"Successfully gave {name} ({key}) a new password; change at next sign-in: {must}."
    secret = user["_password"]
    return results({"resultText": f"{told} It is {secret}", "copyField": secret, "state": "success"})


@answers("ExecResetMFA")
def reset_mfa(call: Call) -> Any:
    """Invoke-ExecResetMFA.ps1 reads the body only."""
    key, method = text(call.sent("ID")), text(call.sent("MethodId"))
    try:
        user = user_of(call.tenant, key)
    except Failed as error:
        raise fail(f"Failed to read the MFA methods of {key}. Error: {error}") from error
    methods = call.tenant.mfa[user["id"]]["methods"]
    gone = [name for name in methods if not method or guid(user["id"], name) == method]
    if not gone:
        with_id = f"{key} has no MFA method {method} that can be removed"
        return results(with_id if method else f"{key} has no MFA methods")
    call.tenant.mfa[user["id"]]["methods"] = [name for name in methods if name not in gone]
    word = "method" if method else "methods"
    tail = "" if method else "; the next sign-in asks for new ones"
    return done(call, f"Successfully removed the MFA {word} {', '.join(gone)} of {key}{tail}", call.tenant)


@answers("ExecPerUserMFA")
def per_user_mfa(call: Call) -> Any:
    """Invoke-ExecPerUserMFA.ps1: the object id counts for guests only."""
    upn = text(call.sent("userPrincipalName"))
    key = text(call.sent("userId")) if "#EXT#" in upn else upn
    state = text(label_or_text(call.sent("State"))).lower()
    if state not in ("enabled", "disabled", "enforced"):
        raise fail(
            f"Cannot validate argument on parameter 'State'. The argument \"{state}\" does not belong to the set."
        )
    if not key:
        raise fail("Cannot bind argument to parameter 'userId' because it is an empty string.")
    user = call.tenant.user(key)
    if user is not None:
        call.tenant.mfa[user["id"]]["state"] = state
    # The bulk request's own result is not looked at, so an unknown user is a success as well.
    return done(call, f"Successfully changed the per-user MFA state of {key}", call.tenant, listed=True)


@answers("ExecRevokeSessions")
def revoke_sessions(call: Call) -> Any:
    """Invoke-ExecRevokeSessions.ps1."""
    key, name = text(call.given("id")), text(call.given("Username"))
    try:
        user = user_of(call.tenant, key)
    except Failed as error:
        raise fail(f"Failed to end the sessions of {name}. Error: {error}") from error
    user["signInSessionsValidFromDateTime"] = user["refreshTokensValidFromDateTime"] = stamp(call.state.today)
    user["_revoked"] = user.get("_revoked", 0) + 1
    return done(call, f"Successfully ended all sessions of {name}", call.tenant)


@answers("RemoveUser")
def remove(call: Call) -> Any:
    """Invoke-RemoveUser.ps1: without an id it just stops."""
    key, name = text(call.given("ID")), text(call.given("userPrincipalName"))
    if not key:
        return Answer({"error": {"code": "InternalServerError", "message": "An error occurred"}}, 500)
    tail = f" ({name})" if name else ""
    try:
        remove_user(call.tenant, user_of(call.tenant, key))
    except Failed as error:
        raise fail(f"Failed to delete the user '{key}'. Error: {error}{tail}") from error
    return done(call, f"Successfully deleted the user '{key}'{tail}", call.tenant)


def _named(call: Call) -> str:
    upn, name = call.sent("userPrincipalName"), call.sent("displayName")
    told = f" ({text(upn)})" if upn else ""
    return told + (f" {text(name)}" if name else "")


@answers("ExecRestoreDeleted")
def restore_deleted(call: Call) -> Any:
    """Invoke-ExecRestoreDeleted.ps1."""
    key = text(call.given("ID"))
    try:
        restore_user(call.tenant, key)
    except Failed as error:
        raise fail(f"Failed to bring back '{key}'{_named(call)}. Error: {error}") from error
    return done(call, f"Successfully brought back '{key}'{_named(call)}", call.tenant)


@answers("RemoveDeletedObject")
def remove_deleted(call: Call) -> Any:
    """Invoke-RemoveDeletedObject.ps1."""
    key = text(call.given("ID"))
    if call.tenant.deleted.pop(key, None) is None:
        raise fail(f"Failed to delete {key}{_named(call)} for good. Error: it does not exist")
    return done(call, f"Successfully deleted '{key}'{_named(call)} for good", call.tenant)


@answers("ExecCreateTAP")
def create_pass(call: Call) -> Any:
    """Invoke-ExecCreateTAP.ps1: the pass stands in three places of the answer."""
    key = text(call.given("ID"))
    try:
        user = user_of(call.tenant, key)
    except Failed as error:
        raise fail(f"Failed to issue a temporary access pass for {key}: {error}") from error
    once = is_true(call.asked("isUsableOnce")) or is_true(call.sent("isUsableOnce"))
    minutes = int(text(call.given("lifetimeInMinutes")) or 60)
    call.state.changes += 1
    chance = source(call.state.seed, "pass", call.state.changes)
    code = "".join(chance.choice("abcdefghjkmnpqrstuvwxyz23456789+*") for _ in range(8))
    user["_pass"] = code
    told = f"Temporary access pass of {key}: {code}, valid for {minutes} minutes"
    call.state.log(call.endpoint, f"Created a temporary access pass for {key}", call.tenant)
    row = {
        "resultText": told + (", once only" if once else ""),
        "userId": key,
        "copyField": code,
        "temporaryAccessPass": code,
        "lifetimeInMinutes": minutes,
        "startDateTime": stamp(call.state.today),
        "isUsableOnce": once,
        "state": "success",
    }
    return results([row, {"resultText": f"User {key}", "copyField": key, "state": "success"}])


@answers("ExecPasswordNeverExpires")
def never_expires(call: Call) -> Any:
    """Invoke-ExecPasswordNeverExpires.ps1."""
    policy = text(first(label_or_text(call.sent("PasswordPolicy")), "None"))
    name = text(call.sent("userPrincipalName"))
    try:
        user_of(call.tenant, call.sent("userId"))["passwordPolicies"] = policy
    except Failed as error:
        raise fail(
            f"Failed to change the password policy of {name} to {policy}. Error: {error}", listed=True
        ) from error
    return done(call, f"Successfully changed the password policy of {name} to {policy}", call.tenant, listed=True)


@answers("ExecSetUserPhoto")
def set_photo(call: Call) -> Any:
    """Invoke-ExecSetUserPhoto.ps1."""
    key, action = text(call.given("userId")), text(call.given("action")).lower()
    try:
        user = user_of(call.tenant, key)
        if action == "remove":
            user.pop("_photo", None)
        elif action == "set":
            data = text(call.sent("photoData"))
            if not data:
                raise Failed("photoData is missing")
            user["_photo"] = base64.b64decode(data.rpartition(",")[2], validate=True)
        else:
            raise Failed("the action is invalid, set and remove are known")
    except (Failed, binascii.Error) as error:
        raise fail(f"Failed to {action} the picture: {error}", 400, listed=True) from error
    verb = "removed" if action == "remove" else "set"
    return done(call, f"Successfully {verb} the picture.", call.tenant, listed=True)


@answers("ExecDismissRiskyUser")
def dismiss_risk(call: Call) -> Any:
    """Invoke-ExecDismissRiskyUser.ps1."""
    key = text(call.given("userId"))
    name = text(first(call.given("userDisplayName"), key))
    if call.tenant.risky.pop(key, None) is None:
        raise fail(f"Failed to dismiss the risk of {name}. Error: {key} is not at risk")
    return done(call, f"Successfully dismissed the risk of {name}", call.tenant)


@answers("ExecRemoveAdminRole")
def remove_role(call: Call) -> Any:
    """Invoke-ExecRemoveAdminRole.ps1: a list of users, or one."""
    template = text(first(call.sent("RoleTemplateId"), call.sent("RoleId")))
    told = []
    for entry in rows(call.sent("Users")):
        key = text(first(member(entry, "value"), member(entry, "id"), entry))
        user = call.tenant.user(key)
        members = call.tenant.roles.get(template, [])
        if user is None or user["id"] not in members:
            told.append(f"Failed to take the role {text(call.sent('RoleName'))} from {key}. Error: no such assignment")
            continue
        members.remove(user["id"])
        told.append(f"Successfully took the role {text(call.sent('RoleName'))} from {user['userPrincipalName']}")
    return results(told)
