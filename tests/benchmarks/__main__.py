"""``python -m tests.benchmarks [pairs] [stdio|http]``: this server beside a bare one, in interleaved pairs.

The bare server is a lowlevel `mcp` server that makes the same httpx call and returns the body. Medians of times;
processor time is per call, since wall time on a shared machine says little. The limits are the project's own.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.benchmarks.http_peer import HttpPeer
from tests.benchmarks.peer import StdioPeer

_CALLS = 40
_TOGETHER = 64
_WARM_UP = 3

Peer = StdioPeer | HttpPeer
PEERS: dict[str, type[StdioPeer] | type[HttpPeer]] = {"stdio": StdioPeer, "http": HttpPeer}
"""How a server is started and talked to, by transport."""


@dataclass
class Line:
    """One row of the table: what was measured on each side, and what the ratio or the difference may be."""

    name: str
    unit: str
    limit: float | None = None
    ours: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    difference: bool = False

    def text(self) -> str:
        ours = statistics.median(self.ours)
        if not self.bare:
            return f"{self.name:32}{ours:10.2f}{'':>10} {self.unit:4}"
        bare = statistics.median(self.bare)
        if self.difference:
            value, shown = ours - bare, f"{ours - bare:+8.2f} {self.unit}"
        else:
            # The median of the pairs' ratios: what disturbs one of a pair usually disturbs the other.
            value = statistics.median(o / b for o, b in zip(self.ours, self.bare, strict=True) if b)
            shown = f"{value:8.2f}×"
        verdict = "" if self.limit is None else "ok" if value <= self.limit else f"above {self.limit:g}"
        return f"{self.name:32}{ours:10.2f}{bare:10.2f} {self.unit:4}{shown:>14}  {verdict}"


@contextmanager
def world() -> Iterator[dict[str, Any]]:
    """An embedded CIPP in another process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.world"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait(timeout=10)
        process.stdout.close()


def starts(peer: type[StdioPeer] | type[HttpPeer], place: dict[str, Any], pairs: int) -> Iterator[Line]:
    """Start to the answer of initialize, and the memory that an idle server holds."""
    start = Line("start to initialize", "ms", 1.25)
    memory = Line("peak memory, idle", "MB", 1.35)
    for number in range(pairs + 1):
        for into, megabytes, module, environment in (
            (start.bare, memory.bare, "tests.benchmarks.bare", {}),
            (start.ours, memory.ours, "cipp_mcp", place["environment"]),
        ):
            process = peer(module, environment)
            if number:  # the first pair compiles bytecode and fills the system's caches
                into.append(process.started * 1000)
                megabytes.append(process.peak_megabytes)
            process.close()
    yield from (start, memory)


def calls(peer: type[StdioPeer] | type[HttpPeer], place: dict[str, Any], pairs: int) -> Iterator[Line]:
    """What a running server takes for each kind of request."""
    bare_environment = {
        "BARE_URL": place["environment"]["CIPP_URL"],
        "BARE_TOKEN": place["token"],
        "SSL_CERT_FILE": place["environment"]["SSL_CERT_FILE"],
    }
    bare = peer("tests.benchmarks.bare", bare_environment)
    ours = peer("cipp_mcp", place["environment"])
    tenant = place["tenant"]
    lists: tuple[str, dict[str, Any]] = ("tools/list", {})
    yield from _compare("tools/list", ours, [lists], bare, [lists], pairs)
    search = ("tools/call", {"name": "cipp_search", "arguments": {"query": "which users have no MFA", "limit": 5}})
    yield from _compare("search", ours, [search], None, [], pairs)
    for endpoint, rows, limit, cpu in (("ListGroups", "3 rows", 1.25, 1.0), ("ListUsers", "2,000 rows", None, None)):
        arguments = {"name": endpoint, "arguments": {"tenantFilter": tenant}, "fresh": True}
        read = ("tools/call", {"name": "cipp_read", "arguments": arguments})
        path = f"/api/{endpoint}?tenantFilter={tenant}"
        get = ("tools/call", {"name": "get", "arguments": {"path": path}})
        yield from _compare(f"one read, {rows}", ours, [read], bare, [get], pairs, limit, cpu)
        if rows == "3 rows":
            several = [_read_of(tenant, number) for number in range(_TOGETHER)]
            yield from _compare(
                f"{_TOGETHER} reads at once", ours, several, bare, [get] * _TOGETHER, max(3, pairs // 4)
            )
    yield Line("peak memory, after all", "MB", None, [ours.peak_megabytes], [bare.peak_megabytes])
    ours.close()
    bare.close()


def _read_of(tenant: str, number: int) -> tuple[str, dict[str, Any]]:
    """A read that shares nothing with others of another number."""
    given = {"tenantFilter": tenant, "extra": {"number": str(number)}}
    return "tools/call", {"name": "cipp_read", "arguments": {"name": "ListGroups", "arguments": given, "fresh": True}}


def _compare(
    name: str,
    ours: Peer,
    our_requests: list[tuple[str, dict[str, Any]]],
    bare: Peer | None,
    bare_requests: list[tuple[str, dict[str, Any]]],
    pairs: int,
    limit: float | None = None,
    cpu_limit: float | None = None,
) -> list[Line]:
    time_line = Line(name, "ms", limit)
    cpu_line = Line("   processor time per call", "ms", cpu_limit, difference=True)
    sides = [(ours, our_requests, time_line.ours, cpu_line.ours)]
    if bare is not None:
        sides.insert(0, (bare, bare_requests, time_line.bare, cpu_line.bare))
    calls_of_round = max(1, _CALLS // len(our_requests))
    for _ in range(_WARM_UP):
        for peer, requests, _, _ in sides:
            _check(peer.requests(requests))
    used = {id(cpu): 0.0 for *_, cpu in sides}
    for _ in range(pairs):
        for peer, requests, times, cpu in sides:
            before = peer.cpu_seconds
            for _ in range(calls_of_round):
                began = time.perf_counter()
                peer.requests(requests)
                times.append((time.perf_counter() - began) * 1000)
            used[id(cpu)] += peer.cpu_seconds - before
    for _, requests, times, cpu in sides:
        cpu.append(used[id(cpu)] * 1000 / (len(times) * len(requests)))
    return [time_line, cpu_line]


def _check(results: list[dict[str, Any]]) -> None:
    for result in results:
        assert "tools" in result or not result.get("isError"), str(result)[:500]


def main() -> None:
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    transport = sys.argv[2] if len(sys.argv) > 2 else "stdio"
    if transport not in PEERS:
        raise SystemExit(f"{transport!r} is no transport; there are {', '.join(PEERS)}")
    with world() as place:
        print(f"{transport}, {pairs} interleaved pairs, medians")
        print(f"{'':32}{'cipp-mcp':>10}{'bare':>10} {'':4}{'beside bare':>14}  limit")
        for measure in (starts, calls):
            for line in measure(PEERS[transport], place, pairs):
                print(line.text(), flush=True)


if __name__ == "__main__":
    main()
