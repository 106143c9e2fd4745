"""Intune: devices, policies, applications, Autopilot, Defender's state."""

from __future__ import annotations

from typing import Any

from cipp_mcp.demo.calls import Answer, Call, answers
from cipp_mcp.demo.habits import from_report, single_tenant, with_tenant
from cipp_mcp.demo.world.devices import defender_row
from cipp_mcp.demo.world.groups import public
from cipp_mcp.demo.world.seeds import days_before, guid
from cipp_mcp.demo.world.tenant import Row, Tenant


def device_rows(tenant: Tenant) -> list[Row]:
    return [public(device) for device in tenant.devices.values()]


@answers("ListDevices")
def list_devices(call: Call) -> Any:
    """Invoke-ListDevices.ps1."""
    single_tenant(call)
    return device_rows(call.tenant)


@answers("ListAllTenantDeviceCompliance")
def list_compliance(call: Call) -> Any:
    """Invoke-ListAllTenantDeviceCompliance.ps1, which asks Lighthouse."""
    return [
        {
            "tenantId": tenant.id,
            "tenantDisplayName": tenant.name,
            "managedDeviceId": device["id"],
            "managedDeviceName": device["deviceName"],
            "osDescription": device["operatingSystem"],
            "osVersion": device["osVersion"],
            "complianceStatus": device["complianceState"],
            "inGracePeriodUntilDateTime": None,
            "deviceType": device["operatingSystem"],
            "lastSyncDateTime": device["lastSyncDateTime"],
            "manufacturer": device["manufacturer"],
            "model": device["model"],
            "ownerType": device["ownerType"],
        }
        for tenant in call.tenants
        for device in tenant.devices.values()
    ]


@answers("ListDeviceDetails")
def list_device_details(call: Call) -> Any:
    """Invoke-ListDeviceDetails.ps1: one bare object, or nothing at all when no single device fits."""
    single_tenant(call)
    tenant = call.tenant
    wanted = (("id", "DeviceID"), ("serialNumber", "DeviceSerial"), ("deviceName", "DeviceName"))
    found: list[Row] = []
    for column, name in wanted:
        asked = call.asked(name)
        if asked and not found:
            found = [row for row in tenant.devices.values() if str(row[column]).lower() == asked.lower()]
    if len(found) != 1:
        return Answer(b"")
    device = found[0]
    groups = [group for group in tenant.groups.values() if device["userId"] in group["_members"]]
    return public(device) | {
        "DetectedApps": [
            {"id": guid("app", name), "displayName": name, "version": version}
            for name, version in (("Microsoft Edge", "139.0.3405.86"), ("7-Zip", "24.09"))
        ],
        "CompliancePolicies": [
            {"id": key, "displayname": row["displayName"], "UserPrincipalName": device["userPrincipalName"]}
            | {"state": device["complianceState"]}
            for key, row in tenant.compliance_policies.items()
        ],
        "DeviceGroups": [
            {"id": group["id"], "displayName": group["displayName"], "description": group["description"]}
            for group in groups
            if group["displayName"].startswith("Intune")
        ],
    }


@answers("ListDefenderState")
def list_defender_state(call: Call) -> Any:
    """Invoke-ListDefenderState.ps1: a failure is text under 200."""
    if call.all_tenants:
        return Answer("Could not get token: tenant 'AllTenants' not found.")
    wanted = call.asked("DeviceID")
    devices = [device for device in call.tenant.devices.values() if not wanted or device["id"] == wanted]
    return [defender_row(call.tenant, device) for device in devices if device["operatingSystem"] == "Windows"]


def _from_cache(call: Call, table: str) -> Any:
    """The rows of a table: live for one tenant, from the reporting database for all or when asked."""

    def rows(tenant: Tenant) -> list[Row]:
        return [public(row) for row in getattr(tenant, table).values()]

    return with_tenant(call, rows) if call.all_tenants or from_report(call) else rows(call.tenant)


@answers("ListApps")
def list_apps(call: Call) -> Any:
    """Invoke-ListApps.ps1."""
    return _from_cache(call, "intune_apps")


@answers("ListIntunePolicy")
def list_intune_policies(call: Call) -> Any:
    """Invoke-ListIntunePolicy.ps1."""
    key = call.asked("ID")
    if key and not call.all_tenants:
        policy = call.tenant.intune_policies.get(key)
        return Answer([f"Resource '{key}' not found"], 403) if policy is None else [{**policy, "settings": []}]
    return _from_cache(call, "intune_policies")


@answers("ListCompliancePolicies")
def list_compliance_policies(call: Call) -> Any:
    """Invoke-ListCompliancePolicies.ps1."""
    return _from_cache(call, "compliance_policies")


@answers("ListAPDevices")
def list_autopilot_devices(call: Call) -> Any:
    """Invoke-ListAPDevices.ps1."""
    single_tenant(call)
    return list(call.tenant.autopilot.values())


@answers("ListAutopilotconfig")
def list_autopilot_config(call: Call) -> Any:
    """Invoke-ListAutopilotconfig.ps1: without a type it has nothing to say."""
    single_tenant(call)
    tenant = call.tenant
    made = {"createdDateTime": days_before(tenant.today, 400), "lastModifiedDateTime": days_before(tenant.today, 60)}
    if not tenant.intune_policies:
        return []
    if call.asked("type") == "ApProfile":
        profile = {
            "id": guid(tenant.id, "profile"),
            "displayName": "Standard office computer",
            "description": "User-driven, joined to Entra",
            "language": "os-default",
            "extractHardwareHash": True,
            "deviceNameTemplate": "PC-%SERIAL%",
            "outOfBoxExperienceSettings": {"hideEULA": True, "userType": "standard", "deviceUsageType": "singleUser"},
            "assignments": [],
        }
        return [profile | made]
    if call.asked("type") == "ESP":
        page = {
            "@odata.type": "#microsoft.graph.windows10EnrollmentCompletionPageConfiguration",
            "id": guid(tenant.id, "esp"),
            "displayName": "All users and all devices",
            "showInstallationProgress": True,
            "blockDeviceSetupRetryByUser": False,
            "installProgressTimeoutInMinutes": 60,
            "priority": 0,
            "assignments": [],
        }
        return [page | made]
    return []


@answers("ListDetectedApps")
def list_detected_apps(call: Call) -> Any:
    """Invoke-ListDetectedApps.ps1."""
    single_tenant(call)
    devices = len(call.tenant.devices)
    rows = []
    for number, (name, version, publisher) in enumerate(
        (
            ("Microsoft Edge", "139.0.3405.86", "Microsoft Corporation"),
            ("Google Chrome", "139.0.7258.67", "Google LLC"),
            ("7-Zip", "19.00", "Igor Pavlov"),
            ("AnyDesk", "9.0.5", "AnyDesk Software GmbH"),
        )
    ):
        row = {"id": guid(call.tenant.id, name), "displayName": name, "version": version, "publisher": publisher}
        rows.append(row | {"deviceCount": devices // (number + 1), "platform": "windows", "sizeInByte": 0})
    return rows
