"""``python -m tests.benchmarks.soak [rounds]``: rounds of 1,000 reads at once; memory has to stay flat, limits be kept."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from cipp_mcp.demo import DemoCipp
from tests.benchmarks.peer import StdioPeer
from tests.faults.proxy import FaultProxy

_AT_ONCE = 1000
_MOST, _MOST_PER_TENANT = 8, 6


def _reads(demo: DemoCipp, offset: int) -> list[tuple[str, dict[str, Any]]]:
    tenants = demo.state.tenants
    calls = []
    for number in range(_AT_ONCE):
        given = {"tenantFilter": tenants[number % len(tenants)].domain, "extra": {"number": str(offset + number)}}
        arguments = {"name": "ListUserCounts", "arguments": given, "fresh": True}
        calls.append(("tools/call", {"name": "cipp_read", "arguments": arguments}))
    return calls


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    with DemoCipp() as demo, FaultProxy(demo, 1, 1) as proxy:
        lane = proxy.lanes[0]
        settings = {
            "CIPP_OPENAPI": "off",
            "CIPP_URL": proxy.url(lane),
            "CIPP_MAX_WAITING": str(_AT_ONCE),
            "CIPP_WAIT_SECONDS": "600",
        }
        peer = StdioPeer("cipp_mcp", demo.environment() | settings)
        memory = []
        for number in range(rounds):
            began = time.monotonic()
            results = peer.requests(_reads(demo, number * _AT_ONCE))
            bodies = [json.loads(result["content"][0]["text"].split("\n")[1]) for result in results]
            good = sum(body["outcome"] == "ok" for body in bodies)
            memory.append(peer.resident_megabytes)
            seconds = time.monotonic() - began
            print(f"{_AT_ONCE} reads at once in {seconds:5.1f} s: {good} ok; {memory[-1]:6.1f} MB", flush=True)
            if good < _AT_ONCE:
                print(next(body for body in bodies if body["outcome"] != "ok"))
        peer.close()
        per_tenant = max(lane.most[tenant.domain] for tenant in demo.state.tenants)
        print(f"most calls that the embedded CIPP saw at once: {lane.most['all']}, for one tenant {per_tenant}")
        print(f"executed: {len(demo.requests)} of {rounds * _AT_ONCE}")
    return 0 if lane.most["all"] <= _MOST and per_tenant <= _MOST_PER_TENANT else 1


if __name__ == "__main__":
    raise SystemExit(main())
