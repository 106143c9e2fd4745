"""Conditional access and the locations it speaks of."""

from __future__ import annotations

import json
from typing import Any

from cipp_mcp.demo.calls import Answer, Call, answers, results
from cipp_mcp.demo.powershell import first, is_true, label_or_text, member, plain, rows, text, truthy
from cipp_mcp.demo.world.policies import new_ca_policy
from cipp_mcp.demo.world.seeds import stamp
from cipp_mcp.demo.world.tenant import Tenant
from cipp_mcp.demo.writes.common import Failed, done, fail, fresh

_STATES = ("enabled", "disabled", "enabledForReportingButNotEnforced")


def chosen_tenants(call: Call, value: Any) -> list[Tenant]:
    """Tenants given as label objects; bare strings are not seen, AllTenants is every one."""
    names = [text(name) for name in rows(member(value, "value"))]
    if "AllTenants" in names:
        return [call.settled(tenant) for tenant in call.state.visible(call.client.own_tenants)]
    found = [call.state.tenant(name) for name in names]
    return [call.settled(tenant) for tenant in found if tenant is not None]


@answers("AddCAPolicy")
def add_policy(call: Call) -> Any:
    """Invoke-AddCAPolicy.ps1: always 200, and nothing at all when the tenant is a bare string."""
    told = []
    for tenant in chosen_tenants(call, call.sent("tenantFilter")):
        try:
            told.append(_add(call, tenant))
        except Failed as error:
            told.append(f"Failed: no policy in {tenant.domain}: {error}")
    return results(told)


def _add(call: Call, tenant: Tenant) -> str:
    try:
        raw = json.loads(text(call.sent("RawJSON")) or "null")
    except ValueError as error:
        raise Failed(f"Conversion from JSON failed with error: {error}") from error
    if not isinstance(raw, dict) or not raw.get("displayName"):
        raise Failed("Cannot bind argument to parameter 'RawJSON' because it holds no policy.")
    name, state = str(raw["displayName"]), text(call.sent("NewState"))
    if state in ("", "donotchange"):
        state = str(raw.get("state", "disabled"))
    if state not in _STATES:
        raise Failed(f"1038: Invalid value '{state}' for state.")
    known = next((row for row in tenant.ca_policies.values() if row["displayName"].lower() == name.lower()), None)
    if known is not None and not truthy(call.sent("overwrite")):
        raise Failed(f"a policy {name} already exists")
    key = known["id"] if known else fresh(call, "ca", name)
    policy = new_ca_policy(key, name, state, stamp(call.state.today))
    conditions = raw.get("conditions") or {}
    for part in ("users", "applications"):
        policy["conditions"][part] |= {field: value for field, value in (conditions.get(part) or {}).items() if value}
    if isinstance(conditions.get("locations"), dict):
        policy["conditions"]["locations"] = conditions["locations"]
    policy["grantControls"] = raw.get("grantControls")
    tenant.ca_policies[key] = policy
    if truthy(call.sent("DisableSD")):
        tenant.row["_security_defaults"] = False
    call.state.log(call.endpoint, f"Added conditional access policy {name}", tenant)
    return f"{'Changed' if known else 'Made'} the policy {name} in {tenant.domain}"


@answers("EditCAPolicy")
def edit_policy(call: Call) -> Any:
    """Invoke-EditCAPolicy.ps1: state and name, each only when it is sent."""
    key = text(call.given("GUID"))
    state = text(call.given("State"))
    name = text(call.given("newDisplayName"))
    policy = call.tenant.ca_policies.get(key)
    if policy is None:
        raise fail(f"Failed to change the policy {key}: 1034: Policy '{key}' does not exist")
    if state and state not in _STATES:
        raise fail(f"Failed to change the policy {key}: 1038: Invalid value '{state}' for state.")
    told = f"Successfully changed the policy {key}"
    if state:
        policy["state"] = state
        told += f" state to {state}"
    if name:
        policy["displayName"] = name
        told += f" name to '{name}'"
    policy["modifiedDateTime"] = stamp(call.state.today)
    return done(call, told, call.tenant)


@answers("RemoveCAPolicy")
def remove_policy(call: Call) -> Any:
    """Invoke-RemoveCAPolicy.ps1."""
    key = text(call.given("GUID"))
    if call.tenant.ca_policies.pop(key, None) is None:
        return Answer({"Results": f"Could not remove the policy {key}: 1034: Policy '{key}' does not exist"}, 403)
    return done(call, f"Removed the policy {key}", call.tenant)


