"""Access tokens for CIPP: MSAL client credentials, cached, with one acquisition in flight.

MSAL is synchronous and its import is heavy, so it is imported on first use and runs in a daemon thread: an
abandoned worker of a thread pool would hold the exit of the process for seconds.
"""

from __future__ import annotations

import logging
import random
import re
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import anyio
import anyio.from_thread
import anyio.lowlevel
import httpx

from cipp_mcp.connection.credentials import load_credential
from cipp_mcp.connection.remedies import AADSTS_REMEDIES
from cipp_mcp.connection.retry import retry_after
from cipp_mcp.errors import TokenError
from cipp_mcp.settings import Settings
from cipp_mcp.telemetry import observed_token

__all__ = ["AADSTS_REMEDIES", "Token", "TokenEndpoint", "TokenError", "TokenSource", "Tokens", "explain_refusal"]

_log = logging.getLogger(__name__)
_RENEW_MARGIN = 300.0
_STALE_MARGIN = 60.0
_RENEW_AGAIN = 20.0
_REFUSED_PAUSE = 10.0
_PATIENCE = 60.0
_TRIES = 3
_FIRST_PAUSE = 0.3
_LONGEST_RETRY_AFTER = 5.0
_REQUEST_SECONDS = 30.0
_REQUEST_TIMEOUT = httpx.Timeout(_REQUEST_SECONDS, connect=10.0)
_MAX_ANSWER = 1024 * 1024
_AADSTS = re.compile(r"AADSTS(\d+)")
_MICROSOFT = re.compile(r"\.(microsoftonline\.(com|us)|chinacloudapi\.cn|partner\.microsoftonline\.cn)$")


@dataclass
class Token:
    """A bearer token, with the monotonic times from which a new one is fetched and this one is no longer used."""

    value: str
    renew_at: float
    stale_at: float
    replaces_refused: bool = False
    accepted: bool = False
    refused_at: float | None = None

    @classmethod
    def of(cls, value: str, asked: float, lifetime: float) -> Token:
        """A token that was asked for at `asked`; only the lifetime counts, so that no clock has to be right."""
        renew = lifetime - min(_RENEW_MARGIN, lifetime * 0.2)
        stale = lifetime - min(_STALE_MARGIN, lifetime * 0.1)
        return cls(value, asked + renew, asked + stale)


class Tokens(Protocol):
    """Where the client gets its tokens from: this server's own identity, or a person's behalf."""

    async def token(self) -> Token: ...

    def discard(self, token: Token) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class EndpointAnswer:
    """As much of an HTTP answer as MSAL looks at."""

    status_code: int
    text: str
    headers: dict[str, str]

    def raise_for_status(self) -> None:
        if self.status_code >= 400:
            raise OSError(f"HTTP {self.status_code}")


class TokenEndpoint:
    """The HTTP client that MSAL uses: bounded in time and size, and it remembers how the last answer went."""

    def __init__(self, **options: Any) -> None:
        self._http = httpx.Client(timeout=_REQUEST_TIMEOUT, **options)
        self.last_status: int | None = None
        self.last_retry_after: float | None = None

    def get(self, url: str, **options: Any) -> EndpointAnswer:
        return self._send("GET", url, options)

    def post(self, url: str, **options: Any) -> EndpointAnswer:
        return self._send("POST", url, options)

    def close(self) -> None:
        self._http.close()

    def _send(self, method: str, url: str, options: dict[str, Any]) -> EndpointAnswer:
        kept = {name: options[name] for name in ("params", "data", "headers") if options.get(name) is not None}
        if isinstance(kept.get("data"), dict):
            # MSAL signs a certificate's assertion as bytes, of which httpx would send the repr.
            kept["data"] = {n: v.decode() if isinstance(v, bytes) else v for n, v in kept["data"].items()}
        end = time.monotonic() + _REQUEST_SECONDS
        self.last_status = self.last_retry_after = None
        content = bytearray()
        with self._http.stream(method, url, **kept) as response:
            for piece in response.iter_bytes(65536):
                content += piece
                if len(content) > _MAX_ANSWER:
                    raise httpx.DecodingError("the answer is too large for a token")
                if time.monotonic() > end:
                    raise httpx.ReadTimeout("the answer took too long")
        self.last_status = response.status_code
        self.last_retry_after = retry_after(response.headers.get("retry-after"), response.headers.get("date"))
        return EndpointAnswer(response.status_code, content.decode("utf-8", "replace"), dict(response.headers))


class _Acquisition:
    """One run of MSAL that any number of callers wait for."""

    def __init__(self) -> None:
        self.done = anyio.Event()
        self.token: Token | None = None
        self.error: TokenError | None = None


