"""Access tokens of Entra: signature, issuer, audience, time, tenant, and a scope or app role.

Facts: learn.microsoft.com/entra/identity-platform/access-token-claims-reference and .../claims-validation.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from ssl import SSLContext
from typing import Any

import anyio
import httpx
import jwt

from cipp_mcp.connection.identity import Identity
from cipp_mcp.server.admission import Admitted, NotAdmitted
from cipp_mcp.settings import Settings

_log = logging.getLogger(__name__)
_ALGORITHMS = ["RS256"]
_LEEWAY = 60.0
_FRESH = 3600.0
_KEPT = 24 * 3600.0
_ASK_AGAIN = 30.0
_TIMEOUT = 10.0
_MAX_DOCUMENT = 512 * 1024
_REQUIRED = ["exp", "nbf", "iat", "iss", "aud", "tid", "oid"]


class Keys:
    """The signing keys of a tenant, fetched at first use, every hour, and when a token names an unknown key.

    While the authority cannot be reached the keys stay in use for a day.
    """

    def __init__(self, url: str, trust: Callable[[], SSLContext]) -> None:
        self._url = url
        self._trust = trust
        self._keys: dict[str, Any] = {}
        self._fetched_at = float("-inf")
        self._asked_at = float("-inf")
        self._lock = anyio.Lock()

    async def get(self, identifier: str) -> Any:
        """The public key of `identifier`; raises NotAdmitted when there is none, or none could be fetched."""
        now = time.monotonic()
        if now - self._fetched_at > _FRESH or identifier not in self._keys:
            await self._fetch_if_due()
        if time.monotonic() - self._fetched_at > _KEPT:
            raise NotAdmitted("the signing keys cannot be fetched", status=503, error="temporarily_unavailable")
        key = self._keys.get(identifier)
        if key is None:
            raise NotAdmitted("signed with an unknown key")
        return key

    async def _fetch_if_due(self) -> None:
        # Whoever sends tokens with made-up key ids must not make this server ask each time.
        async with self._lock:
            if time.monotonic() - self._asked_at < _ASK_AGAIN:
                return
            self._asked_at = time.monotonic()
            try:
                self._keys = await self._fetch()
                self._fetched_at = time.monotonic()
            except (httpx.HTTPError, OSError, ValueError, KeyError, TypeError, jwt.PyJWTError) as error:
                _log.warning("the signing keys at %s cannot be fetched: %s", self._url, type(error).__name__)

    async def _fetch(self) -> dict[str, Any]:
        async with (
            httpx.AsyncClient(verify=self._trust(), timeout=_TIMEOUT) as client,
            client.stream("GET", self._url) as response,
        ):
            response.raise_for_status()
            content = bytearray()
            async for piece in response.aiter_bytes():
                content += piece
                if len(content) > _MAX_DOCUMENT:
                    raise ValueError("too large for a key set")
        document = jwt.PyJWKSet.from_json(content.decode("utf-8"))
        return {key.key_id: key.key for key in document.keys if key.key_id and key.key_type == "RSA"}


class EntraTokens:
    """Checks access tokens that Entra issued for this server."""

    def __init__(self, settings: Settings, trust: Callable[[], SSLContext]) -> None:
        tenant = (settings.tenant_id or "").lower()
        self._settings = settings
        self._tenant = tenant
        self._issuers = issuers(settings.authority, tenant)
        self._keys = Keys(f"{settings.authority}/{tenant}/discovery/v2.0/keys", trust)
        self._keeps_token = settings.http_call_as == "caller"

    async def verify(self, token: str) -> Admitted:
        """The person or application that the token was issued to; raises NotAdmitted."""
        key = await self._keys.get(_key_id(token))
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=_ALGORITHMS,
                audience=list(self._settings.http_audience),
                issuer=self._issuers,
                leeway=_LEEWAY,
                options={"require": _REQUIRED, "strict_aud": False},
            )
        except jwt.PyJWTError as error:
            raise NotAdmitted(f"the token is not valid: {type(error).__name__}") from None
        if str(claims["tid"]).lower() != self._tenant:
            raise NotAdmitted("the token is of another tenant")
        self._check_permission(claims)
        return self._admitted(token, claims)

    def _check_permission(self, claims: dict[str, Any]) -> None:
        """A person's token carries scopes (`scp`), an application's own token app roles only."""
        if "scp" in claims:
            if self._settings.http_scope not in str(claims["scp"]).split():
                raise NotAdmitted("the token lacks the scope", status=403, error="insufficient_scope")
        elif self._settings.http_role is None or self._settings.http_role not in _texts(claims.get("roles")):
            raise NotAdmitted("the token lacks the app role", status=403, error="insufficient_scope")

    def _admitted(self, token: str, claims: dict[str, Any]) -> Admitted:
        identifier = str(claims["oid"]).lower()
        application = str(claims.get("azp") or claims.get("appid") or "")
        label = claims.get("preferred_username") or claims.get("upn") or claims.get("app_displayname") or ""
        identity = Identity(
            identifier,
            label=_one_line(str(label)),
            groups=_texts(claims.get("groups")) | _texts(claims.get("roles")),
            groups_known=not claims.get("hasgroups") and "groups" not in (claims.get("_claim_names") or {}),
            assertion=token if self._keeps_token else None,
        )
        return Admitted(
            token="",
            client_id=application,
            subject=identifier,
            scopes=[],
            expires_at=int(claims["exp"]),
            claims={"iss": claims["iss"]},
            identity=identity,
        )


def issuers(authority: str, tenant: str) -> list[str]:
    """What `iss` may be in tokens of `tenant`: of version 2, and of version 1, which an application gets by default."""
    old = "https://sts.chinacloudapi.cn" if "partner.microsoftonline.cn" in authority else "https://sts.windows.net"
    return [f"{authority}/{tenant}/v2.0", f"{old}/{tenant}/"]


def _key_id(token: str) -> str:
    try:
        header = jwt.get_unverified_header(token)
    except jwt.PyJWTError:
        raise NotAdmitted("this is no JSON web token") from None
    identifier = header.get("kid")
    if header.get("alg") not in _ALGORITHMS or not isinstance(identifier, str):
        raise NotAdmitted("the token is not signed as Entra signs")
    return identifier


def _texts(value: Any) -> frozenset[str]:
    return frozenset(item for item in value if isinstance(item, str)) if isinstance(value, list) else frozenset()


def _one_line(text: str) -> str:
    return "".join(character for character in text if character.isprintable())[:120]
