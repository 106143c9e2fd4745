"""Runs reads: follows CIPP's queues and pages, calls tenant by tenant where it must, and keeps the rows."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import anyio
import anyio.to_thread

from cipp_mcp.calls.answer import read_answer
from cipp_mcp.calls.caller import Caller
from cipp_mcp.calls.guard import keep_rows, shown_only
from cipp_mcp.calls.jobs import Progress
from cipp_mcp.calls.mask import mask
from cipp_mcp.calls.outcome import Outcome
from cipp_mcp.calls.planning import Plan
from cipp_mcp.calls.queues import Client, Queues
from cipp_mcp.calls.tenants import Tenant
from cipp_mcp.connection.wire import Answer, Request
from cipp_mcp.errors import CallFailed, CippError
from cipp_mcp.registry import Endpoint
from cipp_mcp.results.budget import compact
from cipp_mcp.results.rows import RowReader
from cipp_mcp.results.store import Result

INLINE_BYTES = 256 * 1024
_MAX_PAGES = 200
_MAX_PAGED_ROWS = 100_000
_POLL_SECONDS = (0.3, 0.7, 1.0, 2.0, 3.0, 5.0)
_TENANT_COLUMN = "Tenant"

Rows = Iterable[tuple[Any, str]]
Page = Answer | list[Any]
"""One page of a list: its rows, or the answer itself where that is too large to hold as Python objects."""


@dataclass
class Fetched:
    """What a read brought: its outcome, and its rows as a kept result."""

    outcome: Outcome
    result: Result | None = None
    shown: list[Any] | None = field(default=None)
    """Rows to show instead of the kept ones: credentials are shown once and never kept."""


class Reader:
    """Runs the reads of any number of callers."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._queues = Queues(client)

    async def run(self, plan: Plan, caller: Caller, progress: Progress) -> Fetched:
        """Makes the read of `plan`.

        Raises CippError when it cannot be made at all; a tenant that fails among others is a message.
        """
        progress.say(f"waiting for CIPP: {plan.endpoint.name}")
        if len(plan.requests) == 1 and not plan.scope.everything:
            outcome, pages = await self._follow(plan.endpoint, plan.requests[0][1], progress)
            return await self._keep(plan, caller, outcome, [(None, pages)])
        return await self._each_tenant(plan, caller, progress)

    async def rows(self, endpoint: Endpoint, request: Request) -> list[Any]:
        """The rows of a small read, in memory.

        Raises CallFailed when it does not succeed.
        """
        outcome = read_answer(endpoint, await self._client.send(request), reads=True)
        if outcome.state != "ok":
            raise CallFailed(
                " ".join(outcome.messages) or "CIPP gave no answer.", hint=outcome.hint, status=outcome.status
            )
        if outcome.rows is not None:
            return outcome.rows
        return [outcome.data] if isinstance(outcome.data, dict) else []

    async def _each_tenant(self, plan: Plan, caller: Caller, progress: Progress) -> Fetched:
        parts: dict[str, tuple[Tenant, list[Page]]] = {}
        failures: dict[str, str] = {}
        total = len(plan.requests)

        async def one(tenant: Tenant, request: Request) -> None:
            try:
                outcome, pages = await self._follow(plan.endpoint, request, Progress())
                if outcome.state == "ok":
                    parts[tenant.id] = (tenant, pages if outcome.data is None else [[outcome.data]])
                else:
                    failures[tenant.id] = f"{tenant.domain}: {' '.join(outcome.messages) or outcome.state}"
            except CippError as error:
                failures[tenant.id] = f"{tenant.domain}: {error.message}"
            progress.say(f"{len(parts) + len(failures)} of {total} tenants", len(parts) + len(failures), total)

        progress.say(f"0 of {total} tenants", 0, total)
        async with anyio.create_task_group() as group:
            for tenant, request in plan.requests:
                if tenant is not None:
                    group.start_soon(one, tenant, request)
        ordered = [parts[tenant.id] for tenant, _ in plan.requests if tenant is not None and tenant.id in parts]
        outcome = Outcome("ok" if not failures else "partial" if ordered else "failed")
        outcome.messages = [failures[t.id] for t, _ in plan.requests if t is not None and t.id in failures]
        if not ordered:
            return Fetched(outcome)
        outcome.rows = []
        return await self._keep(plan, caller, outcome, ordered)

    async def _follow(self, endpoint: Endpoint, request: Request, progress: Progress) -> tuple[Outcome, list[Page]]:
        """(the outcome of a request once its queue has run, the answers that hold its rows page by page)."""
        waits = iter(_POLL_SECONDS)
        unnamed = "placeholder" in endpoint.response.habits
        if unnamed:
            await self._queues.wait_for_run(endpoint, request, progress, started=False)
        while True:
            answer = await self._client.send(request)
            outcome = await _read(endpoint, answer)
            if outcome.state != "pending":
                break
            if isinstance(outcome.data, dict) and isinstance(outcome.data.get("GUID"), str):
                request = _with_query(request, "GUID", outcome.data["GUID"])
                await anyio.sleep(next(waits, _POLL_SECONDS[-1]))
            elif outcome.queue_id:
                await self._queues.wait(outcome.queue_id, progress)
            elif unnamed:
                await self._queues.wait_for_run(endpoint, request, progress, started=True)
            else:
                await anyio.sleep(next(waits, _POLL_SECONDS[-1]))
        pages = [_page(answer, outcome)] if outcome.state == "ok" and outcome.rows is not None else []
        if outcome.next_link and "paging" in endpoint.response.habits:
            await self._more_pages(endpoint, request, outcome, pages, progress)
        return outcome, pages

    async def _more_pages(
        self, endpoint: Endpoint, request: Request, outcome: Outcome, pages: list[Page], progress: Progress
    ) -> None:
        """Adds the following pages to `pages` until the last one, or the row cap."""
        count = len(outcome.rows or ())
        while outcome.next_link and len(pages) < _MAX_PAGES and count < _MAX_PAGED_ROWS:
            progress.say(f"{endpoint.name}: page {len(pages) + 1}")
            answer = await self._client.send(_with_query(request, "nextLink", outcome.next_link))
            page = await _read(endpoint, answer)
            if page.state != "ok" or page.rows is None:
                outcome.state = "partial"
                outcome.messages.append(f"Page {len(pages) + 1} failed: {' '.join(page.messages)}")
                return
            pages.append(_page(answer, page))
            count += len(page.rows)
            outcome.next_link = page.next_link
        if outcome.next_link:
            outcome.messages.append(f"Stopped after {count:,} rows; there are more. Narrow the read by a filter.")

    async def _keep(
        self,
        plan: Plan,
        caller: Caller,
        outcome: Outcome,
        parts: Sequence[tuple[Tenant | None, list[Page]]],
    ) -> Fetched:
        """Puts the rows of `parts` into one result, without foreign tenants' rows and without credentials."""
        if outcome.rows is None:
            _clear_data(plan, caller, outcome)
            return Fetched(outcome)
        if outcome.state not in ("ok", "partial"):
            return Fetched(outcome)
        if not plan.endpoint.response.secrets and (plan.guard is None or not plan.guard.restricted):
            outcome.messages += outcome.beside
        size = sum(len(p.content) for _, pages in parts for p in pages if isinstance(p, Answer))
        if size <= INLINE_BYTES and not caller.results.busy:
            return self._store(plan, caller, outcome, parts)
        return await anyio.to_thread.run_sync(self._store, plan, caller, outcome, parts)

    def _store(
        self, plan: Plan, caller: Caller, outcome: Outcome, parts: Sequence[tuple[Tenant | None, list[Page]]]
    ) -> Fetched:
        endpoint = plan.endpoint
        may_show = plan.guard.row_filter(endpoint) if plan.guard is not None else None
        hidden = _Counter(may_show) if may_show is not None else None
        fetched = Fetched(outcome)
        secrets = endpoint.response.secrets

        def rows() -> Iterator[tuple[Any, str]]:
            for owner, pages in parts:
                own = keep_rows(_rows_of(pages), hidden)
                for row, text in own if owner is None else _with_tenant(own, owner, endpoint):
                    if not secrets:
                        yield row, text
                        continue
                    masked, found = mask(row, secrets, change=False)
                    if found and caller.policy.secrets:
                        fetched.shown = fetched.shown or []
                    if fetched.shown is not None:
                        fetched.shown.append(row)
                    yield masked, compact(masked)

        try:
            fetched.result = caller.results.add(plan.source, rows())
        except ValueError as error:
            message = f"CIPP's answer to {endpoint.name} is not complete JSON ({str(error)[:80]})."
            return Fetched(Outcome("failed", [message], "Try again; if it stays so, ask for less."))
        if fetched.shown is not None and len(fetched.shown) < fetched.result.count:
            fetched.shown = None
        if hidden is not None and hidden.count:
            outcome.messages.append(f"{hidden.count} rows of other tenants are not shown.")
        outcome.rows = None
        return fetched


