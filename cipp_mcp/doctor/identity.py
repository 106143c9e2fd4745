"""Checks of who calls: the token, its audience, the API client as CIPP sees it, and its role."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from cipp_mcp.calls.answer import parse_json, read_answer
from cipp_mcp.calls.outcome import explain_status, message_text
from cipp_mcp.connection.remedies import SAVE_TO_AZURE, wrong_audience
from cipp_mcp.connection.wire import Request
from cipp_mcp.doctor.case import Case, Verdict, failed, of_outcome, passed, warned
from cipp_mcp.errors import CallFailed
from cipp_mcp.registry import Registry
from cipp_mcp.setting_values import GUID

_SHARED_ROLE = "cipp-api"


async def token(case: Case) -> Verdict:
    """Entra gives a token for the API client."""
    from cipp_mcp.connection.auth import TokenSource

    source = TokenSource(case.settings, case.trust)
    try:
        value = (await source.token()).value
    except CallFailed as error:
        return failed(error.message, error.hint or "")
    finally:
        source.close()
    case.secrets.append(value)
    case.claims = _claims(value)
    if not case.claims:
        return passed("a token that only CIPP can read")
    life = (float(case.claims.get("exp", 0)) - float(case.claims.get("iat", 0))) / 60
    seen = f"a token of version {case.claims.get('ver', '?')}, valid for {life:.0f} minutes"
    tenant, configured = str(case.claims.get("tid", "")), case.settings.tenant_id or ""
    if tenant and GUID.match(configured) and tenant.lower() != configured.lower():
        return warned(
            f"{seen}, but of tenant {tenant}", "Set CIPP_TENANT_ID to the tenant in which the API client was made."
        )
    return passed(seen)


async def audience(case: Case) -> Verdict:
    """The token is for this client's API, as App Service authentication in front of CIPP demands."""
    if not case.claims:
        return passed("not readable, so not judged")
    wrong = wrong_audience(case.claims, case.settings.client_id or "")
    return warned(*wrong) if wrong else passed(str(case.claims["aud"]))


async def api_client(case: Case) -> Verdict:
    """CIPP takes the client for one of its own, from this address.

    ``/api/me`` needs no permission, so a refusal is one of the client itself; for a client with a base role CIPP's own
    code fails there with a message about a null argument, which shows that the client came through (Test-CIPPAccess.ps1).
    """
    try:
        answer = await case.send(Request("me", "GET"))
    except CallFailed as error:
        return failed(error.message, error.hint or "")
    if answer.status == 401:
        wrong = wrong_audience(case.claims, case.settings.client_id or "") if case.claims else None
        said = explain_status(401, "")
        if wrong:
            return failed(f"{said.messages[0]} The reason: {wrong[0]}.", wrong[1])
        return failed(said.messages[0], SAVE_TO_AZURE)
    if answer.status == 404:
        return warned(
            "this CIPP cannot tell who calls (no /api/me)", "Update CIPP; the next checks tell what the client may do."
        )
    try:
        value = parse_json(answer.content)
    except ValueError:
        value = answer.content.decode("utf-8", "replace")[:600]
    text = message_text(value)
    if answer.status == 403 and "UserRoles" in text:
        return passed("known to CIPP, with one of its base roles")
    if answer.status == 403 and "API Client does not have" in text:
        return failed(
            "CIPP refuses the API client itself, as it does when a call comes from outside the client's IP range (HTTP 403)",
            "In CIPP under Integrations > CIPP-API, edit the client: add this machine's public address to its IP range.",
        )
    if not isinstance(value, dict) or "clientPrincipal" not in value or answer.status >= 300:
        outcome = read_answer(Registry.load()["GetVersion"], answer)
        if outcome.state == "failed":
            return of_outcome(outcome)
        return failed(
            "what answers there is not CIPP",
            "Set CIPP_URL to the API URL that CIPP shows under Integrations > CIPP-API.",
        )
    case.permissions = frozenset(str(name) for name in value.get("permissions") or ())
    roles = value["clientPrincipal"].get("appRole") or []
    names = ", ".join(map(str, roles if isinstance(roles, list) else [roles])) or "none"
    return passed(f"known to CIPP, role {names}")


async def role(case: Case) -> Verdict:
    """The client's role allows what the settings let a model do."""
    registry = Registry.load()
    if case.permissions is None:
        outcome = await case.ask("ListTenants")
        return (
            passed("CIPP does not list the permissions of a base role")
            if outcome.state != "failed"
            else of_outcome(outcome)
        )
    wanted = [
        entry
        for entry in registry
        if case.policy.reaches(entry) and entry.risk in case.policy.risks() and entry.role not in ("", "Public")
    ]
    allowed = [entry for entry in wanted if _covers(case.permissions, entry.role)]
    seen = f"it covers {len(allowed)} of the {len(wanted)} endpoints that the settings let a model use"
    if not allowed:
        return failed(seen, "Give the API client a role with permissions, in CIPP under Integrations > CIPP-API.")
    if not _covers(case.permissions, registry["ListTenants"].role):
        return failed(
            f"{seen}, but not ListTenants, without which no tenant can be named",
            f"Add {registry['ListTenants'].role} to the client's role in CIPP.",
        )
    if case.policy.risks() - {"read"} and not any(name.endswith(".ReadWrite") for name in case.permissions):
        return warned(
            f"{seen}; it has no permission to write, though CIPP_ACCESS={case.policy.access}",
            "Give the API client a role that may write, or set CIPP_ACCESS=read.",
        )
    return passed(seen)


def _covers(permissions: frozenset[str], role: str) -> bool:
    return role in permissions or (role.endswith(".Read") and f"{role}Write" in permissions)


def _claims(value: str) -> dict[str, Any]:
    """The claims of a JWT, unverified, since they are only looked at; empty for any other token."""
    parts = value.split(".")
    if len(parts) != 3:
        return {}
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error):
        return {}
    return claims if isinstance(claims, dict) else {}
