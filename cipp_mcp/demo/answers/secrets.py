"""Reads whose answer is a credential."""

from __future__ import annotations

from typing import Any

from cipp_mcp.demo.calls import Answer, Call, answers
from cipp_mcp.demo.powershell import first, text
from cipp_mcp.demo.world.graph import recovery_keys
from cipp_mcp.demo.world.tenant import Row, Tenant


def _machine(tenant: Tenant, key: str) -> Row | None:
    devices = tenant.devices.values()
    return next((device for device in devices if key and device["azureADDeviceId"] == key), None)


@answers("ExecGetLocalAdminPassword")
def local_password(call: Call) -> Any:
    """Invoke-ExecGetLocalAdminPassword.ps1: by Entra device id from the body; failures come under 200."""
    key = text(call.sent("guid"))
    device = _machine(call.tenant, key)
    if device is None or device["operatingSystem"] != "Windows":
        return {"Results": f"Failed. No LAPS password of {key} could be read: device not found"}
    told = f"The LAPS password of LocalAdmin dates from {device['lastSyncDateTime']} and stands in copyField"
    call.state.log(call.endpoint, f"Retrieved the LAPS password of {key}", call.tenant)
    return {"Results": {"resultText": told, "copyField": device["_laps"], "state": "success"}}


@answers("ExecGetRecoveryKey")
def recovery_key(call: Call) -> Any:
    """Invoke-ExecGetRecoveryKey.ps1."""
    key = text(call.given("GUID"))
    kind = text(first(call.sent("RecoveryKeyType"), "BitLocker"))
    if kind.lower() not in ("bitlocker", "filevault", "biospassword"):
        return Answer({"Results": f"The key type {kind} is invalid."}, 500)
    found = [row for row in recovery_keys(call.tenant) if row["deviceId"] == key] if kind.lower() == "bitlocker" else []
    if not found:
        return {"Results": f"{key} has no {kind} key"}
    return {
        "Results": [
            {"resultText": f"Id: {row['id']} Key: {row['key']}", "copyField": row["key"], "state": "success"}
            for row in found
        ]
    }


@answers("ExecBitlockerSearch")
def search_keys(call: Call) -> Any:
    """Invoke-ExecBitlockerSearch.ps1 finds keys by their id or device, without the keys themselves."""
    wanted = {name: text(first(call.asked(name), call.sent(name))) for name in ("keyId", "deviceId")}
    rows = []
    for tenant in call.tenants:
        for row in recovery_keys(tenant):
            if wanted["keyId"] not in ("", row["id"]) or wanted["deviceId"] not in ("", row["deviceId"]):
                continue
            device = _machine(tenant, row["deviceId"]) or {}
            rows.append(
                {
                    "tenant": tenant.domain,
                    "keyId": row["id"],
                    "createdDateTime": row["createdDateTime"],
                    "volumeType": row["volumeType"],
                    "deviceId": row["deviceId"],
                    "deviceName": device.get("deviceName"),
                    "operatingSystem": device.get("operatingSystem"),
                    "osVersion": device.get("osVersion"),
                    "lastSignIn": device.get("lastSyncDateTime"),
                    "accountEnabled": True,
                    "trustType": "AzureAd",
                    "deviceFound": bool(device),
                    "timestamp": tenant.row["LastRefresh"],
                }
            )
    return {"Results": rows, "Metadata": {"Count": len(rows)}}
