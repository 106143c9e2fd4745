"""Seeded runs over reads and changes through the fault proxy, each judged by what the embedded CIPP saw."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from mcp import Client

from cipp_mcp.demo import DemoCipp
from tests.conftest import body, in_memory, settings_for
from tests.faults.kinds import CONNECTION_FAULTS, FAULTS
from tests.faults.proxy import FaultProxy, Lane

TIMEOUT = 1.0
_LEEWAY = 1.5
_TYPED = ("ok", "failed", "partial", "unknown")
_HOPELESS = ("stall before the answer", "stall in the body", "slow drip", "handshake stalls")
"""Faults that cost their whole time-out: a run has one of them at most."""

_NO_ROWS = "nothing instead"
"""CIPP writes an empty list so, and nobody can tell them apart."""


@dataclass
class Report:
    """What came of all runs."""

    outcomes: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    problems: list[str] = field(default_factory=list)
    claims: dict[str, tuple[str, str]] = field(default_factory=dict)
    tasks_left: int = 0
    sockets_left: int = 0
    megabytes_grown: float = 0.0


@contextmanager
def quick() -> Iterator[None]:
    """Shorter pauses, and bounds that a small fault can reach."""
    with (
        mock.patch("cipp_mcp.connection.retry._FIRST_PAUSE", 0.02),
        mock.patch("cipp_mcp.connection.client._STALL_SECONDS", 0.4),
        mock.patch("cipp_mcp.connection.client._MAX_BODY", 8 * 1024 * 1024),
        mock.patch("cipp_mcp.connection.breaker._FIRST_PAUSE", 0.05),
        mock.patch("cipp_mcp.connection.breaker._LONGEST_PAUSE", 0.05),
    ):
        yield


async def run_all(demo: DemoCipp, count: int, seed: int, lanes: int = 6) -> Report:
    """Makes `count` runs on `lanes` servers at once, each with a proxy port of its own."""
    report = Report()
    gc.collect()
    numbers = iter(range(count))
    with quick(), FaultProxy(demo, lanes, seed) as proxy:
        async with AsyncExitStack() as stack:
            audit = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "audit.jsonl"
            clients = [await stack.enter_async_context(_client(demo, proxy, lane, audit)) for lane in proxy.lanes]
            before, sockets, memory = 0, 0, 0.0

            async def work(lane: Lane, client: Client) -> None:
                for number in numbers:
                    await _one(demo, lane, client, random.Random(f"{seed} {number}"), f"run{seed}x{number}x", report)

            # Everything that is made once is there before anything is counted.
            for client in clients:
                await client.call_tool("ListTenants", {})
            before, sockets, memory = len(asyncio.all_tasks()), _sockets(), _resident()
            await asyncio.gather(*(work(*pair) for pair in zip(proxy.lanes, clients, strict=True)))
            # Connections that were given up close when the other side notices, which takes longer on a busy machine.
            for _ in range(50):
                await asyncio.sleep(0.1)
                gc.collect()
                if _sockets() - sockets <= lanes:
                    break
            report.tasks_left = len(asyncio.all_tasks()) - before
            report.sockets_left = _sockets() - sockets
            report.megabytes_grown = _resident() - memory
    _judge_changes(demo, report)
    return report


def _client(demo: DemoCipp, proxy: FaultProxy, lane: Lane, audit: Path) -> Any:
    settings = settings_for(
        demo,
        CIPP_OPENAPI="off",
        CIPP_URL=proxy.url(lane),
        CIPP_TIMEOUT=str(TIMEOUT),
        CIPP_ACCESS="write",
        CIPP_AUDIT_LOG=str(audit),
    )
    return in_memory(settings)


async def _one(demo: DemoCipp, lane: Lane, client: Client, chance: random.Random, mark: str, report: Report) -> None:
    kinds = [*FAULTS, *CONNECTION_FAULTS]
    script = [chance.choice(kinds)]
    while chance.random() < 0.5 and len(script) < 5:
        another = chance.choice(kinds)
        if another not in _HOPELESS:
            script.append(another)
    lane.script.clear()
    lane.script.extend(script)
    is_change = chance.random() < 0.5
    tenant = chance.choice(demo.state.tenants)
    began = time.monotonic()
    if is_change:
        user = chance.choice(list(tenant.mailboxes))
        arguments: dict[str, Any] = {
            "tenantFilter": tenant.domain,
            "userId": user,
            "AutoReplyState": "Enabled",
            "ExternalMessage": mark,
        }
        tool, name = "cipp_change", "ExecSetOoO"
    else:
        tool, name, arguments = "cipp_read", "ListMailboxes", {"tenantFilter": tenant.domain}
    more = {} if is_change else {"fresh": True}
    result = await client.call_tool(tool, {"name": name, "arguments": arguments, **more})
    seconds = time.monotonic() - began
    result.content[0].text.encode("utf-8")  # type: ignore[union-attr]
    reply = body(result)
    told = f"{mark} {script} {tool}: {json.dumps(reply)[:400]}"
    report.slowest = max(report.slowest, seconds)
    report.outcomes[f"{tool} {reply['outcome']}"] += 1
    report.faults[script[0]] += 1
    if reply["outcome"] not in _TYPED:
        report.problems.append(f"not a typed outcome: {told}")
    if seconds > TIMEOUT + _LEEWAY:
        report.problems.append(f"took {seconds:.1f} s: {told}")
    if "itself failed" in json.dumps(reply):
        report.problems.append(f"an unexpected failure: {told}")
    if is_change:
        report.claims[mark] = (reply["outcome"], told)
    elif reply["outcome"] == "ok" and reply.get("total") != len(tenant.mailboxes) and _NO_ROWS not in script:
        report.problems.append(f"ok, but not all rows: {told}")


def _judge_changes(demo: DemoCipp, report: Report) -> None:
    """Compares what was claimed of each change with what the embedded CIPP executed."""
    executed: Counter[str] = Counter()
    for request in demo.requests:
        if request.endpoint == "ExecSetOoO" and request.status < 400:
            executed[str(request.body.get("ExternalMessage"))] += 1
    for mark, (outcome, told) in report.claims.items():
        times = executed[mark]
        if times > 1:
            report.problems.append(f"executed {times} times: {told}")
        if outcome in ("ok", "partial") and times == 0:
            report.problems.append(f"claimed but never executed: {told}")
        if outcome == "failed" and times > 0:
            report.problems.append(f"executed but claimed to have failed: {told}")


def _sockets() -> int:
    """Open sockets of this process, where the system tells (Linux)."""
    try:
        names = os.listdir("/proc/self/fd")
    except OSError:
        return 0
    count = 0
    for name in names:
        try:
            count += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
        except OSError:
            continue
    return count


def _resident() -> float:
    """Megabytes that this process holds, where the system tells (Linux)."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except OSError:
        return 0.0
