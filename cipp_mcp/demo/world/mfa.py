"""How strongly each account of a tenant is protected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cipp_mcp.demo.world.seeds import parse_stamp, source

if TYPE_CHECKING:
    from cipp_mcp.demo.world.tenant import Tenant

_METHODS = (
    ["microsoftAuthenticatorPush", "softwareOneTimePasscode"],
    ["microsoftAuthenticatorPush"],
    ["mobilePhone"],
    ["microsoftAuthenticatorPush", "mobilePhone"],
    ["passKeyDeviceBound", "microsoftAuthenticatorPush"],
)


def make_mfa(tenant: Tenant) -> dict[str, dict[str, Any]]:
    """Registered methods and per-user state by object id."""
    chance = source(tenant.seed, tenant.number, "mfa")
    found = {}
    for user in tenant.users.values():
        activity = user["signInActivity"]
        idle = (tenant.today - parse_stamp(activity["lastSignInDateTime"])).days if activity else 999
        person = bool(user["givenName"]) and user["userType"] == "Member"
        # Those who have been away for long never registered; of the others one in ten has put it off.
        registered = person and idle <= 90 and chance.random() > 0.1
        methods = list(_METHODS[chance.randrange(len(_METHODS))]) if registered else []
        state = "disabled"
        if registered and chance.random() < 0.08:
            state = chance.choice(("enabled", "enforced"))
        found[user["id"]] = {"methods": methods, "state": state}
    return found
