"""Mailboxes: the list, one mailbox in detail, permissions, rules, forwarding."""

from __future__ import annotations

from typing import Any

from cipp_mcp.demo.answers.identity import missing
from cipp_mcp.demo.calls import Answer, Call, Refused, answers
from cipp_mcp.demo.habits import as_text, from_report, queued, single_tenant, with_tenant
from cipp_mcp.demo.world.mail import NO_ARCHIVE, Mailbox
from cipp_mcp.demo.world.seeds import guid
from cipp_mcp.demo.world.tenant import Row, Tenant


def find_mailbox(tenant: Tenant, key: Any) -> Mailbox | None:
    """The mailbox with this object id, UPN or address."""
    user = tenant.user(key)
    return tenant.mailboxes.get(user["id"]) if user else None


def mailbox_of(call: Call, key: Any, status: int = 403, wrapped: bool = True) -> Mailbox:
    """The mailbox that the call is about; an unknown one ends the call with Exchange's complaint."""
    single_tenant(call)
    box = find_mailbox(call.tenant, key)
    if box is None:
        text = f"The operation couldn't be performed because object '{key}' couldn't be found on the server."
        raise Refused(Answer([text] if wrapped else text, status))
    return box


def mailbox_row(tenant: Tenant, box: Mailbox) -> Row:
    """A row of ListMailboxes (Invoke-ListMailboxes.ps1)."""
    user = tenant.users[box.user_id]
    aliases = [address[5:] for address in user["proxyAddresses"] if address.startswith("smtp:")]
    return {
        "Id": box.name,
        "ExchangeGuid": box.exchange_guid,
        "ArchiveGuid": guid("archive", box.exchange_guid) if box.archive else NO_ARCHIVE,
        "WhenSoftDeleted": None,
        "UPN": user["userPrincipalName"],
        "displayName": user["displayName"],
        "primarySmtpAddress": user["mail"],
        "ArchiveEnabled": box.archive,
        "AutoExpandingArchive": box.auto_expanding,
        "AutoExpandingArchiveScope": "Mailbox" if box.auto_expanding else "None",
        "recipientType": "UserMailbox",
        "recipientTypeDetails": box.kind,
        "AdditionalEmailAddresses": ", ".join(aliases),
        "ForwardingSmtpAddress": box.forwarding_smtp,
        "InternalForwardingAddress": box.forwarding_internal,
        "DeliverToMailboxAndForward": box.keep_copy,
        "HiddenFromAddressListsEnabled": box.hidden,
        "ExternalDirectoryObjectId": box.user_id,
        "IsDirSynced": False,
        "MessageCopyForSendOnBehalfEnabled": box.copy_send_on_behalf,
        "MessageCopyForSentAsEnabled": box.copy_sent_as,
        "LitigationHoldEnabled": box.litigation_hold,
        "LitigationHoldDate": None,
        "LitigationHoldDuration": "Unlimited",
        "LicensedForLitigationHold": box.quota_gb >= 100,
        "ComplianceTagHoldApplied": False,
        "RetentionHoldEnabled": box.retention_hold,
        "InPlaceHolds": [],
        "RetentionPolicy": box.retention_policy,
    }


def mailbox_rows(tenant: Tenant) -> list[Row]:
    return [mailbox_row(tenant, box) for box in tenant.mailboxes.values()]


@answers("ListMailboxes")
def list_mailboxes(call: Call) -> Any:
    """Invoke-ListMailboxes.ps1; all tenants only from the reporting database."""
    if from_report(call):
        return with_tenant(call, mailbox_rows)
    single_tenant(call)
    kind = call.asked("RecipientTypeDetails")
    rows = mailbox_rows(call.tenant)
    return [row for row in rows if not kind or row["recipientTypeDetails"].lower() == kind.lower()]


