"""How CIPP wraps, delays and unrolls its answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from cipp_mcp.demo.calls import Answer, Call, Refused
from cipp_mcp.demo.world.queues import Queue
from cipp_mcp.demo.world.seeds import guid, stamp

Rows = list[dict[str, Any]]


def unrolled(rows: list[Any]) -> Any:
    """What a PowerShell variable without ``@()`` turns into: nothing for no row, the row itself for one."""
    if not rows:
        return Answer(b"")
    return rows[0] if len(rows) == 1 else rows


def as_text(value: Any) -> Answer:
    """JSON that the handler serialised itself, which goes out as text."""
    return Answer(json.dumps(value, ensure_ascii=False, indent=2))


def single_tenant(call: Call) -> None:
    """Ends the call for AllTenants, as handlers do that hand the name to Graph or Exchange."""
    if call.all_tenants:
        text = "AADSTS90002: Tenant 'AllTenants' not found. Check to make sure you have the correct tenant ID."
        raise Refused(Answer([f"Could not get token: {text}"], 403))


def from_report(call: Call) -> bool:
    """Whether the call reads the reporting database."""
    return call.flag("UseReportDB")


def with_tenant(call: Call, make: Callable[[Any], Rows]) -> Rows:
    """The rows of every tenant of the call, each with its tenant and the age of the cache."""
    age = {"CacheTimestamp": stamp(call.state.today)}
    return [{**row, "Tenant": tenant.domain, **age} for tenant in call.tenants for row in make(tenant)]


def queued(call: Call, name: str, rows: Callable[[], Rows], flagged: bool = False, key: str = "") -> Any:
    """Results and metadata; for all tenants the first call starts a queue and has no rows.

    The queue is finished after a number of looks at it, by ListCippQueue or by repeating the call. `flagged` adds
    ``Queued``, which only two endpoints set; `key` keeps apart calls of one endpoint that ask for different things.
    """
    reference = f"{call.tenant_name or ''}-{call.endpoint}{key and '-'}{key}"
    queue = call.state.queues.of(reference)
    if queue is not None and not call.flag("SkipCache"):
        if not queue.done:
            queue.look()
        if queue.done:
            return {"Results": rows(), "Metadata": {"QueueId": None}}
        still = f"Still loading data for {_whom(call)}, ask again a little later"
        return {"Results": [], "Metadata": {"QueueMessage": still, "QueueId": queue.id, **_mark(flagged)}}
    queue = start(call, name, reference)
    text = f"Loading data for {_whom(call)}, ask again in a few minutes"
    return {"Results": [], "Metadata": {"QueueMessage": text, "QueueId": queue.id, **_mark(flagged)}}


def placeholder(call: Call, name: str, row: dict[str, Any], rows: Callable[[], Rows]) -> Any:
    """A made-up row that says "Loading" until the queue behind it is finished; its id is not told."""
    reference = f"AllTenants-{call.endpoint}"
    queue = call.state.queues.of(reference)
    if queue is None:
        start(call, name, reference)
        return [row]
    if not queue.done:
        queue.look()
    return rows() if queue.done else [row]


def start(call: Call, name: str, reference: str) -> Queue:
    """A new queue over the tenants of the call."""
    state = call.state
    tenants = call.tenants
    queue_id = guid(state.seed, "queue", reference, len(state.queues))
    tasks = [tenant.domain for tenant in tenants]
    return state.queues.start(
        Queue(queue_id, name, reference, len(tenants), state.queue_polls, stamp(state.today), tasks=tasks)
    )


def _whom(call: Call) -> str:
    return "all tenants" if call.all_tenants else str(call.tenant_name)


def _mark(flagged: bool) -> dict[str, Any]:
    return {"Queued": True} if flagged else {}
