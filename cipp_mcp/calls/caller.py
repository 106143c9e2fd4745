"""Everything that belongs to one caller and to nobody else: policy, tenants, results, running calls, recent answers."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from anyio.abc import TaskGroup

from cipp_mcp.calls.jobs import Job, Jobs
from cipp_mcp.calls.policy import Policy, Rate
from cipp_mcp.calls.tenants import TenantDirectory
from cipp_mcp.results.store import MAX_BYTES, ResultStore
from cipp_mcp.telemetry import observed_lookup

_MAX_RECENT = 300


@dataclass
class Recent:
    """A read that ran a short while ago, or is running; the next identical one shares it."""

    job: Job
    tenant: str
    until: float


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
    ) -> None:
        self.name = name
        self.label = label or name
        """How the audit shows this caller."""
        self.policy = policy
        self.rate = Rate()
        self.directory = TenantDirectory(read_tenants)
        self.results = ResultStore(max_bytes=max_bytes)
        self.jobs = Jobs(group)
        self._recent: dict[str, Recent] = {}

    def close(self) -> None:
        self.results.close()

    @observed_lookup
    def recent(self, key: str) -> Job | None:
        """The job of an identical read that is still running or fresh."""
        recent = self._recent.get(key)
        if recent is None or not recent.job.is_usable:
            return None
        if recent.job.done.is_set() and time.monotonic() > recent.until:
            del self._recent[key]
            return None
        return recent.job

    def remember(self, key: str, job: Job, tenant: str, seconds: float) -> None:
        """Lets identical reads share `job` for `seconds` after its start, or until it ends."""
        self._recent.pop(key, None)
        if len(self._recent) >= _MAX_RECENT:
            del self._recent[next(iter(self._recent))]
        self._recent[key] = Recent(job, tenant.lower(), time.monotonic() + seconds)

    def forget(self, tenants: frozenset[str]) -> None:
        """Drops what a change to `tenants` (identifiers in lower case; empty means any) may have made untrue."""
        for key, recent in list(self._recent.items()):
            if not tenants or recent.tenant in tenants or recent.tenant in ("", "alltenants"):
                del self._recent[key]
        if not tenants:
            self.directory.forget()
