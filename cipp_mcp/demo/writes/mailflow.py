"""Contacts, quarantine, transport rules, the allow and block list, stopped senders."""

from __future__ import annotations

import re
from typing import Any

from cipp_mcp.demo.calls import Call, answers, results
from cipp_mcp.demo.powershell import Folded, first, is_true, label_or_text, rows, text, truthy
from cipp_mcp.demo.world.seeds import stamp
from cipp_mcp.demo.world.tenant import Row, Tenant
from cipp_mcp.demo.writes.common import done, fail, fresh

_MORE = {
    "Title": "Title",
    "StreetAddress": "StreetAddress",
    "PostalCode": "PostalCode",
    "State": "State",
    "CountryOrRegion": "Country",
    "website": "WebPage",
    "phone": "Phone",
    "mobilePhone": "MobilePhone",
    "mailTip": "MailTip",
}
_COLUMNS = {
    "displayName": "DisplayName",
    "firstName": "FirstName",
    "lastName": "LastName",
    "Company": "Company",
    "City": "City",
}


def _fill(call: Call, contact: Row) -> None:
    for field, column in _COLUMNS.items():
        if text(call.sent(field)).strip():
            contact[column] = text(call.sent(field))
    if text(call.sent("email")).strip():
        contact["WindowsEmailAddress"] = text(call.sent("email"))
    for field, column in _MORE.items():
        if text(call.sent(field)).strip():
            contact["_more"][column] = text(call.sent(field))
    if call.sent("hidefromGAL") is not None:
        contact["_more"]["Hidden"] = truthy(call.sent("hidefromGAL"))


@answers("AddContact")
def add_contact(call: Call) -> Any:
    """Invoke-AddContact.ps1 reads the tenant as tenantid."""
    tenant = call.find(text(first(call.sent("tenantid"), call.sent("tenantFilter"))))
    name, mail = text(call.sent("displayName")), text(call.sent("email"))
    if "@" not in mail or not name:
        raise fail(f"Failed: no contact. Cannot process argument transformation: '{mail}' is no address.")
    if any(contact["WindowsEmailAddress"].lower() == mail.lower() for contact in tenant.contacts.values()):
        raise fail(f'Failed: no contact. The proxy address "SMTP:{mail}" is already being used.')
    key = fresh(call, "contact", mail)
    contact: Row = dict.fromkeys(("City", "Company", "Department", "FirstName", "LastName"), "")
    contact |= {"Guid": key, "graphId": fresh(call, "graph", mail), "IsDirSynced": False, "_more": {"Hidden": False}}
    _fill(call, contact)
    tenant.contacts[key] = contact
    return done(call, f"Successfully made the contact {name} <{mail}>", tenant)


@answers("EditContact")
def edit_contact(call: Call) -> Any:
    """Invoke-EditContact.ps1."""
    tenant = call.find(text(first(call.sent("tenantID"), call.sent("tenantFilter"))))
    contact = _contact(tenant, text(call.sent("ContactID")))
    if contact is None:
        raise fail(f"Failed: the contact '{text(call.sent('ContactID'))}' couldn't be found.")
    _fill(call, contact)
    return done(call, f"Successfully changed the contact {text(call.sent('displayName'))}", tenant)


@answers("RemoveContact")
def remove_contact(call: Call) -> Any:
    """Invoke-RemoveContact.ps1."""
    key = text(call.given("GUID"))
    contact = _contact(call.tenant, key)
    if contact is None:
        raise fail(f"Failed: the contact {key} couldn't be found.", 400)
    del call.tenant.contacts[contact["Guid"]]
    return done(call, f"Removed {text(call.given('Mail'))}", call.tenant)


def _contact(tenant: Tenant, key: str) -> Row | None:
    found = (row for row in tenant.contacts.values() if key in (row["Guid"], row["graphId"]))
    return next(found, None) if key else None


@answers("ExecQuarantineManagement")
def quarantine(call: Call) -> Any:
    """Invoke-ExecQuarantineManagement.ps1: always 200, failures as text; one identity or a list of them."""
    name = next((text(label_or_text(entry)) for entry in rows(call.sent("tenantFilter"))), "")
    action = next((text(entry) for entry in rows(call.sent("Type"))), "")
    tenant = call.state.tenant(name)
    if tenant is None:
        return results(f"Failed. Tenant '{name}' not found")
    call.settled(tenant)
    keys = [text(entry) for entry in rows(call.sent("Identity"))]
    unknown = [key for key in keys if key not in tenant.quarantine]
    if unknown or not keys:
        return results(f"Failed. The quarantined message '{text(unknown or keys)}' couldn't be found.")
    if action not in ("Release", "Deny", "Approve", "Request"):
        return results(f"Failed. Cannot process argument transformation on parameter 'ActionType': '{action}'")
    for key in keys:
        message = tenant.quarantine[key]
        message["ReleaseStatus"] = {"Deny": "DENIED", "Approve": "APPROVED", "Request": "REQUESTED"}.get(
            action, "RELEASED"
        )
        message["Released"] = action in ("Release", "Approve")
        if is_true(call.sent("AllowSender")) and len(keys) == 1:
            policy = tenant.spam_filters.get(text(call.sent("PolicyName")) or message["PolicyName"])
            sender = text(call.sent("SenderAddress")) or message["SenderAddress"]
            if policy is not None and sender not in policy["AllowedSenders"]:
                policy["AllowedSenders"].append(sender)
    return done(call, f"Successfully treated {text(keys)}", tenant)


