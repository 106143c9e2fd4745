"""Standards, their templates and how the tenants stand against them."""

from __future__ import annotations

from typing import Any

from cipp_mcp.demo.calls import Call, answers
from cipp_mcp.demo.habits import as_text
from cipp_mcp.demo.world.tables import comparison
from cipp_mcp.demo.world.tenant import Row, Tenant


@answers("listStandardTemplates")
def list_standard_templates(call: Call) -> Any:
    """Invoke-listStandardTemplates.ps1."""
    key = call.asked("id")
    rows = [row for row in call.state.standards.values() if not key or row["GUID"] == key]
    return sorted(rows, key=lambda row: str(row["templateName"]))


def _meant(template: Row, tenant: Tenant) -> bool:
    values = {entry["value"] for entry in template["tenantFilter"]}
    out = {entry["value"] for entry in template["excludedTenants"] or []}
    return bool(values & {"AllTenants", tenant.domain, tenant.id}) and tenant.domain not in out


@answers("ListStandards")
def list_standards(call: Call) -> Any:
    """Invoke-ListStandards.ps1: JSON as text, unless the consolidated view is asked for."""
    consolidated = call.flag("ShowConsolidated")
    rows = []
    for template in call.state.standards.values():
        for tenant in call.tenants if call.tenant_name else call.state.visible(call.client.own_tenants):
            if not _meant(template, tenant):
                continue
            if consolidated:
                for name, settings in template["standards"].items():
                    rows.append(
                        {
                            "Tenant": tenant.domain,
                            "Standard": name,
                            "Settings": settings,
                            "TemplateId": template["GUID"],
                        }
                    )
            else:
                rows.append(
                    {
                        "displayName": tenant.domain,
                        "appliedBy": template["updatedBy"],
                        "appliedAt": template["updatedAt"],
                        "standards": template["standards"],
                        "StandardsExport": ", ".join(template["standards"]),
                    }
                )
    return rows if consolidated else as_text(rows)


@answers("ListStandardsCompare")
def list_comparison(call: Call) -> Any:
    """Invoke-ListStandardsCompare.ps1: a row for each tenant, a column for each standard."""
    wanted = call.asked("templateId")
    tenants = call.tenants if call.tenant_name else call.state.visible(call.client.own_tenants)
    rows = []
    for tenant in tenants:
        row: Row = {}
        for template in call.state.standards.values():
            if _meant(template, tenant) and (not wanted or template["GUID"] == wanted):
                row |= comparison(call.state, tenant.domain, template)
        if row:
            rows.append(row)
    return rows


@answers("ListTenantAlignment")
def list_alignment(call: Call) -> Any:
    """Invoke-ListTenantAlignment.ps1."""
    granular, rows = call.flag("granular"), []
    for template in call.state.standards.values():
        for tenant in call.state.visible(call.client.own_tenants):
            if not _meant(template, tenant):
                continue
            compared = comparison(call.state, tenant.domain, template)
            details = {name: cell for name, cell in compared.items() if name != "tenantFilter"}
            kept = sum(bool(cell["Value"]) for cell in details.values())
            score = round(100 * kept / max(1, len(details)))
            refreshed = tenant.row["LastRefresh"]
            if granular:
                rows += [_detail(tenant, template, name, cell) for name, cell in details.items()]
                continue
            rows.append(
                {
                    "tenantFilter": tenant.domain,
                    "standardName": template["templateName"],
                    "standardType": "drift" if template["type"] == "drift" else "Classic Standard",
                    "standardId": template["GUID"],
                    "alignmentScore": score,
                    "LicenseMissingPercentage": 0,
                    "combinedAlignmentScore": score,
                    "pendingDeviationsCount": len(details) - kept if template["type"] == "drift" else 0,
                    "deniedDeviationsCount": 0,
                    "latestDataCollection": refreshed,
                }
            )
    return rows


def _detail(tenant: Tenant, template: Row, name: str, cell: Row) -> Row:
    good = bool(cell["Value"])
    return {
        "tenantFilter": tenant.domain,
        "templateName": template["templateName"],
        "templateId": template["GUID"],
        "templateType": template["type"],
        "standardType": "drift" if template["type"] == "drift" else "Classic Standard",
        "standardId": name,
        "standardName": name,
        "complianceStatus": "Compliant" if good else "Non-Compliant",
        "compliant": good,
        "deviationStatus": "" if good else "New",
        "licenseAvailable": True,
        "currentValue": cell["CurrentValue"],
        "expectedValue": cell["ExpectedValue"],
        "latestDataCollection": cell["LastRefresh"],
    }


@answers("ListStandardsCurrentState")
def list_current_state(call: Call) -> Any:
    """Invoke-ListStandardsCurrentState.ps1."""
    rows = []
    for tenant in call.tenants:
        for template in call.state.standards.values():
            if _meant(template, tenant):
                for name, cell in comparison(call.state, tenant.domain, template).items():
                    if name != "tenantFilter":
                        rows.append(
                            {"StandardName": name, "Compliant": cell["Value"], "tenantFilter": tenant.domain, **cell}
                        )
    return rows


@answers("ListTenantDrift")
def list_drift(call: Call) -> Any:
    """Invoke-ListTenantDrift.ps1: only templates of the drift kind."""
    rows = []
    for tenant in call.tenants if call.tenant_name else call.state.visible(call.client.own_tenants):
        for template in call.state.standards.values():
            if template["type"] == "drift" and _meant(template, tenant):
                cells = comparison(call.state, tenant.domain, template)
                new = [
                    {
                        "standardName": name,
                        "status": "New",
                        "expectedValue": cell["ExpectedValue"],
                        "receivedValue": cell["CurrentValue"],
                    }
                    for name, cell in cells.items()
                    if name != "tenantFilter" and not cell["Value"]
                ]
                rows.append(
                    {
                        "tenantFilter": tenant.domain,
                        "standardName": template["templateName"],
                        "standardId": template["GUID"],
                        "alignmentScore": round(100 * (1 - len(new) / max(1, len(cells) - 1))),
                        "newDeviationsCount": len(new),
                        "customerSpecificDeviationsCount": 0,
                        "licenseMissingDeviationsCount": 0,
                        "deniedDeviationsCount": 0,
                        "currentDeviationsCount": len(new),
                        "acceptedDeviationsCount": 0,
                        "currentDeviations": new,
                        "latestDataCollection": tenant.row["LastRefresh"],
                    }
                )
    return rows
