"""Everything that belongs to one caller and to nobody else: policy, tenants, results, running calls, recent answers."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio.to_thread
from anyio.abc import TaskGroup

from cipp_mcp.calls.jobs import Job, Jobs
from cipp_mcp.calls.policy import Policy
from cipp_mcp.calls.tenants import TenantDirectory
from cipp_mcp.errors import Refused
from cipp_mcp.results.store import MAX_BYTES, ResultStore
from cipp_mcp.state import ProcessState, State, StateLost
from cipp_mcp.telemetry import observed_lookup

if TYPE_CHECKING:
    from cipp_mcp.state.shelf import Shelf

_MAX_RECENT = 300


@dataclass
class Recent:
    """A read that ran a short while ago, or is running; the next identical one shares it."""

    job: Job
    tenant: str
    until: float
    changes: int | None
    """How many changes of this caller were known of when it began; None when that could not be told."""


class Caller:
    """One person or agent. On stdio there is exactly one, named ``local``."""

    def __init__(
        self,
        name: str,
        group: TaskGroup,
        policy: Policy,
        read_tenants: Callable[[], Awaitable[list[Any]]],
        *,
        label: str | None = None,
        max_bytes: int = MAX_BYTES,
        state: State | None = None,
        shelf: Shelf | None = None,
    ) -> None:
        """`shelf` is where results are shared with other instances that have the same `state`."""
        self.name = name
        self.label = label or name
        """How the audit shows this caller."""
        self.policy = policy
        self.state = state or ProcessState()
        self.shelf = shelf
        self.results = ResultStore(max_bytes=max_bytes, tag=self.state.tag)
        self.jobs = Jobs(group, self.state.tag)
        self.directory = TenantDirectory(read_tenants, self.jobs)
        self._recent: dict[str, Recent] = {}

    def close(self) -> None:
        self.results.close()

    async def count_call(self) -> None:
        """Notes a call; raises Refused when those that the policy allows in a minute are used up."""
        limit = self.policy.rate
        wait = await self.state.wait_for_turn(self.name, limit) if limit is not None else 0.0
        if wait:
            raise Refused(f"{limit} calls a minute are allowed; the next one in {wait:.0f} s.", reason="rate")

    async def share(self) -> None:
        """Puts the results that were added since the last time where other instances find them."""
        if self.shelf is None:
            return
        for result in self.results.take_new():
            rows = await anyio.to_thread.run_sync(self.results.texts, result.handle)
            await self.shelf.keep_result(result.handle, result.source, rows, result.size)

    def runs_elsewhere(self, handle: str) -> bool:
        """Whether `handle` stands for a call of another instance."""
        return self.shelf is not None and handle not in self.jobs and self.shelf.foreign(handle) == [handle]

    async def bring(self, text: str) -> None:
        """Fetches the results of other instances whose handles stand in `text`.

        Raises Refused, with the read to repeat, for one that cannot be had here.
        """
        if self.shelf is None:
            return
        for handle in self.shelf.foreign(text):
            if handle in self.results or not handle.startswith("r"):
                continue
            try:
                found = await self.shelf.result(handle)
            except StateLost:
                raise Refused(
                    f"Result {handle} is kept by another instance of this server, which cannot be reached now.",
                    hint="Repeat the read it came from.",
                ) from None
            if found is None:
                continue
            if found.rows is None:
                raise Refused(
                    f"Result {handle} is kept by another instance of this server and is too large to be shared.",
                    hint=f"Repeat the read it came from: {found.source}",
                )
            pairs = [(json.loads(row), row) for row in found.rows]
            await anyio.to_thread.run_sync(self.results.adopt, handle, found.source, pairs)

    @observed_lookup
    async def recent(self, key: str) -> Job | None:
        """The job of an identical read that is still running or fresh, and that no change has overtaken."""
        recent = self._recent.get(key)
        if recent is None or not recent.job.is_usable:
            return None
        if recent.changes is None or recent.changes != await self.state.changes(self.name):
            return None
        if recent.job.done.is_set() and time.monotonic() > recent.until:
            self._recent.pop(key, None)
            return None
        return recent.job

    def remember(self, key: str, job: Job, tenant: str, seconds: float, changes: int | None) -> None:
        """Lets identical reads share `job` for `seconds` after its start, or until it ends.

        `changes` is the number of changes known of before it began.
        """
        self._recent.pop(key, None)
        if len(self._recent) >= _MAX_RECENT:
            del self._recent[next(iter(self._recent))]
        self._recent[key] = Recent(job, tenant.lower(), time.monotonic() + seconds, changes)

    async def forget(self, tenants: frozenset[str]) -> None:
        """Drops what a change to `tenants` (identifiers in lower case; empty means any) may have made untrue."""
        for key, recent in list(self._recent.items()):
            if not tenants or recent.tenant in tenants or recent.tenant in ("", "alltenants"):
                del self._recent[key]
        if not tenants:
            self.directory.forget()
        await self.state.changed(self.name)
