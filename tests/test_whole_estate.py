"""Questions over all tenants: queues followed, fan-out where CIPP cannot, progress shown, few tokens spent."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

import anyio
import pytest

from cipp_mcp.demo import DemoCipp
from cipp_mcp.results.budget import tokens
from tests.conftest import ERAS, body, call, in_memory, over_stdio, read, settings_for, text_of

pytestmark = pytest.mark.anyio


@pytest.fixture
def large(shared_demo: DemoCipp, monkeypatch: pytest.MonkeyPatch) -> Iterator[DemoCipp]:
    """An embedded CIPP of 12 tenants and 20,000 users."""
    assert shared_demo
    with DemoCipp(users=20_000, tenants=12) as demo:
        yield demo


async def test_a_question_over_every_tenant_costs_five_calls_and_few_tokens(large: DemoCipp) -> None:
    """Which licensed users in which departments have no MFA and have not signed in for 90 days, across all tenants?"""
    spent, calls = 0, 0
    async with over_stdio(large.environment()) as client:

        async def ask(tool: str, **arguments: Any) -> dict[str, Any]:
            nonlocal spent, calls
            result = await client.call_tool(tool, arguments)
            spent += tokens(text_of(result))
            calls += 1
            return body(result)

        found = await ask("cipp_search", query="licensed users without MFA who have not signed in for 90 days")
        names = [hit.split()[0] for hit in found["hits"]]
        assert {"ListMFAUsers", "ListInactiveAccounts"} <= set(names)
        everywhere = {"tenantFilter": "AllTenants"}
        mfa = await ask("cipp_read", name="ListMFAUsers", arguments=everywhere, limit=1)
        inactive = await ask(
            "cipp_read", name="ListInactiveAccounts", arguments=everywhere | {"InactiveDays": 90}, limit=1
        )
        select = {"Endpoint": "users", "odata_select": "id,department"}
        users = await ask("cipp_read", name="ListGraphRequest", arguments=everywhere | select, limit=1)
        sql = (
            f"SELECT u.department, count(*) AS users FROM {inactive['result']} i "
            f"JOIN {mfa['result']} m ON m.ID = i.azureAdUserId JOIN {users['result']} u ON u.id = i.azureAdUserId "
            "WHERE m.isLicensed AND NOT m.MFARegistration GROUP BY 1 ORDER BY 2 DESC"
        )
        answer = await ask("cipp_query", sql=sql)

    long_ago = (large.state.today - datetime.timedelta(days=90)).strftime("%Y-%m-%dT%H:%M:%SZ")
    expected: dict[str, int] = {}
    for tenant in large.state.tenants:
        for identifier, user in tenant.users.items():
            activity = user["signInActivity"] or {}
            seen = [activity[name] for name in ("lastSignInDateTime", "lastNonInteractiveSignInDateTime") if activity]
            counts = user["accountEnabled"] and user["userType"] == "Member" and user["assignedLicenses"]
            if counts and not tenant.mfa[identifier]["methods"] and (not seen or max(seen) <= long_ago):
                expected[user["department"]] = expected.get(user["department"], 0) + 1
    assert expected
    assert answer["outcome"] == "ok", answer
    assert {row[0]: row[1] for row in answer["rows"]} == expected
    assert calls <= 5
    assert spent <= 4000


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    "name", ["ListMFAUsers", "ListLicenses", "ListConditionalAccessPolicies", "ListTransportRules"]
)
async def test_a_queue_is_followed_to_the_rows_it_gathers(demo: DemoCipp, era: str, name: str) -> None:
    demo.reset()
    async with in_memory(settings_for(demo), era) as client:
        reply = await read(client, name, tenantFilter="AllTenants")
    assert reply["outcome"] == "ok"
    assert reply["total"] > 0
    asked = [request.endpoint for request in demo.requests]
    assert asked.count(name) == 2  # once to start the run, once for its rows
    assert "ListCippQueue" in asked


async def test_where_cipp_knows_no_all_tenants_each_tenant_is_read_into_one_table(demo: DemoCipp) -> None:
    async with in_memory(settings_for(demo)) as client:
        reply = await read(client, "ListUsers", tenantFilter="AllTenants")
        counted = await call(client, "cipp_query", sql=f"SELECT Tenant, count(*) FROM {reply['result']} GROUP BY 1")
    assert dict(map(tuple, counted["rows"])) == {tenant.domain: len(tenant.users) for tenant in demo.state.tenants}


async def test_one_failing_tenant_is_named_and_the_others_are_kept(demo: DemoCipp) -> None:
    demo.answer("ListUsers", status=403, body="Could not get access to the tenant", times=1)
    async with in_memory(settings_for(demo, CIPP_MAX_CONCURRENCY="1")) as client:
        reply = await read(client, "ListUsers", tenantFilter="AllTenants")
    assert reply["outcome"] == "partial"
    assert len(reply["messages"]) == 1
    failed = reply["messages"][0].split(":")[0]
    assert reply["total"] == sum(len(tenant.users) for tenant in demo.state.tenants if tenant.domain != failed)


async def test_a_slow_read_becomes_pending_and_is_resumed(demo: DemoCipp) -> None:
    tenant = demo.state.tenants[0].domain
    demo.answer("ListUserCounts", body={"Users": 1}, delay=1.5)
    async with in_memory(settings_for(demo, CIPP_WAIT_SECONDS="1")) as client:
        first = await read(client, "ListUserCounts", tenantFilter=tenant)
        assert first["outcome"] == "pending"
        with anyio.fail_after(10):
            second = body(await client.call_tool("cipp_read", {"name": "ListUserCounts", "resume": first["resume"]}))
        assert second["outcome"] == "ok"
        assert second["data"] == {"Users": 1}
    assert len(demo.requests) == 1


@pytest.mark.parametrize("era", ERAS)
async def test_progress_is_seen_on_a_slow_read(demo: DemoCipp, era: str) -> None:
    seen: list[str] = []

    async def progress(progress: float, total: float | None, message: str | None) -> None:
        seen.append(message or "")

    demo.answer("ListUserCounts", body={"Users": 1}, delay=1.5)
    async with in_memory(settings_for(demo), era) as client:
        arguments = {"name": "ListUserCounts", "arguments": {"tenantFilter": demo.state.tenants[0].domain}}
        await client.call_tool("cipp_read", arguments, progress_callback=progress)
    assert any("ListUserCounts" in message for message in seen)


async def test_pages_are_followed_to_the_last(demo: DemoCipp) -> None:
    tenant = demo.state.tenants[0]
    async with in_memory(settings_for(demo)) as client:
        arguments: dict[str, Any] = {
            "Endpoint": "users",
            "manualPagination": True,
            "odata_top": "20",
            "odata_select": "id",
        }
        reply = await read(client, "ListGraphRequest", tenantFilter=tenant.domain, **arguments)
    assert reply["total"] == len(tenant.users)
    assert len(demo.requests) > 2


async def test_a_cancelled_read_lets_go_of_its_request(demo: DemoCipp) -> None:
    demo.answer("ListUserCounts", body={"Users": 1}, delay=30)
    tenant = demo.state.tenants[0].domain
    with anyio.fail_after(10):
        async with in_memory(settings_for(demo, CIPP_MAX_CONCURRENCY="1")) as client:
            with anyio.move_on_after(0.5):
                await read(client, "ListUserCounts", tenantFilter=tenant)
            reply = await read(client, "ListTenants")  # the only place is free again
    assert reply["outcome"] == "ok"
