"""Actions on devices."""

from __future__ import annotations

from typing import Any

from cipp_mcp.demo.calls import Call, answers
from cipp_mcp.demo.powershell import first, plain, text
from cipp_mcp.demo.world.devices import directory_device
from cipp_mcp.demo.world.seeds import source, stamp
from cipp_mcp.demo.writes.common import Failed, done, fail

# Names of Graph's actions on a managed device, which are taken as they are, case included.
_ACTIONS = frozenset(
    """syncDevice rebootNow locateDevice rotateLocalAdminPassword resetPasscode windowsDefenderScan
    windowsDefenderUpdateSignatures cleanWindowsDevice wipe retire setDeviceName createDeviceLogCollectionRequest
    remoteLock shutDown disable rotateBitLockerKeys offboardMDEDevice""".split()
)


@answers("ExecDeviceAction")
def device_action(call: Call) -> Any:
    """Invoke-ExecDeviceAction.ps1 hands the whole body to Graph, so every field counts for a wipe."""
    action, key = text(call.sent("Action")), text(call.sent("GUID"))
    tenant = call.tenant
    try:
        device = tenant.devices.get(key)
        if device is None:
            raise Failed("Device not found")
        if action not in _ACTIONS | {"delete", "users"}:
            raise Failed(f"Resource not found for the segment '{action}'.")
    except Failed as error:
        raise fail(f"Failed to start {action} on {key}: {error}") from error
    told = f"Started {action} on {key}"
    device["deviceActionResults"].append(
        {"actionName": action, "actionState": "pending", "startDateTime": stamp(call.state.today)}
    )
    if action == "delete":
        del tenant.devices[key]
        # The handler's message is empty here: New-CIPPDeviceAction.ps1 sets none for a delete.
        told = ""
    elif action == "users":
        user = tenant.user(text(call.sent("user", "value")))
        if user is not None:
            names = ("userPrincipalName", "displayName")
            device |= {"userId": user["id"], "userPrincipalName": user[names[0]], "userDisplayName": user[names[1]]}
        told = f"The primary user of {key} is now {text(call.sent('user', 'value'))}"
    elif action == "setDeviceName":
        device["deviceName"] = text(call.sent("input")).replace("%SERIAL%", device["serialNumber"])[:15]
    elif action in ("wipe", "retire", "cleanWindowsDevice"):
        device["managementState"] = "wipePending" if action == "wipe" else "retirePending"
        device["_wipe"] = {
            name: value for name, value in plain(call.body).items() if name not in ("tenantFilter", "GUID")
        }
    elif action == "rotateLocalAdminPassword":
        call.state.changes += 1
        device["_laps"] = f"Lq{source(call.state.seed, 'laps', call.state.changes).getrandbits(40):010x}!"
    elif action == "syncDevice":
        device["lastSyncDateTime"] = stamp(call.state.today)
    return done(call, told, tenant)


@answers("ExecDeviceDelete")
def entra_device(call: Call) -> Any:
    """Invoke-ExecDeviceDelete.ps1 works on Entra's object of the device."""
    action = text(first(call.sent("action"), call.asked("action"))).lower()
    key = text(first(call.sent("ID"), call.asked("ID")))
    tenant = call.tenant
    found = next((device for device in tenant.devices.values() if directory_device(device)["id"] == key), None)
    if action not in ("enable", "disable", "delete"):
        raise fail(
            f"Cannot validate argument on parameter 'Action'. The argument \"{action}\" does not belong to the set.",
            400,
        )
    if found is None:
        raise fail(f"Failed to {action} {key} in Entra. Error: Resource '{key}' does not exist", 400)
    if action == "delete":
        del tenant.devices[found["id"]]
        return done(call, f"Removed {key} from Entra", tenant)
    found["_enabled"] = action == "enable"
    return done(call, f"{key} is now {action}d", tenant)


@answers("RemoveAPDevice")
def remove_autopilot(call: Call) -> Any:
    """Invoke-RemoveAPDevice.ps1."""
    key = text(call.given("ID"))
    if call.tenant.autopilot.pop(key, None) is None:
        raise fail(f"Failed to remove {key} from Autopilot: ZtdDeviceNotFound")
    return done(call, f"Removed {key} from Autopilot", call.tenant)


@answers("ExecSetAPDeviceGroupTag", "ExecRenameAPDevice")
def change_autopilot(call: Call) -> Any:
    """Invoke-ExecSetAPDeviceGroupTag.ps1 and Invoke-ExecRenameAPDevice.ps1."""
    key, serial = text(call.sent("deviceId")), text(call.sent("serialNumber"))
    tags = call.endpoint == "ExecSetAPDeviceGroupTag"
    value = text(call.sent("groupTag" if tags else "displayName"))
    named = f"'{key}' (serial {serial}) to '{value}'"
    if not tags and (not value or len(value) > 15):
        raise fail("Failed: a name has one to fifteen characters.", 400)
    row = call.tenant.autopilot.get(key)
    if row is None:
        raise fail(f"Could not {'set the group tag of' if tags else 'rename'} {named}. Error: ZtdDeviceNotFound", 400)
    row["groupTag" if tags else "displayName"] = value
    return done(call, f"Successfully {'set the group tag of' if tags else 'renamed'} {named}", call.tenant)


@answers("ExecAssignAPDevice")
def assign_autopilot(call: Call) -> Any:
    """Invoke-ExecAssignAPDevice.ps1 takes the user from the added fields of a label object."""
    key, serial = text(call.sent("device")), text(call.sent("serialNumber"))
    upn = text(call.sent("user", "addedFields", "userPrincipalName"))
    user, row = call.tenant.user(upn), call.tenant.autopilot.get(key)
    if user is None or row is None:
        raise fail(f"Could not give {key} to {upn}. Error: Resource not found", 400)
    row["userPrincipalName"], row["addressableUserName"] = user["userPrincipalName"], user["displayName"]
    return done(call, f"Successfully gave {key} (serial {serial}) to {upn}", call.tenant)


@answers("RemovePolicy")
def remove_policy(call: Call) -> Any:
    """Invoke-RemovePolicy.ps1."""
    key, kind = (text(first(call.asked(name), call.sent(name))) for name in ("ID", "URLName"))
    tables = (call.tenant.intune_policies, call.tenant.compliance_policies)
    if not any(table.pop(key, None) for table in tables):
        raise fail(f"Could not remove the policy: '{key}' not found", 403)
    return done(call, f"Successfully removed the policy {key} ({kind})", call.tenant)
