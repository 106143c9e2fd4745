"""How this server proves to Entra that it is the API client: a secret, a certificate, or an identity of the platform.

- ``CIPP_CLIENT_SECRET``, also from the system's key store, or ``CIPP_CLIENT_SECRET_FILE``
- ``CIPP_CLIENT_CERTIFICATE``: PEM with the private key and the certificate, or PFX
- ``CIPP_IDENTITY=workload``: the token file that Kubernetes or a CI system renews (AZURE_FEDERATED_TOKEN_FILE)
- ``CIPP_IDENTITY=managed``: the managed identity of the Azure host

The last two need a federated credential on the app registration of CIPP's API client.
(learn.microsoft.com/entra/workload-id/workload-identity-federation)
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cipp_mcp.connection.keystore import IN_KEY_STORE, KeyStoreError, stored_secret
from cipp_mcp.errors import TokenError
from cipp_mcp.settings import Settings

if TYPE_CHECKING:
    from cipp_mcp.connection.auth import TokenEndpoint

_EXCHANGE = "api://AzureADTokenExchange"
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


def load_credential(settings: Settings, managed_http: Callable[[], TokenEndpoint]) -> Any:
    """The ``client_credential`` for MSAL, read anew: two that are equal need no new application.

    Raises TokenError when a file cannot be read, or holds no credential, or the key store has none.
    """
    if settings.identity == "workload":
        path = settings.federated_token_file
        assert path is not None
        return {"client_assertion": _Assertion(lambda: _text(path, "AZURE_FEDERATED_TOKEN_FILE"))}
    if settings.identity == "managed":
        return {"client_assertion": _Assertion(lambda: _managed_token(settings, managed_http()))}
    if settings.client_certificate is not None:
        return _certificate(settings.client_certificate, settings.client_certificate_password)
    if settings.client_secret_file is not None:
        return _text(settings.client_secret_file, "CIPP_CLIENT_SECRET_FILE")
    if settings.client_secret == IN_KEY_STORE:
        try:
            return stored_secret(settings.client_id or "")
        except KeyStoreError as error:
            raise TokenError(f"{error.message} CIPP was not called.", hint=error.hint) from None
    return settings.client_secret


class _Assertion:
    """A source of signed assertions that MSAL asks at every acquisition; all of one process are equal."""

    def __init__(self, source: Callable[[], str]) -> None:
        self._source = source

    def __call__(self) -> str:
        return self._source()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Assertion)

    def __hash__(self) -> int:
        return hash(_Assertion)


def _text(path: Path, setting: str) -> str:
    try:
        text = path.read_text(encoding="utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise TokenError(
            f"The file in {setting} cannot be read ({type(error).__name__}). CIPP was not called.",
            hint="Check that it exists, is text, and may be read by this server.",
        ) from None
    if not text:
        raise TokenError(f"The file in {setting} is empty. CIPP was not called.", hint="Write the credential into it.")
    return text


def _certificate(path: Path, password: str | None) -> dict[str, Any]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _unusable(f"it cannot be read ({type(error).__name__})") from None
    if b"-----BEGIN" not in data:
        return _pfx(path, data, password)
    text = data.decode("ascii", "replace")
    certificates = _CERTIFICATE.findall(text)
    if not certificates or "PRIVATE KEY-----" not in text:
        raise _unusable("a PEM file must hold both the private key and the certificate")
    credential = {"private_key": _CERTIFICATE.sub("", text).strip(), "public_certificate": "\n".join(certificates)}
    return credential | ({"passphrase": password} if password else {})


def _pfx(path: Path, data: bytes, password: str | None) -> dict[str, Any]:
    from hashlib import sha256

    from cryptography.hazmat.primitives.serialization import pkcs12

    try:
        key, certificate, _ = pkcs12.load_key_and_certificates(data, password.encode() if password else None)
    except ValueError:
        raise _unusable("it is neither PEM nor a PFX that CIPP_CLIENT_CERTIFICATE_PASSWORD opens") from None
    if key is None or certificate is None:
        raise _unusable("the PFX holds no private key with its certificate")
    # MSAL reads the file itself; the digest tells when it has been replaced.
    credential = {"private_key_pfx_path": str(path), "digest": sha256(data).hexdigest()}
    return credential | ({"passphrase": password} if password else {})


def _unusable(why: str) -> TokenError:
    return TokenError(
        f"The certificate in CIPP_CLIENT_CERTIFICATE cannot be used: {why}. CIPP was not called.",
        hint="Export the certificate with its private key as PEM or PFX, and give its password if it has one.",
    )


def _managed_token(settings: Settings, http: TokenEndpoint) -> str:
    import msal

    identity = (
        msal.UserAssignedManagedIdentity(client_id=settings.managed_identity_id)
        if settings.managed_identity_id
        else msal.SystemAssignedManagedIdentity()
    )
    try:
        answer = msal.ManagedIdentityClient(identity, http_client=http).acquire_token_for_client(resource=_EXCHANGE)
    except Exception as error:  # MSAL, the platform's endpoint and the network each have their own kinds
        answer = {"error": type(error).__name__}
    if "access_token" not in answer:
        raise TokenError(
            f"The managed identity gave no token ({str(answer.get('error'))[:80]}). CIPP was not called.",
            hint="Run this server on an Azure host with a managed identity; for a user-assigned one, set "
            "CIPP_MANAGED_IDENTITY_ID to its client id.",
        )
    return str(answer["access_token"])