class TokenSource:
    """Hands out a token for CIPP; safe for any number of concurrent callers on one event loop."""

    def __init__(self, settings: Settings, ssl_context: Callable[[], ssl.SSLContext]) -> None:
        self._settings = settings
        self._ssl_context = ssl_context
        self._application: Any = None
        self._credential: Any = None
        self._endpoint: TokenEndpoint | None = None
        self._managed: TokenEndpoint | None = None
        self._token: Token | None = None
        self._acquisition: _Acquisition | None = None
        self._refused = False
        self._failure: TokenError | None = None
        self._not_before = 0.0
        self._renew_not_before = 0.0
        self._closed = threading.Event()

    async def token(self) -> Token:
        """A token with some life left. Shortly before its end a new one is fetched while this one is still used.

        Raises TokenError when Entra refuses or cannot be reached.
        """
        now = time.monotonic()
        token = self._token
        if token is not None and now < token.stale_at:
            if now >= token.renew_at and self._acquisition is None and now >= self._renew_not_before:
                self._renew_not_before = now + _RENEW_AGAIN
                self._start()
            return token
        if self._failure is not None and now < self._not_before:
            raise TokenError(self._failure.message, hint=self._failure.hint)
        acquisition = self._acquisition or self._start()
        with anyio.move_on_after(_PATIENCE):
            await acquisition.done.wait()
        if not acquisition.done.is_set():
            if self._acquisition is acquisition:  # its thread ends by its own time-outs
                self._acquisition = None
            raise _unreachable(self._settings, f"no answer within {_PATIENCE:g} s")
        if acquisition.error is not None:
            # Each caller raises its own: one instance would collect the tracebacks of all.
            raise TokenError(acquisition.error.message, hint=acquisition.error.hint)
        assert acquisition.token is not None
        return acquisition.token

    def discard(self, token: Token) -> None:
        """Forgets `token` after CIPP refused it; a newer one that replaced it meanwhile is kept.

        Where a token that replaced a refused one is refused as well, the fault is not the token's: it is kept for a
        while, so that every call does not cost a new one.
        """
        if self._token is not token:
            return
        now = time.monotonic()
        if token.replaces_refused and not token.accepted:
            if token.refused_at is None:
                token.refused_at = now
            if now - token.refused_at < _REFUSED_PAUSE:
                return
        self._token, self._refused = None, True

    def close(self) -> None:
        """Closes the connections to the authority; an acquisition under way gives up."""
        self._closed.set()
        for endpoint in (self._endpoint, self._managed):
            if endpoint is not None:
                endpoint.close()

    def _start(self) -> _Acquisition:
        loop = anyio.lowlevel.current_token()
        acquisition = self._acquisition = _Acquisition()

        def finish() -> None:
            acquisition.done.set()
            if self._acquisition is not acquisition:
                return
            self._acquisition = None
            if acquisition.token is not None:
                acquisition.token.replaces_refused = self._refused
                self._token, self._failure, self._refused = acquisition.token, None, False
            elif acquisition.error is not None:
                self._failure = acquisition.error
                asked = self._endpoint.last_retry_after if self._endpoint is not None else None
                self._not_before = time.monotonic() + min(asked or 0.0, _PATIENCE)

        def work() -> None:
            try:
                acquisition.token = self._acquire_patiently()
            except Exception as error:  # every failure has to reach the callers who wait
                acquisition.error = self._explain(error)
            try:
                anyio.from_thread.run_sync(finish, token=loop)
            except RuntimeError:
                _log.debug("token acquired after the event loop had closed")

        threading.Thread(target=work, name="cipp-token", daemon=True).start()
        return acquisition

    def _acquire_patiently(self) -> Token:
        """A token, with a few tries where the authority is out of order."""
        for left in reversed(range(_TRIES)):
            try:
                return self._acquire()
            except Exception as error:
                # MSAL replays a refused answer for a minute; a new application asks again.
                self._application = None
                pause = self._pause(error, _TRIES - left)
                if not left or pause is None or self._closed.wait(pause):
                    raise
        raise AssertionError("unreachable")

    def _pause(self, error: Exception, tries: int) -> float | None:
        """Seconds until another try is worth it, or None."""
        endpoint = self._endpoint
        status = endpoint.last_status if endpoint is not None else None
        asked = endpoint.last_retry_after if endpoint is not None else None
        if status is not None and status != 429 and status < 500:
            return None
        if status is None and not isinstance(error, httpx.TransportError | OSError):
            return None
        if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in (error.__cause__, error.__context__)):
            return None
        if asked is not None:
            return asked if asked <= _LONGEST_RETRY_AFTER else None
        return random.uniform(0.1, _FIRST_PAUSE * 3 ** (tries - 1))

    @observed_token
    def _acquire(self) -> Token:
        settings = self._settings
        if self._endpoint is None:
            self._endpoint = TokenEndpoint(verify=self._ssl_context())
        self._endpoint.last_status = self._endpoint.last_retry_after = None
        credential = load_credential(settings, self._managed_endpoint)
        if self._application is None or credential != self._credential:
            self._application, self._credential = self._build(credential), credential
        asked = time.monotonic()
        answer = self._ask(self._application)
        if not isinstance(answer, dict) or not isinstance(answer.get("access_token"), str):
            if self._out_of_order:
                raise OSError("no token")
            raise explain_refusal(answer if isinstance(answer, dict) else {}, settings)
        return Token.of(answer["access_token"], asked, float(answer.get("expires_in") or 0))

    def _ask(self, application: Any) -> Any:
        """What the token endpoint answers, as MSAL hands it on."""
        # Our own copy is the only cache: MSAL's goes by the wall clock, which may be wrong or be set.
        application.remove_tokens_for_client()
        return application.acquire_token_for_client(scopes=[self._settings.token_scope])

    @property
    def _out_of_order(self) -> bool:
        """Whether the last answer of the authority was an outage or a limit, whatever MSAL makes of it."""
        status = self._endpoint.last_status if self._endpoint is not None else None
        return status is not None and (status == 429 or status >= 500)

    def _explain(self, error: Exception) -> TokenError:
        if isinstance(error, TokenError):
            return error
        if self._out_of_order:
            assert self._endpoint is not None
            why = f"HTTP {self._endpoint.last_status}"
            return _unreachable(self._settings, why, self._endpoint.last_retry_after)
        # What Entra says of an unknown tenant reaches us as the cause of MSAL's own error.
        said = f"{error} {error.__cause__ or error.__context__ or ''}"
        if _AADSTS.search(said):
            return explain_refusal({"error_description": said}, self._settings)
        return _unreachable(self._settings, type(error).__name__)

    def _build(self, credential: Any) -> Any:
        import msal

        logging.getLogger("msal").setLevel(logging.CRITICAL)  # it logs a garbage answer with its body
        settings = self._settings
        if isinstance(credential, dict):
            credential = {name: value for name, value in credential.items() if name != "digest"}
        return msal.ConfidentialClientApplication(
            settings.client_id,
            authority=f"{settings.authority}/{settings.tenant_id}",
            client_credential=credential,
            instance_discovery=None if _MICROSOFT.search("." + _host(settings)) else False,
            http_client=self._endpoint,
        )

    def _managed_endpoint(self) -> TokenEndpoint:
        if self._managed is None:
            # The platform's endpoint is on this host; a proxy could not reach it.
            self._managed = TokenEndpoint(trust_env=False, verify=self._ssl_context())
        return self._managed


