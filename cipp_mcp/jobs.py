"""Calls that outlive the request that started them: what takes too long goes on behind a resume handle."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import anyio
from anyio.abc import TaskGroup

from cipp_mcp.errors import Refused

_QUICK = 1.0  # nearly every call is done before a report is due
_REPORT_EVERY = 3.0
_KEPT = 200
_LIFETIME = 3600.0

Report = Callable[[float, float | None, str], Awaitable[None]]


@dataclass
class Progress:
    """What a running call last said of itself."""

    message: str = "waiting for CIPP"
    done: float | None = None
    total: float | None = None

    def say(self, message: str, done: float | None = None, total: float | None = None) -> None:
        self.message, self.done, self.total = message, done, total


@dataclass
class Job:
    """One call in flight or finished."""

    handle: str
    description: str
    is_read: bool
    progress: Progress = field(default_factory=Progress)
    done: anyio.Event = field(default_factory=anyio.Event)
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    started: float = field(default_factory=time.monotonic)
    result: Any = None
    error: Exception | None = None


class Jobs:
    """The calls of one caller."""

    def __init__(self, group: TaskGroup) -> None:
        self._group = group
        self._jobs: dict[str, Job] = {}
        self._number = 0

    def start(self, description: str, is_read: bool, work: Callable[[Progress], Awaitable[Any]]) -> Job:
        """Starts `work` in the background and returns its job at once."""
        self._number += 1
        job = Job(f"j{self._number}", description, is_read)

        async def run() -> None:
            try:
                with job.scope:
                    job.result = await work(job.progress)
                if job.scope.cancelled_caught:
                    job.error = Refused("The call was cancelled.")
            except Exception as error:  # kept for whoever resumes the call
                job.error = error
            finally:
                job.done.set()

        self._jobs[job.handle] = job
        self._forget_old()
        self._group.start_soon(run)
        return job

    async def wait(self, job: Job, seconds: float, report: Report) -> bool:
        """Waits up to `seconds` for `job`, reporting its progress; True when it is finished.

        When the waiting request is cancelled, a read is cancelled with it; a change is left to finish.
        """
        began = time.monotonic()
        try:
            with anyio.move_on_after(_QUICK):
                await job.done.wait()
            while not job.done.is_set():
                left = seconds - (time.monotonic() - began)
                if left <= 0:
                    return False
                progress = job.progress
                elapsed = time.monotonic() - job.started
                await report(progress.done if progress.done is not None else elapsed, progress.total, progress.message)
                with anyio.move_on_after(min(_REPORT_EVERY, left)):
                    await job.done.wait()
        except anyio.get_cancelled_exc_class():  # by the host; our own time-outs end at their move_on_after
            if job.is_read:
                job.scope.cancel()
            raise
        return True

    def get(self, handle: str) -> Job:
        """The job of `handle`; raises Refused when there is none."""
        job = self._jobs.get(handle)
        if job is None:
            waiting = ", ".join(self._jobs) or "none"
            raise Refused(
                f"There is no pending call {handle!r}. Known: {waiting}.", hint="Make the call again if it is a read."
            )
        return job

    def all(self) -> list[Job]:
        return list(self._jobs.values())

    def discard(self, job: Job) -> None:
        """Forgets a finished job whose result has been delivered."""
        self._jobs.pop(job.handle, None)

    def _forget_old(self) -> None:
        now = time.monotonic()
        for job in [job for job in self._jobs.values() if job.done.is_set()]:
            if now - job.started > _LIFETIME or len(self._jobs) > _KEPT:
                self.discard(job)
