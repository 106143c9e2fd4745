"""Lists of templates, which CIPP keeps in one table under different keys."""

from __future__ import annotations

from typing import Any

from cipp_mcp.demo.calls import Call, answers
from cipp_mcp.demo.generic import declared_row

KINDS = {
    "ListAppApprovalTemplates": "AppApprovalTemplate",
    "ListAppTemplates": "AppTemplate",
    "ListAssignmentFilterTemplates": "AssignmentFilterTemplate",
    "ListCAtemplates": "CATemplate",
    "ListConnectionFilterTemplates": "ConnectionfilterTemplate",
    "ListContactTemplates": "ContactTemplate",
    "ListDlpCompliancePolicyTemplates": "DlpCompliancePolicyTemplate",
    "ListExConnectorTemplates": "ExConnectorTemplate",
    "ListGroupTemplates": "GroupTemplate",
    "ListIntuneReusableSettingTemplates": "ReusableSettingTemplate",
    "ListIntuneTemplates": "IntuneTemplate",
    "ListJITAdminTemplates": "JITAdminTemplate",
    "ListNewUserDefaults": "UserDefaultTemplate",
    "ListReportBuilderTemplates": "ReportBuilderTemplate",
    "ListRetentionCompliancePolicyTemplates": "RetentionCompliancePolicyTemplate",
    "ListSafeLinksPolicyTemplates": "SafeLinksTemplate",
    "ListSensitiveInfoTypeTemplates": "SensitiveInfoTypeTemplate",
    "ListSensitivityLabelTemplates": "SensitivityLabelTemplate",
    "ListSharePointTemplates": "SharePointTemplate",
    "ListSpamFilterTemplates": "SpamfilterTemplate",
    "ListTenantAllowBlockListTemplates": "TenantAllowBlockListTemplate",
    "ListTransportRulesTemplates": "TransportTemplate",
}


@answers(*KINDS)
def list_templates(call: Call) -> Any:
    """Invoke-ListGroupTemplates.ps1 and its like: all of a kind, or the one with this id, always as a list."""
    rows = call.state.templates[KINDS[call.endpoint]]
    key = call.asked("ID") or call.asked("guid")
    found = [row for row in rows.values() if not key or row["GUID"] == key]
    return [{**declared_row(call, row["GUID"]), **row} for row in found]
