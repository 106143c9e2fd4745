"""Sign-ins and unified audit entries, made from what the accounts are like."""

from __future__ import annotations

import datetime
import random
from typing import TYPE_CHECKING, Any

from cipp_mcp.demo.world.seeds import draw_guid, parse_stamp, source, stamp

if TYPE_CHECKING:
    from cipp_mcp.demo.world.tenant import Tenant

Row = dict[str, Any]
_APPS = (
    ("Office 365 Exchange Online", "00000002-0000-0ff1-ce00-000000000000"),
    ("Microsoft Teams", "1fec8e78-bce4-4aaf-ab1b-5451cc387264"),
    ("OfficeHome", "4765445b-32c6-49b0-83e6-1d93765276ca"),
    ("SharePoint Online Web Client Extensibility", "08e18876-6177-487e-b8b5-cf950c1e598c"),
)
_FAILURES = {
    50126: "Invalid username or password.",
    50074: "Strong authentication is required and was not passed.",
    53003: "Blocked by conditional access.",
}


def make_signins(tenant: Tenant) -> list[Row]:
    """Sign-ins of the last seven days, newest first; one account is under attack from abroad."""
    chance = source(tenant.seed, tenant.number, "signins")
    start = tenant.today - datetime.timedelta(days=7)
    rows: list[Row] = []
    people = [user for user in tenant.users.values() if user["signInActivity"]]
    for user in people:
        last = parse_stamp(user["signInActivity"]["lastSignInDateTime"])
        if last < start:
            continue
        for turn in range(1 + chance.randrange(3)):
            when = last - datetime.timedelta(hours=9 * turn)
            if when >= start:
                rows.append(_row(tenant, user, when, 0 if turn == 0 or chance.random() > 0.1 else 50126, chance))
    targets = [user for user in people if user["givenName"] and user["userType"] == "Member"]
    if targets:
        for turn in range(12):
            when = tenant.today - datetime.timedelta(hours=2 + turn * 3)
            rows.append(_row(tenant, targets[len(targets) // 2], when, 50126, chance, abroad=True))
    return sorted(rows, key=lambda row: str(row["createdDateTime"]), reverse=True)


def _row(
    tenant: Tenant, user: Row, when: datetime.datetime, error: int, chance: random.Random, abroad: bool = False
) -> Row:
    app, app_id = chance.choice(_APPS)
    legacy = chance.random() < 0.03
    place = (
        ("Minsk", "BY", "Minskaya") if abroad else (tenant.profile.city, tenant.profile.country, tenant.profile.state)
    )
    mfa = bool(tenant.mfa[user["id"]]["methods"])
    return {
        "id": draw_guid(chance),
        "createdDateTime": stamp(when),
        "userDisplayName": user["displayName"],
        "userPrincipalName": user["userPrincipalName"],
        "userId": user["id"],
        "userType": user["userType"].lower(),
        "appId": app_id,
        "appDisplayName": app,
        "ipAddress": f"198.51.100.{chance.randrange(1, 255)}" if abroad else f"203.0.113.{tenant.number * 8 % 256 + 2}",
        "clientAppUsed": "IMAP4"
        if legacy
        else "Browser"
        if chance.random() < 0.6
        else "Mobile Apps and Desktop clients",
        "correlationId": draw_guid(chance),
        "conditionalAccessStatus": "notApplied" if not tenant.ca_policies else "success" if not error else "failure",
        "isInteractive": True,
        "riskDetail": "none",
        "riskLevelAggregated": "high" if abroad else "none",
        "riskLevelDuringSignIn": "medium" if abroad else "none",
        "riskState": "atRisk" if abroad else "none",
        "resourceDisplayName": app,
        "resourceId": app_id,
        "authenticationRequirement": "multiFactorAuthentication" if mfa else "singleFactorAuthentication",
        "status": {
            "errorCode": error,
            "failureReason": _FAILURES.get(error, "Other."),
            "additionalDetails": "MFA requirement satisfied by claim in the token" if mfa and not error else None,
        },
        "deviceDetail": {
            "deviceId": "",
            "displayName": "",
            "operatingSystem": "Windows 11",
            "browser": "Edge 139.0.0",
            "isCompliant": False,
            "isManaged": False,
            "trustType": "",
        },
        "location": {"city": place[0], "state": place[2], "countryOrRegion": place[1], "geoCoordinates": {}},
        "appliedConditionalAccessPolicies": [],
        "mfaDetail": None,
    }


def make_audit_logs(tenant: Tenant) -> list[Row]:
    """Audit entries that CIPP's alert rules have matched."""
    chance = source(tenant.seed, tenant.number, "audit")
    people = [user for user in tenant.users.values() if user["givenName"] and user["userType"] == "Member"]
    rows = []
    wanted = (
        ("New-InboxRule", "A new inbox rule was made", "Exchange"),
        ("UserLoggedIn", "A user has logged in from a location outside of the input", "AzureActiveDirectory"),
        ("Add member to role.", "A user was added to an admin role", "AzureActiveDirectory"),
    )
    for number, (operation, title, workload) in enumerate(wanted):
        if not people:
            break
        user = people[(number * 5 + 2) % len(people)]
        when = stamp(tenant.today - datetime.timedelta(hours=5 + 17 * number))
        rows.append(
            {
                "LogId": draw_guid(chance),
                "Timestamp": when,
                "Tenant": tenant.domain,
                "Title": f"{title} for {user['userPrincipalName']}",
                "Data": {
                    "Title": title,
                    "IP": f"198.51.100.{chance.randrange(1, 255)}",
                    "ActionUrl": f"https://cipp.example/identity/administration/users/user/bec?userId={user['id']}",
                    "RawData": {
                        "CreationTime": when,
                        "Operation": operation,
                        "Workload": workload,
                        "UserId": user["userPrincipalName"],
                        "ClientIP": f"198.51.100.{chance.randrange(1, 255)}",
                        "ResultStatus": "Succeeded",
                    },
                },
            }
        )
    return rows
