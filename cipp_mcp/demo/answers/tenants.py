"""The estate: tenants, their organisation, domains, licences, consents, conditional access, partner relationships."""

from __future__ import annotations

import datetime
import json
from typing import Any

from cipp_mcp.demo.calls import Answer, Call, answers
from cipp_mcp.demo.clients import PARTNER_TENANT_ID
from cipp_mcp.demo.habits import from_report, placeholder, queued, single_tenant, unrolled, with_tenant
from cipp_mcp.demo.world import skus
from cipp_mcp.demo.world.groups import ROLES
from cipp_mcp.demo.world.licences import licence_rows
from cipp_mcp.demo.world.names import COUNTRIES, LANGUAGES
from cipp_mcp.demo.world.seeds import days_before, guid, source, stamp
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
        return Answer({"Results": f"The 'Action' parameter is required. Valid actions: {', '.join(_RECORDS)}"}, 400)
    if not domain:
        return Answer({"Results": "The 'Domain' parameter is required."}, 400)
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


@answers("ListLicenses")
def list_licences(call: Call) -> Any:
    """Invoke-ListLicenses.ps1: a made-up row for all tenants until the cache is filled."""

    def rows() -> list[Row]:
        return [row for tenant in call.tenants for row in licence_rows(tenant)]

    if not call.all_tenants:
        return rows()
    text = "Loading data for all tenants. Please check back in 1 minute"
    return placeholder(call, "Licenses (All Tenants)", {"Tenant": text, "License": text}, rows)


@answers("ListLicensesReport")
def list_licences_report(call: Call) -> Any:
    """Invoke-ListLicensesReport.ps1: the same rows in an envelope, without the term's name."""

    def rows() -> list[Row]:
        found = [row for tenant in call.tenants for row in licence_rows(tenant)]
        for row in found:
            row["TermInfo"] = [
                {name: value for name, value in term.items() if name != "Term"} for term in row["TermInfo"]
            ]
        return found

    if call.all_tenants:
        return queued(call, "Licenses (All Tenants)", rows, flagged=True)
    return {"Results": rows(), "Metadata": {}}


@answers("ListCSPLicenses")
def list_csp_licences(call: Call) -> Any:
    """Invoke-ListCSPLicenses.ps1 with the Sherweb integration mapped."""
    if call.all_tenants:
        return Answer(["Unable to retrieve CSP licenses; the tenant is not mapped to a Sherweb customer."], 400)
    tenant = call.tenant
    rows = []
    for sku_id, total in tenant.owned.items():
        sku, chance = skus.BY_ID[sku_id], source(tenant.seed, tenant.number, "csp", sku_id)
        if sku.part in skus.FREE:
            continue
        renewal = stamp(tenant.today + datetime.timedelta(days=chance.randrange(10, 360)))
        rows.append(
            {
                "id": guid(tenant.seed, tenant.number, "sherweb", sku_id),
                "productName": sku.name,
                "sku": f"CFQ7TTC0{chance.randrange(1000, 9999)}:0001_P1Y_MO",
                "quantity": total,
                "purchaseDate": days_before(tenant.today, chance.uniform(100, 800)),
                "billingCycle": "Monthly",
                "commitmentTerm": {
                    "type": "Yearly",
                    "termEndDate": renewal,
                    "renewalConfiguration": {"renewalDate": renewal, "scheduledQuantity": total},
                },
            }
        )
    return rows


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


def location_row(location: Row) -> Row:
    ranges = ", ".join(entry["cidrAddress"] for entry in location.get("ipRanges", []))
    return {**location, "rangeOrLocation": ranges or ", ".join(location.get("countriesAndRegions", []))}


@answers("ListNamedLocations")
def list_named_locations(call: Call) -> Any:
    """Invoke-ListNamedLocations.ps1."""
    single_tenant(call)
    return [location_row(location) for location in call.tenant.locations.values()]


def _lines(names: list[str]) -> str:
    # Out-String ends every line, which is why these columns are never quite empty.
    return "\r\n".join(names) + "\r\n" if names else ""


def ca_row(tenant: Tenant, policy: Row) -> Row:
    """A policy with names for ids (Invoke-ListConditionalAccessPolicies.ps1)."""
    conditions, grant = policy["conditions"], policy["grantControls"] or {}
    users, apps, places = conditions["users"], conditions["applications"], conditions["locations"] or {}
    known = {key: row["displayName"] for key, row in (tenant.users | tenant.groups | tenant.locations).items()}

    def named(ids: list[str]) -> list[str]:
        return [known.get(key, key) for key in ids]

    platforms = conditions.get("platforms") or {}
    return {
        "id": policy["id"],
        "displayName": policy["displayName"],
        "customer": None,
        "Tenant": tenant.domain,
        "createdDateTime": policy["createdDateTime"],
        "modifiedDateTime": policy["modifiedDateTime"],
        "state": policy["state"],
        "clientAppTypes": ",".join(conditions["clientAppTypes"]),
        "includePlatforms": ",".join(platforms.get("includePlatforms", [])),
        "excludePlatforms": ",".join(platforms.get("excludePlatforms", [])),
        "includeLocations": ",".join(named(places.get("includeLocations", []))),
        "excludeLocations": ",".join(named(places.get("excludeLocations", []))),
        "includeApplications": ",".join(apps["includeApplications"]),
        "excludeApplications": ",".join(apps["excludeApplications"]),
        "includeUserActions": "",
        "includeAuthenticationContextClassReferences": "",
        **{name: _lines(named(users[name])) for name in users},
        "grantControlsOperator": grant.get("operator", ""),
        "builtInControls": ",".join(grant.get("builtInControls", [])),
        "customAuthenticationFactors": "",
        "termsOfUse": "",
        "rawjson": json.dumps(policy),
    }


@answers("ListConditionalAccessPolicies")
def list_ca_policies(call: Call) -> Any:
    """Invoke-ListConditionalAccessPolicies.ps1."""

    def rows() -> list[Row]:
        found = [ca_row(tenant, policy) for tenant in call.tenants for policy in tenant.ca_policies.values()]
        return sorted(found, key=lambda row: str(row["id"]), reverse=True)

    if call.all_tenants:
        return queued(call, "Conditional Access Policies - All Tenants", rows)
    return {"Results": rows(), "Metadata": None}


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
