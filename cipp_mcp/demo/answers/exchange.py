"""Mail flow and protection: quarantine, message trace, rules, connectors, filters, contacts, rooms."""

from __future__ import annotations

import datetime
from typing import Any

from cipp_mcp.demo.answers.mailboxes import mailbox_rows
from cipp_mcp.demo.calls import Answer, Call, answers
from cipp_mcp.demo.habits import as_text, queued, single_tenant, unrolled
from cipp_mcp.demo.powershell import label_or_text, member, text, truthy
from cipp_mcp.demo.world.groups import public
from cipp_mcp.demo.world.seeds import parse_stamp
from cipp_mcp.demo.world.tenant import Row, Tenant


@answers("ListMessageTrace")
def list_trace(call: Call) -> Any:
    """Invoke-ListMessageTrace.ps1 reads the body only; the status is a label object, a bare one is ignored."""
    name = text(label_or_text(call.sent("tenantFilter")))
    tenant = call.state.tenant(name)
    if tenant is None:
        return Answer([{"Status": f"Failed: the trace cannot be read, there is no tenant '{name}'"}], 500)
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
            "Identity": box.name,
            "DisplayName": box.name,
            "Alias": box.upn.partition("@")[0],
            "ExternalDirectoryObjectId": box.user_id,
            "EmailAddresses": call.tenant.users[box.user_id]["proxyAddresses"],
            "HiddenFromAddressListsEnabled": box.hidden,
            "IsDirSynced": False,
            "PrimarySmtpAddress": call.tenant.users[box.user_id]["mail"],
            "RecipientTypeDetails": box.kind,
        }
        for box in call.tenant.mailboxes.values()
    ]


@answers("ListUsersAndGroups")
def list_users_and_groups(call: Call) -> Any:
    """Invoke-ListUsersAndGroups.ps1: without Microsoft 365 groups."""
    single_tenant(call)
    user, group = "#microsoft.graph.user", "#microsoft.graph.group"
    person, thing = ("id", "displayName", "userPrincipalName"), ("id", "displayName", "mailEnabled", "securityEnabled")
    rows = [{"@odata.type": user, **{name: row[name] for name in person}} for row in call.tenant.users.values()]
    for row in call.tenant.groups.values():
        if "Unified" not in row["groupTypes"]:
            rows.append({"@odata.type": group, **{name: row[name] for name in thing}, "userPrincipalName": None})
    return {"Results": sorted(rows, key=lambda row: str(row["displayName"]))}


def _cmdlets(tenant: Tenant) -> dict[str, list[Row]]:
    boxes = tenant.mailboxes.values()
    return {
        "get-mailbox": mailbox_rows(tenant),
        "get-casmailbox": [{"UserPrincipalName": box.upn, **box.protocols} for box in boxes],
        "get-transportrule": list(tenant.transport_rules.values()),
        "get-hostedcontentfilterpolicy": list(tenant.spam_filters.values()),
        "get-quarantinemessage": list(tenant.quarantine.values()),
        "get-contact": [public(contact) for contact in tenant.contacts.values()],
        "get-inboxrule": [rule for box in boxes for rule in box.rules],
        "get-accepteddomain": [{"DomainName": name, "Default": name == tenant.domain} for name in tenant.domains],
        "get-organizationconfig": [{"Name": tenant.initial, "AutoExpandingArchiveEnabled": False}],
    }


@answers("ListExoRequest")
def list_exchange(call: Call) -> Any:
    """Invoke-ListExoRequest.ps1: cmdlets that read, JSON as text, Exchange's complaints under 200."""
    tenant = call.find(text(call.sent("tenantFilter")))
    known, name = _cmdlets(tenant), text(call.sent("Cmdlet"))
    if truthy(call.sent("AvailableCmdlets")):
        names = sorted(known)
        return as_text({"Results": [{"Cmdlet": each} for each in names], "Metadata": {"Count": len(names)}})
    if name.partition("-")[0].lower() not in ("get", "search"):
        return Answer({"Results": f"Invalid cmdlet: {name}"}, 400)
    if name.lower() not in known:
        return as_text({"Results": [{"Error": f"The term '{name}' is not recognized as a name of a cmdlet."}]})
    rows, wanted = known[name.lower()], text(call.sent("cmdParams", "Identity")).lower()
    if wanted:
        rows = [row for row in rows if wanted in (str(value).lower() for value in row.values())]
        if not rows:
            return as_text({"Results": [{"Error": f"The object '{wanted}' couldn't be found."}]})
    columns = [column.strip() for column in text(call.sent("Select")).split(",") if column.strip()]
    picked = [{name: row[name] for name in columns if name in row} for row in rows] if columns else rows
    # A pipeline's single object is not a list.
    return as_text({"Results": picked[0] if len(picked) == 1 else picked})
