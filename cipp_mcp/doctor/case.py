"""What the checks share: the set-up under examination and what earlier checks learned of it."""

from __future__ import annotations

import re
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from cipp_mcp.calls.answer import read_answer
from cipp_mcp.calls.outcome import Outcome
from cipp_mcp.calls.policy import Policy
from cipp_mcp.connection.wire import Answer, Request
from cipp_mcp.errors import CallFailed
from cipp_mcp.registry import Registry
from cipp_mcp.settings import Settings

State = Literal["pass", "warn", "fail", "skip"]
_JWT = re.compile(r"eyJ[\w-]{8,}\.[\w-]+(\.[\w-]*)?")
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")


@dataclass(frozen=True)
class Verdict:
    """The result of one check: what was seen, and what to do where it is not as it should be."""

    state: State
    seen: str
    remedy: str = ""


def passed(seen: str) -> Verdict:
    return Verdict("pass", seen)


def warned(seen: str, remedy: str) -> Verdict:
    return Verdict("warn", seen, remedy)


def failed(seen: str, remedy: str) -> Verdict:
    return Verdict("fail", seen, remedy)


def of_outcome(outcome: Outcome, remedy: str = "CIPP's own log (ListLogs, or its page Logs) says more.") -> Verdict:
    """The verdict that a failed call means, in the sentences that a caller would have been given.

    `remedy` is used where the outcome names no next step itself.
    """
    return failed(" ".join(outcome.messages), outcome.hint or remedy)


@dataclass(frozen=True)
class Finding:
    """A verdict under the name of its check, as it is printed and put into ``--json``."""

    check: str
    title: str
    state: State
    seen: str
    remedy: str = ""


@dataclass(frozen=True)
class Check:
    """One step. It runs only if all `needs` (names of earlier checks) did not fail."""

    name: str
    title: str
    run: Callable[[Case], Awaitable[Verdict]]
    needs: tuple[str, ...] = ()


@dataclass
class Case:
    """The set-up under examination. Fields without a value are filled in by the checks, in their order."""

    environment: Mapping[str, str]
    trust: Callable[[], ssl.SSLContext]
    now: Callable[[], float]
    """Unix time of this machine, in seconds."""
    deliver: Callable[[Request], Awaitable[Answer]]
    """Sends a request to CIPP with a token; usable once the settings are known."""
    settings: Settings = field(default_factory=Settings)
    policy: Policy = field(default_factory=Policy)
    secrets: list[str] = field(default_factory=list)
    """Values that no finding may contain."""
    clock_ahead: float | None = None
    """Seconds by which this machine's clock is ahead of CIPP's host."""
    claims: dict[str, Any] = field(default_factory=dict)
    """The claims of the access token, as far as it can be read."""
    permissions: frozenset[str] | None = None
    """The permissions of the API client's role, where CIPP tells them."""

    async def send(self, request: Request) -> Answer:
        """CIPP's answer; raises CallFailed where there is none."""
        return await self.deliver(request)

    async def ask(self, endpoint: str) -> Outcome:
        """The outcome of a plain read of `endpoint`; failures of any kind are outcomes too."""
        try:
            answer = await self.send(Request(endpoint, "GET"))
        except CallFailed as error:
            return Outcome("failed", [error.message], error.hint)
        return read_answer(Registry.load()[endpoint], answer)

    def finding(self, check: Check, verdict: Verdict) -> Finding:
        """`verdict` under the check's name, with every secret taken out."""
        return Finding(check.name, check.title, verdict.state, self._hidden(verdict.seen), self._hidden(verdict.remedy))

    def _hidden(self, text: str) -> str:
        for secret in self.secrets:
            text = text.replace(secret, "(secret)")
        return _CREDENTIALS.sub("(credentials)@", _JWT.sub("(token)", text))
