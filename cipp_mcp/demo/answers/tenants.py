"""The estate: tenants, their organisation, domains, licences, consents, conditional access, partner relationships."""

from __future__ import annotations

import json
from typing import Any

from cipp_mcp.demo.calls import Answer, Call, answers
from cipp_mcp.demo.habits import from_report, single_tenant, unrolled, with_tenant
from cipp_mcp.demo.world.names import COUNTRIES, LANGUAGES
from cipp_mcp.demo.world.seeds import days_before
from cipp_mcp.demo.world.services import analysed_domain
from cipp_mcp.demo.world.tenant import Row, Tenant


@answers("ListTenants")
def list_tenants(call: Call) -> Any:
    """Invoke-ListTenants.ps1: an empty tenant filter lists all; ClearCache is read from the body only."""
    if call.sent("ClearCache") is True:
        call.state.queues.forget()
        text = "The cache has been emptied and a refresh of the tenants is queued."
        return {"Results": [{"Results": text}], "Metadata": {"Details": "Tenant cache cleared."}}
    tenants = call.state.visible(call.client.own_tenants)
    name = call.asked("tenantFilter")
    rows = [dict(tenant.row) for tenant in tenants]
    if name and name.lower() not in ("alltenants", "null"):
        rows = [dict(tenant.row) for tenant in tenants if tenant.answers_to(name)]
    if call.flag("IncludeOffboardingDefaults"):
        for row in rows:
            row["offboardingDefaults"] = None
    if call.flag("AllTenantSelector") and (not name or call.asked("Mode") == "TenantList"):
        every = {
            "customerId": "AllTenants",
            "defaultDomainName": "AllTenants",
            "displayName": "*All Tenants",
            "domains": "AllTenants",
            "GraphErrorCount": 0,
        }
        rows.insert(0, every)
    if call.asked("Mode") == "TenantList":
        for row in rows:
            row["portal_m365"] = f"https://admin.cloud.microsoft/?delegatedOrg={row.get('initialDomainName', '')}"
            row["portal_entra"] = f"https://entra.microsoft.com/{row['defaultDomainName']}"
            row["portal_intune"] = f"https://intune.microsoft.com/{row['defaultDomainName']}"
    return rows


def organisation(tenant: Tenant) -> Row:
    """Graph's ``organization`` object."""
    profile = tenant.profile
    return {
        "id": tenant.id,
        "displayName": tenant.name,
        "city": profile.city,
        "country": COUNTRIES[profile.country],
        "countryLetterCode": profile.country,
        "postalCode": profile.postcode,
        "state": profile.state,
        "street": f"1 {profile.streets[0]}",
        "preferredLanguage": LANGUAGES[profile.country][:2],
        "businessPhones": ["+1 555 0100"],
        "technicalNotificationMails": ["technician@msp.example"],
        "createdDateTime": days_before(tenant.today, 2400),
        "tenantType": "AAD",
        "onPremisesSyncEnabled": None,
        "onPremisesLastSyncDateTime": None,
        "assignedPlans": [],
        "defaultUsageLocation": profile.country,
        "verifiedDomains": [
            {"name": row["id"], "isDefault": row["isDefault"], "isInitial": row["isInitial"], "type": "Managed"}
            for row in tenant.domains.values()
        ],
    }


@answers("ListOrg")
def list_org(call: Call) -> Any:
    """Invoke-ListOrg.ps1: one organisation, so a bare object; nothing for all tenants."""
    return [] if call.all_tenants else unrolled([organisation(call.tenant)])


@answers("ListTenantDetails")
def list_tenant_details(call: Call) -> Any:
    """Invoke-ListTenantDetails.ps1."""
    single_tenant(call)
    names = ("displayName", "id", "city", "country", "countryLetterCode", "street", "state", "postalCode")
    more = ("businessPhones", "technicalNotificationMails", "tenantType", "createdDateTime", "assignedPlans")
    row = organisation(call.tenant)
    picked = {name: row[name] for name in names + more}
    sync = {"onPremisesLastPasswordSyncDateTime": None, "onPremisesLastSyncDateTime": None}
    return picked | sync | {"onPremisesSyncEnabled": None, "customProperties": {}, "Groups": []}


