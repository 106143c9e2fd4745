"""Mailboxes of a tenant and everything that hangs on them."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cipp_mcp.demo.world import skus
from cipp_mcp.demo.world.names import SHARED_MAILBOXES
from cipp_mcp.demo.world.seeds import days_before, draw_guid, source

if TYPE_CHECKING:
    from cipp_mcp.demo.world.tenant import Tenant

NO_ARCHIVE = "00000000-0000-0000-0000-000000000000"


@dataclass
class Mailbox:
    """What Exchange knows of one mailbox; names follow its cmdlets in lower case."""

    user_id: str
    upn: str
    name: str
    kind: str = "UserMailbox"
    exchange_guid: str = ""
    size_mb: float = 0.0
    items: int = 0
    quota_gb: int = 50
    archive: bool = False
    archive_mb: float = 0.0
    auto_expanding: bool = False
    forwarding_smtp: str | None = None
    forwarding_internal: str | None = None
    keep_copy: bool = False
    hidden: bool = False
    litigation_hold: bool = False
    retention_hold: bool = False
    copy_sent_as: bool = False
    copy_send_on_behalf: bool = False
    max_send_mb: int = 35
    max_receive_mb: int = 36
    recipient_limit: int = 500
    retention_policy: str = "Default MRM Policy"
    full_access: list[str] = field(default_factory=list)
    send_as: list[str] = field(default_factory=list)
    send_on_behalf: list[str] = field(default_factory=list)
    calendar: dict[str, str] = field(default_factory=dict)
    contacts: dict[str, str] = field(default_factory=dict)
    out_of_office: dict[str, Any] = field(default_factory=dict)
    rules: list[dict[str, Any]] = field(default_factory=list)
    protocols: dict[str, bool] = field(default_factory=dict)
    phones: list[dict[str, Any]] = field(default_factory=list)
    trusted: list[str] = field(default_factory=list)
    blocked: list[str] = field(default_factory=list)
    capacity: int = 0


def out_of_office(state: str = "Disabled", internal: str = "", external: str = "") -> dict[str, Any]:
    return {
        "AutoReplyState": state,
        "StartTime": None,
        "EndTime": None,
        "InternalMessage": internal,
        "ExternalMessage": external,
        "CreateOOFEvent": False,
        "OOFEventSubject": "",
        "AutoDeclineFutureRequestsWhenOOF": False,
        "DeclineEventsForScheduledOOF": False,
        "DeclineAllEventsForScheduledOOF": False,
        "DeclineMeetingMessage": "",
    }


def new_mailbox(user: dict[str, Any], exchange_guid: str, kind: str = "UserMailbox") -> Mailbox:
    """An empty mailbox of a user."""
    held = [skus.BY_ID.get(entry["skuId"]) for entry in user["assignedLicenses"]]
    return Mailbox(
        user["id"],
        user["userPrincipalName"],
        user["displayName"],
        kind,
        exchange_guid,
        quota_gb=max((sku.mailbox_gb for sku in held if sku and sku.mailbox_gb), default=50),
        out_of_office=out_of_office(),
        calendar={"Default": "AvailabilityOnly", "Anonymous": "None"},
        contacts={"Default": "None", "Anonymous": "None"},
        protocols={
            "ActiveSyncEnabled": True,
            "ECPEnabled": True,
            "EwsEnabled": True,
            "ImapEnabled": True,
            "MAPIEnabled": True,
            "OWAEnabled": True,
            "PopEnabled": True,
            "SmtpClientAuthenticationDisabled": True,
        },
    )


def make_mailboxes(tenant: Tenant) -> dict[str, Mailbox]:
    """Mailboxes by the object id of their account."""
    chance = source(tenant.seed, tenant.number, "mail")
    staff = [user for user in tenant.users.values() if user["givenName"] and user["userType"] == "Member"]
    found: dict[str, Mailbox] = {}
    for user in tenant.users.values():
        kind = _kind(user)
        if kind is None:
            continue
        box = new_mailbox(user, draw_guid(chance), kind)
        box.size_mb = round(chance.lognormvariate(8.3, 0.9), 2)
        box.items = int(box.size_mb * chance.uniform(6, 14))
        limit = box.quota_gb * 1024
        if box.size_mb > limit * 0.9:
            box.size_mb = round(limit * chance.uniform(0.9, 0.99), 2)
        box.archive = kind == "UserMailbox" and chance.random() < 0.2
        box.archive_mb = round(chance.uniform(200, 20000), 2) if box.archive else 0.0
        _delegate(box, kind, staff, chance)
        if chance.random() < 0.15:
            box.rules.append(_rule(tenant, chance, "Newsletters", {"MoveToFolder": "Newsletters"}))
        if chance.random() < 0.5:
            box.phones.append(_phone(tenant, chance))
        found[user["id"]] = box
    _trouble(tenant, found, chance)
    return found


def _kind(user: dict[str, Any]) -> str | None:
    if user["userType"] == "Guest" or user["mail"] is None:
        return None
    if user["givenName"] or user["displayName"] == "Scanner Service":
        return "UserMailbox" if skus.has_mailbox(user["assignedLicenses"]) else None
    return "SharedMailbox" if user["displayName"] in SHARED_MAILBOXES else "RoomMailbox"


def _delegate(box: Mailbox, kind: str, staff: list[dict[str, Any]], chance: random.Random) -> None:
    if not staff:
        return
    if kind == "SharedMailbox":
        people = chance.sample(staff, min(len(staff), chance.choice((2, 3, 5))))
        box.full_access = [person["userPrincipalName"] for person in people]
        box.send_as = box.full_access[:2]
    elif kind == "RoomMailbox":
        box.capacity = chance.choice((4, 8, 12, 20))
        box.calendar["Default"] = "LimitedDetails"
    elif chance.random() < 0.08:
        assistant = chance.choice(staff)["userPrincipalName"]
        if assistant != box.upn:
            box.full_access.append(assistant)
            box.send_on_behalf.append(assistant)
            box.calendar[assistant] = "Editor"


def _trouble(tenant: Tenant, boxes: dict[str, Mailbox], chance: random.Random) -> None:
    """What an attacker left behind, and two kinds of forwarding: each estate has something to find."""
    people = [box for box in boxes.values() if box.kind == "UserMailbox"]
    if len(people) > 4:
        victim, away, leaver = people[2], people[3], people[4]
        victim.rules.append(
            _rule(
                tenant,
                chance,
                ".",
                {
                    "DeleteMessage": True,
                    "SubjectContainsWords": ["invoice", "payment"],
                    "ForwardTo": ["collector@mail-relay.example"],
                },
            )
        )
        away.out_of_office = out_of_office("Enabled", "I am on holiday.", "I am on holiday and back next week.")
        leaver.forwarding_smtp, leaver.keep_copy = "private.address@freemail.example", True
    if len(people) > 6:
        people[5].forwarding_internal = people[6].upn
        people[6].litigation_hold = True


def _rule(tenant: Tenant, chance: random.Random, name: str, what: dict[str, Any]) -> dict[str, Any]:
    identity = str(chance.randrange(10**18, 10**19))
    return {
        "Identity": identity,
        "RuleIdentity": int(identity),
        "Name": name,
        "Enabled": True,
        "Priority": 1,
        "Description": f"Rule {name}",
        "From": None,
        "SubjectContainsWords": None,
        "MoveToFolder": None,
        "ForwardTo": None,
        "ForwardAsAttachmentTo": None,
        "RedirectTo": None,
        "DeleteMessage": False,
        "StopProcessingRules": True,
        **what,
    }


def _phone(tenant: Tenant, chance: random.Random) -> dict[str, Any]:
    apple = chance.random() < 0.6
    last = days_before(tenant.today, chance.uniform(0, 60))
    return {
        "clientType": "Outlook" if chance.random() < 0.7 else "EAS",
        "clientVersion": "1.0",
        "deviceAccessState": "Allowed",
        "deviceFriendlyName": "iPhone" if apple else "Pixel",
        "deviceID": f"{chance.getrandbits(64):016X}",
        "deviceModel": "Outlook for iOS and Android",
        "deviceOS": "iOS 18.6" if apple else "Android 15",
        "deviceType": "iPhone" if apple else "Android",
        "firstSync": days_before(tenant.today, chance.uniform(100, 900)),
        "lastSyncAttempt": last,
        "lastSuccessSync": last,
        "status": "DeviceOk",
        "Guid": draw_guid(chance),
    }
