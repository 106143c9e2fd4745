"""Several tenants at once: exclusions, tenant groups, standards, applications."""

from __future__ import annotations

from typing import Any

from cipp_mcp.demo.calls import Call, answers, results
from cipp_mcp.demo.habits import start
from cipp_mcp.demo.powershell import first, member, plain, rows, text, truthy
from cipp_mcp.demo.writes.common import done, fresh

_MSP_APPS = ("datto", "ninja", "huntress", "syncro", "ncentral", "automate", "cwcommand")


@answers("ExecExcludeTenant")
def exclude_tenant(call: Call) -> Any:
    """Invoke-ExecExcludeTenant.ps1: the query says what to do, the body's value holds customer ids."""
    state = call.state
    if call.asked("List") or call.asked("ListAll"):
        tenants = state.tenants if call.asked("ListAll") else [tenant for tenant in state.tenants if tenant.excluded]
        return [{**tenant.row, "Excluded": tenant.excluded} for tenant in tenants]
    out, back = call.asked("AddExclusion"), call.asked("RemoveExclusion")
    ids = [text(value) for value in rows(call.sent("value"))]
    found = [tenant for tenant in state.tenants if tenant.id in ids]
    for tenant in found:
        tenant.excluded = bool(out)
    if out:
        return done(call, f"Successfully excluded {','.join(tenant.domain for tenant in found)}")
    if back:
        return done(call, f"Successfully took {text(call.asked('tenantFilter'))} back in.")
    return []


@answers("AddMSPApp")
def add_msp_app(call: Call) -> Any:
    """Invoke-AddMSPApp.ps1: 207 when it went well for some tenants and not for others."""
    product = text(call.sent("RMMName", "value"))
    if product.lower() not in _MSP_APPS:
        return results([f"Failed: '{product}' is unknown, these are known: {', '.join(_MSP_APPS)}"], 400)
    told, good = [], 0
    for entry in rows(call.sent("selectedTenants")):
        name = text(member(entry, "defaultDomainName"))
        tenant = call.state.tenant(name)
        if tenant is None or not tenant.intune_policies:
            told.append(f"Failed to queue the application for {name}")
            continue
        good += 1
        told.append(f"Successfully queued the application for {name}")
    return results(told, 200 if good == len(told) else 207 if good else 500)


@answers("ExecTenantGroup")
def tenant_group(call: Call) -> Any:
    """Invoke-ExecTenantGroup.ps1: members are label objects of customer ids; without them the group keeps its own."""
    groups, action = call.state.tenant_groups, text(call.sent("Action"))
    key, name = text(call.sent("groupId")) or fresh(call, "tenantgroup"), text(call.sent("groupName"))
    if action.lower() == "delete":
        if groups.pop(key, None) is None:
            return results([{"resultText": f"There is no group '{key}': not found", "state": "error"}])
        return done(call, "Successfully removed the group", listed=True)
    if action.lower() != "addedit":
        return {}
    group = groups.setdefault(key, {"Id": key, "Name": name, "Description": "", "GroupType": "static", "_members": []})
    group["Name"] = name or group["Name"]
    group["Description"] = text(call.sent("groupDescription")) or group["Description"]
    group["GroupType"] = text(first(call.sent("groupType"), "static"))
    group["DynamicRules"], group["RuleLogic"] = plain(call.sent("dynamicRules")), call.sent("ruleLogic")
    told: list[Any] = [{"resultText": f"Successfully kept the group '{name}'", "state": "success"}]
    if group["GroupType"] == "static" and call.sent("members") is not None:
        wanted = [text(value) for value in rows(call.sent("members", "value"))]
        told += [
            {"resultText": f"Added member {value}", "state": "success"}
            for value in wanted
            if value not in group["_members"]
        ]
        told += [
            {"resultText": f"Removed member {value}", "state": "success"}
            for value in group["_members"]
            if value not in wanted
        ]
        group["_members"] = wanted
    return results(told)


@answers("ExecStandardsRun")
def run_standards(call: Call) -> Any:
    """Invoke-ExecStandardsRun.ps1 reads the query alone; with nothing in it everything runs everywhere."""
    tenant = call.asked("tenantFilter") or "allTenants"
    wanted = call.asked("templateId") or "*"
    template = call.state.standards.get(wanted)
    name = "All" if wanted == "*" else f"{template['templateName'] if template else ''} ({wanted})"
    mode = " (Manual Only)" if template and truthy(template.get("runManually")) else ""
    start(call, f"Standards run {tenant}", f"standards-{tenant}-{wanted}-{len(call.state.queues)}")
    return done(call, f"Successfully started the standards for {tenant}, template {name}{mode}")