@answers("ListUserMailboxDetails")
def list_mailbox_details(call: Call) -> Any:
    """Invoke-ListUserMailboxDetails.ps1: one object in a list, with sizes in GB."""
    box = mailbox_of(call, call.asked("UserID"))
    permissions = [{"User": name, "AccessRights": "FullAccess"} for name in box.full_access]
    permissions += [{"User": name, "AccessRights": "SendAs"} for name in box.send_as]
    permissions += [{"User": name, "AccessRights": "SendOnBehalf"} for name in box.send_on_behalf]
    protocols = box.protocols
    row = {
        "ForwardAndDeliver": box.keep_copy,
        "ForwardingAddress": box.forwarding_smtp or box.forwarding_internal,
        "LitigationHold": box.litigation_hold,
        "RetentionHold": box.retention_hold,
        "ComplianceTagHold": False,
        "InPlaceHold": False,
        "EDiscoveryHold": False,
        "PurviewRetentionHold": False,
        "ExcludedFromOrgWideHold": False,
        "HiddenFromAddressLists": box.hidden,
        "EWSEnabled": protocols["EwsEnabled"],
        "MailboxMAPIEnabled": protocols["MAPIEnabled"],
        "MailboxOWAEnabled": protocols["OWAEnabled"],
        "MailboxImapEnabled": protocols["ImapEnabled"],
        "MailboxPopEnabled": protocols["PopEnabled"],
        "MailboxActiveSyncEnabled": protocols["ActiveSyncEnabled"],
        "SmtpClientAuthenticationDisabled": protocols["SmtpClientAuthenticationDisabled"],
        "Permissions": permissions,
        "ProhibitSendQuota": float(box.quota_gb) - 0.5,
        "ProhibitSendReceiveQuota": float(box.quota_gb),
        "ItemCount": box.items,
        "TotalItemSize": round(box.size_mb / 1024, 2),
        "ArchiveMailBox": box.archive,
        "AutoExpandingArchive": box.auto_expanding,
        "AutoExpandingArchiveScope": "Mailbox" if box.auto_expanding else "None",
        "TotalArchiveItemSize": round(box.archive_mb / 1024, 2),
        "TotalArchiveItemCount": int(box.archive_mb * 8),
        "BlockedForSpam": False,
        "RecipientTypeDetails": box.kind,
        "RetentionPolicy": box.retention_policy,
        "MailboxActionsData": mailbox_row(call.tenant, box),
    }
    return [row]


@answers("ListSharedMailboxStatistics")
def list_statistics(call: Call) -> Any:
    """Invoke-ListSharedMailboxStatistics.ps1: what Get-MailboxStatistics says, sizes as text."""
    single_tenant(call)
    return [
        {
            "DisplayName": box.name,
            "MailboxGuid": box.exchange_guid,
            "ItemCount": box.items,
            "TotalItemSize": f"{box.size_mb:.2f} MB ({int(box.size_mb * 2**20):,} bytes)",
            "DeletedItemCount": box.items // 20,
            "TotalDeletedItemSize": f"{box.size_mb / 20:.2f} MB ({int(box.size_mb * 2**20 / 20):,} bytes)",
            "StorageLimitStatus": None,
            "MailboxTypeDetail": box.kind,
            "LastLogonTime": None,
        }
        for box in call.tenant.mailboxes.values()
        if box.kind == "SharedMailbox"
    ]


@answers("ListSharedMailboxAccountEnabled")
def list_enabled_shared(call: Call) -> Any:
    """Invoke-ListSharedMailboxAccountEnabled.ps1: shared mailboxes somebody can sign in to."""

    def rows(tenant: Tenant) -> list[Row]:
        names = ("displayName", "givenName", "surname", "accountEnabled", "assignedLicenses", "id")
        return [
            {"UserPrincipalName": user["userPrincipalName"], **{name: user[name] for name in names}}
            | {"onPremisesSyncEnabled": False}
            for box in tenant.mailboxes.values()
            if box.kind == "SharedMailbox" and (user := tenant.users[box.user_id])["accountEnabled"]
        ]

    if from_report(call):
        return with_tenant(call, rows)
    single_tenant(call)
    return rows(call.tenant)


