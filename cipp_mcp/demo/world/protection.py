"""What Defender and Exchange's filters have seen: incidents, alerts, quarantine, the mail that went through."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

from cipp_mcp.demo.world.seeds import days_before, draw_guid, source, stamp

if TYPE_CHECKING:
    from cipp_mcp.demo.world.tenant import Tenant

Row = dict[str, Any]
_SPAM = (
    ("Your parcel could not be delivered", "Spam", "parcel@deliveries.example"),
    ("Invoice 88213 overdue", "HighConfPhish", "billing@supplier-invoices.example"),
    ("Password expires today", "Phish", "it-desk@secure-login.example"),
    ("Win a gift card", "Bulk", "offers@shopping-news.example"),
    ("Scanned document", "Malware", "scanner@copier-mail.example"),
    ("Re: your quote", "Spam", "sales@cheap-leads.example"),
)
_SUBJECTS = (
    "Minutes of Monday",
    "Quote for review",
    "Re: appointment",
    "Order confirmation",
    "Timesheet",
    "Question about my bill",
    "New starter on Monday",
    "Delivery note",
    "Contract renewal",
    "Lunch?",
)
_INCIDENTS = (
    ("Phishing message delivered to several people", "medium", "InitialAccess"),
    ("Sign-in from an unusual place followed by a new inbox rule", "high", "Persistence"),
    ("Malware was blocked on one device", "low", "Execution"),
)


def make_quarantine(tenant: Tenant) -> dict[str, Row]:
    """Messages in quarantine by identity; more for larger tenants, so that paging has something to do."""
    chance = source(tenant.seed, tenant.number, "quarantine")
    boxes = list(tenant.mailboxes.values())
    found: dict[str, Row] = {}
    if not boxes:
        return found
    for number in range(8 + tenant.size // 6):
        subject, kind, sender = _SPAM[number % len(_SPAM)]
        identity = f"{draw_guid(chance)}\\{draw_guid(chance)}"
        box = chance.choice(boxes)
        when = chance.uniform(0.1, 14)
        found[identity] = {
            "Identity": identity,
            "ReceivedTime": days_before(tenant.today, when),
            "Organization": tenant.initial,
            "MessageId": f"<{draw_guid(chance)}@{sender.split('@')[1]}>",
            "SenderAddress": sender,
            "RecipientAddress": [box.upn],
            "Subject": subject,
            "Size": chance.randrange(4000, 90000),
            "Type": kind,
            "PolicyType": "AntiPhishPolicy" if "Phish" in kind else "HostedContentFilterPolicy",
            "PolicyName": "Default",
            "TagName": "AdminOnlyAccessPolicy" if kind in ("HighConfPhish", "Malware") else "DefaultFullAccessPolicy",
            "Expires": days_before(tenant.today, when - 30),
            "Released": False,
            "ReleasedUser": [],
            "ReleaseStatus": "NOTRELEASED",
            "QuarantineTypes": kind,
            "Direction": "Inbound",
            "EntityType": "Email",
            "SourceId": "",
        }
    return found


def make_trace(tenant: Tenant) -> list[Row]:
    """Mail of the last ten days, newest first."""
    chance = source(tenant.seed, tenant.number, "trace")
    boxes = list(tenant.mailboxes.values())
    if not boxes:
        return []
    rows = []
    for number in range(min(400, 20 + 3 * len(boxes))):
        inbound = number % 2 == 0
        inner, outer = chance.choice(boxes).upn, f"contact{chance.randrange(40)}@customers.example"
        failed = chance.random() < 0.05
        when = tenant.today - datetime.timedelta(minutes=chance.randrange(10, 14400))
        rows.append(
            {
                "MessageTraceId": draw_guid(chance),
                "MessageId": f"<{draw_guid(chance)}@mail.example>",
                "Status": "Failed" if failed else "Quarantined" if chance.random() < 0.04 else "Delivered",
                "Subject": chance.choice(_SUBJECTS),
                "RecipientAddress": inner if inbound else outer,
                "SenderAddress": outer if inbound else inner,
                "Received": stamp(when),
                "FromIP": f"198.51.100.{chance.randrange(1, 255)}",
                "ToIP": "" if inbound else f"192.0.2.{chance.randrange(1, 255)}",
            }
        )
    return sorted(rows, key=lambda row: str(row["Received"]), reverse=True)


def make_incidents(tenant: Tenant) -> dict[str, Row]:
    """Defender incidents in Graph's form."""
    chance = source(tenant.seed, tenant.number, "incidents")
    found: dict[str, Row] = {}
    for number, (title, severity, _) in enumerate(_INCIDENTS[: 1 + tenant.number % 3]):
        incident = str(4100 + tenant.number * 10 + number)
        when = chance.uniform(0.2, 20)
        found[incident] = {
            "id": incident,
            "tenantId": tenant.id,
            "status": "active" if number != 2 else "resolved",
            "incidentWebUrl": f"https://security.microsoft.com/incidents/{incident}?tid={tenant.id}",
            "redirectIncidentId": None,
            "displayName": title,
            "createdDateTime": days_before(tenant.today, when),
            "lastUpdateDateTime": days_before(tenant.today, when / 2),
            "assignedTo": None,
            "classification": "unknown",
            "determination": "unknown",
            "severity": severity,
            "tags": [],
            "comments": [],
        }
    return found


