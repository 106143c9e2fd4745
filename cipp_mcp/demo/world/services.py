"""Applications, domains, Teams, SharePoint and the mail-flow settings of a tenant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cipp_mcp.demo.world import skus
from cipp_mcp.demo.world.seeds import days_before, draw_guid, guid, source

if TYPE_CHECKING:
    from cipp_mcp.demo.world.tenant import Tenant

Row = dict[str, Any]
_ENTERPRISE_APPS = (
    ("Adobe Acrobat", "User.Read,Files.ReadWrite", True),
    ("Zoom", "User.Read,Calendars.ReadWrite", True),
    ("Mail Merge Wizard", "Mail.Read,Mail.Send,offline_access", False),
    ("Perfect PDF Converter", "User.Read,Files.ReadWrite.All,offline_access", False),
    ("Payroll Connector", "User.Read,Directory.Read.All", True),
)


def make_apps(tenant: Tenant) -> dict[str, Row]:
    """Service principals with their consents, by object id; two of them ask for more than they should."""
    chance = source(tenant.seed, tenant.number, "apps")
    found: dict[str, Row] = {}
    for number, (name, scope, verified) in enumerate(_ENTERPRISE_APPS):
        if number > 1 and (number + tenant.number) % 3 == 0:
            continue
        key = draw_guid(chance)
        found[key] = {
            "id": key,
            "appId": guid("application", name),
            "displayName": name,
            "publisherName": name.split()[0] if verified else None,
            "accountEnabled": True,
            "servicePrincipalType": "Application",
            "createdDateTime": days_before(tenant.today, chance.uniform(30, 900)),
            "verifiedPublisher": {"displayName": name.split()[0] if verified else None},
            "tags": ["WindowsAzureActiveDirectoryIntegratedApp"],
            "_scope": scope,
        }
    return found


def make_domains(tenant: Tenant) -> dict[str, Row]:
    """Verified domains in Graph's form."""
    extra = [f"mail.{tenant.domain}"] if tenant.number % 3 == 0 else []
    found = {}
    for name in (tenant.domain, tenant.initial, *extra):
        found[name] = {
            "id": name,
            "authenticationType": "Managed",
            "availabilityStatus": None,
            "isAdminManaged": True,
            "isDefault": name == tenant.domain,
            "isInitial": name == tenant.initial,
            "isRoot": name not in extra,
            "isVerified": True,
            "supportedServices": ["Email", "OfficeCommunicationsOnline"],
            "passwordValidityPeriodInDays": 2147483647,
        }
    return found


def analysed_domain(tenant: Tenant, domain: str) -> Row:
    """A row of the domain analyser (Get-CIPPDomainAnalyser.ps1)."""
    chance = source(tenant.seed, tenant.number, "dns", domain)
    good = domain == tenant.domain and tenant.number % 2 == 0
    policy = chance.choice(("reject", "quarantine")) if good else chance.choice(("none", ""))
    checks = {
        "SPFPassAll": good or chance.random() < 0.7,
        "MXPassTest": True,
        "DMARCPresent": bool(policy),
        "DNSSECPresent": False,
        "DKIMEnabled": good,
    }
    score = 20 * checks["SPFPassAll"] + 20 + 20 * checks["DMARCPresent"] + 20 * checks["DKIMEnabled"] + 10 * good
    return {
        "Tenant": tenant.domain,
        "TenantID": tenant.id,
        "GUID": domain.replace(".", ""),
        "LastRefresh": days_before(tenant.today, 0.2),
        "Domain": domain,
        "NSRecords": [f"ns1.{domain}", f"ns2.{domain}"],
        "ExpectedSPFRecord": "v=spf1 include:spf.protection.outlook.com -all",
        "ActualSPFRecord": "v=spf1 include:spf.protection.outlook.com " + ("-all" if checks["SPFPassAll"] else "?all"),
        "ActualMXRecords": [{"Hostname": f"{domain.replace('.', '-')}.mail.protection.outlook.com", "Priority": 0}],
        "MailProvider": "Microsoft 365",
        "DMARCFullPolicy": f"v=DMARC1; p={policy};" if policy else "",
        "DMARCActionPolicy": policy.title() or None,
        "DMARCReportingActive": good,
        "DMARCPercentagePass": good,
        "EnterpriseEnrollment": "Correct",
        "EnterpriseRegistration": "Correct",
        "Score": score,
        "MaximumScore": 100,
        "ScorePercentage": score,
        "ScoreExplanation": "" if good else "No DMARC policy that acts; DKIM is not set up",
        **checks,
    }


