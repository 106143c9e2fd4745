"""Calls that outlive the request that started them: what takes too long goes on behind a resume handle."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar

import anyio
from anyio.abc import TaskGroup

from cipp_mcp.errors import Busy, CallFailed, Refused

_QUICK = 1.0  # nearly every call is done before a report is due
_REPORT_EVERY = 3.0
_KEPT = 200
_MOST_RUNNING = 1000
_LIFETIME = 3600.0
_LONGEST_READ = 3600.0
"""CIPP's own queues take minutes for an estate; one that never ends must not be asked for ever."""

Report = Callable[[float | None, float | None, str], Awaitable[None]]
"""Is told how much is done, of how much, and in words what is going on; a number that is not known is None."""
T = TypeVar("T")


@dataclass
class Progress:
    """What a running call last said of itself: what it is doing, and what it is waiting for on the way."""

    message: str = "waiting for CIPP"
    done: float | None = None
    total: float | None = None
    detail: str = ""

    def say(self, message: str, done: float | None = None, total: float | None = None) -> None:
        self.message, self.done, self.total = message, done, total

    @property
    def text(self) -> str:
        return f"{self.message} ({self.detail})" if self.detail else self.message


_running: ContextVar[Progress | None] = ContextVar("running", default=None)


def note(detail: str) -> None:
    """Says what the call that this task belongs to is waiting for; empty when it waits for nothing special."""
    progress = _running.get()
    if progress is not None:
        progress.detail = detail


async def reporting(work: Callable[[], Awaitable[T]], seconds: float, report: Report, text: str) -> T:
    """What `work` returns, with a report of `text` every few seconds until then.

    Raises TimeoutError after `seconds`.
    """
    result: list[T] = []
    failed: Exception | None = None

    async def tell() -> None:
        while True:
            await anyio.sleep(_REPORT_EVERY)
            await report(None, None, text)

    async with anyio.create_task_group() as group:
        group.start_soon(tell)
        with anyio.move_on_after(seconds):
            try:
                result.append(await work())
            except Exception as error:  # raised outside the group, which would wrap it
                failed = error
        group.cancel_scope.cancel()
    if failed is not None:
        raise failed
    if not result:
        raise TimeoutError
    return result[0]


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
    finished: float = 0.0
    result: Any = None
    error: Exception | None = None
    waiting: int = 0
    """How many requests wait for it right now: identical reads share a job."""

    wanted: bool = False
    """Whether somebody may come back for it with its handle."""

    told: bool = False
    """Whether other instances are told how far it is."""

    is_private: bool = False
    """Whether its answer may hold a credential, which is shown here and nowhere else."""

    check: str = ""
    """How to find out whether a change was made, when nobody can tell any more."""

    @property
    def is_usable(self) -> bool:
        """Whether its answer is there, or will come."""
        return not self.scope.cancel_called and not (self.done.is_set() and self.error)


class Jobs:
    """The calls of one caller."""

    def __init__(self, group: TaskGroup, tag: str = "") -> None:
        """`tag` ends all handles, where several instances give out handles to the same caller."""
        self._group = group
        self._tag = tag
        self._jobs: dict[str, Job] = {}
        self._number = 0
        self._running = 0

    def start(self, description: str, is_read: bool, work: Callable[[Progress], Awaitable[Any]]) -> Job:
        """Starts `work` in the background and returns its job at once.

        Raises Busy when too many are running.
        """
        if self._running >= _MOST_RUNNING:
            raise Busy(
                f"This server is busy: {self._running} calls are running. Nothing was sent.",
                hint="Try again in a while, with fewer calls at once.",
            )
        self._number += 1
        job = Job(f"j{self._number}{self._tag}", description, is_read)
        self._jobs[job.handle] = job
        self._running += 1
        self._group.start_soon(self._run, job, work)
        return job

    async def _run(self, job: Job, work: Callable[[Progress], Awaitable[Any]]) -> None:
        _running.set(job.progress)
        finished = False
        try:
            with job.scope:
                if job.is_read:
                    job.scope.deadline = anyio.current_time() + _LONGEST_READ
                job.result = await work(job.progress)
                finished = True
            if job.scope.cancelled_caught and anyio.current_time() >= job.scope.deadline:
                job.error = CallFailed(
                    f"It was not finished after {_LONGEST_READ / 60:.0f} minutes ({job.progress.text}), and was given up.",
                    hint="Ask for one tenant, or look at CIPP's queue (ListCippQueues).",
                )
        except Exception as error:  # kept for whoever waits for the call or resumes it
            job.error = error
        finally:
            if not finished and job.error is None:
                job.error = Refused("The call was cancelled.", reason="cancelled")
            job.finished = time.monotonic()
            job.done.set()
            self._running -= 1
            self._forget_old()

    async def wait(self, job: Job, seconds: float, report: Report) -> bool:
        """Waits up to `seconds` for `job`, reporting its progress; True when it is finished.

        When the request that waits is cancelled, a read that nobody else waits for is cancelled with it; a change is
        left to finish, and its outcome kept.
        """
        began = time.monotonic()
        job.waiting += 1
        try:
            with anyio.move_on_after(min(_QUICK, seconds)):
                await job.done.wait()
            while not job.done.is_set():
                left = seconds - (time.monotonic() - began)
                if left <= 0:
                    job.wanted = True
                    return False
                await report(job.progress.done, job.progress.total, job.progress.text)
                with anyio.move_on_after(min(_REPORT_EVERY, left)):
                    await job.done.wait()
        except anyio.get_cancelled_exc_class():  # by the host; our own time-outs end at their move_on_after
            if not job.is_read:
                job.wanted = True
            elif job.waiting == 1:
                job.scope.cancel()
            raise
        finally:
            job.waiting -= 1
        return True

    def get(self, handle: str) -> Job:
        """The job of `handle`; raises Refused when there is none."""
        job = self._jobs.get(handle)
        if job is None:
            waiting = ", ".join(handle for handle, known in self._jobs.items() if known.wanted) or "none"
            raise Refused(
                f"There is no pending call {handle[:40]!r}. Known: {waiting}.",
                hint="Make the call again if it is a read.",
            )
        return job

    def in_background(self, work: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
        """Runs `work` for as long as the calls of this caller may run."""
        self._group.start_soon(work, *arguments)

    def __contains__(self, handle: object) -> bool:
        return handle in self._jobs

    def all(self) -> list[Job]:
        return list(self._jobs.values())

    def _forget_old(self) -> None:
        """Drops finished jobs that nobody will ask for, and of the others those that are too old or too many."""
        now = time.monotonic()
        finished = [job for job in self._jobs.values() if job.done.is_set()]
        kept = [job for job in finished if job.wanted and now - job.finished < _LIFETIME]
        keep = {job.handle for job in kept[-_KEPT:]}
        for job in finished:
            if job.handle not in keep:
                del self._jobs[job.handle]
