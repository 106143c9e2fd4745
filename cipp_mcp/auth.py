"""Access tokens for CIPP: MSAL client credentials, cached, with one acquisition in flight.

MSAL is synchronous and its import is heavy, so it is imported on first use and runs in a daemon thread: an
abandoned worker of a thread pool would hold the exit of the process for seconds.
"""

from __future__ import annotations

import logging
import re
import ssl
import threading
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any

import anyio
import anyio.from_thread
import anyio.lowlevel
import httpx

from cipp_mcp.errors import CallFailed
from cipp_mcp.settings import Settings

_log = logging.getLogger(__name__)
_MARGIN = 300.0
_TOKEN_TIMEOUT = httpx.Timeout(30.0, connect=10.0)
_AADSTS = re.compile(r"AADSTS(\d+)")

# Numbers: learn.microsoft.com/entra/identity-platform/reference-error-codes. Remedies: CIPP's API setup page.
AADSTS_REMEDIES: dict[str, tuple[str, str]] = {
    "7000215": (
        "the client secret is not the right one",
        "Put the secret's *value* (not its id) into CIPP_CLIENT_SECRET; CIPP shows it once, under Integrations > "
        "CIPP-API > Reset secret.",
    ),
    "7000222": (
        "the client secret has expired",
        "Reset the secret of this client in CIPP under Integrations > CIPP-API.",
    ),
    "700016": (
        "this tenant knows no application with this client id",
        "Compare CIPP_CLIENT_ID and CIPP_TENANT_ID with the API client's page in CIPP.",
    ),
    "90002": ("there is no such tenant", "CIPP_TENANT_ID must be the Entra tenant in which the API client was made."),
    "900023": ("the tenant id is malformed", "CIPP_TENANT_ID must be a GUID or a verified domain."),
    "500011": (
        "the Application ID URI is missing: Entra knows no resource api://<client id>",
        "In Entra, open the app registration > Expose an API, set the Application ID URI to api://<client id>, and wait "
        "a minute; or copy the API scope from the client's actions in CIPP into CIPP_SCOPE.",
    ),
    "65001": (
        "consent is missing",
        "Grant admin consent to the app registration of the API client, then wait a minute or two.",
    ),
    "50105": (
        "the application is not assigned",
        "Assign the API client to the enterprise application, or drop the demand.",
    ),
    "53003": (
        "a conditional-access policy blocked the sign-in",
        "Exclude the API client from the policy for workloads.",
    ),
    "1002012": ("the scope is malformed", "CIPP_SCOPE must end with /.default."),
    "70011": ("the scope is malformed", "CIPP_SCOPE must end with /.default."),
    "700027": (
        "the certificate is not registered with the application",
        "Upload its public part to the app registration.",
    ),
}


@dataclass(frozen=True)
class Token:
    """A bearer token and the monotonic time from which it is no longer used."""

    value: str
    stale_at: float


class TokenError(CallFailed):
    """No token could be had; the message names the cause and the remedy."""


class _Acquisition:
    """One run of MSAL that any number of callers wait for."""

    def __init__(self) -> None:
        self.done = anyio.Event()
        self.token: Token | None = None
        self.error: Exception | None = None


