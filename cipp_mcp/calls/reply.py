"""The reply to a call, before it is serialised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cipp_mcp.errors import CippError, Refused, Unknown
from cipp_mcp.results.whole import Whole


@dataclass
class Reply:
    """A reply ready to be serialised; ``binary`` travels beside it. ``whole`` is all of which ``body`` shows a part."""

    body: dict[str, Any]
    binary: tuple[str, bytes] | None = None
    whole: Whole | None = None

    @property
    def is_error(self) -> bool:
        return self.body["outcome"] in ("failed", "refused")


def failure_reply(error: CippError, name: str) -> Reply:
    """The reply that an expected failure makes."""
    state = "refused" if isinstance(error, Refused) else "unknown" if isinstance(error, Unknown) else "failed"
    body = {"outcome": state, "endpoint": name[:80], "messages": [error.message], "hint": error.hint}
    return Reply(without_empty(body))


def pending_reply(call: str, handle: str, progress: str, seconds: float) -> Reply:
    """The reply to a call that goes on behind `handle` after `seconds`."""
    body = {
        "outcome": "pending",
        "endpoint": call.split(" ", 1)[0],
        "messages": [f"Not finished after {seconds:g} s: {progress}."],
        "resume": handle,
        "hint": f"The call goes on. Call the same tool with resume={handle!r} to wait for its answer.",
    }
    return Reply(body)


def without_empty(body: dict[str, Any]) -> dict[str, Any]:
    """`body` without absent, empty and false parts; rows, count and total stay even when they are empty."""
    kept = ("rows", "count", "total", "columns")
    return {name: value for name, value in body.items() if name in kept or value not in (None, "", [], {}, False)}
