"""The HTTP client for CIPP: one connection pool, bounded concurrency, bounded retries, typed failures.

httpx is imported here and in `auth` only.
"""

from __future__ import annotations

import email.utils
import random
import re
import ssl
import time
from collections.abc import Callable
from typing import Any

import anyio
import httpx

from cipp_mcp.auth import BearerAuth, TokenSource
from cipp_mcp.errors import CallFailed, NotSent, Unknown
from cipp_mcp.settings import Settings
from cipp_mcp.wire import Answer, Request

_MAX_TRIES = 4
_BACKOFF_BASE = 0.5
_BACKOFF_CAP = 20.0
_MAX_BODY = 256 * 1024 * 1024
_COLD_START = re.compile(rb"Function host is not running|Service Unavailable|starting up", re.IGNORECASE)


class CippClient:
    """Calls CIPP's API. Use as an async context manager; one instance serves any number of tasks."""

    def __init__(self, settings: Settings, trust: Callable[[], ssl.SSLContext]) -> None:
        self._settings = settings
        self._trust = trust
        self._tokens = TokenSource(settings, trust)
        self._places = anyio.Semaphore(settings.max_concurrency)
        self._http: httpx.AsyncClient | None = None

    async def __aenter__(self) -> CippClient:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._http is not None:
            await self._http.aclose()
        self._tokens.close()

    async def send(self, request: Request) -> Answer:
        """Sends `request` and returns CIPP's answer, whatever its status.

        A repeatable request is tried again after connection failures, 429, 502, 503 and 504; one that is not,
        only when it certainly was not executed (no connection, 429).

        Raises CallFailed when nothing was executed or nothing changed, Unknown when a change may have happened,
        TokenError when no token could be had.
        """
        started = time.monotonic()
        tries = 0
        while True:
            tries += 1
            answer: Answer | None = None
            failure: CallFailed | None = None
            try:
                async with self._places:
                    answer = await self._once(request)
            except httpx.RequestError as error:
                failure = self._explain(request, error)
            if answer is not None and not self._worth_repeating(request, answer):
                return answer
            wait = self._wait(tries, answer)
            spent = time.monotonic() - started + wait
            if tries >= _MAX_TRIES or spent > self._settings.timeout or (failure and not _may_repeat(request, failure)):
                if answer is not None:
                    return answer
                assert failure is not None
                raise failure
            await anyio.sleep(wait)

    async def _once(self, request: Request) -> Answer:
        http = self._open()
        started = time.monotonic()
        arguments: dict[str, Any] = {"params": dict(request.query)} if request.query else {}
        if request.body is not None:
            arguments["json"] = request.body
        with anyio.move_on_after(self._settings.timeout) as scope:
            async with http.stream(request.method, f"/api/{request.endpoint}", **arguments) as response:
                chunks, size = [], 0
                async for chunk in response.aiter_bytes():
                    size += len(chunk)
                    if size > _MAX_BODY:
                        raise CallFailed(
                            f"CIPP's answer to {request.endpoint} is larger than {_MAX_BODY // 1024**2} MB; reading stopped.",
                            hint="Ask for less: one tenant, a filter, or fewer columns.",
                        )
                    chunks.append(chunk)
                return Answer(
                    status=response.status_code,
                    content_type=response.headers.get("content-type", ""),
                    headers=dict(response.headers),
                    content=b"".join(chunks),
                    seconds=time.monotonic() - started,
                )
        assert scope.cancelled_caught
        raise self._explain(request, httpx.ReadTimeout("total time-out"))

    def _open(self) -> httpx.AsyncClient:
        if self._http is None:
            total = self._settings.timeout
            self._http = httpx.AsyncClient(
                base_url=self._settings.url or "",
                auth=BearerAuth(self._tokens),
                verify=self._trust(),
                timeout=httpx.Timeout(total, connect=min(10.0, total), pool=total),
                limits=httpx.Limits(max_connections=self._settings.max_concurrency),
                follow_redirects=False,
                headers={"Accept": "application/json", "User-Agent": "cipp-mcp"},
            )
        return self._http

    def _worth_repeating(self, request: Request, answer: Answer) -> bool:
        if answer.status == 429:
            return True
        if answer.status not in (502, 503, 504) or not request.repeatable:
            return False
        # A switched-off feature is a 503 too, with CIPP's own JSON text: repeating it cannot help.
        return answer.status != 503 or not answer.content.startswith(b'"') or bool(_COLD_START.search(answer.content))

    def _wait(self, tries: int, answer: Answer | None) -> float:
        asked = retry_after(answer.headers.get("retry-after")) if answer is not None else None
        if asked is not None:
            return asked
        return random.uniform(0, min(_BACKOFF_CAP, _BACKOFF_BASE * 2 ** (tries - 1)))

    def _explain(self, request: Request, error: httpx.RequestError) -> CallFailed:
        host = httpx.URL(self._settings.url or "").host
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout | httpx.ProxyError):
            reason = str(error) if "certificate" in str(error).lower() or "SSL" in str(error) else ""
            if reason:
                return CallFailed(
                    f"The TLS certificate of {host} was not accepted. Nothing was changed.",
                    hint="If a proxy inspects TLS, name its bundle in SSL_CERT_FILE; otherwise check CIPP_URL.",
                )
            return NotSent(
                f"No connection to {host} ({type(error).__name__}). Nothing was sent.",
                hint="Check CIPP_URL, DNS and proxy; is CIPP up?",
            )
        what = f"CIPP did not finish answering {request.endpoint} ({type(error).__name__})"
        if request.repeatable:
            return CallFailed(
                f"{what}. It is a read, so nothing was changed.", hint="Try again, or ask for less at once."
            )
        return Unknown(
            f"{what}. The change may or may not have been made.",
            hint="Read the object back before trying again; do not simply repeat the change.",
        )


def _may_repeat(request: Request, failure: CallFailed) -> bool:
    return isinstance(failure, NotSent) or (request.repeatable and "certificate" not in failure.message)


def retry_after(value: str | None) -> float | None:
    """Seconds that a Retry-After header asks for (RFC 9110 §10.2.3: seconds or a date); None if it asks for none."""
    if value is None:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, moment.timestamp() - time.time())