def explain_refusal(answer: dict[str, Any], settings: Settings) -> TokenError:
    """The TokenError for an OAuth error answer (RFC 6749 §5.2), by AADSTS number where it has one."""
    description = str(answer.get("error_description", ""))
    codes = answer.get("error_codes")
    numbers = _AADSTS.findall(description) or [str(code) for code in (codes if isinstance(codes, list) else [])]
    for number in numbers:
        if number in AADSTS_REMEDIES:
            what, remedy = AADSTS_REMEDIES[number]
            return TokenError(f"Entra gave no token: {what} (AADSTS{number}). CIPP was not called.", hint=remedy)
    label = f"AADSTS{numbers[0]}" if numbers else str(answer.get("error", "an answer that is no token"))[:80]
    return TokenError(
        f"Entra gave no token for client {settings.client_id} ({label}). CIPP was not called.",
        hint="Look the code up at https://login.microsoftonline.com/error and check the CIPP_* connection settings.",
    )


def _unreachable(settings: Settings, why: str, asked: float | None = None) -> TokenError:
    if why == "HTTP 429":
        later = f"in {asked:.0f} s" if asked else "in a minute"
        return TokenError(
            f"No token: the authority {_host(settings)} is limiting requests ({why}). CIPP was not called.",
            hint=f"Try again {later}.",
        )
    return TokenError(
        f"No token: the authority {_host(settings)} could not be used ({why}). CIPP was not called.",
        hint="Check CIPP_AUTHORITY and CIPP_TENANT_ID, DNS, proxy and the certificate bundle (SSL_CERT_FILE).",
    )


def _host(settings: Settings) -> str:
    return httpx.URL(settings.authority).host