def make_alerts(tenant: Tenant) -> dict[str, Row]:
    """Defender alerts; two to an incident, the second from Defender for Office 365."""
    chance = source(tenant.seed, tenant.number, "alerts")
    people = [user for user in tenant.users.values() if user["givenName"] and user["userType"] == "Member"]
    found: dict[str, Row] = {}
    for number, incident in enumerate(tenant.incidents.values()):
        for turn in range(2):
            alert = draw_guid(chance)
            user = people[(number * 7 + turn) % len(people)] if people else {"userPrincipalName": None}
            found[alert] = {
                "id": alert,
                "tenantId": tenant.id,
                "title": incident["displayName"],
                "category": _INCIDENTS[number][2],
                "severity": incident["severity"],
                "status": "newAlert" if incident["status"] == "active" else "resolved",
                "createdDateTime": incident["createdDateTime"],
                "eventDateTime": incident["createdDateTime"],
                "lastUpdateDateTime": incident["lastUpdateDateTime"],
                "incidentId": incident["id"],
                "incidentWebUrl": incident["incidentWebUrl"],
                "alertWebUrl": f"https://security.microsoft.com/alerts/{alert}?tid={tenant.id}",
                "classification": None,
                "determination": None,
                "assignedTo": None,
                "serviceSource": "microsoftDefenderForOffice365" if turn else "microsoftDefenderForEndpoint",
                "detectionSource": "microsoftDefenderForOffice365" if turn else "antivirus",
                "description": "Seen by the demo's imagination.",
                "recommendedActions": "",
                "comments": [],
                "userStates": [{"userPrincipalName": user["userPrincipalName"], "accountName": None}],
                "evidence": [{"userAccount": {"userPrincipalName": user["userPrincipalName"]}}],
            }
    return found


def make_restricted(tenant: Tenant) -> dict[str, Row]:
    """One sender in every third tenant."""
    boxes = [box for box in tenant.mailboxes.values() if box.kind == "UserMailbox"]
    if tenant.number % 3 or not boxes:
        return {}
    upn = boxes[len(boxes) // 2].upn
    return {
        upn: {
            "SenderAddress": upn,
            "BlockType": "User",
            "Reason": "OutboundSpamLast24Hours=412;OutboundMailLast24Hours=430",
            "CreatedDatetime": days_before(tenant.today, 0.6),
            "ChangedDatetime": days_before(tenant.today, 0.6),
            "TemporaryBlock": True,
            "InternalCount": 2,
            "ExternalCount": 410,
        }
    }


def make_allow_block(tenant: Tenant) -> dict[str, Row]:
    """One sender allowed and one blocked."""
    rows = (("partner@fabricam-consulting.example", "Allow"), ("billing@supplier-invoices.example", "Block"))
    return {
        value: {
            "Identity": f"{value}-{action}",
            "Value": value,
            "Action": action,
            "ListType": "Sender",
            "ExpirationDate": None,
            "LastModifiedDateTime": days_before(tenant.today, 40),
            "LastUsedDate": None,
            "Notes": "",
            "RemoveAfter": None,
        }
        for value, action in rows
    }


def make_risky(tenant: Tenant) -> dict[str, Row]:
    """The account that is under attack from abroad."""
    found = {}
    for row in tenant.signins:
        if row["riskState"] == "atRisk" and row["userId"] not in found:
            found[row["userId"]] = {
                "id": row["userId"],
                "userPrincipalName": row["userPrincipalName"],
                "userDisplayName": row["userDisplayName"],
                "riskLevel": "high",
                "riskState": "atRisk",
                "riskDetail": "none",
                "riskLastUpdatedDateTime": row["createdDateTime"],
                "isDeleted": False,
                "isProcessing": False,
            }
    return found
