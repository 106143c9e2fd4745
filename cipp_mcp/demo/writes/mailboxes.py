"""Mailboxes: forwarding, archive, type, replies, permissions, rules."""

from __future__ import annotations

import re
from typing import Any

from cipp_mcp.demo.calls import Call, answers, results
from cipp_mcp.demo.powershell import first, is_true, label_or_text, member, text, to_boolean, truthy
from cipp_mcp.demo.world.mail import new_mailbox
from cipp_mcp.demo.world.people import new_user
from cipp_mcp.demo.writes.common import Failed, done, fail, fresh, mailbox_of


@answers("ExecEmailForward")
def forward(call: Call) -> Any:
    """Invoke-ExecEmailForward.ps1: an option that is none of the three leaves the status empty, which is a 500."""
    key, option = text(call.sent("userID")), text(call.sent("forwardOption")).lower()
    inner = call.sent("ForwardInternal")
    address = text(inner if isinstance(inner, str) else member(inner, "value"))
    outer, keep = text(call.sent("ForwardExternal")), is_true(call.sent("KeepCopy"))
    if option not in ("internaladdress", "externaladdress", "disabled"):
        raise fail("", 500, listed=True)
    try:
        box = mailbox_of(call.tenant, key)
        if option == "internaladdress" and call.tenant.user(address) is None:
            raise Failed(f"The recipient '{address}' couldn't be found.")
    except Failed as error:
        raise fail(f"Failed to change the forwarding of {key}. Error: {error}", listed=True) from error
    box.forwarding_smtp = outer if option == "externaladdress" else None
    box.forwarding_internal = address if option == "internaladdress" else None
    box.keep_copy = keep and option != "disabled"
    if option == "disabled":
        return done(call, f"Successfully ended the forwarding of {key}", call.tenant, listed=True)
    where = f"{address} inside" if option == "internaladdress" else f"{outer} outside"
    told = f"Successfully forwarded the mail of {key} to {where}; copy kept: {keep}"
    return done(call, told, call.tenant, listed=True)


@answers("ExecEnableArchive", "ExecEnableAutoExpandingArchive")
def archive(call: Call) -> Any:
    """Invoke-ExecEnableArchive.ps1 and Invoke-ExecEnableAutoExpandingArchive.ps1."""
    key = text(call.given("id"))
    name = text(first(call.given("username"), key))
    growing = call.endpoint == "ExecEnableAutoExpandingArchive"
    word = "auto-expanding archive" if growing else "archive"
    try:
        box = mailbox_of(call.tenant, key)
        if growing and not box.archive:
            raise Failed("The mailbox has no archive.")
    except Failed as error:
        raise fail(f"Failed to switch on the {word} of {name}. Error: {error}") from error
    box.archive = True
    box.auto_expanding = box.auto_expanding or growing
    return done(call, f"Successfully switched on the {word} of {name}", call.tenant)


@answers("ExecConvertMailbox")
def convert(call: Call) -> Any:
    """Invoke-ExecConvertMailbox.ps1."""
    key, kind = text(call.sent("ID")), text(call.sent("MailboxType"))
    kinds = {
        "shared": "SharedMailbox",
        "regular": "UserMailbox",
        "room": "RoomMailbox",
        "equipment": "EquipmentMailbox",
    }
    try:
        box = mailbox_of(call.tenant, key)
        if kind.lower() not in kinds:
            raise Failed(f"Cannot process argument transformation on parameter 'Type': '{kind}'.")
    except Failed as error:
        raise fail(f"Could not make {key} {kind}. Error: {error}") from error
    box.kind = kinds[kind.lower()]
    return done(call, f"Successfully made {key} a mailbox of type {kind}", call.tenant)


@answers("ExecSetOoO")
def out_of_office(call: Call) -> Any:
    """Invoke-ExecSetOoO.ps1: times are read only for a scheduled reply."""
    key, state = text(call.sent("userId")), text(label_or_text(call.sent("AutoReplyState")))
    try:
        box = mailbox_of(call.tenant, key)
        if state.lower() not in ("enabled", "disabled", "scheduled"):
            raise Failed(f"Cannot validate argument on parameter 'State': '{state}'.")
    except Failed as error:
        raise fail(f"Could not change the automatic replies of {key}. Error: {error}") from error
    reply = dict(box.out_of_office)
    reply["AutoReplyState"] = state.title()
    both = call.sent("input")
    for name in ("InternalMessage", "ExternalMessage"):
        message = text(both if truthy(both) else call.sent(name))
        if message.strip():
            reply[name] = message
    if state.lower() == "scheduled":
        for name in ("StartTime", "EndTime"):
            reply[name] = call.sent(name)
    box.out_of_office = reply
    if state.lower() == "disabled":
        return done(call, f"Automatic replies of {key}: {reply['AutoReplyState']}", call.tenant)
    told = f"Automatic replies of {key}: {reply['AutoReplyState']}, {reply['InternalMessage']}"
    return done(call, told, call.tenant)


@answers("ExecHideFromGAL")
def hide(call: Call) -> Any:
    """Invoke-ExecHideFromGAL.ps1: without HideFromGAL the mailbox is shown again."""
    key, hidden = text(call.given("ID")), to_boolean(call.given("HideFromGAL"))
    try:
        mailbox_of(call.tenant, key).hidden = hidden
    except Failed as error:
        raise fail(f"Failed to change the visibility of {key}. Error: {error}", 403) from error
    return done(call, f"Successfully {'hid' if hidden else 'showed'} {key} in the address list.", call.tenant)