class TokenSource:
    """Hands out a token for CIPP; safe for any number of concurrent callers on one event loop."""

    def __init__(self, settings: Settings, ssl_context: Callable[[], ssl.SSLContext]) -> None:
        self._settings = settings
        self._ssl_context = ssl_context
        self._application: Any = None
        self._http: httpx.Client | None = None
        self._token: Token | None = None
        self._acquisition: _Acquisition | None = None

    async def token(self) -> Token:
        """A token with some life left.

        Raises TokenError when Entra refuses or cannot be reached.
        """
        if self._token is not None and time.monotonic() < self._token.stale_at:
            return self._token
        acquisition = self._acquisition
        if acquisition is None:
            acquisition = self._acquisition = _Acquisition()
            self._start(acquisition)
        await acquisition.done.wait()
        if acquisition.error is not None:
            raise acquisition.error
        assert acquisition.token is not None
        return acquisition.token

    def discard(self, token: Token) -> None:
        """Forgets `token` after CIPP refused it; a newer one that replaced it meanwhile is kept."""
        if self._token is token:
            self._token = None
            if self._application is not None:
                self._application.remove_tokens_for_client()

    def close(self) -> None:
        """Closes the connections to the authority."""
        if self._http is not None:
            self._http.close()

    def _start(self, acquisition: _Acquisition) -> None:
        loop = anyio.lowlevel.current_token()

        def finish() -> None:
            self._acquisition = None
            self._token = acquisition.token
            acquisition.done.set()

        def work() -> None:
            try:
                acquisition.token = self._acquire()
            except Exception as error:  # every failure has to reach the callers who wait
                acquisition.error = error if isinstance(error, TokenError) else _unreachable(self._settings, error)
                # MSAL replays a refused answer for a minute; a new application asks again.
                self._application = None
            try:
                anyio.from_thread.run_sync(finish, token=loop)
            except RuntimeError:
                _log.debug("token acquired after the event loop had closed")

        threading.Thread(target=work, name="cipp-token", daemon=True).start()

    def _acquire(self) -> Token:
        settings = self._settings
        if self._application is None:
            self._application = self._build()
        asked = time.monotonic()
        answer = self._application.acquire_token_for_client(scopes=[settings.token_scope])
        if not isinstance(answer, dict) or "access_token" not in answer:
            raise explain_refusal(answer if isinstance(answer, dict) else {}, settings)
        lifetime = float(answer.get("expires_in", 0))
        # Renewed five minutes early; a short-lived token is used for nine tenths of its life instead.
        return Token(
            answer["access_token"], asked + max(lifetime - _MARGIN, lifetime * 0.9 if lifetime < 2 * _MARGIN else 0)
        )

    def _build(self) -> Any:
        import msal

        logging.getLogger("msal").setLevel(logging.CRITICAL)  # it logs a garbage answer with its body
        settings = self._settings
        secret = settings.client_secret
        if settings.client_secret_file is not None:
            secret = settings.client_secret_file.read_text(encoding="utf-8").strip()
        microsoft = re.search(
            r"\.(microsoftonline\.(com|us)|chinacloudapi\.cn|partner\.microsoftonline\.cn)$", "." + _host(settings)
        )
        if self._http is None:
            self._http = httpx.Client(verify=self._ssl_context(), timeout=_TOKEN_TIMEOUT)
        return msal.ConfidentialClientApplication(
            settings.client_id,
            authority=f"{settings.authority}/{settings.tenant_id}",
            client_credential=secret,
            instance_discovery=None if microsoft else False,
            http_client=self._http,
        )


class BearerAuth(httpx.Auth):
    """Puts the token on a request; after a 401 it fetches a fresh one and tries once more.

    EasyAuth answers 401 before CIPP's code runs, so the second try repeats nothing (api-facts §1).
    """

    requires_response_body = False

    def __init__(self, source: TokenSource) -> None:
        self._source = source

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        token = await self._source.token()
        request.headers["Authorization"] = f"Bearer {token.value}"
        response = yield request
        if response.status_code == 401:
            self._source.discard(token)
            token = await self._source.token()
            request.headers["Authorization"] = f"Bearer {token.value}"
            yield request


def explain_refusal(answer: dict[str, Any], settings: Settings) -> TokenError:
    """The TokenError for an OAuth error answer (RFC 6749 §5.2), by AADSTS number where it has one."""
    description = str(answer.get("error_description", ""))
    numbers = _AADSTS.findall(description) or [str(code) for code in answer.get("error_codes", [])]
    for number in numbers:
        if number in AADSTS_REMEDIES:
            what, remedy = AADSTS_REMEDIES[number]
            return TokenError(f"Entra gave no token: {what} (AADSTS{number}). CIPP was not called.", hint=remedy)
    label = f"AADSTS{numbers[0]}" if numbers else str(answer.get("error", "an answer that is no token"))[:80]
    return TokenError(
        f"Entra gave no token for client {settings.client_id} ({label}). CIPP was not called.",
        hint="Look the code up at https://login.microsoftonline.com/error and check the CIPP_* connection settings.",
    )


def _unreachable(settings: Settings, error: Exception) -> TokenError:
    # What Entra says of an unknown tenant reaches us as the cause of MSAL's own error.
    said = f"{error} {error.__cause__ or error.__context__ or ''}"
    if _AADSTS.search(said):
        return explain_refusal({"error_description": said}, settings)
    return TokenError(
        f"No token: the authority {_host(settings)} could not be used ({type(error).__name__}). CIPP was not called.",
        hint="Check CIPP_AUTHORITY and CIPP_TENANT_ID, DNS, proxy and the certificate bundle (SSL_CERT_FILE).",
    )


def _host(settings: Settings) -> str:
    return httpx.URL(settings.authority).host
