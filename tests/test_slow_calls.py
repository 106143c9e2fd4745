"""Slow calls go on behind a handle and report what they wait for; cancelled reads end at once, changes are left to finish."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from mcp_types import CallToolRequestParams

from cipp_mcp.calls.confirm import Confirmations
from cipp_mcp.calls.jobs import Jobs, Progress
from cipp_mcp.demo import DemoCipp
from cipp_mcp.server.host import McpHost
from tests.conftest import ERAS, call, in_memory, read, settings_for, text_of
from tests.faults.proxy import FaultProxy

pytestmark = pytest.mark.anyio


def forward(demo: DemoCipp) -> dict[str, Any]:
    tenant = demo.state.tenants[0]
    arguments = {"tenantFilter": tenant.domain, "ID": next(iter(tenant.mailboxes)), "HidefromGAL": True}
    return {"name": "ExecHideFromGAL", "arguments": arguments}


async def sent(demo: DemoCipp, endpoint: str) -> None:
    """Returns when the embedded CIPP has answered a call of `endpoint`."""
    with anyio.fail_after(10):
        while endpoint not in [request.endpoint for request in demo.requests]:
            await anyio.sleep(0.01)  # another thread gives no event to wait for


@pytest.mark.parametrize("era", ERAS)
async def test_a_slow_read_returns_a_handle_and_its_rows_come_with_it(demo: DemoCipp, era: str) -> None:
    demo.delay("ListTenants", 1.2, times=1)
    async with in_memory(settings_for(demo, CIPP_WAIT_SECONDS="1"), era) as client:
        pending = await call(client, "ListTenants")
        assert pending["outcome"] == "pending"
        assert "waiting for CIPP" in pending["messages"][0]
        done = await call(client, "cipp_read", name="ListTenants", resume=pending["resume"])
        assert done["outcome"] == "ok"
        assert done["total"] == len(demo.state.tenants)
    assert [request.endpoint for request in demo.requests] == ["ListTenants"]


async def test_waiting_for_the_tenants_is_told_and_bounded(demo: DemoCipp) -> None:
    """A change has to know the tenants before it is planned."""
    told: list[str | None] = []

    async def progress(progress: float, total: float | None, message: str | None) -> None:
        told.append(message)

    demo.delay("ListTenants", 4.5, times=1)
    async with in_memory(settings_for(demo, CIPP_ACCESS="write", CIPP_WAIT_SECONDS="4")) as client:
        given_up = await client.call_tool("cipp_change", forward(demo), progress_callback=progress)
        assert "ListTenants" in text_of(given_up)
        assert given_up.is_error
        assert "ListTenants" in (told[0] or "")
        assert (await call(client, "cipp_change", **forward(demo)))["outcome"] == "ok"
    assert [request.endpoint for request in demo.requests] == ["ListTenants", "ExecHideFromGAL"]


async def test_a_cancelled_read_closes_its_request_and_frees_its_place(demo: DemoCipp) -> None:
    with FaultProxy(demo, 1, 1) as proxy:
        lane = proxy.lanes[0]
        settings = settings_for(demo, CIPP_OPENAPI="off", CIPP_URL=proxy.url(lane), CIPP_MAX_CONCURRENCY="1")
        async with in_memory(settings) as client:
            await call(client, "ListTenants")
            with anyio.fail_after(10):
                while lane.exchanges:
                    await anyio.sleep(0.01)
                lane.script.append("stall before the answer")
                async with anyio.create_task_group() as group:

                    async def stalled() -> None:
                        await read(client, "ListUserCounts", tenantFilter=demo.state.tenants[0].domain)

                    group.start_soon(stalled)
                    while lane.script or not lane.exchanges:
                        await anyio.sleep(0.01)  # until the proxy has it
                    group.cancel_scope.cancel()
                while lane.exchanges:  # the proxy sees the connection closed
                    await anyio.sleep(0.01)
                reply = await read(client, "ListUserCounts", tenantFilter=demo.state.tenants[0].domain)
    assert reply["outcome"] == "ok"


async def test_a_read_that_somebody_else_waits_for_survives_a_cancellation(demo: DemoCipp) -> None:
    demo.delay("ListUserCounts", 0.5)
    tenant = demo.state.tenants[0].domain
    replies = []
    async with in_memory(settings_for(demo)) as client:

        async def stays() -> None:
            replies.append(await read(client, "ListUserCounts", tenantFilter=tenant))

        async with anyio.create_task_group() as group:
            group.start_soon(stays)
            with anyio.move_on_after(0.2):
                await read(client, "ListUserCounts", tenantFilter=tenant)
    assert replies[0]["outcome"] == "ok"
    assert [request.endpoint for request in demo.requests] == ["ListUserCounts"]


@pytest.mark.parametrize("era", ERAS)
async def test_a_cancelled_change_is_left_to_finish_and_its_outcome_is_kept(
    demo: DemoCipp, era: str, tmp_path: Path
) -> None:
    demo.delay("ExecHideFromGAL", 0.8, times=1)
    audit = tmp_path / "audit.jsonl"
    settings = settings_for(demo, CIPP_ACCESS="write", CIPP_AUDIT_LOG=str(audit))
    async with in_memory(settings, era) as client:
        await call(client, "ListTenants")
        with anyio.move_on_after(0.4) as given_up:
            await call(client, "cipp_change", **forward(demo))
        assert given_up.cancelled_caught
        await sent(demo, "ExecHideFromGAL")
        unknown = await call(client, "cipp_change", name="ExecHideFromGAL", arguments={}, resume="j99")
        handle = unknown["messages"][0].split("Known: ")[1].rstrip(".")
        kept = await call(client, "cipp_change", name="ExecHideFromGAL", arguments={}, resume=handle)
    assert kept["outcome"] == "ok"
    lines = [json.loads(line) for line in audit.read_text(encoding="ascii").splitlines()]
    assert [line.get("outcome") for line in lines] == [None, "ok"]


@pytest.mark.parametrize("era", ERAS)
async def test_a_host_hears_what_a_slow_call_waits_for(
    demo: DemoCipp, era: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cipp_mcp.calls.jobs._QUICK", 0.1)
    monkeypatch.setattr("cipp_mcp.calls.jobs._REPORT_EVERY", 0.1)
    heard: list[tuple[float, float | None, str | None]] = []
    tenant = demo.state.tenants[0].domain
    demo.delay("ListUserCounts", 0.5, times=2)

    async def listen(progress: float, total: float | None, message: str | None) -> None:
        heard.append((progress, total, message))

    async with in_memory(settings_for(demo, CIPP_MAX_CONCURRENCY="1"), era) as client:
        await call(client, "ListTenants")
        async with anyio.create_task_group() as group:
            for number in range(2):
                arguments = {"name": "ListUserCounts", "arguments": {"tenantFilter": tenant, "extra": {"n": number}}}

                async def one(arguments: dict[str, Any] = arguments) -> None:
                    await client.call_tool("cipp_read", arguments, progress_callback=listen)

                group.start_soon(one)
    assert any("ListUserCounts" in str(message) for _, _, message in heard)
    assert any("waiting for a place" in str(message) for _, _, message in heard)


async def test_what_an_mcp_host_hears_of_progress_only_grows_whatever_is_counted() -> None:
    heard: list[tuple[float, float | None]] = []

    async def note(done: float, total: float | None, _message: str) -> None:
        heard.append((done, total))

    session = SimpleNamespace(report_progress=note)
    host = McpHost(SimpleNamespace(session=session), CallToolRequestParams(name="x"), "local", Confirmations(None))
    for done, total in ((None, None), (0.0, 4.0), (1.0, 4.0), (1.0, 4.0), (3.0, 4.0), (None, None)):
        await host.report(done, total, "")
    values = [done for done, _ in heard]
    assert values == sorted(set(values))
    assert [pair for pair in heard if pair[1]] == [(1.0, 4.0), (3.0, 4.0)]


async def test_a_queue_that_never_ends_is_given_up(demo: DemoCipp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cipp_mcp.calls.jobs._LONGEST_READ", 0.5)
    queued = {"Results": [], "Metadata": {"QueueMessage": "Loading data", "QueueId": "q"}}
    demo.answer("ListGraphRequest", body=queued)
    demo.answer("ListCippQueue", body=[{"Status": "Running", "PercentComplete": 1}])
    began = time.monotonic()
    async with in_memory(settings_for(demo)) as client:
        reply = await read(client, "ListGraphRequest", tenantFilter=demo.state.tenants[0].domain, Endpoint="users")
    assert reply["outcome"] == "failed"
    assert "given up" in reply["messages"][0]
    assert time.monotonic() - began < 3


async def test_finished_calls_are_not_kept_for_ever(demo: DemoCipp) -> None:
    async with anyio.create_task_group() as group:
        jobs = Jobs(group)

        async def nothing(_progress: Progress) -> None:
            return None

        async def silent(_done: float | None, _total: float | None, _message: str) -> None:
            return None

        for _ in range(500):
            assert await jobs.wait(jobs.start("x", True, nothing), 1, silent)
        assert len(jobs.all()) <= 1
