"""Who may call what: CIPP's access check, in the order and with the texts of the original."""

from __future__ import annotations

from fnmatch import fnmatchcase

from cipp_mcp.demo.calls import Answer, Call
from cipp_mcp.demo.catalogue import FLAGGED, Known, catalogue

_NOT_ALLOWED = "Access to this CIPP API endpoint is not allowed,"
_NO_TENANT = "Access to this tenant is not allowed"
# Config/cipp-roles.json
_EXCLUDED = {"readonly": ("CIPP.SuperAdmin.*", "CIPP.Admin.*", "CIPP.AppSettings.*")}
_PERMISSIONS_ME = "Cannot bind argument to parameter 'UserRoles' because it is null."


def refusal(call: Call, known: Known) -> Answer | None:
    """Why the call is turned away, or None (New-CippCoreRequest.ps1, Test-CIPPAccess.ps1)."""
    name, role = known.endpoint.name, known.endpoint.role
    if name in FLAGGED:
        return Answer(f"This feature has been disabled: {FLAGGED[name]}", 503)
    if role == "Public":
        return None
    client = call.client
    if not client.ip_allowed:
        return Answer(f"{_NOT_ALLOWED} the API Client does not have the required permission", 403)
    if not client.custom and not _base_role_allows(client.role, role):
        text = f"the '{client.role}' base role does not have the required permission: {role}"
        return Answer(f"{_NOT_ALLOWED} {text}", 403)
    if known.any_tenant:
        return None
    tenant = call.tenant_name
    if tenant is None or tenant.lower() == "alltenants":
        if tenant and client.own_tenants is not None and role.endswith("Write"):
            return Answer(_NO_TENANT, 403)
        return None
    if tenant in call.state.tenant_groups and client.own_tenants is None:
        return None
    found = call.state.tenant(tenant)
    if found is None or found not in call.state.visible(client.own_tenants):
        return Answer(_NO_TENANT, 403)
    return None


def me(call: Call) -> Answer:
    """``/api/me``, which fails for clients with a base role because of a null argument."""
    client = call.client
    if not client.ip_allowed:
        return Answer(f"{_NOT_ALLOWED} the API Client does not have the required permission", 403)
    if not client.custom:
        return Answer(_PERMISSIONS_ME, 403)
    roles = sorted({known.endpoint.role for known in catalogue().values()} - {"", "Public"})
    principal = {"appId": client.client_id, "appRole": [client.role]}
    return Answer({"clientPrincipal": principal, "permissions": roles})


def _base_role_allows(base_role: str, role: str) -> bool:
    if base_role == "readonly" and not role.endswith(".Read"):
        return False
    return not any(fnmatchcase(role, pattern) for pattern in _EXCLUDED.get(base_role, ()))
