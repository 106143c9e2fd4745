"""Spam filters, connectors, and the senders that a mailbox trusts."""

from __future__ import annotations

from typing import Any

from cipp_mcp.demo.calls import Call, answers
from cipp_mcp.demo.powershell import text
from cipp_mcp.demo.writes.common import Failed, done, fail, mailbox_of


@answers("EditSpamFilter", "RemoveSpamfilter")
def spam_filter(call: Call) -> Any:
    """Invoke-EditSpamFilter.ps1 and Invoke-RemoveSpamfilter.ps1 read the tenant from the query alone."""
    name = text(call.given("name"))
    tenant = call.find(text(call.asked("tenantFilter")))
    policy = tenant.spam_filters.get(name)
    removes = call.endpoint == "RemoveSpamfilter"
    if policy is None or policy["IsDefault"]:
        why = f"The operation couldn't be performed because object '{name}' couldn't be found or is the default."
        raise fail(f"Failed to {'remove' if removes else 'switch'} the filter {name}: {why}", 403)
    if removes:
        del tenant.spam_filters[name]
        return done(call, f"Removed the filter {name}", tenant)
    state = text(call.sent("state"))
    policy["ruleState"] = "Enabled" if state.lower() == "enable" else "Disabled"
    return done(call, f"Switched the filter {name}: {state}", tenant)


@answers("EditExConnector", "RemoveExConnector")
def connector(call: Call) -> Any:
    """Invoke-EditExConnector.ps1 and Invoke-RemoveExConnector.ps1: the type chooses the cmdlet, so it has to fit."""
    key, kind = text(call.given("GUID")), text(call.given("Type"))
    row = call.tenant.connectors.get(key)
    if row is None or kind.lower() != row["cippconnectortype"].lower():
        raise fail(f"The operation couldn't be performed because object '{key}' couldn't be found.", 403)
    if call.endpoint == "RemoveExConnector":
        del call.tenant.connectors[key]
        return done(call, f"Removed the connector {key}", call.tenant)
    state = text(call.given("State"))
    row["Enabled"] = state.lower() == "enable"
    return done(call, f"Switched the connector {key}: {state}", call.tenant)


@answers("RemoveTrustedBlockedSender")
def trusted_sender(call: Call) -> Any:
    """Invoke-RemoveTrustedBlockedSender.ps1."""
    upn, value, kind = (text(call.sent(name)) for name in ("userPrincipalName", "value", "typeProperty"))
    try:
        box = mailbox_of(call.tenant, upn)
        entries = {"TrustedSendersAndDomains": box.trusted, "BlockedSendersAndDomains": box.blocked}.get(kind)
        if entries is None or value not in entries:
            raise Failed(f"'{value}' is not in {kind}.")
    except Failed as error:
        raise fail(f"Failed to take {value} out of {kind} of {upn}. Error: {error}") from error
    entries.remove(value)
    return done(call, f"Successfully took {value} out of {kind} of {upn}", call.tenant)
