"""Mail flow and protection: quarantine, message trace, rules, connectors, filters, contacts, rooms."""

from __future__ import annotations

import datetime
from typing import Any

from cipp_mcp.demo.calls import Answer, Call, answers
from cipp_mcp.demo.habits import from_report, queued, single_tenant, unrolled, with_tenant
from cipp_mcp.demo.powershell import label_or_text, member, text, truthy
from cipp_mcp.demo.world.groups import public
from cipp_mcp.demo.world.seeds import guid, parse_stamp
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


@answers("ListMessageTrace")
def list_trace(call: Call) -> Any:
    """Invoke-ListMessageTrace.ps1 reads the body only; the status is a label object, a bare one is ignored."""
    name = text(label_or_text(call.sent("tenantFilter")))
    tenant = call.state.tenant(name)
    if tenant is None:
        return Answer([{"Status": f"Failed to retrieve message trace: tenant '{name}' not found"}], 500)
    if truthy(call.sent("traceDetail")):
        return [row | {"MessageTraceId": call.sent("ID")} for row in _events(tenant, text(call.sent("ID")))]
    rows = tenant.trace
    if call.sent("MessageId"):
        rows = [row for row in rows if row["MessageId"] == text(call.sent("MessageId"))]
    else:
        since, until = _window(call, tenant)
        rows = [row for row in rows if since <= parse_stamp(row["Received"]) <= until]
        for wanted, column in ((member(call.sent("status"), "value"), "Status"), (call.sent("fromIP"), "FromIP")):
            if wanted:
                rows = [row for row in rows if row[column] == text(wanted)]
    for field, column in (("recipient", "RecipientAddress"), ("sender", "SenderAddress")):
        wanted = label_or_text(call.sent(field))
        if wanted:
            rows = [row for row in rows if row[column].lower() == text(wanted).lower()]
    return [{name: value for name, value in row.items() if name != "MessageId"} for row in rows]


def _window(call: Call, tenant: Tenant) -> tuple[datetime.datetime, datetime.datetime]:
    end = tenant.today + datetime.timedelta(days=1)
    if call.sent("days"):
        return tenant.today - datetime.timedelta(days=float(text(call.sent("days")))), end
    # Exchange itself looks back two days when no dates are given.
    begin = tenant.today - datetime.timedelta(days=2)
    return _moment(call.sent("startDate"), begin), _moment(call.sent("endDate"), end)


def _moment(value: Any, otherwise: datetime.datetime) -> datetime.datetime:
    if not value:
        return otherwise
    written = text(value)
    return datetime.datetime.fromtimestamp(int(written), datetime.UTC) if written.isdigit() else parse_stamp(written)


def _events(tenant: Tenant, trace_id: str) -> list[Row]:
    row = next((row for row in tenant.trace if row["MessageTraceId"] == trace_id), None)
    if row is None:
        return []
    when = row["Received"].replace("T", " ")
    steps = ["Receive", "Submit", "Deliver" if row["Status"] == "Delivered" else "Fail"]
    return [
        {"Date": when, "Event": step, "Action": "", "Detail": f"{step} {row['RecipientAddress']}"} for step in steps
    ]


@answers("ListTransportRules")
def list_transport_rules(call: Call) -> Any:
    """Invoke-ListTransportRules.ps1."""
    if call.asked("id"):
        key = call.asked("id")
        rules = call.tenant.transport_rules.values()
        return {"Results": [rule for rule in rules if key in (rule["Guid"], rule["Name"])], "Metadata": None}
    if call.all_tenants:
        return queued(
            call,
            "Transport Rules - All Tenants",
            lambda: [
                {**rule, "Tenant": tenant.domain} for tenant in call.tenants for rule in tenant.transport_rules.values()
            ],
        )
    return {"Results": list(call.tenant.transport_rules.values()), "Metadata": None}


@answers("ListExchangeConnectors")
def list_connectors(call: Call) -> Any:
    """Invoke-ListExchangeConnectors.ps1."""
    single_tenant(call)
    return list(call.tenant.connectors.values())


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
    return [{"Name": "Default", "IsDefault": True, "IPAllowList": [], "IPBlockList": [], "EnableSafeList": False}]


@answers("ListTenantAllowBlockList")
def list_allow_block(call: Call) -> Any:
    """Invoke-ListTenantAllowBlockList.ps1; all tenants come from the reporting database."""

    def rows(tenant: Tenant) -> list[Row]:
        return list(tenant.allow_block.values())

    return with_tenant(call, rows) if from_report(call) or call.all_tenants else rows(call.tenant)


