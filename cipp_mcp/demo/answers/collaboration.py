"""Teams and SharePoint."""

from __future__ import annotations

from typing import Any

from cipp_mcp.demo.answers.groups import people
from cipp_mcp.demo.calls import Answer, Call, answers
from cipp_mcp.demo.habits import from_report, single_tenant, with_tenant
from cipp_mcp.demo.world.groups import public
from cipp_mcp.demo.world.seeds import guid
from cipp_mcp.demo.world.tenant import Row, Tenant


def team_rows(tenant: Tenant) -> list[Row]:
    names = ("id", "displayName", "description", "visibility", "mailNickname")
    groups = [group for group in tenant.groups.values() if "Team" in group["resourceProvisioningOptions"]]
    return [{name: group[name] for name in names} for group in groups]


@answers("ListTeams")
def list_teams(call: Call) -> Any:
    """Invoke-ListTeams.ps1: without a type there is nothing, with type=Team one team in detail."""
    kind = call.asked("type")
    if kind == "List":
        return with_tenant(call, team_rows) if call.all_tenants or from_report(call) else team_rows(call.tenant)
    if kind != "Team":
        return [None]
    group = call.tenant.groups.get(call.asked("ID") or "")
    if group is None:
        return Answer(f"No team found with Group Id {call.asked('ID')}", 500)
    names = [{"id": guid(group["id"], name), "displayName": name} for name in ("General", "Projects")]
    owners = people(call.tenant, group["_owners"])
    return [
        {
            "Name": group["displayName"],
            "TeamInfo": [{name: group[name] for name in ("id", "displayName", "description", "visibility")}],
            "ChannelInfo": names,
            "Members": [row for row in people(call.tenant, group["_members"]) if row not in owners],
            "Owners": owners,
            "InstalledApps": [],
        }
    ]


@answers("ListSites")
def list_sites(call: Call) -> Any:
    """Invoke-ListSites.ps1: SharePointSiteUsage or OneDriveUsageAccount."""
    kind = call.asked("Type")
    if not kind:
        return Answer("Type is required", 400)
    personal = kind != "SharePointSiteUsage"

    def rows(tenant: Tenant) -> list[Row]:
        return [public(site) for site in tenant.sites.values() if site["_personal"] == personal]

    found = with_tenant(call, rows) if call.all_tenants or from_report(call) else rows(call.tenant)
    return sorted(found, key=lambda row: str(row["displayName"]))


@answers("ListTeamsActivity")
def list_teams_activity(call: Call) -> Any:
    """Invoke-ListTeamsActivity.ps1."""

    def rows(tenant: Tenant) -> list[Row]:
        return [
            {
                "UPN": user["userPrincipalName"],
                "LastActive": user["signInActivity"]["lastSignInDateTime"][:10],
                "TeamsChat": str(len(user["id"]) + len(user["displayName"]) * 3),
                "CallCount": str(len(user["displayName"]) % 7),
                "MeetingCount": str(len(user["userPrincipalName"]) % 11),
            }
            for user in tenant.users.values()
            if user["assignedLicenses"] and user["signInActivity"]
        ]

    return with_tenant(call, rows) if call.all_tenants or from_report(call) else rows(call.tenant)


@answers("ListSharepointAdminUrl")
def list_admin_url(call: Call) -> Any:
    """Invoke-ListSharepointAdminUrl.ps1: a redirect, unless the caller asks for the address itself."""
    if not call.tenant_name:
        return Answer({"Results": "TenantFilter is required"}, 400)
    single_tenant(call)
    url = f"https://{call.tenant.profile.slug}-admin.sharepoint.com"
    if call.asked("ReturnUrl"):
        return {"AdminUrl": url}
    return Answer({"AdminUrl": url}, 302, {"location": url})


@answers("ListSharepointQuota")
def list_quota(call: Call) -> Any:
    """Invoke-ListSharepointQuota.ps1."""
    if call.all_tenants:
        nothing = {"GeoUsedStorageMB": None, "TenantStorageMB": None}
        return {**nothing, "Percentage": "Not Supported", "Dashboard": "Not Supported / 100"}
    used = sum(int(site["storageUsedInBytes"]) for site in call.tenant.sites.values() if not site["_personal"]) // 2**20
    total = 1048576 + 10240 * len(call.tenant.users)
    share = round(100 * used / total)
    return {"GeoUsedStorageMB": used, "TenantStorageMB": total, "Percentage": share, "Dashboard": f"{share} / 100"}
