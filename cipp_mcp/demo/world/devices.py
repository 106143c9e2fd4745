"""Computers and phones of a tenant, as Intune and Entra know them."""

from __future__ import annotations

import datetime
import random
from typing import TYPE_CHECKING, Any

from cipp_mcp.demo.world import skus
from cipp_mcp.demo.world.seeds import days_before, draw_guid, guid, source, stamp

if TYPE_CHECKING:
    from cipp_mcp.demo.world.tenant import Tenant

Device = dict[str, Any]
_MODELS = {
    "Windows": (("Dell Inc.", "Latitude 5450"), ("LENOVO", "ThinkPad T14 Gen 5"), ("HP", "EliteBook 840 G11")),
    "iOS": (("Apple", "iPhone 15"), ("Apple", "iPad (10th generation)")),
    "Android": (("Google", "Pixel 8"), ("samsung", "SM-A556B")),
    "macOS": (("Apple", "MacBook Air"),),
}
_VERSIONS = {
    "Windows": ("10.0.26100.4652", "10.0.22631.5624", "10.0.19045.6093"),
    "iOS": ("18.6", "17.7.9"),
    "Android": ("15", "14"),
    "macOS": ("15.6 (24G84)", "14.7.7"),
}
_PREFIX = {"Windows": "PC", "iOS": "IOS", "Android": "AND", "macOS": "MAC"}


def make_devices(tenant: Tenant) -> dict[str, Device]:
    """Managed devices by Intune id: one computer for most, a phone for some."""
    chance = source(tenant.seed, tenant.number, "devices")
    found: dict[str, Device] = {}
    prefix = "".join(word[0] for word in tenant.name.split() if word[0].isalpha())[:3].upper()
    for user in tenant.users.values():
        if not user["givenName"] or user["userType"] == "Guest" or not skus.has_intune(user["assignedLicenses"]):
            continue
        systems = ["macOS" if chance.random() < 0.1 else "Windows"] if chance.random() < 0.85 else []
        if chance.random() < 0.35:
            systems.append(chance.choice(("iOS", "iOS", "Android")))
        for system in systems:
            name = f"{prefix}-{_PREFIX[system]}-{len(found) + 1:04d}"
            device = _device(tenant, user, system, name, chance)
            found[device["id"]] = device
    return found


def _device(tenant: Tenant, user: dict[str, Any], system: str, name: str, chance: random.Random) -> Device:
    maker, model = chance.choice(_MODELS[system])
    gone = not user["accountEnabled"] or chance.random() < 0.06
    seen = chance.uniform(40, 200) if gone else chance.uniform(0, 6)
    compliant = not gone and chance.random() < 0.88
    encrypted = system != "Windows" or chance.random() < 0.9
    total = chance.choice((256, 512)) * 10**9 if system in ("Windows", "macOS") else 128 * 10**9
    return {
        "id": draw_guid(chance),
        "userId": user["id"],
        "userPrincipalName": user["userPrincipalName"],
        "userDisplayName": user["displayName"],
        "emailAddress": user["mail"],
        "deviceName": name,
        "managedDeviceName": f"{user['mailNickname']}_{system}_{days_before(tenant.today, 300)[:10]}",
        "managedDeviceOwnerType": "company" if system in ("Windows", "macOS") else "personal",
        "ownerType": "company" if system in ("Windows", "macOS") else "personal",
        "enrolledDateTime": days_before(tenant.today, chance.uniform(210, 1000)),
        "lastSyncDateTime": days_before(tenant.today, seen),
        "operatingSystem": system,
        "osVersion": chance.choice(_VERSIONS[system]),
        "complianceState": "compliant" if compliant else "noncompliant",
        "jailBroken": "Unknown",
        "managementAgent": "mdm",
        "easActivated": False,
        "azureADRegistered": True,
        "aadRegistered": True,
        "azureADDeviceId": draw_guid(chance),
        "deviceEnrollmentType": "windowsAzureADJoin" if system == "Windows" else "userEnrollment",
        "deviceRegistrationState": "registered",
        "joinType": "azureADJoined" if system == "Windows" else "azureADRegistered",
        "isEncrypted": encrypted,
        "isSupervised": False,
        "autopilotEnrolled": system == "Windows" and chance.random() < 0.5,
        "manufacturer": maker,
        "model": model,
        "serialNumber": f"{chance.getrandbits(36):09X}",
        "totalStorageSpaceInBytes": total,
        "freeStorageSpaceInBytes": int(total * chance.uniform(0.03, 0.8)),
        "physicalMemoryInBytes": 16 * 2**30 if system == "Windows" else 0,
        "wiFiMacAddress": f"{chance.getrandbits(48):012X}",
        "phoneNumber": "",
        "deviceCategoryDisplayName": "Unknown",
        "partnerReportedThreatState": "unknown",
        "windowsActiveMalwareCount": 0,
        "windowsRemediatedMalwareCount": 0,
        "managementState": "managed",
        "deviceActionResults": [],
        "notes": None,
        "activationLockBypassCode": f"DEMO-{chance.getrandbits(32):08X}" if system == "iOS" else None,
        "_laps": f"Lq{chance.getrandbits(40):010x}!",
        "_key": "-".join(f"{chance.randrange(10**6):06d}" for _ in range(8)),
        "_key_id": draw_guid(chance),
        "_defender": {
            "real_time": chance.random() > 0.05,
            "scan_overdue": chance.random() < 0.1,
            "signature_overdue": gone,
            "reboot": chance.random() < 0.07,
        },
    }


