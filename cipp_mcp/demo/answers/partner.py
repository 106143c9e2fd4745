"""The partner's side: delegated administration, other tenants, the scores of all."""

from __future__ import annotations

from typing import Any

from cipp_mcp.demo.calls import Answer, Call, answers
from cipp_mcp.demo.clients import PARTNER_TENANT_ID
from cipp_mcp.demo.world.groups import ROLES
from cipp_mcp.demo.world.seeds import days_before, guid, source
from cipp_mcp.demo.world.tenant import Row, Tenant


@answers("ListServiceHealth")
def list_service_health(call: Call) -> Any:
    """Invoke-ListServiceHealth.ps1: for one tenant the names are whatever the caller says they are."""
    issues = (
        (
            "EX1109847",
            "Exchange Online",
            "E-Mail and calendar access",
            "Some users may be unable to search their mailbox",
        ),
        ("TM1110312", "Microsoft Teams", "Teams Components", "Some users may see delays when opening files"),
    )
    rows = []
    for tenant in call.tenants:
        names: tuple[Any, Any] = (tenant.name, tenant.domain)
        if not call.all_tenants:
            names = (call.asked("displayName"), call.asked("defaultDomainName"))
        for number, service, feature, text in issues[: 1 + tenant.number % 2]:
            row = {"TenantName": names[0], "DefaultDomainName": names[1], "issueId": number}
            rows.append({**row, "service": service, "type": feature, "desc": text})
    return rows


@answers("ListSecureScoreReport")
def list_secure_score(call: Call) -> Any:
    """Invoke-ListSecureScoreReport.ps1: the default is every tenant."""
    tenants = call.tenants if call.tenant_name else call.state.visible(call.client.own_tenants)
    rows = []
    for tenant in tenants:
        best, share = 260.0, source(tenant.seed, tenant.number, "score").uniform(32, 78)
        captured = days_before(tenant.today, 0.3)
        row: Row = {
            "Tenant": tenant.domain,
            "TenantId": tenant.id,
            "TenantName": tenant.name,
            "CurrentScore": round(best * share / 100, 2),
            "MaxScore": best,
            "PercentageScore": round(share, 1),
            "CapturedAt": captured,
        }
        if call.flag("includeHistory"):
            row["History"] = [
                {
                    "Date": days_before(tenant.today, day + 0.3),
                    "CurrentScore": round(best * (share - day / 3) / 100, 2),
                    "PercentageScore": round(share - day / 3, 1),
                }
                for day in range(6, -1, -1)
            ]
        rows.append(row)
    rows.sort(key=lambda row: float(row["PercentageScore"]))
    return {"Results": rows}


@answers("ListGDAPRelationships")
def list_gdap(call: Call) -> Any:
    """Invoke-ListGDAPRelationships.ps1."""
    rows = [gdap_row(tenant) for tenant in call.state.visible(call.client.own_tenants)]
    key = call.asked("id")
    return {"Results": [row for row in rows if not key or row["id"] == key]}


def gdap_row(tenant: Tenant) -> Row:
    """A delegated administration relationship in Graph's form."""
    return {
        "id": f"{guid(tenant.seed, tenant.number, 'gdap')}-{tenant.id}",
        "displayName": f"MSP {tenant.name}",
        "status": "active",
        "duration": "P730D",
        "autoExtendDuration": "P180D" if tenant.row["hasAutoExtend"] else "PT0S",
        "activatedDateTime": days_before(tenant.today, 300),
        "createdDateTime": days_before(tenant.today, 301),
        "lastModifiedDateTime": days_before(tenant.today, 10),
        "endDateTime": tenant.row["relationshipEnd"],
        "customer": {"tenantId": tenant.id, "displayName": tenant.name},
        "accessDetails": {"unifiedRoles": [{"roleDefinitionId": template} for template, _, _ in ROLES[1:6]]},
        "partner": PARTNER_TENANT_ID,
    }


@answers("ListGDAPRoles")
def list_gdap_roles(call: Call) -> Any:
    """Invoke-ListGDAPRoles.ps1."""
    return [
        {
            "GroupId": guid(call.state.seed, "gdap", template),
            "GroupName": f"M365 GDAP {name}",
            "RoleName": name,
            "roleDefinitionId": template,
        }
        for template, name, _ in ROLES[1:]
    ]


@answers("ListExternalTenantInfo")
def list_external_tenant(call: Call) -> Any:
    """Invoke-ListExternalTenantInfo.ps1 reads the query's ``tenant``."""
    name = call.asked("tenant")
    if not name:
        return Answer("Tenant parameter is required", 400)
    tenant = call.state.tenant(name)
    if tenant is None:
        return Answer(f"Tenant {name} not found", 400)
    known = {"tenantId": tenant.id, "displayName": tenant.name, "defaultDomainName": tenant.domain}
    return {"GraphRequest": known, "OpenIdConfig": {"tenant_region_scope": "EU"}, "UserTenantBranding": None}
