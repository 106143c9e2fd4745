"""The circuit breaker of a deployment: when nothing gets through any more, calls fail at once instead of queueing."""

from __future__ import annotations

import time

from cipp_mcp.errors import NotSent

_FAILURES = 8
"""In a row; more than one call makes with its repetitions."""

_FIRST_PAUSE = 2.0
_LONGEST_PAUSE = 30.0
_PROBE_PATIENCE = 30.0


class Breaker:
    """Opens after failures in a row, lets one call through as a probe after a pause, closes at the first success.

    Only what says something of the whole deployment counts: no connection, or a gateway's error at two endpoints or
    more. An endpoint that is broken alone must not take the others with it.
    """

    def __init__(self, host: str) -> None:
        self._host = host
        self._failures = 0
        self._endpoints: set[str] = set()
        self._saw = ""
        self._pause = 0.0
        self._open_until = 0.0
        self._probe_since: float | None = None

    @property
    def is_open(self) -> bool:
        return self._pause > 0

    def check(self) -> None:
        """Lets a call pass, or not.

        Raises NotSent, with what was seen last, while the breaker is open and this call is not the probe.
        """
        if not self._pause:
            return
        now = time.monotonic()
        probing = self._probe_since is not None and now - self._probe_since < _PROBE_PATIENCE
        if now >= self._open_until and not probing:
            self._probe_since = now
            return
        when = "one call is trying it now" if probing else f"the next try is in {self._open_until - now:.0f} s"
        raise NotSent(
            f"{self._host} did not answer {self._failures} times in a row (last: {self._saw}); {when}. Nothing was sent.",
            hint="Check that CIPP is up; the connection is tried again by itself at a later call.",
        )

    def succeeded(self) -> None:
        """CIPP answered."""
        if self._failures:
            self._failures, self._pause, self._probe_since = 0, 0.0, None
            self._endpoints.clear()

    def failed(self, endpoint: str, saw: str, *, connected: bool) -> None:
        """A try did not get through; `connected` says that a gateway before CIPP at least answered."""
        self._failures += 1
        self._saw = saw
        if len(self._endpoints) < 2:
            self._endpoints.add(endpoint)
        was_probe, self._probe_since = self._probe_since is not None, None
        if self._pause and not was_probe:
            return
        if self._failures >= _FAILURES and (not connected or len(self._endpoints) > 1):
            self._pause = min(_LONGEST_PAUSE, self._pause * 2 or _FIRST_PAUSE)
            self._open_until = time.monotonic() + self._pause

    def abandoned(self) -> None:
        """A call ended without a verdict (cancelled); if it was the probe, another may be one."""
        self._probe_since = None
