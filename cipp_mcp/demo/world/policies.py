"""Conditional access, Intune and compliance policies, and the locations they speak of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cipp_mcp.demo.world import skus
from cipp_mcp.demo.world.groups import GLOBAL_ADMINISTRATOR, ROLES
from cipp_mcp.demo.world.seeds import days_before, draw_guid, guid, source

if TYPE_CHECKING:
    from cipp_mcp.demo.world.tenant import Tenant

Policy = dict[str, Any]
_LEGACY = ["exchangeActiveSync", "other"]


def office_range(tenant: Tenant) -> str:
    return f"203.0.113.{tenant.number * 8 % 256}/29"


def make_locations(tenant: Tenant) -> dict[str, Policy]:
    """Named locations in Graph's form: the office's addresses, and the countries nobody works in."""
    chance = source(tenant.seed, tenant.number, "locations")
    office, abroad = draw_guid(chance), draw_guid(chance)
    made = days_before(tenant.today, 600)
    base = {"createdDateTime": made, "modifiedDateTime": made, "deletedDateTime": None}
    return {
        office: {
            "@odata.type": "#microsoft.graph.ipNamedLocation",
            "id": office,
            "displayName": "Head office",
            **base,
            "isTrusted": True,
            "ipRanges": [{"@odata.type": "#microsoft.graph.iPv4CidrRange", "cidrAddress": office_range(tenant)}],
        },
        abroad: {
            "@odata.type": "#microsoft.graph.countryNamedLocation",
            "id": abroad,
            "displayName": "Blocked countries",
            **base,
            "countriesAndRegions": ["KP", "RU", "IR"],
            "includeUnknownCountriesAndRegions": False,
            "countryLookupMethod": "clientIpAddress",
        },
    }


def new_ca_policy(policy_id: str, name: str, state: str, made: str, **conditions: Any) -> Policy:
    """A conditional-access policy in Graph's form; `conditions` may hold users, grant and locations."""
    users = {
        "includeUsers": ["All"],
        "excludeUsers": [],
        "includeGroups": [],
        "excludeGroups": [],
        "includeRoles": [],
        "excludeRoles": [],
        **conditions.get("users", {}),
    }
    return {
        "id": policy_id,
        "displayName": name,
        "createdDateTime": made,
        "modifiedDateTime": made,
        "state": state,
        "conditions": {
            "clientAppTypes": conditions.get("clients", ["all"]),
            "applications": {
                "includeApplications": conditions.get("apps", ["All"]),
                "excludeApplications": [],
                "includeUserActions": [],
                "includeAuthenticationContextClassReferences": [],
            },
            "users": users,
            "platforms": None,
            "locations": conditions.get("locations"),
            "userRiskLevels": [],
            "signInRiskLevels": [],
        },
        "grantControls": conditions.get("grant"),
        "sessionControls": None,
    }


def make_ca_policies(tenant: Tenant) -> dict[str, Policy]:
    """None for tenants whose licences do not cover conditional access."""
    if not skus.SKUS[tenant.profile.main_sku].premium:
        return {}
    chance = source(tenant.seed, tenant.number, "ca")
    excluded = [group["id"] for group in tenant.groups.values() if group["displayName"] == "MFA Exclusions"]
    abroad = [row["id"] for row in tenant.locations.values() if "countriesAndRegions" in row]
    out = {"excludeGroups": excluded}
    mfa = {"operator": "OR", "builtInControls": ["mfa"], "customAuthenticationFactors": [], "termsOfUse": []}
    block = {**mfa, "builtInControls": ["block"]}
    # One customer runs its most important policy in report-only mode, which looks like protection and is none.
    state = "enabledForReportingButNotEnforced" if tenant.number % 4 == 3 else "enabled"
    admins = {"includeUsers": [], "includeRoles": [template for template, _, _ in ROLES[:6]], **out}
    wanted: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("Require MFA for all users", state, {"users": out, "grant": mfa}),
        ("Require MFA for administrators", "enabled", {"users": admins, "grant": mfa}),
        ("Block legacy authentication", "enabled", {"users": out, "clients": _LEGACY, "grant": block}),
        (
            "Block sign-in from unexpected countries",
            "enabled",
            {"users": out, "grant": block, "locations": {"includeLocations": abroad, "excludeLocations": []}},
        ),
        (
            "Require compliant device for Exchange",
            "disabled",
            {
                "users": out,
                "apps": ["00000002-0000-0ff1-ce00-000000000000"],
                "grant": {**mfa, "builtInControls": ["compliantDevice"]},
            },
        ),
    )
    found = {}
    for name, active, conditions in wanted:
        made = days_before(tenant.today, chance.uniform(40, 900))
        policy = new_ca_policy(draw_guid(chance), name, active, made, **conditions)
        found[policy["id"]] = policy
    return found


