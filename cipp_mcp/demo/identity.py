"""The Entra token endpoint: client credentials in, signed tokens or Entra's own error form out."""

from __future__ import annotations

import datetime
import json
import time
import uuid
from functools import cache
from typing import TYPE_CHECKING, Any

from cipp_mcp.demo.clients import (
    CLIENT_SECRET,
    CLIENTS,
    EXPIRED_SECRET,
    MCP_CLIENT_ID,
    PARTNER_TENANT_ID,
    PEOPLE,
    ApiClient,
    Person,
)

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

Reply = tuple[int, dict[str, Any]]
_KEY_ID = "demo-key-1"
_DEFAULT_SCOPE = "/.default"
_ON_BEHALF = "urn:ietf:params:oauth:grant-type:jwt-bearer"


@cache
def _signing_key() -> RSAPrivateKey:
    # Made once for a process, since it takes longer than everything else at the start.
    from cryptography.hazmat.primitives.asymmetric import rsa

    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class Identity:
    """Issues tokens and knows which of them still count."""

    def __init__(self, lifetime: int, issuer: str = "") -> None:
        self._keys = {_KEY_ID: _signing_key()}
        self._current = _KEY_ID
        self._live: set[str] = set()
        self.lifetime = lifetime
        self.issuer = issuer
        """The address of the authority; it stands before the tenant in what it issues."""

    def revoke(self) -> None:
        """Every token issued so far stops counting."""
        self._live.clear()

    def token(self, tenant: str, form: dict[str, str]) -> Reply:
        """The answer of ``/{tenant}/oauth2/v2.0/token``."""
        if tenant.lower() != PARTNER_TENANT_ID:
            text = f"Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID."
            return _error(400, "invalid_request", 90002, text)
        if form.get("grant_type") not in ("client_credentials", _ON_BEHALF):
            return _error(400, "unsupported_grant_type", 70003, "The app requested an unsupported grant type.")
        client = CLIENTS.get(form.get("client_id", "").lower())
        if client is None:
            text = f"Application with identifier '{form.get('client_id')}' was not found in the directory."
            return _error(400, "unauthorized_client", 700016, text)
        refused = self._proof(client, form)
        if refused:
            return refused
        if form["grant_type"] == _ON_BEHALF:
            return self._on_behalf(client, form)
        scope = form.get("scope", "").split()
        wanted = next((name for name in scope if name.endswith(_DEFAULT_SCOPE)), "")
        resource = wanted.removesuffix(_DEFAULT_SCOPE).rstrip("/")
        if not wanted or resource.lower() != f"api://{client.client_id}" or not client.uri_exposed:
            name = resource or " ".join(scope)
            text = f"The resource principal named {name} was not found in the tenant named Demo Partner."
            return _error(400, "invalid_resource", 500011, text)
        return 200, {
            "token_type": "Bearer",
            "expires_in": self.lifetime,
            "ext_expires_in": self.lifetime,
            "access_token": self.issue(client),
        }

    def _on_behalf(self, client: ApiClient, form: dict[str, str]) -> Reply:
        import jwt

        audiences = [client.client_id, f"api://{client.client_id}"]
        try:
            claims = self._decoded(form.get("assertion", ""), audiences)
        except jwt.InvalidAudienceError:
            return _error(
                400, "invalid_grant", 500131, "Assertion audience does not match the Client app presenting it."
            )
        except jwt.PyJWTError:
            return _error(400, "invalid_grant", 50013, "Assertion failed signature validation.")
        scope = next((name for name in form.get("scope", "").split() if name.startswith("api://")), "")
        resource, _, name = scope.rpartition("/")
        person = PEOPLE.get(str(claims.get("oid")))
        if form.get("requested_token_use") != "on_behalf_of" or person is None or not name:
            return _error(400, "invalid_request", 90014, "The required field 'requested_token_use' is missing.")
        if resource.removeprefix("api://") not in CLIENTS:
            return _error(400, "invalid_resource", 500011, f"The resource principal named {resource} was not found.")
        number = str(uuid.uuid4())
        self._live.add(number)
        claims = self.person_claims(person, application=client.client_id) | {
            "aud": resource,
            "iss": f"https://sts.windows.net/{PARTNER_TENANT_ID}/",
            "appid": client.client_id,
            "scp": "user_impersonation",
            "uti": number,
            "ver": "1.0",
        }
        document = {"token_type": "Bearer", "expires_in": self.lifetime, "ext_expires_in": self.lifetime}
        return 200, {**document, "scope": scope, "access_token": self.sign(claims)}

    def person_claims(
        self, person: Person, application: str = "dec0de00-0000-4000-8000-0000000000d1"
    ) -> dict[str, Any]:
        """What stands in a token with which `person`, signed in to `application`, comes to an MCP server."""
        now = int(time.time())
        return {
            "aud": MCP_CLIENT_ID,
            "iss": f"{self.issuer}/{PARTNER_TENANT_ID}/v2.0",
            "iat": now,
            "nbf": now,
            "exp": now + self.lifetime,
            "azp": application,
            "oid": person.oid,
            "preferred_username": person.upn,
            "scp": "access_as_user",
            "tid": PARTNER_TENANT_ID,
            "uti": str(uuid.uuid4()),
            "ver": "2.0",
        }

    def sign(self, claims: dict[str, Any]) -> str:
        """A token with these claims, whatever they are."""
        import jwt

        headers = {"kid": self._current, "x5t": self._current}
        return jwt.encode(claims, self._keys[self._current], algorithm="RS256", headers=headers)

    def rotate(self) -> None:
        """Signs with a new key from now on; the old one stays published."""
        from cryptography.hazmat.primitives.asymmetric import rsa

        self._current = f"demo-key-{len(self._keys) + 1}"
        self._keys[self._current] = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def _decoded(self, token: str, audiences: list[str]) -> dict[str, Any]:
        import jwt

        key = self._keys.get(str(jwt.get_unverified_header(token).get("kid")))
        if key is None:
            raise jwt.InvalidKeyError
        claims: dict[str, Any] = jwt.decode(token, key.public_key(), algorithms=["RS256"], audience=audiences)
        return claims

    def _proof(self, client: ApiClient, form: dict[str, str]) -> Reply | None:
        if form.get("client_assertion"):
            # Certificates and federated credentials are registered nowhere here, so their shape is all there is.
            kind = form.get("client_assertion_type", "")
            if kind.endswith("jwt-bearer") and form["client_assertion"].count(".") == 2:
                return None
            return _error(
                401, "invalid_client", 700027, "The certificate with identifier used to sign is not registered."
            )
        secret = form.get("client_secret")
        if secret is None:
            return _error(
                401, "invalid_client", 7000218, "The request body must contain client_assertion or client_secret."
            )
        if secret == EXPIRED_SECRET:
            text = f"The provided client secret keys for app '{client.client_id}' are expired."
            return _error(401, "invalid_client", 7000222, text)
        if secret != CLIENT_SECRET:
            text = f"Invalid client secret provided for app '{client.client_id}'. Send the secret value, not its ID."
            return _error(401, "invalid_client", 7000215, text)
        return None

    def issue(self, client: ApiClient, audience: str | None = None, lifetime: int | None = None) -> str:
        """A signed token of `client`; tests may ask for a wrong audience or one that has expired."""
        now, number = int(time.time()), str(uuid.uuid4())
        self._live.add(number)
        claims = {
            "aud": audience or client.audience,
            "iss": f"https://sts.windows.net/{PARTNER_TENANT_ID}/",
            "iat": now,
            "nbf": now - 60,
            "exp": now + (self.lifetime if lifetime is None else lifetime),
            "appid": client.client_id,
            "appidacr": "1",
            "idtyp": "app",
            "oid": str(uuid.uuid5(uuid.NAMESPACE_URL, client.client_id)),
            "tid": PARTNER_TENANT_ID,
            "uti": number,
            "ver": "1.0",
        }
        return self.sign(claims)

    def client_of(self, authorization: str) -> ApiClient | None:
        """The client whose valid token the header carries; None is a 401 as App Service authentication gives it."""
        import jwt

        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            return None
        audiences = [f"api://{client}" for client in CLIENTS]
        try:
            claims = self._decoded(token.strip(), audiences)
        except jwt.PyJWTError:
            return None
        client = CLIENTS.get(str(claims.get("appid")))
        person = PEOPLE.get(str(claims.get("oid"))) if "scp" in claims else None
        if person is not None and client is not None and claims.get("uti") in self._live:
            return person.through(client.client_id)
        if client is None or claims.get("uti") not in self._live or claims["aud"] != f"api://{client.client_id}":
            return None
        return client

    def keys(self) -> dict[str, Any]:
        """The key set document."""
        from jwt.algorithms import RSAAlgorithm

        documents = {name: json.loads(RSAAlgorithm.to_jwk(key.public_key())) for name, key in self._keys.items()}
        return {"keys": [{**key, "use": "sig", "kid": name, "x5t": name} for name, key in documents.items()]}

    @staticmethod
    def discovery(base: str, tenant: str) -> Reply:
        """The OpenID Connect discovery document of a tenant."""
        if tenant.lower() != PARTNER_TENANT_ID:
            return _error(400, "invalid_tenant", 90002, f"Tenant '{tenant}' not found.")
        root = f"{base}/{tenant}"
        return 200, {
            "issuer": f"{root}/v2.0",
            "token_endpoint": f"{root}/oauth2/v2.0/token",
            "authorization_endpoint": f"{root}/oauth2/v2.0/authorize",
            "device_authorization_endpoint": f"{root}/oauth2/v2.0/devicecode",
            "jwks_uri": f"{root}/discovery/v2.0/keys",
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
            "response_types_supported": ["code", "id_token"],
            "scopes_supported": ["openid", "profile", "offline_access"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "tenant_region_scope": "EU",
            "cloud_instance_name": "microsoftonline.com",
        }


def _error(status: int, error: str, code: int, text: str) -> Reply:
    trace, correlation = str(uuid.uuid4()), str(uuid.uuid4())
    stamp = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    description = f"AADSTS{code}: {text}\r\nTrace ID: {trace}\r\nCorrelation ID: {correlation}\r\nTimestamp: {stamp}"
    return status, {
        "error": error,
        "error_description": description,
        "error_codes": [code],
        "timestamp": stamp,
        "trace_id": trace,
        "correlation_id": correlation,
        "error_uri": f"https://login.microsoftonline.com/error?code={code}",
    }