@answers("EditTransportRule", "RemoveTransportRule")
def transport_rule(call: Call) -> Any:
    """Invoke-EditTransportRule.ps1 and Invoke-RemoveTransportRule.ps1: any state but "enable" disables."""
    key = text(call.given("guid"))
    rule = next((row for row in call.tenant.transport_rules.values() if key in (row["Guid"], row["Name"])), None)
    if rule is None or not key:
        raise fail(f"The operation couldn't be performed because object '{key}' couldn't be found.", 403)
    if call.endpoint == "RemoveTransportRule":
        del call.tenant.transport_rules[rule["Guid"]]
        return done(call, f"Removed the rule {key}", call.tenant)
    state = text(call.given("state"))
    rule["State"] = "Enabled" if state.lower() == "enable" else "Disabled"
    return done(call, f"The rule {key} is now: {state}", call.tenant)


@answers("AddEditTransportRule")
def save_transport_rule(call: Call) -> Any:
    """Invoke-AddEditTransportRule.ps1: with ruleId a change, else a new rule."""
    tenant, name = call.tenant, text(call.sent("Name"))
    key = text(call.sent("ruleId"))
    known = next((row for row in tenant.transport_rules.values() if key and key in (row["Guid"], row["Name"])), None)
    if key and known is None:
        raise fail(f"Failed to change the rule {name}. The object '{key}' couldn't be found.", 403)
    if not known and not name:
        raise fail("Failed: no rule. Cannot bind argument to parameter 'Name'.", 403)
    rule = known or {
        "Guid": fresh(call, "rule", name),
        "Identity": name,
        "Name": name,
        "Mode": "Enforce",
        "Priority": len(tenant.transport_rules),
        "Comments": "",
        "RuleErrorAction": "Ignore",
        "SenderAddressLocation": "Header",
    }
    body = call.body if isinstance(call.body, Folded) else Folded({})
    own = {"tenantfilter", "ruleid", "state", "enabled"}
    rule |= {field: label_or_text(body[field]) for field in body if field.lower() not in own and truthy(body[field])}
    state = text(first(call.sent("State"), call.sent("Enabled"), "Enabled"))
    rule["State"] = "Disabled" if state.lower() in ("disabled", "false") else "Enabled"
    rule["WhenChanged"] = stamp(call.state.today)
    tenant.transport_rules[rule["Guid"]] = rule
    verb = "updated" if known else "created"
    return done(call, f"Successfully {verb} the rule {rule['Name']} of {tenant.domain}", tenant)


@answers("ExecRemoveRestrictedUser")
def unrestrict(call: Call) -> Any:
    """Invoke-ExecRemoveRestrictedUser.ps1."""
    sender = text(call.given("SenderAddress"))
    if call.tenant.restricted.pop(sender, None) is None:
        raise fail(f"Failed: {sender} is not stopped, not found")
    return done(call, f"Successfully let {sender} send again.", call.tenant)


@answers("AddTenantAllowBlockList", "RemoveTenantAllowBlockList")
def allow_block(call: Call) -> Any:
    """Invoke-AddTenantAllowBlockList.ps1 and Invoke-RemoveTenantAllowBlockList.ps1: entries by comma or line."""
    entries = [
        part.strip()
        for part in re.split(r"[,;\n]", text(first(call.sent("entries"), call.sent("Entries"))))
        if part.strip()
    ]
    if not entries:
        raise fail("Failed: no entries were given.", listed=True)
    tenant = call.tenant
    if call.endpoint == "RemoveTenantAllowBlockList":
        for entry in entries:
            tenant.allow_block.pop(entry, None)
        return done(call, f"Successfully took {', '.join(entries)} off the list", tenant)
    method, kind = text(call.sent("listMethod")).title(), text(label_or_text(call.sent("listType")))
    for entry in entries:
        tenant.allow_block[entry] = {
            "Identity": f"{entry}-{method}",
            "Value": entry,
            "Action": method,
            "ListType": kind,
            "ExpirationDate": None,
            "LastModifiedDateTime": stamp(call.state.today),
            "LastUsedDate": None,
            "Notes": text(call.sent("notes")),
            "RemoveAfter": None,
        }
    return done(call, f"Successfully put {', '.join(entries)} ({kind}) on the list: {method}", tenant, listed=True)
