"""Follows CIPP's background queues (ListCippQueue; HTTP Functions/CIPP/Core/Invoke-ListCippQueue.ps1)."""

from __future__ import annotations

import json
from typing import Any, Protocol

import anyio

from cipp_mcp.calls.jobs import Progress
from cipp_mcp.calls.tenants import ALL_TENANTS
from cipp_mcp.connection.wire import Answer, Request
from cipp_mcp.registry import Endpoint
from cipp_mcp.registry.words import split_name

_POLL_SECONDS = (0.3, 0.7, 1.0, 2.0, 3.0, 5.0)
_UNKNOWN_QUEUE_SECONDS = 10.0
_DONE = ("completed", "failed")


class Client(Protocol):
    """What is needed of an HTTP client; `cipp_mcp.connection.client.CippClient` is the one."""

    async def send(self, request: Request) -> Answer: ...


class Queues:
    """Waits for the queues that AllTenants reads start."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def wait(self, queue_id: str, progress: Progress) -> None:
        """Returns when the queue is complete, or CIPP no longer knows it."""
        waits = iter(_POLL_SECONDS)
        while True:
            rows = await self._rows({"QueueId": queue_id})
            if not rows or not _running(rows[0]):
                return
            _say(rows[0], progress)
            await anyio.sleep(next(waits, _POLL_SECONDS[-1]))

    async def wait_for_run(self, endpoint: Endpoint, request: Request, progress: Progress, *, started: bool) -> None:
        """Waits for the run behind an endpoint that answers with a placeholder row and does not name its queue.

        Repeating such a call before its first row is there starts another run over all tenants, and rows of a run
        that is still going look like all of them. `started` says that a placeholder came, so that there is a run.
        """
        if request.query.get("tenantFilter") != ALL_TENANTS:
            if started:
                await anyio.sleep(_POLL_SECONDS[-1])
            return
        words = {word.lower() for word in split_name(endpoint.name)[1:]}
        rows = [row for row in await self._rows({}) if _running(row) and _names(row) & words]
        if rows:
            newest = max(rows, key=lambda row: str(row.get("Timestamp", "")))
            await self.wait(str(newest.get("RowKey") or ""), progress)
        elif started and not [row for row in await self._rows({}) if _names(row) & words]:
            progress.say(f"{endpoint.name}: CIPP is gathering the data")
            await anyio.sleep(_UNKNOWN_QUEUE_SECONDS)

    async def _rows(self, query: dict[str, str]) -> list[dict[str, Any]]:
        answer = await self._client.send(Request("ListCippQueue", "GET", query))
        try:
            rows = json.loads(answer.content or b"[]")
        except ValueError:
            return []
        rows = rows if isinstance(rows, list) else [rows]
        return [row for row in rows if isinstance(row, dict)]


def _running(row: dict[str, Any]) -> bool:
    status = str(row.get("Status", ""))
    return bool(status) and not status.lower().startswith(_DONE)


def _names(row: dict[str, Any]) -> set[str]:
    return {word.strip("()-").lower() for word in str(row.get("Name", "")).split()}


def _say(row: dict[str, Any], progress: Progress) -> None:
    done, total = row.get("CompletedTasks"), row.get("TotalTasks")
    if isinstance(done, int | float) and isinstance(total, int | float) and total:
        progress.say(f"{done:g} of {total:g} tenants", float(done), float(total))
    else:
        progress.say(f"CIPP's queue: {row.get('Status')} {row.get('PercentComplete') or ''}".strip())
