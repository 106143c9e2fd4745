"""What Graph would answer: the resources of a tenant by path."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable

from cipp_mcp.demo.world import licences
from cipp_mcp.demo.world.devices import directory_device
from cipp_mcp.demo.world.groups import ROLES, public
from cipp_mcp.demo.world.seeds import days_before, guid
from cipp_mcp.demo.world.tenant import Row, Tenant


class NotThere(LookupError):
    """No such resource, in Graph's words."""


def _values(name: str) -> Callable[[Tenant], list[Row]]:
    def rows(tenant: Tenant) -> list[Row]:
        return [public(row) for row in getattr(tenant, name).values()]

    return rows


def organisation_rows(tenant: Tenant) -> list[Row]:
    from cipp_mcp.demo.answers.tenants import organisation

    return [organisation(tenant)]


def _roles(tenant: Tenant) -> list[Row]:
    return [
        {"id": template, "roleTemplateId": template, "displayName": name, "description": text}
        for template, name, text in ROLES
    ]


def _consents(tenant: Tenant) -> list[Row]:
    return [
        {"id": app["id"], "clientId": app["id"], "consentType": "Principal", "scope": app["_scope"].replace(",", " ")}
        for app in tenant.apps.values()
    ]


def recovery_keys(tenant: Tenant) -> list[Row]:
    """BitLocker keys; the key itself only when it is asked for by name."""
    return [
        {
            "id": device["_key_id"],
            "createdDateTime": device["enrolledDateTime"],
            "volumeType": "operatingSystemVolume",
            "deviceId": device["azureADDeviceId"],
            "key": device["_key"],
        }
        for device in tenant.devices.values()
        if device["operatingSystem"] == "Windows" and device["isEncrypted"]
    ]


def local_credentials(tenant: Tenant) -> list[Row]:
    """Passwords of local administrators, kept under the directory's device id."""
    return [
        {
            "id": device["azureADDeviceId"],
            "deviceName": device["deviceName"],
            "lastBackupDateTime": device["lastSyncDateTime"],
            "refreshDateTime": days_before(tenant.today, -20),
            "credentials": [
                {"accountName": "LocalAdmin", "passwordBase64": b64encode(device["_laps"].encode()).decode()}
            ],
        }
        for device in tenant.devices.values()
        if device["operatingSystem"] == "Windows"
    ]


COLLECTIONS: dict[str, Callable[[Tenant], list[Row]]] = {
    "users": _values("users"),
    "groups": _values("groups"),
    "devices": lambda tenant: [directory_device(device) for device in tenant.devices.values()],
    "devicemanagement/manageddevices": _values("devices"),
    "devicemanagement/devicecompliancepolicies": _values("compliance_policies"),
    "devicemanagement/configurationpolicies": _values("intune_policies"),
    "devicemanagement/windowsautopilotdeviceidentities": _values("autopilot"),
    "deviceappmanagement/mobileapps": _values("intune_apps"),
    "organization": organisation_rows,
    "domains": _values("domains"),
    "subscribedskus": licences.subscribed_skus,
    "identity/conditionalaccess/policies": _values("ca_policies"),
    "identity/conditionalaccess/namedlocations": _values("locations"),
    "directoryroles": _roles,
    "rolemanagement/directory/roledefinitions": _roles,
    "serviceprincipals": _values("apps"),
    "applications": _values("apps"),
    "oauth2permissiongrants": _consents,
    "auditlogs/signins": lambda tenant: tenant.signins,
    "security/incidents": _values("incidents"),
    "security/alerts_v2": _values("alerts"),
    "security/alerts": _values("alerts"),
    "identityprotection/riskyusers": _values("risky"),
    "directory/deleteditems/microsoft.graph.user": _values("deleted"),
    "informationprotection/bitlocker/recoverykeys": recovery_keys,
    "directory/devicelocalcredentials": local_credentials,
    "contacts": lambda tenant: [
        {"id": row["graphId"], "displayName": row["DisplayName"], "mail": row["WindowsEmailAddress"]}
        for row in tenant.contacts.values()
    ],
    "policies/identitysecuritydefaultsenforcementpolicy": lambda tenant: [
        {"id": guid(tenant.id, "defaults"), "displayName": "Security Defaults", "isEnabled": not tenant.ca_policies}
    ],
}
# What Graph leaves out of a list unless it is selected.
_ON_REQUEST = {
    "users": ("signInActivity",),
    "informationprotection/bitlocker/recoverykeys": ("key",),
    "directory/devicelocalcredentials": ("credentials",),
}
_ITEM = re.compile(r"^(?P<parent>.+?)(?:/|\(')(?P<id>[^/']+)(?:'\))?(?:/(?P<rest>.+))?$")


def fetch(tenant: Tenant, path: str, selected: str | None) -> list[Row] | Row | int:
    """A collection, one object or a count.

    Raises NotThere.
    """
    folded = path.strip("/").lower()
    if folded.endswith("/$count"):
        rows = fetch(tenant, path.strip("/")[: -len("/$count")], None)
        return len(rows) if isinstance(rows, list) else 1
    wanted = {name.strip().lower() for name in (selected or "").split(",")}
    if folded in COLLECTIONS:
        return [_trimmed(folded, row, wanted) for row in COLLECTIONS[folded](tenant)]
    for name, make in COLLECTIONS.items():
        match = (
            _ITEM.match(path.strip("/")) if folded.startswith(name + "/") or folded.startswith(name + "('") else None
        )
        if match is None:
            continue
        rest = path.strip("/")[len(name) + 1 :]
        key, _, below = rest.partition("/")
        key = key.strip("()'")
        row = next((row for row in make(tenant) if key.lower() in _keys(row)), None)
        if row is None:
            raise NotThere(
                f"Resource '{key}' does not exist or one of its queried reference-property objects are not present."
            )
        return _below(tenant, name, row, below.lower()) if below else _trimmed(name, row, wanted)
    raise NotThere(f"Resource not found for the segment '{path.strip('/').split('/')[0]}'.")


def _keys(row: Row) -> tuple[str, str]:
    return str(row.get("id")).lower(), str(row.get("userPrincipalName")).lower()


def _trimmed(collection: str, row: Row, wanted: set[str]) -> Row:
    hidden = [name for name in _ON_REQUEST.get(collection, ()) if name.lower() not in wanted]
    return {name: value for name, value in row.items() if name not in hidden} if hidden else row


def _below(tenant: Tenant, collection: str, row: Row, rest: str) -> list[Row]:
    groups = tenant.groups.values()
    if collection == "users" and rest.startswith("memberof"):
        return [public(group) for group in groups if row["id"] in group["_members"]]
    if collection == "users" and rest == "licensedetails":
        return [{"skuId": entry["skuId"]} for entry in row["assignedLicenses"]]
    if collection == "users" and rest == "manageddevices":
        return [public(device) for device in tenant.devices.values() if device["userId"] == row["id"]]
    if collection == "users" and rest == "authentication/methods":
        return [{"id": guid(row["id"], name), "@odata.type": f"#{name}"} for name in tenant.mfa[row["id"]]["methods"]]
    if collection == "groups" and rest in ("members", "owners"):
        ids = tenant.groups[row["id"]][f"_{rest}"]
        return [public(tenant.users[key]) for key in ids if key in tenant.users]
    if collection == "directoryroles" and rest == "members":
        return [public(tenant.users[key]) for key in tenant.roles[row["id"]] if key in tenant.users]
    raise NotThere(f"Resource not found for the segment '{rest}'.")