@answers("ExecRemoveMailboxRule", "ExecSetMailboxRule")
def change_rule(call: Call) -> Any:
    """Invoke-ExecRemoveMailboxRule.ps1 and Invoke-ExecSetMailboxRule.ps1: the id is Exchange's, mailbox first."""
    key, name = text(call.given("ruleId")), text(call.given("ruleName"))
    upn = text(call.given("userPrincipalName"))
    removes = call.endpoint == "ExecRemoveMailboxRule"
    enable, disable = truthy(call.sent("Enable")), truthy(call.sent("Disable"))
    if not removes and not (enable or disable):
        raise Failed("No state provided for mailbox rule")
    verb = "delete" if removes else "set"
    try:
        box = mailbox_of(call.tenant, upn)
        rule = next((rule for rule in box.rules if rule["Identity"] == re.split(r"\\+", key)[-1]), None)
        if rule is None:
            raise Failed(f"The Inbox rule '{key}' couldn't be found.")
    except Failed as error:
        raise fail(f"Could not {verb} the rule {name} of {upn}. Error: {error}") from error
    if removes:
        box.rules.remove(rule)
        return done(call, f"Successfully removed the rule {name} of {upn}", call.tenant)
    rule["Enabled"] = enable
    return done(call, f"Successfully switched the rule {name} of {upn} {'on' if enable else 'off'}", call.tenant)


@answers("ExecSetLitigationHold", "ExecSetRetentionHold")
def hold(call: Call) -> Any:
    """Invoke-ExecSetLitigationHold.ps1: without disable the hold is set; "false" as text lifts it."""
    on, name = not truthy(call.sent("disable")), text(call.sent("UPN"))
    word = "Litigation" if call.endpoint == "ExecSetLitigationHold" else "Retention"
    key = text(call.sent("Identity"))
    try:
        box = mailbox_of(call.tenant, (call.tenant.user(key) and key) or name)
    except Failed as error:
        told = f"Could not change the {word.lower()} hold of {name} ({key}). Error: {error}"
        raise fail(told) from error
    if word == "Litigation":
        box.litigation_hold = on
    else:
        box.retention_hold = on
    return done(call, f"{word} hold of {name} ({key}) is now {on}", call.tenant)


@answers("ExecCopyForSent")
def copy_for_sent(call: Call) -> Any:
    """Invoke-ExecCopyForSent.ps1."""
    key, on = text(call.given("ID")), to_boolean(call.given("messageCopyState"))
    try:
        box = mailbox_of(call.tenant, key)
    except Failed as error:
        raise fail(f"Failed to change the copies of {key}. Error: {error}") from error
    box.copy_sent_as = box.copy_send_on_behalf = on
    return done(call, f"Successfully changed the copies of {key}: {on}", call.tenant)


@answers("ExecMailboxMobileDevices")
def phones(call: Call) -> Any:
    """Invoke-ExecMailboxMobileDevices.ps1 reads the query alone."""
    key, device = text(call.asked("Userid")), text(call.asked("guid"))
    try:
        box = mailbox_of(call.tenant, key)
    except Failed as error:
        return results(f"Failed to change the mobile device of {key}: {error}")
    found = [phone for phone in box.phones if device in (phone["Guid"], phone["deviceID"])]
    if call.flag("Delete"):
        box.phones = [phone for phone in box.phones if phone not in found]
        return done(call, f"Deleted mobile device {device} of {key}", call.tenant)
    for phone in found:
        phone["deviceAccessState"] = "Quarantined" if call.flag("Quarantine") else "Allowed"
    return done(call, f"Set the access of mobile device {device} of {key}", call.tenant)


@answers("ExecSetMailboxQuota")
def quota(call: Call) -> Any:
    """Invoke-ExecSetMailboxQuota.ps1."""
    key, size = text(call.sent("user")), text(call.sent("quota"))
    number = re.match(r"\d+", size)
    try:
        box = mailbox_of(call.tenant, key)
        if number is None:
            raise Failed(f"'{size}' is no size.")
    except Failed as error:
        return results(f"Could not change the quota of {key} to {size}. Error: {error}")
    if truthy(call.sent("ProhibitSendReceiveQuota")):
        box.quota_gb = int(number.group())
    return done(call, f"Set the mailbox quota of {key} to {size}", call.tenant)


@answers("AddSharedMailbox")
def add_shared(call: Call) -> Any:
    """Invoke-AddSharedMailbox.ps1 reads the tenant as tenantID and the domain as a bare string."""
    tenant = call.find(text(first(call.sent("tenantID"), call.sent("tenantFilter"))))
    mail = f"{text(call.sent('username'))}@{text(call.sent('domain'))}"
    if mail.rpartition("@")[2].lower() not in tenant.domains:
        told = f'"{mail}" is not a valid SMTP address of an accepted domain.'
        raise fail(f"Failed: no shared mailbox. {told}", 403, listed=True)
    user = new_user(tenant, fresh(call, "shared", mail), mail, text(call.sent("displayName")))
    user |= {"accountEnabled": False, "mail": mail, "proxyAddresses": [f"SMTP:{mail}"]}
    tenant.users[user["id"]], tenant.mfa[user["id"]] = user, {"methods": [], "state": "disabled"}
    tenant.mailboxes[user["id"]] = new_mailbox(user, fresh(call, "mailbox"), "SharedMailbox")
    told_all = [f"Successfully made the shared mailbox {mail}.", f"Nobody can sign in as {mail}"]
    aliases = [line.strip() for line in text(call.sent("addedAliases")).split("\n") if line.strip()]
    if aliases:
        user["proxyAddresses"] += [f"smtp:{alias}" for alias in aliases]
        told_all.append(f"Aliases of {mail}: {','.join(aliases)}")
    call.state.log(call.endpoint, told_all[0], tenant)
    return results(told_all)
