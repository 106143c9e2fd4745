"""The state that calls of one server have in common, and its plainest form: one process, nothing to share."""

from __future__ import annotations

import time
from collections import deque
from typing import Protocol

from cipp_mcp.settings import Settings

MINUTE = 60.0
_MOST_CALLERS = 2000


class StateLost(Exception):
    """The shared state cannot be reached now. What it was needed for has not been done."""


class State(Protocol):
    """State that one or several instances share. Everything may raise StateLost, except where it says otherwise."""

    tag: str
    """Ends the handles that this instance gives out, so that others know whose they are; empty for a single one."""

    @property
    def is_ready(self) -> bool:
        """Whether requests may be taken: not before the state has been reached once."""
        ...

    async def run(self) -> None:
        """Keeps up what has to be kept up (signs of life, leases) until it is cancelled. Raises nothing."""
        ...

    async def use_once(self, name: str, seconds: float) -> bool:
        """True for the first to use `name` within `seconds`, False for everybody after."""
        ...

    async def wait_for_turn(self, caller: str, per_minute: int) -> float:
        """0 when a call of `caller` was counted, else the seconds until the next one is due. Never raises."""
        ...

    async def take_place(self, tenant: str, most: int, most_per_tenant: int) -> str | None:
        """A place among the calls of all instances, to be given back; None when all are taken. Never raises."""
        ...

    async def give_back(self, place: str, tenant: str) -> None:
        """Frees a place. Never raises."""
        ...

    async def changes(self, caller: str) -> int | None:
        """A number that grows with each change `caller` makes anywhere; None when it cannot be known. Never raises."""
        ...

    async def changed(self, caller: str) -> None:
        """Notes a change by `caller`. Never raises: whoever cannot be told cannot read `changes` either."""
        ...

    async def revoked(self) -> frozenset[str]:
        """Names of callers who may not come in any more."""
        ...

    async def revoke(self, caller: str, revoked: bool) -> None:
        """Shuts `caller` out everywhere, or lets them in again."""
        ...

    async def put(self, name: str, value: bytes, seconds: float) -> None:
        """Keeps `value` where every instance finds it."""
        ...

    async def get(self, name: str) -> bytes | None:
        """What was put under `name`, if it is still kept."""
        ...

    async def is_alive(self, tag: str) -> bool:
        """Whether the instance whose handles end in `tag` has given a sign of life of late."""
        ...

    async def close(self) -> None: ...


class ProcessState:
    """A process of its own. Keeps count of what is used once and how often callers call; shares nothing."""

    tag = ""
    is_ready = True

    def __init__(self) -> None:
        self._used: dict[str, float] = {}
        self._calls: dict[str, deque[float]] = {}

    async def run(self) -> None:
        return

    async def use_once(self, name: str, seconds: float) -> bool:
        now = time.monotonic()
        self._used = {used: until for used, until in self._used.items() if until >= now}
        if name in self._used:
            return False
        self._used[name] = now + seconds
        return True

    async def wait_for_turn(self, caller: str, per_minute: int) -> float:
        now = time.monotonic()
        if len(self._calls) >= _MOST_CALLERS:
            self._calls = {name: times for name, times in self._calls.items() if times and now - times[-1] < MINUTE}
        times = self._calls.setdefault(caller, deque())
        while times and now - times[0] >= MINUTE:
            times.popleft()
        if len(times) >= per_minute:
            return MINUTE - (now - times[0])
        times.append(now)
        return 0.0

    async def take_place(self, tenant: str, most: int, most_per_tenant: int) -> str | None:
        return ""  # the limits within a process are kept by its own queue

    async def give_back(self, place: str, tenant: str) -> None:
        return

    async def changes(self, caller: str) -> int | None:
        return 0  # a caller's own cache drops what its changes touch

    async def changed(self, caller: str) -> None:
        return

    async def revoked(self) -> frozenset[str]:
        return frozenset()

    async def revoke(self, caller: str, revoked: bool) -> None:
        raise StateLost

    async def put(self, name: str, value: bytes, seconds: float) -> None:
        return

    async def get(self, name: str) -> bytes | None:
        return None

    async def is_alive(self, tag: str) -> bool:
        return tag == self.tag

    async def close(self) -> None:
        return


def open_state(settings: Settings) -> State:
    """The state that `settings` ask for. Nothing is connected yet."""
    if settings.state_url is None:
        return ProcessState()
    from cipp_mcp.state.redis_state import RedisState

    assert settings.state_key is not None
    return RedisState(settings.state_url, settings.state_key, deployment=settings.url or "")
