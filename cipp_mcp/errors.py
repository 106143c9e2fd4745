"""The failures a caller is told about.

    CippError
     ├─ SettingsError   the configuration is wrong: stops the start
     ├─ Refused         the call was not made: bad arguments, policy, not callable here
     └─ CallFailed      the call was made, or tried, and did not succeed
         ├─ TokenError  no token could be had, so nothing was sent
         ├─ NotSent     nothing reached CIPP
         │   └─ Busy    this server's own queue is full
         └─ Unknown     a change may or may not have happened

Every message says what happened and what to do next, in one or two sentences, without secrets.
"""

from __future__ import annotations


class CippError(Exception):
    """Base of all expected failures. ``hint`` is the next step, where there is one to name."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class SettingsError(CippError):
    """A `CIPP_*` variable is unknown or has a value that is not allowed."""


class Refused(CippError):
    """Nothing was sent: the arguments do not fit, or this server's policy forbids the call."""

    def __init__(self, message: str, *, hint: str | None = None, reason: str = "arguments") -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


class CallFailed(CippError):
    """The call failed. ``status`` is the HTTP status CIPP answered with, if it answered."""

    def __init__(self, message: str, *, hint: str | None = None, status: int | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status


class TokenError(CallFailed):
    """No token could be had; the message names the cause and the remedy."""


class NotSent(CallFailed):
    """No connection came about, so even a change may be tried again."""


class Busy(NotSent):
    """This server has as many calls running and waiting as it may."""


class Unknown(CallFailed):
    """The request went out and no answer came back: what it changed is not known."""