def memberships(tenant: Tenant) -> dict[str, tuple[set[str], set[str]]]:
    """The groups and roles of everybody who has any, by object id."""
    found: dict[str, tuple[set[str], set[str]]] = {}
    for group in tenant.groups.values():
        for key in group["_members"]:
            found.setdefault(key, (set(), set()))[0].add(group["id"])
    for template, members in tenant.roles.items():
        for key in members:
            found.setdefault(key, (set(), set()))[1].add(template)
    return found


def covering(tenant: Tenant, user: dict[str, Any], known: dict[str, tuple[set[str], set[str]]]) -> list[Policy]:
    """The policies that apply to a user, by inclusion and exclusion of users, groups and roles."""
    groups, roles = known.get(user["id"], (set(), set()))
    policies = tenant.ca_policies.values()
    return [policy for policy in policies if _applies(policy["conditions"]["users"], user, groups, roles)]


def _applies(users: dict[str, Any], user: dict[str, Any], groups: set[str], roles: set[str]) -> bool:
    excluded = groups & set(users["excludeGroups"]) or roles & set(users["excludeRoles"])
    if excluded or user["id"] in users["excludeUsers"]:
        return False
    included = "All" in users["includeUsers"] or user["id"] in users["includeUsers"]
    return bool(included or groups & set(users["includeGroups"]) or roles & set(users["includeRoles"]))


def global_administrators(tenant: Tenant) -> list[str]:
    return tenant.roles[GLOBAL_ADMINISTRATOR]


_INTUNE = (
    ("Windows - BitLocker", "configurationPolicies", "Settings Catalog", "Encrypts system drives"),
    ("Windows - Defender Antivirus", "configurationPolicies", "Settings Catalog", "Cloud and tamper protection"),
    ("Windows - Update Ring - Broad", "deviceConfigurations", "Windows Update Ring", "Quality updates in a week"),
    ("Windows - Update Ring - Pilot", "deviceConfigurations", "Windows Update Ring", "Quality updates at once"),
    ("Windows - OneDrive", "groupPolicyConfigurations", "Administrative Template", "Moves known folders"),
    ("iOS - Restrictions", "deviceConfigurations", "Device Restrictions", "No untrusted certificates"),
)
_COMPLIANCE = (
    ("Windows compliance", "#microsoft.graph.windows10CompliancePolicy"),
    ("iOS compliance", "#microsoft.graph.iosCompliancePolicy"),
)


def make_intune_policies(tenant: Tenant) -> dict[str, Policy]:
    """Rows of ListIntunePolicy by id; empty where no licence has Intune."""
    if not skus.SKUS[tenant.profile.main_sku].intune:
        return {}
    found = {}
    for name, url, kind, text in _INTUNE:
        policy_id = guid(tenant.seed, tenant.number, "intune", name)
        found[policy_id] = {
            "id": policy_id,
            "displayName": name,
            "description": text,
            "PolicyTypeName": kind,
            "URLName": url,
            "PolicyAssignment": "Intune Pilot Devices" if "Pilot" in name else "All Devices",
            "PolicyExclude": "",
            "createdDateTime": days_before(tenant.today, 500),
            "lastModifiedDateTime": days_before(tenant.today, len(name) * 9),
            "version": 1 + len(name) % 4,
        }
    return found


def make_compliance_policies(tenant: Tenant) -> dict[str, Policy]:
    if not skus.SKUS[tenant.profile.main_sku].intune:
        return {}
    found = {}
    for name, kind in _COMPLIANCE:
        policy_id = guid(tenant.seed, tenant.number, "compliance", name)
        found[policy_id] = {
            "@odata.type": kind,
            "id": policy_id,
            "displayName": name,
            "description": "Encryption, current version and a lock screen",
            "PolicyTypeName": kind.rsplit(".", 1)[1],
            "PolicyAssignment": "All Licensed Users",
            "PolicyExclude": "",
            "createdDateTime": days_before(tenant.today, 480),
            "lastModifiedDateTime": days_before(tenant.today, 120),
            "scheduledActionsForRule": [],
        }
    return found
