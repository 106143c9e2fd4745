"""The HTTP client for CIPP: one connection pool, bounded everything, retries by what is safe, typed failures.

httpx is imported here and in `auth` and `credentials` only.
"""

from __future__ import annotations

import contextlib
import http.cookiejar
import json
import ssl
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import anyio
import httpx

from cipp_mcp.calls.jobs import note
from cipp_mcp.connection.auth import Tokens, TokenSource
from cipp_mcp.connection.body import ACCEPTED, Body, BodyError, TooLarge
from cipp_mcp.connection.breaker import Breaker
from cipp_mcp.connection.limits import Places
from cipp_mcp.connection.retry import MAX_TRIES, is_gateway_error, may_repeat, pause_after
from cipp_mcp.connection.wire import Answer, Request
from cipp_mcp.errors import Busy, CallFailed, NotSent, Refused, Unknown
from cipp_mcp.settings import Settings
from cipp_mcp.state import ProcessState, State
from cipp_mcp.telemetry import observed_request

_CONNECT_SECONDS = 10.0
_STALL_SECONDS = 60.0
"""A body that has begun and brings nothing for so long is given up. Before it begins CIPP may take its whole time."""

_MAX_BODY = 256 * 1024 * 1024
_MAX_BODIES = 512 * 1024 * 1024
"""Of all answers that are being read at the same time."""


class _Attempt:
    """Where one try is. What a failure means for a change depends on it."""

    def __init__(self) -> None:
        self.phase = "a token"
        self.sent = False
        self.answered = False
        self._half_open: Any = None

    async def trace(self, event: str, info: dict[str, Any]) -> None:
        """Hears httpcore's own events (httpcore docs: extensions, trace)."""
        if event.endswith("send_request_headers.started"):
            self.sent = True  # bytes of a request leave from here on, and not before
        elif event == "connection.connect_tcp.complete":
            self._half_open = info["return_value"]
        elif event.endswith("start_tls.complete"):
            self._half_open = None

    async def close(self) -> None:
        """Closes a connection whose TLS handshake was cut off by a time-out or a cancellation; httpcore does not."""
        if self._half_open is not None and not self.sent:
            with anyio.CancelScope(shield=True):
                await self._half_open.aclose()
            self._half_open = None


class _Failed(Exception):
    """A try brought no answer; `failure` is what to tell if it was the last one."""

    def __init__(self, failure: CallFailed, saw: str, *, again: bool, outage: bool) -> None:
        self.failure, self.saw, self.again, self.outage = failure, saw, again, outage


class _Deployment:
    """What all callers share: the connections and the limits."""

    def __init__(self, settings: Settings, trust: Callable[[], ssl.SSLContext], state: State) -> None:
        self.places = Places(settings.max_concurrency, settings.max_per_tenant, settings.max_waiting, state)
        self.breaker = Breaker(httpx.URL(settings.url or "").host)
        self.bytes_read = 0
        self._settings = settings
        self._trust = trust
        self._http: httpx.AsyncClient | None = None

    @property
    def http(self) -> httpx.AsyncClient:
        if self._http is None:
            total = self._settings.timeout
            most = self._settings.max_concurrency
            # Cookies of one caller's answer must never go out with another caller's request.
            no_cookies = http.cookiejar.CookieJar(http.cookiejar.DefaultCookiePolicy(allowed_domains=()))
            self._http = httpx.AsyncClient(
                base_url=self._settings.url or "",
                verify=self._trust(),
                cookies=no_cookies,
                timeout=httpx.Timeout(total, connect=min(_CONNECT_SECONDS, total)),
                limits=httpx.Limits(max_connections=most, max_keepalive_connections=most, keepalive_expiry=60.0),
                follow_redirects=False,
                headers={"Accept": "application/json", "Accept-Encoding": ACCEPTED, "User-Agent": "cipp-mcp"},
            )
        return self._http

    async def close(self) -> None:
        if self._http is not None:
            await self._http.aclose()


