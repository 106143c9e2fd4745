"""Templates of every kind, standards among them, and what little of CIPP's own settings is kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cipp_mcp.demo.calls import Call, answers, results
from cipp_mcp.demo.powershell import first, plain, rows, text
from cipp_mcp.demo.world.seeds import stamp
from cipp_mcp.demo.writes.common import Failed, done, fail, fresh

_ADD = {
    "AddAppTemplate": "AppTemplate",
    "AddAssignmentFilterTemplate": "AssignmentFilterTemplate",
    "AddCATemplate": "CATemplate",
    "AddConnectionFilterTemplate": "ConnectionfilterTemplate",
    "AddContactTemplates": "ContactTemplate",
    "AddExConnectorTemplate": "ExConnectorTemplate",
    "AddGroupTemplate": "GroupTemplate",
    "AddIntuneReusableSettingTemplate": "ReusableSettingTemplate",
    "AddIntuneTemplate": "IntuneTemplate",
    "AddJITAdminTemplate": "JITAdminTemplate",
    "AddSafeLinksPolicyTemplate": "SafeLinksTemplate",
    "AddSpamFilterTemplate": "SpamfilterTemplate",
    "AddTenantAllowBlockListTemplate": "TenantAllowBlockListTemplate",
    "AddTransportTemplate": "TransportTemplate",
    "AddUserDefaults": "UserDefaultTemplate",
}
_REMOVE = {
    "RemoveAppTemplate": "AppTemplate",
    "RemoveAssignmentFilterTemplate": "AssignmentFilterTemplate",
    "RemoveCATemplate": "CATemplate",
    "RemoveConnectionfilterTemplate": "ConnectionfilterTemplate",
    "RemoveContactTemplates": "ContactTemplate",
    "RemoveDlpCompliancePolicyTemplate": "DlpCompliancePolicyTemplate",
    "RemoveExConnectorTemplate": "ExConnectorTemplate",
    "RemoveGroupTemplate": "GroupTemplate",
    "RemoveIntuneReusableSettingTemplate": "ReusableSettingTemplate",
    "RemoveIntuneTemplate": "IntuneTemplate",
    "RemoveJITAdminTemplate": "JITAdminTemplate",
    "RemoveRetentionCompliancePolicyTemplate": "RetentionCompliancePolicyTemplate",
    "RemoveSafeLinksPolicyTemplate": "SafeLinksTemplate",
    "RemoveSensitiveInfoTypeTemplate": "SensitiveInfoTypeTemplate",
    "RemoveSensitivityLabelTemplate": "SensitivityLabelTemplate",
    "RemoveSpamfilterTemplate": "SpamfilterTemplate",
    "RemoveTenantAllowBlockListTemplate": "TenantAllowBlockListTemplate",
    "RemoveTransportRuleTemplate": "TransportTemplate",
    "RemoveUserDefaultTemplate": "UserDefaultTemplate",
}
_NAMES = ("displayName", "templateName", "name", "policyName")


@answers(*_ADD)
def add_template(call: Call) -> Any:
    """Invoke-AddGroupTemplate.ps1 and its like: a template without a name is a failure under 200."""
    name = text(first(*(call.sent(field) for field in _NAMES)))
    if not name:
        return results("Failed: the template has no name")
    key = text(call.sent("GUID")) or fresh(call, "template", name)
    row = plain(call.body) if isinstance(call.body, Mapping) else {}
    named = {"displayName": name, "templateName": name, "name": name, "Displayname": name}
    call.state.templates[_ADD[call.endpoint]][key] = {**named, **row, "GUID": key, "RowKey": key, "package": None}
    return done(call, "Successfully kept the template")


@answers(*_REMOVE)
def remove_template(call: Call) -> Any:
    """Invoke-RemoveGroupTemplate.ps1 and its like."""
    key = text(call.given("ID"))
    if call.state.templates[_REMOVE[call.endpoint]].pop(key, None) is None:
        raise fail(f"Failed to remove the template {key}: not found.")
    return done(call, f"Removed the template {key}")


@answers("AddStandardsTemplate")
def add_standards(call: Call) -> Any:
    """Invoke-AddStandardsTemplate.ps1 keeps the body as it is; the id of the new template is in the metadata."""
    if call.sent("tenantFilter") == "tenantFilter":
        raise Failed("Invalid: a standard needs a tenant.")
    key = text(call.sent("GUID")) or fresh(call, "standards")
    body = plain(call.body) if isinstance(call.body, Mapping) else {}
    now = stamp(call.state.today)
    known = call.state.standards.get(key, {})
    tenants = [
        entry if isinstance(entry, dict) else {"value": entry, "label": entry}
        for entry in rows(body.get("tenantFilter"))
    ]
    standards = body.get("standards")
    call.state.standards[key] = {
        "templateName": "",
        "type": "classic",
        "runManually": False,
        "createdAt": known.get("createdAt", now),
        **body,
        "GUID": key,
        "tenantFilter": tenants,
        "excludedTenants": [entry for entry in rows(body.get("excludedTenants")) if isinstance(entry, dict)],
        "standards": standards if isinstance(standards, dict) else {},
        "updatedAt": now,
        "updatedBy": call.client.name,
    }
    call.state.log(call.endpoint, f"Kept the standards {text(call.sent('templateName'))}, {key}")
    return {"Results": "Successfully kept the template", "Metadata": {"id": key}}


@answers("RemoveStandardTemplate")
def remove_standards(call: Call) -> Any:
    """Invoke-RemoveStandardTemplate.ps1."""
    key = text(first(call.sent("ID"), call.asked("ID")))
    row = call.state.standards.pop(key, None)
    if row is None:
        raise fail(f"Failed to remove the standards {key}: not found.")
    return done(call, f"Removed the standards '{row['templateName']}', {key}")