@answers("ListContacts")
def list_contacts(call: Call) -> Any:
    """Invoke-ListContacts.ps1: a lone contact comes unwrapped, and so does one asked for by id."""
    if not call.asked("tenantFilter"):
        return Answer("tenantFilter is required", 400)
    single_tenant(call)
    key = call.asked("id")
    if not key:
        rows = [public(contact) for contact in call.tenant.contacts.values()]
        return unrolled(rows) if rows else []
    contact = call.tenant.contacts.get(key) or next(
        (row for row in call.tenant.contacts.values() if row["graphId"] == key), None
    )
    if contact is None:
        return Answer("Contact not found or insufficient permissions", 500)
    more = contact["_more"]
    return {
        "id": contact["Guid"],
        "displayName": contact["DisplayName"],
        "givenName": contact["FirstName"],
        "surname": contact["LastName"],
        "mail": contact["WindowsEmailAddress"],
        "companyName": contact["Company"],
        "jobTitle": more.get("Title"),
        "website": more.get("WebPage"),
        "notes": None,
        "hidefromGAL": more.get("Hidden", False),
        "mailTip": more.get("MailTip") or None,
        "onPremisesSyncEnabled": False,
        "addresses": [
            {
                "street": more.get("StreetAddress"),
                "city": contact["City"],
                "state": more.get("State"),
                "countryOrRegion": more.get("Country"),
                "postalCode": more.get("PostalCode"),
            }
        ],
        "phones": [
            {"type": kind, "number": more[name]}
            for kind, name in (("business", "Phone"), ("mobile", "MobilePhone"))
            if more.get(name)
        ],
    }


@answers("ListRooms")
def list_rooms(call: Call) -> Any:
    """Invoke-ListRooms.ps1."""
    single_tenant(call)
    tenant, key = call.tenant, call.asked("roomId")
    rows = []
    for box in tenant.mailboxes.values():
        if box.kind != "RoomMailbox" or (key and key not in (box.user_id, box.upn)):
            continue
        user = tenant.users[box.user_id]
        row = {
            "id": box.user_id,
            "displayName": box.name,
            "mail": user["mail"],
            "mailNickname": user["mailNickname"],
            "accountDisabled": not user["accountEnabled"],
            "hiddenFromAddressListsEnabled": box.hidden,
            "isDirSynced": False,
            "bookingType": "Standard",
            "resourceDelegates": [],
            "capacity": box.capacity,
            "building": "Head office",
            "floor": 1,
            "floorLabel": "1",
            "city": tenant.profile.city,
            "countryOrRegion": tenant.profile.country,
            "mtrEnabled": False,
            "isWheelChairAccessible": True,
            "tags": [],
            "spaceType": "Unknown",
        }
        if key:
            booking = {"AllowConflicts": False, "BookingWindowInDays": 180, "MaximumDurationInMinutes": 1440}
            row |= booking | {
                "DefaultCalendarPermission": box.calendar.get("Default"),
                "AutomateProcessing": "AutoAccept",
            }
        rows.append(row)
    return sorted(rows, key=lambda row: str(row["displayName"]))


@answers("ListGlobalAddressList")
def list_address_list(call: Call) -> Any:
    """Invoke-ListGlobalAddressList.ps1."""
    single_tenant(call)
    return [
        {
            "DisplayName": box.name,
            "HiddenFromAddressListsEnabled": box.hidden,
            "IsDirSynced": False,
            "PrimarySmtpAddress": call.tenant.users[box.user_id]["mail"],
            "RecipientTypeDetails": box.kind,
        }
        for box in call.tenant.mailboxes.values()
    ]


@answers("ListRestrictedUsers")
def list_restricted(call: Call) -> Any:
    """Invoke-ListRestrictedUsers.ps1."""
    single_tenant(call)
    return list(call.tenant.restricted.values())


@answers("ListUsersAndGroups")
def list_users_and_groups(call: Call) -> Any:
    """Invoke-ListUsersAndGroups.ps1."""
    single_tenant(call)
    names = ("id", "displayName", "userPrincipalName")
    users = [{name: user[name] for name in names} for user in call.tenant.users.values()]
    groups = [
        {"id": group["id"], "displayName": group["displayName"]}
        for group in call.tenant.groups.values()
        if "Unified" not in group["groupTypes"]
    ]
    kinds = (("user", users), ("group", groups))
    rows = [{"@odata.type": f"#microsoft.graph.{kind}", **row} for kind, found in kinds for row in found]
    return {"Results": sorted(rows, key=lambda row: str(row["displayName"]))}