def make_transport_rules(tenant: Tenant) -> dict[str, Row]:
    chance = source(tenant.seed, tenant.number, "transport")
    wanted: list[tuple[str, str, Row]] = [
        ("Mark mail from outside", "Enabled", {"FromScope": "NotInOrganization", "PrependSubject": "[EXTERNAL] "}),
        ("Block automatic forwarding", "Enabled", {"MessageTypeMatches": "AutoForward", "SetSCL": None}),
    ]
    if tenant.number % 2:
        # The rule that everybody forgets: a sender that bypasses every filter.
        bypass = {"SenderDomainIs": ["newsletter-tool.example"], "SetSCL": -1}
        wanted.append(("Let the newsletter through", "Enabled", bypass))
    found = {}
    for number, (name, state, what) in enumerate(wanted):
        key = draw_guid(chance)
        found[key] = {
            "Guid": key,
            "Identity": name,
            "Name": name,
            "State": state,
            "Mode": "Enforce",
            "Priority": number,
            "Comments": "",
            "Description": f"If the message fits: {', '.join(what)}",
            "RuleErrorAction": "Ignore",
            "SenderAddressLocation": "Header",
            "WhenChanged": days_before(tenant.today, chance.uniform(10, 500)),
            **what,
        }
    return found


def make_connectors(tenant: Tenant) -> dict[str, Row]:
    """A connector to the signature service, where there is one."""
    if tenant.number % 2:
        return {}
    key = guid(tenant.seed, tenant.number, "connector")
    row = {
        "Guid": key,
        "Identity": "Signature service",
        "Name": "Signature service",
        "Enabled": True,
        "ConnectorType": "Partner",
        "Comment": "Adds signatures to outgoing mail",
        "SmartHosts": ["smtp.signatures.example"],
        "SenderIPAddresses": [],
        "SenderDomains": [],
        "RecipientDomains": ["*"],
        "TlsSettings": "CertificateValidation",
        "TlsDomain": "signatures.example",
        "TlsSenderCertificateName": None,
        "IsTransportRuleScoped": True,
        "WhenChanged": days_before(tenant.today, 300),
        "cippconnectortype": "outbound",
    }
    return {key: row}


def make_contacts(tenant: Tenant) -> dict[str, Row]:
    """Mail contacts by their Guid, in the words of Get-Contact."""
    chance = source(tenant.seed, tenant.number, "contacts")
    found = {}
    wanted = (("Insurance Broker", "Safe Harbour"), ("External Bookkeeper", "Ledger Ltd"))
    for number, (name, company) in enumerate(wanted):
        key = draw_guid(chance)
        local = name.lower().replace(" ", ".")
        found[key] = {
            "Guid": key,
            "graphId": guid("contact", key),
            "DisplayName": name,
            "FirstName": name.split()[0],
            "LastName": name.split()[1],
            "Company": company,
            "City": tenant.profile.city,
            "Department": "",
            "IsDirSynced": False,
            "WindowsEmailAddress": f"{local}@{company.split()[0].lower()}-{number}.example",
            "_more": {"Title": "", "Phone": "", "MobilePhone": "", "Hidden": False, "MailTip": ""},
        }
    return found


