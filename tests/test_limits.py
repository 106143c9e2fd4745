"""Calls at once are bounded in all and for each tenant, wait in a fair queue, and are told when it is full."""

from __future__ import annotations

import time
from typing import Any

import anyio
import pytest

from cipp_mcp.connection.retry import retry_after
from cipp_mcp.demo import DemoCipp
from tests.conftest import call, in_memory, read, settings_for
from tests.faults.proxy import FaultProxy
from tests.faults.run import quick

pytestmark = pytest.mark.anyio


async def at_once(client: Any, calls: list[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    """The replies of fresh reads that start together, in the order of `calls`."""
    replies: list[Any] = [None] * len(calls)

    async def one(place: int, name: str, arguments: dict[str, Any]) -> None:
        replies[place] = await read(client, name, {"fresh": True}, **arguments)

    async with anyio.create_task_group() as group:
        for place, (name, arguments) in enumerate(calls):
            group.start_soon(one, place, name, arguments)
    return replies


async def test_cipp_never_sees_more_calls_at_once_than_the_limits_allow(demo: DemoCipp) -> None:
    tenants = [tenant.domain for tenant in demo.state.tenants]
    demo.delay("ListUserCounts", 0.02)
    calls = [("ListUserCounts", {"tenantFilter": tenants[number % 2]}) for number in range(60)]
    with FaultProxy(demo, 1, 1) as proxy:
        lane = proxy.lanes[0]
        settings = settings_for(
            demo, CIPP_OPENAPI="off", CIPP_URL=proxy.url(lane), CIPP_MAX_CONCURRENCY="5", CIPP_MAX_PER_TENANT="3"
        )
        async with in_memory(settings) as client:
            # Identical reads share one call, so every one is told apart by what it asks for.
            different = [(n, {**a, "extra": {"number": str(i)}}) for i, (n, a) in enumerate(calls)]
            replies = await at_once(client, different)
    assert {reply["outcome"] for reply in replies} == {"ok"}
    assert lane.most["all"] == 5
    assert lane.most[tenants[0]] <= 3
    assert lane.most[tenants[1]] <= 3
    assert len(demo.requests) == 60


async def test_a_tenant_with_many_calls_does_not_hold_up_another(demo: DemoCipp) -> None:
    many, few = (tenant.domain for tenant in demo.state.tenants[:2])
    demo.delay("ListUserCounts", 0.02)
    calls = [("ListUserCounts", {"tenantFilter": many, "extra": {"n": str(n)}}) for n in range(20)]
    calls.append(("ListUserCounts", {"tenantFilter": few}))
    async with in_memory(settings_for(demo, CIPP_OPENAPI="off", CIPP_MAX_CONCURRENCY="1")) as client:
        await call(client, "ListTenants")
        demo.requests.clear()
        await at_once(client, calls)
    order = [request.query["tenantFilter"] for request in demo.requests]
    assert order.index(few) <= 2


async def test_calls_beyond_the_queue_are_told_that_the_server_is_busy(demo: DemoCipp) -> None:
    tenant = demo.state.tenants[0].domain
    demo.delay("ListUserCounts", 0.3)
    settings = settings_for(demo, CIPP_OPENAPI="off", CIPP_MAX_CONCURRENCY="1", CIPP_MAX_WAITING="2")
    calls = [("ListUserCounts", {"tenantFilter": tenant, "extra": {"n": str(n)}}) for n in range(6)]
    async with in_memory(settings) as client:
        await call(client, "ListTenants")
        demo.requests.clear()
        replies = await at_once(client, calls)
    assert sorted(reply["outcome"] for reply in replies) == ["failed"] * 3 + ["ok"] * 3
    told = next(reply for reply in replies if reply["outcome"] == "failed")
    assert "busy" in told["messages"][0]
    assert "Nothing was sent" in told["messages"][0]
    assert len(demo.requests) == 3


async def test_a_deployment_that_is_down_fails_at_once_and_is_noticed_when_it_is_back(demo: DemoCipp) -> None:
    with quick(), FaultProxy(demo, 1, 1) as proxy:
        lane = proxy.lanes[0]
        async with in_memory(settings_for(demo, CIPP_OPENAPI="off", CIPP_URL=proxy.url(lane))) as client:
            lane.script.extend(["reset at connect"] * 100)
            for _ in range(2):
                assert (await read(client, "ListTenants", {"fresh": True}))["outcome"] == "failed"
            tried = 100 - len(lane.script)
            began = time.monotonic()
            quickly = await read(client, "ListTenants", {"fresh": True})
            assert time.monotonic() - began < 0.5
            assert "did not answer 8 times in a row" in quickly["messages"][0]
            assert "Nothing was sent" in quickly["messages"][0]
            assert 100 - len(lane.script) == tried == 8
            lane.script.clear()
            await anyio.sleep(0.06)  # the pause of the breaker is what is tested
            assert (await read(client, "ListTenants", {"fresh": True}))["outcome"] == "ok"


async def test_an_endpoint_that_is_broken_alone_does_not_take_others_with_it(demo: DemoCipp) -> None:
    demo.answer("ListUserCounts", status=502, body=b"")
    tenant = demo.state.tenants[0].domain
    with quick():
        async with in_memory(settings_for(demo)) as client:
            for _ in range(4):
                await read(client, "ListUserCounts", {"fresh": True}, tenantFilter=tenant)
            assert (await call(client, "ListTenants"))["outcome"] == "ok"


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_a_read_is_repeated_after_a_refusal_or_an_outage(demo: DemoCipp, status: int) -> None:
    demo.answer("ListTenants", status=status, body=b"", times=2, headers={"Retry-After": "0"})
    async with in_memory(settings_for(demo)) as client:
        assert (await call(client, "ListTenants"))["outcome"] == "ok"
    assert [request.status for request in demo.requests] == [status, status, 200]


@pytest.mark.parametrize(("status", "sent", "outcome"), [(429, 2, "ok"), (502, 1, "unknown"), (504, 1, "unknown")])
async def test_a_change_is_repeated_only_when_it_surely_was_not_executed(
    demo: DemoCipp, status: int, sent: int, outcome: str
) -> None:
    tenant = demo.state.tenants[0]
    demo.answer("ExecHideFromGAL", status=status, body=b"", times=1, headers={"Retry-After": "0"})
    arguments = {"tenantFilter": tenant.domain, "ID": next(iter(tenant.mailboxes)), "HidefromGAL": True}
    async with in_memory(settings_for(demo, CIPP_ACCESS="write")) as client:
        reply = await call(client, "cipp_change", name="ExecHideFromGAL", arguments=arguments)
    assert reply["outcome"] == outcome
    assert [request.endpoint for request in demo.requests].count("ExecHideFromGAL") == sent


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        ("0", None, 0),
        (" 17 ", None, 17),
        ("Wed, 21 Oct 2026 07:28:30 GMT", "Wed, 21 Oct 2026 07:28:00 GMT", 30),
        ("Wed, 21 Oct 2020 07:28:00 GMT", None, 0),
        ("soon", None, None),
        ("-1", None, None),
        ("", None, None),
        (None, None, None),
    ],
)
def test_every_form_of_retry_after_is_understood(value: str | None, date: str | None, seconds: float | None) -> None:
    assert retry_after(value, date) == seconds