class CippClient:
    """Calls CIPP's API. Use as an async context manager; one instance serves any number of tasks."""

    def __init__(
        self,
        settings: Settings,
        trust: Callable[[], ssl.SSLContext],
        tokens: Tokens | None = None,
        *,
        state: State | None = None,
        _deployment: _Deployment | None = None,
    ) -> None:
        self._settings = settings
        self._deployment = _deployment or _Deployment(settings, trust, state or ProcessState())
        self._owns_deployment = _deployment is None
        self._trust = trust
        self._tokens = tokens or TokenSource(settings, trust)

    def acting_with(self, tokens: Tokens) -> CippClient:
        """A client that calls with other tokens over the same connections, within the same limits."""
        return CippClient(self._settings, self._trust, tokens, _deployment=self._deployment)

    async def __aenter__(self) -> CippClient:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._owns_deployment:
            await self._deployment.close()
        self._tokens.close()

    async def send(self, request: Request) -> Answer:
        """Sends `request` and returns CIPP's answer, whatever its status, within CIPP_TIMEOUT.

        A repeatable request is tried again after a connection that failed, broke or ended early, and after 429, 502,
        503, 504 and a starting host; one that is not, only when it certainly was not executed (no connection, 429).

        Raises CallFailed when nothing was executed or nothing changed (Busy when too many calls wait already),
        Unknown when a change may have happened, TokenError when no token could be had, Refused for what no request
        can carry.
        """
        content = _content(request)
        attempt = _Attempt()
        deadline = anyio.current_time() + self._settings.timeout
        with anyio.CancelScope(deadline=deadline):
            tries = 0
            while True:
                tries += 1
                attempt = _Attempt()
                answer: Answer | None = None
                failed: _Failed | None = None
                try:
                    answer = await self._try(request, content, attempt)
                except _Failed as error:
                    failed = error
                again = failed.again if failed is not None else answer is not None and may_repeat(request, answer)
                wait = pause_after(tries, answer) if again else 0.0
                if not again or tries >= MAX_TRIES or anyio.current_time() + wait >= deadline:
                    if answer is not None:
                        return answer
                    assert failed is not None
                    raise failed.failure
                note(f"try {tries} failed, the next one comes in {wait:.0f} s")
                await anyio.sleep(wait)
        raise self._out_of_time(request, attempt)

    async def _try(self, request: Request, content: bytes | None, attempt: _Attempt) -> Answer:
        """One try in a place of its own. Raises _Failed when it brings no answer."""
        breaker, places = self._deployment.breaker, self._deployment.places
        breaker.check()
        verdict = False
        try:
            note("waiting for a token")
            await self._tokens.token()
            attempt.phase = "a place in the queue"
            tenant = request.tenant
            place = await places.take(tenant, lambda waiting: note(f"waiting for a place, {waiting} in the queue"))
            try:
                answer = await self._authorised(request, content, attempt)
            finally:
                await places.give_back(tenant, place)
            if is_gateway_error(answer):
                breaker.failed(request.endpoint, f"HTTP {answer.status}", connected=True)
            else:
                breaker.succeeded()
            verdict = True
            return answer
        except _Failed as error:
            verdict = True
            if error.outage:
                breaker.failed(request.endpoint, error.saw, connected=attempt.sent)
            elif attempt.answered:
                breaker.succeeded()
            else:
                breaker.abandoned()
            raise
        finally:
            if not verdict:
                breaker.abandoned()

    async def _authorised(self, request: Request, content: bytes | None, attempt: _Attempt) -> Answer:
        """The answer with a token that CIPP accepts, if there is one.

        EasyAuth answers 401 before CIPP's code runs, so the second try repeats nothing.
        """
        attempt.phase = "a token"
        token = await self._tokens.token()
        attempt.phase = "CIPP"
        note("")
        answer = await self._once(request, content, token.value, attempt)
        if answer.status != 401:
            token.accepted = True
            return answer
        self._tokens.discard(token)
        attempt.phase, attempt.sent = "a token", False
        fresh = await self._tokens.token()
        if fresh is token:
            return answer
        attempt.phase = "CIPP"
        answer = await self._once(request, content, fresh.value, attempt)
        fresh.accepted = answer.status != 401
        return answer

    @observed_request
    async def _once(self, request: Request, content: bytes | None, token: str, attempt: _Attempt) -> Answer:
        client = self._deployment.http
        headers = {"Authorization": f"Bearer {token}"}
        if content is not None:
            headers["Content-Type"] = "application/json"
        started = time.monotonic()
        try:
            prepared = client.build_request(
                request.method,
                f"/api/{quote(request.endpoint, safe='$')}",
                params=dict(request.query) or None,
                content=content,
                headers=headers,
                extensions={"trace": attempt.trace},
            )
            response = await client.send(prepared, stream=True)
            try:
                attempt.answered = True
                body = await self._body(response)
            finally:
                await response.aclose()
        except (httpx.HTTPError, httpx.StreamError, OSError, BodyError) as error:
            raise self._explain(request, attempt, error) from None
        finally:
            await attempt.close()
        return Answer(
            status=response.status_code,
            content_type=response.headers.get("content-type", ""),
            headers=dict(response.headers),
            content=body,
            seconds=time.monotonic() - started,
        )

    async def _body(self, response: httpx.Response) -> bytes:
        declared = response.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > _MAX_BODY:
            raise TooLarge(f"it is larger than {_MAX_BODY // 1024**2} MB")
        body = Body(response.headers.get("content-encoding", ""), _MAX_BODY)
        deployment = self._deployment
        counted = 0
        try:
            with anyio.CancelScope() as stall:
                async for piece in response.aiter_raw():
                    stall.deadline = anyio.current_time() + _STALL_SECONDS
                    body.feed(piece)
                    deployment.bytes_read += body.size - counted
                    counted = body.size
                    if deployment.bytes_read > _MAX_BODIES:
                        raise TooLarge("it and the other answers that are being read now are too large together")
            if stall.cancelled_caught:
                raise BodyError(f"it stalled for {_STALL_SECONDS:g} s")
            return body.content()
        finally:
            deployment.bytes_read -= counted

    def _explain(self, request: Request, attempt: _Attempt, error: Exception) -> _Failed:
        """What `error` means for this request, and whether it may be tried again."""
        host = self._deployment.http.base_url.host
        if not attempt.sent:
            return self._not_connected(host, error)
        if attempt.answered and isinstance(error, BodyError):
            what = f"CIPP's answer to {request.endpoint} could not be read: {error}."
            if request.repeatable:
                hint = "Ask for less: one tenant, a filter, or fewer columns." if isinstance(error, TooLarge) else None
                failure: CallFailed = CallFailed(
                    f"{what} It is a read, so nothing was changed.", hint=hint or "Try again."
                )
            else:
                failure = _unknown(what)
            return _Failed(failure, str(error), again=False, outage=False)
        saw = type(error).__name__
        where = (
            "the connection broke within the answer" if attempt.answered else "the connection ended without an answer"
        )
        if isinstance(error, httpx.TimeoutException):
            where = "no answer in time"
        what = f"CIPP did not finish answering {request.endpoint}: {where} ({saw})."
        if not request.repeatable:
            return _Failed(_unknown(what), saw, again=False, outage=not attempt.answered)
        failure = CallFailed(
            f"{what} It is a read, so nothing was changed.", hint="Try again, or ask for less at once."
        )
        return _Failed(failure, saw, again=True, outage=not attempt.answered)

    def _not_connected(self, host: str, error: Exception) -> _Failed:
        causes = list(_causes(error))
        if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
            failure = NotSent(
                f"The TLS certificate of {host} was not accepted. Nothing was sent.",
                hint="If a proxy inspects TLS, name its bundle in SSL_CERT_FILE; otherwise check CIPP_URL.",
            )
            return _Failed(failure, "its certificate was not accepted", again=False, outage=False)
        why = type(error).__name__
        hint = "Check CIPP_URL, DNS and proxy; is CIPP up?"
        if any(type(cause).__name__ == "gaierror" for cause in causes):
            why, hint = "its name could not be resolved", "Check CIPP_URL and DNS."
        elif any(isinstance(cause, ssl.SSLError) for cause in causes):
            why, hint = "the TLS handshake failed", "Check CIPP_URL (is it https?) and any proxy on the way."
        elif isinstance(error, httpx.ConnectTimeout):
            why = f"no answer within {_CONNECT_SECONDS:g} s"
        return _Failed(
            NotSent(f"No connection to {host} ({why}). Nothing was sent.", hint=hint), why, again=True, outage=True
        )

    def _out_of_time(self, request: Request, attempt: _Attempt) -> CallFailed:
        limit = f"{self._settings.timeout:g} s (CIPP_TIMEOUT)"
        if not attempt.sent:
            message = f"{request.endpoint} was not sent within {limit}: it was still waiting for {attempt.phase}."
            kind = Busy if attempt.phase.startswith("a place") else NotSent
            return kind(message, hint="Try again when less is going on; check that CIPP and its authority are up.")
        what = f"CIPP did not finish answering {request.endpoint} within {limit}."
        if request.repeatable:
            return CallFailed(f"{what} It is a read, so nothing was changed.", hint="Ask for less at once.")
        return _unknown(what)


def _unknown(what: str) -> Unknown:
    return Unknown(
        f"{what} The change may or may not have been made.",
        hint="Read the object back before trying again; do not simply repeat the change.",
    )


def _content(request: Request) -> bytes | None:
    """The body as JSON in UTF-8. Raises Refused for numbers and characters that JSON and URLs cannot carry."""
    with contextlib.suppress(UnicodeEncodeError):
        for name, value in request.query.items():
            f"{name}{value}".encode()
        if request.body is None:
            return None
        try:
            text = json.dumps(request.body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        except ValueError:
            raise Refused("An argument is NaN or infinite, which JSON cannot carry. Nothing was sent.") from None
        return text.encode()
    raise Refused("An argument holds half of a surrogate pair, which is no character. Nothing was sent.")


def _causes(error: BaseException | None) -> Any:
    for _ in range(10):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__