def make_filters(tenant: Tenant) -> dict[str, Row]:
    """Anti-spam policies by name."""
    base = {
        "BulkSpamAction": "MoveToJmf",
        "HighConfidenceSpamAction": "Quarantine",
        "HighConfidencePhishAction": "Quarantine",
        "PhishSpamAction": "Quarantine",
        "SpamAction": "MoveToJmf",
        "BulkThreshold": 7,
        "AllowedSenders": [],
        "AllowedSenderDomains": ["newsletter-tool.example"] if tenant.number % 2 else [],
        "WhenCreated": days_before(tenant.today, 900),
        "WhenChanged": days_before(tenant.today, 90),
    }
    free = {"Guid": guid(tenant.id, "spam"), "IsDefault": True, "ruleState": None, "rulePrio": None}
    strict = {"Guid": guid(tenant.id, "strict"), "IsDefault": False, "ruleState": "Enabled", "rulePrio": 0}
    return {
        "Default": {"Name": "Default", **free, **base},
        "Strict": {"Name": "Strict", **strict, **base, "BulkThreshold": 5},
    }


def make_sites(tenant: Tenant) -> dict[str, Row]:
    """SharePoint sites of the Microsoft 365 groups and a OneDrive for everybody, by site id."""
    chance = source(tenant.seed, tenant.number, "sites")
    found: dict[str, Row] = {}

    def add(name: str, url: str, owner: Row | None, personal: bool) -> None:
        used = int(chance.lognormvariate(21.5, 1.4))
        key = draw_guid(chance)
        found[key] = {
            "siteId": key,
            "webId": draw_guid(chance),
            "createdDateTime": days_before(tenant.today, chance.uniform(60, 1500)),
            "displayName": name,
            "webUrl": url,
            "ownerDisplayName": owner["displayName"] if owner else f"{name} Owners",
            "ownerPrincipalName": owner["userPrincipalName"] if owner else None,
            "lastActivityDate": days_before(tenant.today, chance.uniform(0, 90))[:10],
            "fileCount": chance.randrange(10, 60000),
            "storageUsedInGigabytes": round(used / 2**30, 2),
            "storageAllocatedInGigabytes": 1024.0 if personal else 25600.0,
            "storageUsedInBytes": used,
            "storageAllocatedInBytes": (1024 if personal else 25600) * 2**30,
            "rootWebTemplate": "OneDrive" if personal else "Group",
            "reportRefreshDate": days_before(tenant.today, 2)[:10],
            "AutoMapUrl": "",
            "_personal": personal,
        }

    host = f"https://{tenant.profile.slug}"
    for group in tenant.groups.values():
        if "Unified" in group["groupTypes"]:
            add(group["displayName"], f"{host}.sharepoint.com/sites/{group['mailNickname']}", None, False)
    for user in tenant.users.values():
        if user["givenName"] and user["userType"] == "Member" and skus.has_mailbox(user["assignedLicenses"]):
            path = user["userPrincipalName"].replace("@", "_").replace(".", "_")
            add(user["displayName"], f"{host}-my.sharepoint.com/personal/{path}", user, True)
    return found


def make_intune_apps(tenant: Tenant) -> dict[str, Row]:
    """Applications that Intune hands out."""
    if not skus.SKUS[tenant.profile.main_sku].intune:
        return {}
    chance = source(tenant.seed, tenant.number, "mobileapps")
    found = {}
    for name, kind, assigned in (
        ("Microsoft 365 Apps for Windows 10 and later", "officeSuiteApp", "All Devices (required)"),
        ("Company Portal", "winGetApp", "All Licensed Users (required)"),
        ("Google Chrome", "win32LobApp", "All Devices (available)"),
        ("7-Zip", "win32LobApp", "Intune Pilot Devices (required)"),
    ):
        key = draw_guid(chance)
        found[key] = {
            "@odata.type": f"#microsoft.graph.{kind}",
            "id": key,
            "displayName": name,
            "description": name,
            "publisher": name.split()[0],
            "createdDateTime": days_before(tenant.today, chance.uniform(60, 700)),
            "lastModifiedDateTime": days_before(tenant.today, chance.uniform(1, 60)),
            "publishingState": "published",
            "isAssigned": True,
            "AppAssignment": assigned,
            "AppExclude": "",
            "assignments": [],
        }
    return found