@answers("ListDomains")
def list_domains(call: Call) -> Any:
    """Invoke-ListDomains.ps1."""
    single_tenant(call)
    rows = [
        {"id": row["id"], "isdefault": row["isDefault"], "isinitial": row["isInitial"]}
        for row in call.tenant.domains.values()
    ]
    return sorted(rows, key=lambda row: not row["isdefault"])


@answers("ListDomainAnalyser", "DomainAnalyser_List")
def list_domain_analyser(call: Call) -> Any:
    """Invoke-ListDomainAnalyser.ps1."""
    return [
        analysed_domain(tenant, name) for tenant in call.tenants for name in tenant.domains if name != tenant.initial
    ]


_RECORDS = {
    "ReadSpfRecord": ("ActualSPFRecord", "SPFPassAll"),
    "ReadDmarcPolicy": ("DMARCFullPolicy", "DMARCPresent"),
    "ReadMXRecord": ("ActualMXRecords", "MXPassTest"),
    "ReadDkimRecord": ("DKIMEnabled", "DKIMEnabled"),
    "TestDNSSEC": ("DNSSECPresent", "DNSSECPresent"),
    "ReadNSRecord": ("NSRecords", "MXPassTest"),
    "ReadWhoisRecord": ("NSRecords", "MXPassTest"),
    "TestHttpsCertificate": ("Domain", "MXPassTest"),
    "TestMtaSts": ("Domain", "DNSSECPresent"),
    "ReadAutoDiscover": ("Domain", "MXPassTest"),
}


@answers("ListDomainHealth")
def list_domain_health(call: Call) -> Any:
    """Invoke-ListDomainHealth.ps1."""
    action, domain = call.asked("Action"), (call.asked("Domain") or "").lower()
    if not action:
        return Answer({"Results": f"Action is required, one of: {', '.join(_RECORDS)}"}, 400)
    if not domain:
        return Answer({"Results": "Domain is required."}, 400)
    tenant = next((tenant for tenant in call.state.tenants if domain in tenant.domains), call.state.tenants[0])
    row = analysed_domain(tenant, domain)
    if action == "ListDomainInfo":
        return {"RowKey": domain, "TenantId": tenant.domain, "DomainAnalyser": json.dumps(row)}
    if action == "GetDkimSelectors":
        return Answer("selector1,selector2")
    if action not in _RECORDS:
        return Answer({"Results": f"Unknown Action '{action}'."}, 400)
    column, passed = _RECORDS[action]
    good = bool(row[passed])
    return {
        "Domain": domain,
        "Record": row[column],
        "Records": row[column] if isinstance(row[column], list) else [row[column]],
        "ValidationPasses": ["The record was found"] if good else [],
        "ValidationWarns": [],
        "ValidationFails": [] if good else ["No record that protects the domain was found"],
        "MailProvider": {"Name": row["MailProvider"]},
    }


@answers("ListOAuthApps")
def list_oauth_apps(call: Call) -> Any:
    """Invoke-ListOAuthApps.ps1: delegated consents."""

    def rows(tenant: Tenant) -> list[Row]:
        return [
            {
                "Name": app["displayName"],
                "ApplicationID": app["appId"],
                "ObjectID": app["id"],
                "Scope": app["_scope"].replace(",", " "),
                "StartTime": app["createdDateTime"],
            }
            for app in tenant.apps.values()
        ]

    if from_report(call):
        return with_tenant(call, rows)
    single_tenant(call)
    return rows(call.tenant)


@answers("ListTenantGroups")
def list_tenant_groups(call: Call) -> Any:
    """Invoke-ListTenantGroups.ps1."""
    wanted, found = call.given("groupId"), []
    for group in call.state.tenant_groups.values():
        if wanted and group["Id"] != wanted:
            continue
        members = [tenant for tenant in call.state.tenants if tenant.id in group["_members"]]
        row = {name: value for name, value in group.items() if name[0] != "_"}
        row["Members"] = [
            {"customerId": tenant.id, "displayName": tenant.name, "defaultDomainName": tenant.domain}
            for tenant in members
        ]
        if call.flag("includeUsage"):
            row["Usage"] = []
        found.append(row)
    return {"Results": found}