@answers("AddNamedLocation")
def add_location(call: Call) -> Any:
    """Invoke-AddNamedLocation.ps1: a type other than IPLocation is a list of countries."""
    told = []
    for tenant in chosen_tenants(call, call.sent("selectedTenants")):
        key, now = fresh(call, "location"), stamp(call.state.today)
        base = {
            "id": key,
            "displayName": text(call.sent("policyName")),
            "createdDateTime": now,
            "modifiedDateTime": now,
        }
        if text(call.sent("Type")) == "IPLocation":
            ranges = [line.strip() for line in text(call.sent("Ips")).split("\n") if line.strip()]
            wrong = [entry for entry in ranges if "/" not in entry]
            if wrong or not ranges:
                told.append(f"Failed: no location in {tenant.domain}: 1047: Invalid IP address value: {wrong}")
                continue
            more: dict[str, Any] = {
                "@odata.type": "#microsoft.graph.ipNamedLocation",
                "isTrusted": is_true(call.sent("Trusted")),
                "ipRanges": [{"cidrAddress": entry} for entry in ranges],
            }
        else:
            more = {
                "@odata.type": "#microsoft.graph.countryNamedLocation",
                "countriesAndRegions": [text(entry) for entry in rows(call.sent("Countries", "value"))],
                "includeUnknownCountriesAndRegions": is_true(call.sent("includeUnknownCountriesAndRegions")),
            }
        tenant.locations[key] = {**base, "deletedDateTime": None, **more}
        call.state.log(call.endpoint, f"Added named location {base['displayName']}", tenant)
        told.append(f"Successfully made the location in {tenant.domain}")
    return results(told)


@answers("ExecNamedLocation")
def change_location(call: Call) -> Any:
    """Invoke-ExecNamedLocation.ps1."""
    key = text(first(call.sent("namedLocationId"), call.asked("namedLocationId")))
    change = text(first(call.sent("change"), call.asked("change")))
    content = text(label_or_text(first(call.sent("input"), call.asked("input"))))
    location = call.tenant.locations.get(key)
    if location is None:
        raise fail(f"Failed to change the location. Error: Location '{key}' does not exist", listed=True)
    ranges = location.setdefault("ipRanges", []) if change.lower().endswith("ip") else []
    countries = location.setdefault("countriesAndRegions", []) if "location" in change.lower() else []
    match change.lower():
        case "addip":
            ranges.append({"cidrAddress": content})
        case "removeip":
            location["ipRanges"] = [entry for entry in ranges if entry["cidrAddress"] != content]
        case "addlocation":
            countries.append(content)
        case "removelocation":
            location["countriesAndRegions"] = [entry for entry in countries if entry != content]
        case "rename":
            location["displayName"] = content
        case "settrusted" | "setuntrusted":
            location["isTrusted"] = change.lower() == "settrusted"
        case "delete":
            del call.tenant.locations[key]
        case _:
            raise fail(f"Failed to change the location. Error: unknown change '{change}'", listed=True)
    name = location["displayName"]
    return done(call, f"Changed the location {name}: {change} {content}".strip(), call.tenant, listed=True)


@answers("ExecEditCAPolicyFull")
def edit_policy_full(call: Call) -> Any:
    """Invoke-ExecEditCAPolicyFull.ps1: the parts of PolicyBody replace those of the policy."""
    key = text(call.given("PolicyId"))
    body = plain(call.sent("PolicyBody"))
    for name, given in (("tenantFilter", call.tenant_name), ("PolicyId", key), ("PolicyBody", body)):
        if not given:
            raise fail(f"Error: {name} is missing", 400)
    policy = call.tenant.ca_policies.get(key)
    if policy is None or not isinstance(body, dict):
        raise fail(f"Failed to change the policy {key} of {call.tenant.domain}: 1034: Policy '{key}' does not exist")
    for part in ("displayName", "state", "conditions", "grantControls", "sessionControls"):
        if isinstance(body.get(part), dict) and isinstance(policy.get(part), dict):
            policy[part] = policy[part] | body[part]
        elif body.get(part) is not None:
            policy[part] = body[part]
    return done(call, f"Successfully changed the policy '{policy['displayName']}' of {call.tenant.domain}", call.tenant)