class _Counter:
    """A row filter that counts what it holds back."""

    def __init__(self, may_show: Callable[[Any], bool]) -> None:
        self._may_show = may_show
        self.count = 0

    def __call__(self, row: Any) -> bool:
        if self._may_show(row):
            return True
        self.count += 1
        return False


async def _read(endpoint: Endpoint, answer: Answer) -> Outcome:
    """The outcome of `answer`; a large list is not parsed here but row by row when it is kept."""
    if answer.status < 300 and len(answer.content) > INLINE_BYTES and RowReader.of(answer.content):
        link = _tail_link(answer.content) if "paging" in endpoint.response.habits else None
        return Outcome("ok", rows=_LARGE, next_link=link, status=answer.status)
    if len(answer.content) <= INLINE_BYTES:
        return read_answer(endpoint, answer, reads=True)
    return await anyio.to_thread.run_sync(partial(read_answer, endpoint, answer, reads=True))


_LARGE: list[Any] = [None]


def _tail_link(content: bytes) -> str | None:
    """nextLink from the Metadata after the rows of a large envelope (ListGraphRequest writes it last or first)."""
    match = re.search(rb'"nextLink"\s*:\s*("(?:[^"\\]|\\.)*")', content[-65536:])
    return str(json.loads(match[1])) if match else None