def directory_device(device: Device) -> dict[str, Any]:
    """The same machine as Entra's ``devices`` lists it."""
    return {
        "id": guid("entra", device["id"]),
        "deviceId": device["azureADDeviceId"],
        "accountEnabled": device.get("_enabled", True),
        "approximateLastSignInDateTime": device["lastSyncDateTime"],
        "createdDateTime": device["enrolledDateTime"],
        "deviceOwnership": device["managedDeviceOwnerType"].title(),
        "displayName": device["deviceName"],
        "enrollmentType": "AzureDomainJoined" if device["operatingSystem"] == "Windows" else "UserEnrollment",
        "isCompliant": device["complianceState"] == "compliant",
        "isManaged": True,
        "managementType": "MDM",
        "manufacturer": device["manufacturer"],
        "model": device["model"],
        "operatingSystem": device["operatingSystem"],
        "operatingSystemVersion": device["osVersion"],
        "onPremisesSyncEnabled": None,
        "trustType": "AzureAd" if device["operatingSystem"] == "Windows" else "Workplace",
        "profileType": "RegisteredDevice",
    }


def make_autopilot(tenant: Tenant) -> dict[str, dict[str, Any]]:
    """Registered Autopilot devices by id, two of them not yet handed out."""
    chance = source(tenant.seed, tenant.number, "autopilot")
    found = {}
    known = [device for device in tenant.devices.values() if device["autopilotEnrolled"]]
    for number in range(len(known) + 2):
        device = known[number] if number < len(known) else None
        row = {
            "id": draw_guid(chance),
            "serialNumber": device["serialNumber"] if device else f"{chance.getrandbits(36):09X}",
            "manufacturer": device["manufacturer"] if device else "Dell Inc.",
            "model": device["model"] if device else "Latitude 5450",
            "displayName": device["deviceName"] if device else "",
            "groupTag": "Office" if number % 3 else "",
            "userPrincipalName": device["userPrincipalName"] if device else "",
            "addressableUserName": device["userDisplayName"] if device else "",
            "enrollmentState": "enrolled" if device else "notContacted",
            "deploymentProfileAssignmentStatus": "assignedUnkownSyncState" if device else "notAssigned",
            "deploymentProfileAssignedDateTime": days_before(tenant.today, 200) if device else None,
            "lastContactedDateTime": device["lastSyncDateTime"] if device else None,
            "azureAdDeviceId": device["azureADDeviceId"] if device else None,
            "azureActiveDirectoryDeviceId": device["azureADDeviceId"] if device else None,
            "managedDeviceId": device["id"] if device else None,
            "purchaseOrderIdentifier": "",
            "productKey": "",
            "systemFamily": "Latitude",
            "skuNumber": "",
            "resourceName": "",
            "remediationState": "unknown",
            "userlessEnrollmentStatus": "unknown",
        }
        found[str(row["id"])] = row
    return found


def defender_row(tenant: Tenant, device: Device) -> dict[str, Any]:
    """A device with its protection state (Invoke-ListDefenderState.ps1)."""
    facts = device["_defender"]
    state = {
        "id": device["id"],
        "malwareProtectionEnabled": True,
        "deviceState": "pendingReboot" if facts["reboot"] else "clean",
        "realTimeProtectionEnabled": facts["real_time"],
        "networkInspectionSystemEnabled": True,
        "quickScanOverdue": facts["scan_overdue"],
        "fullScanOverdue": facts["scan_overdue"],
        "signatureUpdateOverdue": facts["signature_overdue"],
        "rebootRequired": facts["reboot"],
        "fullScanRequired": False,
        "engineVersion": "1.1.25070.4",
        "signatureVersion": "1.435.221.0",
        "antiMalwareVersion": "4.18.25070.5",
        "lastQuickScanDateTime": stamp(tenant.today - datetime.timedelta(hours=20)),
        "lastReportedDateTime": device["lastSyncDateTime"],
        "productStatus": "noStatus",
        "isVirtualMachine": False,
        "tamperProtectionEnabled": facts["real_time"],
    }
    return {name: device[name] for name in ("id", "deviceName", "deviceEnrollmentType", "operatingSystem")} | {
        "windowsProtectionState": state
    }
