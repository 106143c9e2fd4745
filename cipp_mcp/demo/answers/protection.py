"""Quarantine, filters and lists that keep bad mail out."""

from __future__ import annotations

from typing import Any

from cipp_mcp.demo.calls import Answer, Call, answers
from cipp_mcp.demo.habits import from_report, queued, single_tenant, with_tenant
from cipp_mcp.demo.world.seeds import guid
from cipp_mcp.demo.world.tenant import Row, Tenant

# Exchange itself gives a thousand to a page; ten make paging visible in a small estate.
QUARANTINE_PAGE = 10


@answers("ListMailQuarantine")
def list_quarantine(call: Call) -> Any:
    """Invoke-ListMailQuarantine.ps1: page numbers as nextLink, a queue for all tenants."""

    def rows(tenant: Tenant) -> list[Row]:
        return sorted(tenant.quarantine.values(), key=lambda row: str(row["ReceivedTime"]), reverse=True)

    if call.all_tenants:
        every = [{**row, "Tenant": tenant.domain} for tenant in call.tenants for row in rows(tenant)]
        return queued(call, "Mail Quarantine - All Tenants", lambda: every)
    found = rows(call.tenant)
    if not call.flag("manualPagination"):
        return {"Results": found, "Metadata": None}
    asked = str(call.asked("nextLink") or "")
    page = int(asked) if asked.isdigit() else 1
    some = found[(page - 1) * QUARANTINE_PAGE : page * QUARANTINE_PAGE]
    more = len(some) == QUARANTINE_PAGE
    return {"Results": some, "Metadata": {"nextLink": str(page + 1)} if more else None}


@answers("ListMailQuarantineMessage")
def list_quarantine_message(call: Call) -> Any:
    """Invoke-ListMailQuarantineMessage.ps1: the raw message."""
    row = call.tenant.quarantine.get(call.asked("Identity") or "")
    if row is None:
        return Answer(f"The quarantined message {call.asked('Identity')} couldn't be found.", 403)
    to, sender = ", ".join(row["RecipientAddress"]), row["SenderAddress"]
    raw = f"From: {sender}\r\nTo: {to}\r\nSubject: {row['Subject']}\r\nDate: {row['ReceivedTime']}\r\n\r\nHello\r\n"
    return {"Identity": row["Identity"], "Message": raw}


@answers("ListSpamfilter")
def list_spam_filters(call: Call) -> Any:
    """Invoke-ListSpamfilter.ps1."""
    single_tenant(call)
    return list(call.tenant.spam_filters.values())


def _policy(tenant: Tenant, name: str, number: int, **more: Any) -> Row:
    return {
        "RuleName": None if number == 0 else name,
        "Name": "Office365 Default" if number == 0 else name,
        "Guid": guid(tenant.id, name, number),
        "State": None if number == 0 else "Enabled",
        "Priority": None if number == 0 else 0,
        "RecipientDomainIs": [] if number == 0 else [tenant.domain],
        "WhenCreated": tenant.row["LastRefresh"],
        "WhenChanged": tenant.row["LastRefresh"],
        **more,
    }


@answers("ListAntiPhishingFilters")
def list_anti_phishing(call: Call) -> Any:
    """Invoke-ListAntiPhishingFilters.ps1."""
    single_tenant(call)
    tips = (
        "FirstContactSafetyTips",
        "SimilarUsersSafetyTips",
        "SimilarDomainsSafetyTips",
        "UnusualCharactersSafetyTips",
    )
    rows = []
    for number in range(1 + call.tenant.number % 2):
        rows.append(
            _policy(
                call.tenant,
                "Impersonation protection",
                number,
                ExcludedDomains=[],
                ExcludedSenders=[],
                PhishThresholdLevel=1 + number,
                EnableMailboxIntelligence=True,
                EnableMailboxIntelligenceProtection=bool(number),
                EnableSpoofIntelligence=True,
                EnableUnauthenticatedSender=True,
                EnableViaTag=True,
                EnableOrganizationDomainsProtection=bool(number),
                **{f"Enable{tip}": bool(number) for tip in tips},
                AuthenticationFailAction="MoveToJmf",
                SpoofQuarantineTag="DefaultFullAccessPolicy",
                MailboxIntelligenceProtectionAction="Quarantine" if number else "NoAction",
                MailboxIntelligenceQuarantineTag="DefaultFullAccessPolicy",
                TargetedUserProtectionAction="Quarantine" if number else "NoAction",
                TargetedUserQuarantineTag="DefaultFullAccessPolicy",
                TargetedDomainProtectionAction="Quarantine" if number else "NoAction",
                TargetedDomainQuarantineTag="DefaultFullAccessPolicy",
            )
        )
    return rows


@answers("ListMalwareFilters")
def list_malware_filters(call: Call) -> Any:
    """Invoke-ListMalwareFilters.ps1."""
    single_tenant(call)
    return [
        _policy(
            call.tenant,
            "Default",
            0,
            EnableFileFilter=True,
            FileTypeAction="Reject",
            FileTypes=["ace", "exe", "jar", "scr"],
            ZapEnabled=True,
            QuarantineTag="AdminOnlyAccessPolicy",
            EnableInternalSenderAdminNotifications=False,
            InternalSenderAdminAddress=None,
            EnableExternalSenderAdminNotifications=False,
            ExternalSenderAdminAddress=None,
        )
    ]


@answers("ListConnectionFilter")
def list_connection_filter(call: Call) -> Any:
    """Invoke-ListConnectionFilter.ps1."""
    single_tenant(call)
    return [
        {"Name": "Default", "IsDefault": True, "IPAllowList": [], "IPBlockList": [], "EnableSafeList": False}
        | {"WhenChanged": call.tenant.row["LastRefresh"]}
    ]


@answers("ListTenantAllowBlockList")
def list_allow_block(call: Call) -> Any:
    """Invoke-ListTenantAllowBlockList.ps1; all tenants come from the reporting database."""

    def rows(tenant: Tenant) -> list[Row]:
        return list(tenant.allow_block.values())

    return with_tenant(call, rows) if from_report(call) or call.all_tenants else rows(call.tenant)


@answers("ListRestrictedUsers")
def list_restricted(call: Call) -> Any:
    """Invoke-ListRestrictedUsers.ps1."""
    single_tenant(call)
    return list(call.tenant.restricted.values())