def _page(answer: Answer, outcome: Outcome) -> Page:
    return answer if outcome.rows is _LARGE or outcome.rows is None else outcome.rows


def _rows_of(pages: list[Page]) -> Iterator[tuple[Any, str]]:
    for page in pages:
        if isinstance(page, Answer):
            yield from RowReader(page.content)
        else:
            yield from ((row, compact(row)) for row in page)


def _with_tenant(rows: Rows, tenant: Tenant, endpoint: Endpoint) -> Iterator[tuple[Any, str]]:
    """`rows` with a column that names their tenant, where they have none."""
    column = endpoint.response.tenant_column or _TENANT_COLUMN
    for row, text in rows:
        if not isinstance(row, dict):
            named: dict[str, Any] = {column: tenant.domain, "value": row}
            yield named, compact(named)
        elif column in row:
            yield row, text
        else:
            yield (
                {column: tenant.domain, **row},
                f'{{"{column}":{compact(tenant.domain)}{"," if row else ""}{text.lstrip()[1:]}',
            )


def _with_query(request: Request, name: str, value: str) -> Request:
    return Request(request.endpoint, request.method, {**request.query, name: value}, request.body, request.repeatable)


def _clear_data(plan: Plan, caller: Caller, outcome: Outcome) -> None:
    """Takes credentials, and what belongs to other tenants, out of an answer that is no list."""
    if outcome.data is not None and not caller.policy.secrets and plan.endpoint.response.secrets:
        outcome.data, _ = mask(outcome.data, plan.endpoint.response.secrets, change=False)
    if plan.guard is not None and plan.guard.restricted and outcome.data is not None:
        may_show = plan.guard.row_filter(plan.endpoint)
        outcome.data = shown_only(outcome.data, may_show) if may_show is not None else outcome.data