def rule_rows(tenant: Tenant) -> list[Row]:
    return [
        {**rule, "UserPrincipalName": box.upn, "MailboxOwnerId": box.name}
        for box in tenant.mailboxes.values()
        for rule in box.rules
    ]


@answers("ListMailboxRules")
def list_rules(call: Call) -> Any:
    """Invoke-ListMailboxRules.ps1: a queue even for one tenant, unless the reporting database is asked."""
    if from_report(call):
        return with_tenant(call, rule_rows)
    name = "All Tenants" if call.all_tenants else call.tenant_name
    return queued(
        call,
        f"Mailbox Rules ({name})",
        lambda: [{**row, "Tenant": tenant.domain} for tenant in call.tenants for row in rule_rows(tenant)],
    )


@answers("ListUserMailboxRules")
def list_user_rules(call: Call) -> Any:
    """Invoke-ListUserMailboxRules.ps1."""
    key = call.asked("UserID")
    box = None if call.all_tenants else find_mailbox(call.tenant, key)
    if box is None:
        return Answer([f"Failed to read the inbox rules of {key}. Error: {missing(key)}"], 500)
    return [{name: value for name, value in rule.items() if name != "RuleIdentity"} for rule in box.rules]


@answers("ListMailboxForwarding")
def list_forwarding(call: Call) -> Any:
    """Invoke-ListMailboxForwarding.ps1."""

    def rows(tenant: Tenant) -> list[Row]:
        return [
            {
                "UPN": box.upn,
                "DisplayName": box.name,
                "PrimarySmtpAddress": tenant.users[box.user_id]["mail"],
                "RecipientTypeDetails": box.kind,
                "ForwardingType": "External" if box.forwarding_smtp else "Internal",
                "ForwardTo": box.forwarding_smtp or box.forwarding_internal,
                "ForwardingSmtpAddress": box.forwarding_smtp,
                "InternalForwardingAddress": box.forwarding_internal,
                "DeliverToMailboxAndForward": box.keep_copy,
            }
            for box in tenant.mailboxes.values()
            if box.forwarding_smtp or box.forwarding_internal
        ]

    if from_report(call):
        return with_tenant(call, rows)
    single_tenant(call)
    return rows(call.tenant)


@answers("ListOoO")
def list_out_of_office(call: Call) -> Any:
    """Invoke-ListOoO.ps1 hands on JSON that Get-CIPPOutOfOffice.ps1 has already made text."""
    key = call.asked("userid")
    box = None if call.all_tenants else find_mailbox(call.tenant, key)
    if box is None:
        return Answer(f"Could not read the automatic replies of {key}. Error: {missing(key)}", 500)
    return as_text(box.out_of_office)


@answers("ListMailboxCAS")
def list_protocols(call: Call) -> Any:
    """Invoke-ListMailboxCAS.ps1."""
    single_tenant(call)
    return [
        {
            "DisplayName": box.name,
            "PrimarySmtpAddress": call.tenant.users[box.user_id]["mail"],
            "Guid": box.exchange_guid,
            **box.protocols,
        }
        for box in call.tenant.mailboxes.values()
    ]


@answers("ListMailboxMobileDevices")
def list_phones(call: Call) -> Any:
    """Invoke-ListMailboxMobileDevices.ps1."""
    return mailbox_of(call, call.asked("Mailbox")).phones


@answers("ListUserTrustedBlockedSenders")
def list_trusted(call: Call) -> Any:
    """Invoke-ListUserTrustedBlockedSenders.ps1."""
    box = mailbox_of(call, call.asked("UserID"))
    upn = call.asked("userPrincipalName")
    kinds = (("Trusted", box.trusted), ("Blocked", box.blocked))
    rows = []
    for kind, entries in kinds:
        names = {"Type": f"{kind} Sender/Domain", "TypeProperty": f"{kind}SendersAndDomains"}
        rows += [{"UserPrincipalName": upn, "UserID": box.user_id, **names, "Value": entry} for entry in entries]
    return rows
