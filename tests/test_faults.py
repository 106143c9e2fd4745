"""A hundred seeded runs of the fault suite; ``python -m tests.faults`` makes as many as wanted."""

from __future__ import annotations

import pytest

from cipp_mcp.demo import DemoCipp
from tests.conftest import in_memory, read, settings_for
from tests.faults.run import TIMEOUT, run_all

pytestmark = pytest.mark.anyio


async def test_every_fault_ends_in_a_true_outcome_in_time_and_leaves_nothing_behind(demo: DemoCipp) -> None:
    report = await run_all(demo, 100, seed=1, lanes=12)
    assert report.problems == []
    assert sum(report.outcomes.values()) == 100
    assert {outcome.split()[1] for outcome in report.outcomes} == {"ok", "failed", "unknown"}
    assert report.slowest < TIMEOUT + 1
    assert report.tasks_left <= 0
    assert report.sockets_left <= 12  # each server may keep one connection to the authority


async def test_a_name_that_does_not_resolve_is_told_apart_from_a_host_that_is_down(demo: DemoCipp) -> None:
    async with in_memory(settings_for(demo, CIPP_URL="https://cipp.invalid")) as client:
        reply = await read(client, "ListTenants")
    assert reply["outcome"] == "failed"
    assert "could not be resolved" in reply["messages"][0]
    assert "DNS" in reply["hint"]
