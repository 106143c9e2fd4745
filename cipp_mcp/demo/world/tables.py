"""CIPP's own tables: templates, standards, alert rules, scheduled tasks, logs."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

from cipp_mcp.demo.world.seeds import days_before, guid, source, stamp

if TYPE_CHECKING:
    from cipp_mcp.demo.world.state import State

Row = dict[str, Any]
# One list of template names for each kind; the kinds are CIPP's partition keys.
_TEMPLATES: dict[str, tuple[str, ...]] = {
    "CATemplate": ("Require MFA for all users", "Block legacy authentication", "Require compliant device"),
    "IntuneTemplate": ("Windows - BitLocker", "Windows - Defender Antivirus", "Windows compliance"),
    "GroupTemplate": ("Department group", "MFA exclusions"),
    "TransportTemplate": ("Mark mail from outside",),
    "ExConnectorTemplate": ("Signature service",),
    "SpamfilterTemplate": ("Strict spam filter",),
    "ConnectionfilterTemplate": ("Standard connection filter",),
    "ContactTemplate": ("Service desk",),
    "JITAdminTemplate": ("Four hours of Global Administrator",),
    "UserDefaultTemplate": ("Office worker", "Front-line worker"),
    "AppApprovalTemplate": ("Backup product",),
    "AppTemplate": ("Basic applications",),
    "AssignmentFilterTemplate": ("Company-owned Windows",),
    "SafeLinksTemplate": ("Standard Safe Links",),
    "TenantAllowBlockListTemplate": ("Known bad senders",),
    "SensitivityLabelTemplate": ("Confidential",),
    "RetentionCompliancePolicyTemplate": ("Seven years",),
    "DlpCompliancePolicyTemplate": ("Payment cards",),
    "SharePointTemplate": ("Project site",),
    "ReusableSettingTemplate": ("Firewall - office networks",),
    "ReportBuilderTemplate": ("Monthly report",),
    "SensitiveInfoTypeTemplate": ("Customer number",),
}
STANDARDS = (
    ("AuditLog", "The unified audit log is switched on"),
    ("DisableSharedMailbox", "Accounts of shared mailboxes cannot sign in"),
    ("PasswordExpireDisabled", "Passwords do not expire"),
    ("SecurityDefaults", "Security defaults are on where conditional access is missing"),
    ("SpoofWarn", "Outlook marks senders from outside"),
    ("DisableGuests", "Guests who have not signed in for 90 days are blocked"),
    ("AntiPhishPolicy", "Anti-phishing policy with impersonation protection"),
    ("SafeLinksPolicy", "Safe Links policy"),
)


def make_templates(state: State) -> dict[str, dict[str, Row]]:
    """Every kind of template by id."""
    found: dict[str, dict[str, Row]] = {}
    for kind, names in _TEMPLATES.items():
        rows = found[kind] = {}
        for name in names:
            key = guid(state.seed, "template", kind, name)
            rows[key] = {
                "GUID": key,
                "RowKey": key,
                "displayName": name,
                "templateName": name,
                "name": name,
                "Displayname": name,
                "description": f"{name}, as the service desk rolls it out",
                "package": None,
            }
    return found


def make_standards(state: State) -> dict[str, Row]:
    """Standards templates by id: a baseline for all tenants and a drift template for the first."""
    everywhere = [{"value": "AllTenants", "label": "*All Tenants", "type": "Tenant"}]
    first = state.tenants[0]
    one = [{"value": first.domain, "label": f"{first.name} ({first.domain})", "type": "Tenant"}]
    found = {}
    for name, tenants, kind, chosen in (
        ("Baseline for everybody", everywhere, "classic", STANDARDS[:6]),
        ("Strict security", one, "drift", STANDARDS),
    ):
        key = guid(state.seed, "standards", name)
        found[key] = {
            "GUID": key,
            "templateName": name,
            "type": kind,
            "tenantFilter": tenants,
            "excludedTenants": [],
            "runManually": False,
            "standards": {
                standard: {
                    "action": [{"label": "Report", "value": "Report"}, {"label": "Remediate", "value": "Remediate"}]
                }
                for standard, _ in chosen
            },
            "createdAt": days_before(state.today, 200),
            "updatedAt": days_before(state.today, 20),
            "updatedBy": "technician@msp.example",
            "source": None,
            "isSynced": False,
        }
    return found


def comparison(state: State, domain: str, template: Row) -> Row:
    """How a tenant stands against a template (Invoke-ListStandardsCompare.ps1)."""
    row: Row = {"tenantFilter": domain}
    for standard in template["standards"]:
        kept = source(state.seed, "standard", domain, standard).random() < 0.75
        row[f"standards.{standard}"] = {
            "Value": kept,
            "LastRefresh": days_before(state.today, 0.3),
            "TemplateId": template["GUID"],
            "LicenseAvailable": True,
            "CurrentValue": {"Enabled": kept},
            "ExpectedValue": {"Enabled": True},
        }
    return row


def make_tasks(state: State) -> dict[str, Row]:
    """Scheduled tasks by RowKey: two of the service desk, and the hidden ones that are alerts."""
    found: dict[str, Row] = {}
    first = state.tenants[0]

    def add(name: str, command: str, tenant: str, parameters: Row, recurrence: str, **more: Any) -> None:
        key = guid(state.seed, "task", name, tenant)
        found[key] = {
            "PartitionKey": "ScheduledTask",
            "RowKey": key,
            "Name": name,
            "Command": command,
            "Tenant": tenant,
            "Parameters": parameters,
            "Recurrence": recurrence,
            "ScheduledTime": stamp(state.today + datetime.timedelta(hours=7)),
            "ExecutedTime": days_before(state.today, 1),
            "TaskState": "Planned",
            "PostExecution": "Email",
            "Hidden": False,
            "Reference": None,
            "Trigger": None,
            "Results": None,
            "excludedTenants": "",
            "Timestamp": days_before(state.today, 3),
            **more,
        }

    add("Weekly licence report", "Get-CIPPLicenseOverview", "AllTenants", {}, "7d")
    done = {"TaskState": "Completed", "Results": "Successfully set the out-of-office message"}
    add("Out of office for a holiday", "Set-CIPPOutOfOffice", first.domain, {"UserID": "someone"}, "0", **done)
    hidden = {"Hidden": True, "AlertComment": "Tell the service desk", "PostExecution": "PSA,Email"}
    add("Alert on administrators without MFA", "Get-CIPPAlertMFAAdmins", "AllTenants", {}, "1d", **hidden)
    limit = {"InputValue": "90"}
    add(
        "Alert on mailboxes above a share of their quota", "Get-CIPPAlertQuotaUsed", "AllTenants", limit, "1d", **hidden
    )
    return found


def make_webhook_rules(state: State) -> dict[str, Row]:
    """Audit-log alert rules by RowKey."""
    key = guid(state.seed, "webhook", 1)
    condition = {
        "Property": {"label": "Operation", "value": "List:Operation"},
        "Operator": {"label": "Equals to", "value": "EQ"},
        "Input": {"label": "New-InboxRule", "value": "New-InboxRule"},
    }
    row = {
        "PartitionKey": "Webhookv2",
        "RowKey": key,
        "Tenants": [{"value": "AllTenants", "label": "*All Tenants"}],
        "Conditions": [condition],
        "Actions": [{"label": "Execute a BEC Remediate", "value": "becremediate"}],
        "type": "Audit.Exchange",
        "AlertComment": "",
        "excludedTenants": [],
    }
    return {key: row}


def make_tenant_groups(state: State) -> dict[str, Row]:
    """Groups of tenants by id: one made by hand, one that follows a rule."""
    gold, everyone = guid(state.seed, "tenantgroup", 1), guid(state.seed, "tenantgroup", 2)
    rule = {"property": "availableLicense", "operator": "in", "value": [{"value": "SPB", "label": "Business Premium"}]}
    base: Row = {"Description": "", "RuleLogic": None, "ExcludePartnerTenant": False, "DynamicRules": None}
    premium = [tenant.id for tenant in state.tenants if tenant.profile.main_sku == "SPB"]
    return {
        gold: {**base, "Id": gold, "Name": "Gold support", "GroupType": "static", "_members": [state.tenants[0].id]},
        everyone: {
            **base,
            "Id": everyone,
            "Name": "Business Premium customers",
            "GroupType": "dynamic",
            "RuleLogic": "and",
            "DynamicRules": [rule],
            "_members": premium,
        },
    }


_MESSAGES = (
    ("Standards", "Info", "The unified audit log is already switched on"),
    ("Standards", "Error", "Could not set the anti-phishing policy: the tenant has no licence for it"),
    ("Scheduler", "Info", "Task 'Weekly licence report' has run"),
    ("DomainAnalyser", "Warning", "A domain has no DMARC policy"),
    ("ExecDisableUser", "Info", "Successfully disabled a leaver"),
    ("AuditLog", "Alert", "A new inbox rule deletes invoices"),
)


def make_logs(state: State) -> list[Row]:
    """Log entries of today and the day before, newest first."""
    rows = []
    for number in range(4 * len(state.tenants) + 12):
        tenant = state.tenants[number % len(state.tenants)]
        api, severity, message = _MESSAGES[number % len(_MESSAGES)]
        rows.append(log_row(state, number, tenant.domain, tenant.id, api, severity, message))
    return rows


def log_row(state: State, number: int, tenant: str, tenant_id: str, api: str, severity: str, message: str) -> Row:
    when = state.today + datetime.timedelta(minutes=60 - 61 * number)
    return {
        "DateTime": stamp(when),
        "Tenant": tenant,
        "API": api,
        "Message": message,
        "User": "technician@msp.example" if api.startswith("Exec") else "None",
        "Severity": severity,
        "LogData": "",
        "TenantID": tenant_id,
        "AppId": "",
        "IP": "",
        "RowKey": guid(state.seed, "log", number, message),
        "StandardInfo": {},
        "DateFilter": when.strftime("%Y%m%d"),
    }
