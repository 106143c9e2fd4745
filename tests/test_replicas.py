"""Several instances behind a plain load balancer, sharing what they must through a real Redis."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anyio
import pytest

from cipp_mcp.calls.reply import Reply
from cipp_mcp.calls.shaping import Shaper
from cipp_mcp.demo import DemoCipp
from cipp_mcp.registry import Endpoint
from cipp_mcp.state.redis_state import RedisState
from tests.conftest import call, in_memory, read, settings_for
from tests.faults.proxy import FaultProxy
from tests.over_http import HttpServer, client_of, request, routed, serving, token_file, write
from tests.redis_server import Balancer, RedisServer, is_installed, redis_server
from tests.test_confirming import block

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not os.environ.get("NEED_REDIS"), reason="NEED_REDIS=1 runs these; they need redis-server"),
]
TOKENS = {"alice": "a" * 40, "bob": "b" * 40, "carol": "c" * 40}
KEY = "k" * 40


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    assert is_installed(), "NEED_REDIS=1, but there is no redis-server"
    with redis_server() as server:
        yield server


Start = Callable[..., list[HttpServer]]


@pytest.fixture
def start(demo: DemoCipp, redis: RedisServer, tmp_path: Path) -> Iterator[Start]:
    """Starts instances that share one Redis, and ends them."""
    redis.client.flushall()
    write(tmp_path / "policy", {"callers": {"bob": {"access": "read", "rate": 5}}, "default": {"access": "full"}})
    environment = demo.environment() | {
        "CIPP_ACCESS": "full",
        "CIPP_CONFIRM_FALLBACK": "two-step",
        "CIPP_HTTP_AUTH": "tokens",
        "CIPP_HTTP_TOKENS": str(token_file(tmp_path / "tokens", TOKENS)),
        "CIPP_POLICY": str(tmp_path / "policy"),
        "CIPP_STATE_URL": redis.url,
        "CIPP_STATE_KEY": KEY,
    }
    with ExitStack() as stack:

        def run(count: int = 2, **changes: str) -> list[HttpServer]:
            return [stack.enter_context(serving(environment | changes)) for _ in range(count)]

        yield run


def sent(demo: DemoCipp, endpoint: str) -> int:
    return sum(made.endpoint == endpoint for made in demo.requests)


async def test_search_read_and_query_work_whichever_instance_they_meet(demo: DemoCipp, start: Start) -> None:
    tenant = demo.state.tenants[0]
    with Balancer([server.url for server in start()]) as balancer:
        async with client_of(balancer.url, TOKENS["alice"]) as client:
            found = await call(client, "cipp_search", query="users of a tenant")
            assert "ListUsers" in json.dumps(found)
            kept = await read(client, "ListUsers", {"limit": 1}, tenantFilter=tenant.domain)
            mfa = await read(client, "ListMFAUsers", {"limit": 1}, tenantFilter=tenant.domain)
            assert kept["result"][-5:] != mfa["result"][-5:], "both instances should have read something"
            sql = f"SELECT count(*) AS n FROM {kept['result']} u JOIN {mfa['result']} m ON m.ID = u.id"
            for _ in range(4):
                asked = await call(client, "cipp_query", sql=sql)
                assert asked["rows"][0] == [len(tenant.users)]
            for _ in range(2):
                page = await read(client, "ListUsers", {"cursor": kept["cursor"], "limit": 2})
                assert page["count"] == 2
                contents = (await client.read_resource(f"cipp://results/{kept['result']}")).contents
                assert tenant.domain in json.dumps(contents[0].model_dump(mode="json"))


async def test_a_result_too_large_to_share_says_which_read_to_repeat(demo: DemoCipp, start: Start) -> None:
    domain = demo.state.tenants[0].domain
    rows = [{"id": os.urandom(40).hex(), "displayName": os.urandom(40).hex()} for _ in range(6000)]
    demo.answer("ListUsers", body=rows)
    one, other = start()
    async with client_of(one.url, TOKENS["alice"]) as here, client_of(other.url, TOKENS["alice"]) as there:
        kept = await read(here, "ListUsers", {"limit": 1}, tenantFilter=domain)
        asked = await call(there, "cipp_query", sql=f"SELECT count(*) FROM {kept['result']}")
        assert asked["outcome"] == "refused"
        assert "too large" in asked["messages"][0]
        assert asked["hint"] == f'Repeat the read it came from: ListUsers tenantFilter="{domain}"'
        asked = await call(here, "cipp_query", sql=f"SELECT count(*) FROM {kept['result']}")
        assert asked["rows"] == [[6000]]


async def test_a_confirmation_is_good_at_any_instance_and_once_in_all(demo: DemoCipp, start: Start) -> None:
    tenant = demo.state.tenants[0]
    user = next(user for user in tenant.users.values() if user["accountEnabled"])
    one, other = start()
    async with client_of(one.url, TOKENS["alice"]) as here, client_of(other.url, TOKENS["alice"]) as there:
        plan = await call(here, "cipp_critical", **block(tenant, user))
        assert plan["outcome"] == "confirm"
        outcomes: list[str] = []

        async def confirm(client: Any) -> None:
            reply = await call(client, "cipp_critical", **block(tenant, user), confirmation=plan["confirmation"])
            outcomes.append(reply["outcome"])
            if reply["outcome"] == "refused":
                assert "already been used" in reply["messages"][0]

        async with anyio.create_task_group() as group:
            for client in (there, here, there, here):
                group.start_soon(confirm, client)
    assert sorted(outcomes) == ["ok", "refused", "refused", "refused"]
    assert sent(demo, "ExecDisableUser") == 1


async def test_an_answer_that_a_person_gave_is_good_at_any_instance_and_once(demo: DemoCipp, start: Start) -> None:
    tenant = demo.state.tenants[0]
    user = next(user for user in tenant.users.values() if user["accountEnabled"])
    message = request("cipp_critical", block(tenant, user))
    capabilities: dict[str, Any] = {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}}
    message["params"]["_meta"] = message["params"]["_meta"] | capabilities
    headers = {"Authorization": f"Bearer {TOKENS['alice']}"}
    one, other = start()
    asked = one.post(message, routed(message, **headers)).json()["result"]
    assert asked["resultType"] == "input_required"
    answers = {"confirm": {"action": "accept", "content": {"confirm": True}}}
    message["params"] |= {"inputResponses": answers, "requestState": asked["requestState"]}
    done = other.post(message, routed(message, **headers)).text
    again = one.post(message, routed(message, **headers)).text
    assert '\\"outcome\\":\\"ok\\"' in done
    assert "already been used" in again
    assert sent(demo, "ExecDisableUser") == 1


async def test_a_pending_call_is_resumed_at_any_instance(demo: DemoCipp, start: Start) -> None:
    domain = demo.state.tenants[0].domain
    demo.delay("ListUsers", 4.0)
    one, other = start(CIPP_WAIT_SECONDS="1")
    async with client_of(one.url, TOKENS["alice"]) as here, client_of(other.url, TOKENS["alice"]) as there:
        pending = await read(here, "ListUsers", tenantFilter=domain)
        assert pending["outcome"] == "pending"
        seen = ["pending"]
        with anyio.fail_after(30):
            while seen[-1] == "pending":
                reply = await read(there, "ListUsers", {"resume": pending["resume"], "fields": ["id"], "limit": 2})
                seen.append(reply["outcome"])
        assert seen[1] == "pending"
        assert reply["columns"] == ["id"]
        assert reply["count"] == 2
        counted = await call(there, "cipp_query", sql=f"SELECT count(*) FROM {reply['result']}")
        assert counted["rows"] == [[len(demo.state.tenants[0].users)]]
    async with client_of(other.url, TOKENS["carol"]) as stranger:
        refused = await read(stranger, "ListUsers", {"resume": pending["resume"]})
        assert refused["outcome"] == "refused"
        assert "no pending call" in refused["messages"][0]
    assert sent(demo, "ListUsers") == 1


async def test_a_pending_call_that_fails_unexpectedly_takes_nothing_else_with_it(
    demo: DemoCipp, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis.client.flushall()
    shared = {"CIPP_STATE_URL": redis.url, "CIPP_STATE_KEY": KEY, "CIPP_WAIT_SECONDS": "1"}
    domain = demo.state.tenants[0].domain
    demo.delay("ListUsers", 1.3)
    answer = Shaper.answer

    def fails(self: Shaper, endpoint: Endpoint, *arguments: Any) -> Reply:
        if endpoint.name == "ListUsers":
            raise RuntimeError("broken")
        return answer(self, endpoint, *arguments)

    monkeypatch.setattr(Shaper, "answer", fails)
    async with (
        in_memory(settings_for(demo, **shared)) as here,
        in_memory(settings_for(demo, **shared)) as there,
    ):
        pending = await read(here, "ListUsers", tenantFilter=domain)
        assert pending["outcome"] == "pending"
        with anyio.fail_after(10):
            while (told := await read(there, "ListUsers", {"resume": pending["resume"]}))["outcome"] == "pending":
                pass
        assert told["messages"] == ["cipp-mcp itself failed on this call; see its log."]
        assert (await read(here, "ListGroups", tenantFilter=domain))["outcome"] == "ok"


async def test_what_went_with_a_killed_instance_is_named(demo: DemoCipp, start: Start) -> None:
    tenant = demo.state.tenants[0]
    user = next(user for user in tenant.users.values() if user["accountEnabled"])
    demo.delay("ListUsers", 60.0)
    demo.delay("ExecDisableUser", 60.0)
    one, other = start(CIPP_WAIT_SECONDS="1", CIPP_CONFIRM="never")
    async with client_of(one.url, TOKENS["alice"]) as here:
        reading = await read(here, "ListUsers", tenantFilter=tenant.domain)
        changing = await call(here, "cipp_critical", **block(tenant, user))
    assert reading["outcome"] == changing["outcome"] == "pending"
    one.process.kill()
    async with client_of(other.url, TOKENS["alice"]) as there:
        with anyio.fail_after(30):
            while (lost := await read(there, "ListUsers", {"resume": reading["resume"]}))["outcome"] == "pending":
                pass
            assert lost["outcome"] == "failed"
            assert "is gone" in lost["messages"][0]
            assert lost["hint"].startswith("Make the call again: ListUsers")
            while (unknown := await call(there, "cipp_critical", name="ExecDisableUser", resume=changing["resume"]))[
                "outcome"
            ] == "pending":
                pass
        assert unknown["outcome"] == "unknown"
        assert "may or may not have been made" in unknown["messages"][0]
        assert "ListUsers with" in unknown["hint"]
        demo.restore()
        with Balancer([one.url, other.url]) as balancer:
            async with client_of(balancer.url, TOKENS["alice"]) as client:
                for _ in range(3):
                    assert (await read(client, "ListGroups", tenantFilter=tenant.domain))["outcome"] == "ok"


async def test_a_rate_is_counted_over_all_instances(demo: DemoCipp, start: Start) -> None:
    domain = demo.state.tenants[0].domain
    with Balancer([server.url for server in start()]) as balancer:
        async with client_of(balancer.url, TOKENS["bob"]) as client:
            replies = [await read(client, "ListGroups", {"limit": 1}, tenantFilter=domain) for _ in range(8)]
    assert [reply["outcome"] for reply in replies] == ["ok"] * 5 + ["refused"] * 3
    assert "5 calls a minute" in replies[-1]["messages"][0]


async def test_cipp_never_sees_more_calls_than_the_limits_of_all_instances_together(
    demo: DemoCipp, start: Start
) -> None:
    tenants = [tenant.domain for tenant in demo.state.tenants]
    demo.delay("ListUserCounts", 0.03)
    with FaultProxy(demo, 1, 1) as proxy:
        lane = proxy.lanes[0]
        limits = {"CIPP_MAX_CONCURRENCY": "4", "CIPP_MAX_PER_TENANT": "3", "CIPP_URL": proxy.url(lane)}
        with Balancer([server.url for server in start(3, **limits)]) as balancer:
            async with client_of(balancer.url, TOKENS["alice"]) as client, anyio.create_task_group() as group:

                async def one(number: int) -> None:
                    extra = {"n": str(number)}
                    reply = await read(client, "ListUserCounts", tenantFilter=tenants[number % 2], extra=extra)
                    assert reply["outcome"] == "ok"

                for number in range(45):
                    group.start_soon(one, number)
    assert lane.most["all"] == 4
    assert max(lane.most[tenant] for tenant in tenants[:2]) <= 3
    assert sent(demo, "ListUserCounts") == 45


async def test_a_lease_is_kept_up_while_its_place_is_held_and_never_after(redis: RedisServer) -> None:
    redis.client.flushall()
    one, other = RedisState(redis.url, KEY, deployment="d"), RedisState(redis.url, KEY, deployment="d")
    try:
        place = await one.take_place("a.example", 1, 1)
        assert place
        assert await other.take_place("b.example", 1, 1) is None
        (key,) = redis.client.scan_iter("*:places")
        until = redis.client.zscore(key, place)
        with anyio.fail_after(5):
            while redis.client.zscore(key, place) == until:
                await one._renew()
        one._held["given back meanwhile"] = "a.example"
        await one._renew()
        assert redis.client.zcard(key) == 1
        await one.give_back(place, "a.example")
        taken = await other.take_place("b.example", 1, 1)
        assert taken
        await other.give_back(taken, "b.example")
    finally:
        await one.close()
        await other.close()


async def test_a_change_at_one_instance_drops_what_another_has_cached(demo: DemoCipp, start: Start) -> None:
    tenant = demo.state.tenants[0]
    user = next(user for user in tenant.users.values() if user["accountEnabled"])
    one, other = start(CIPP_CONFIRM="never")
    async with client_of(one.url, TOKENS["alice"]) as here, client_of(other.url, TOKENS["alice"]) as there:
        for expected in (1, 1):
            await read(here, "ListUsers", tenantFilter=tenant.domain)
            assert sent(demo, "ListUsers") == expected
        assert (await call(there, "cipp_critical", **block(tenant, user)))["outcome"] == "ok"
        await read(here, "ListUsers", tenantFilter=tenant.domain)
        assert sent(demo, "ListUsers") == 2


async def test_a_revoked_caller_is_out_everywhere_until_taken_back(
    demo: DemoCipp, start: Start, redis: RedisServer
) -> None:
    servers = start()
    message = request("cipp_search", {"query": "users"})

    def statuses(token: str) -> set[int]:
        return {
            server.post(message, routed(message, Authorization=f"Bearer {token}")).status_code for server in servers
        }

    def revoke(*arguments: str) -> None:
        state = {"CIPP_STATE_URL": redis.url, "CIPP_STATE_KEY": KEY}
        done = subprocess.run(
            [sys.executable, "-m", "cipp_mcp", "revoke", *arguments],
            env=dict(os.environ) | demo.environment() | state,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    async def becomes(expected: set[int]) -> None:
        with anyio.fail_after(10):
            while statuses(TOKENS["carol"]) != expected:
                await anyio.sleep(0.05)

    assert statuses(TOKENS["carol"]) == {200}
    revoke("carol")
    await becomes({401})
    assert statuses(TOKENS["alice"]) == {200}
    assert "was revoked" in servers[0].log
    revoke("carol", "--undo")
    await becomes({200})


async def test_without_redis_reads_go_on_uncached_and_confirmed_changes_are_refused(
    demo: DemoCipp, start: Start, redis: RedisServer
) -> None:
    tenant = demo.state.tenants[0]
    user = next(user for user in tenant.users.values() if user["accountEnabled"])
    one, other = start()
    async with client_of(one.url, TOKENS["alice"]) as here, client_of(other.url, TOKENS["alice"]) as there:
        plan = await call(here, "cipp_critical", **block(tenant, user))
        kept = await read(there, "ListUsers", {"limit": 1}, tenantFilter=tenant.domain)
        redis.kill()
        try:
            demo.requests.clear()
            for _ in range(2):
                assert (await read(here, "ListGroups", {"limit": 1}, tenantFilter=tenant.domain))["outcome"] == "ok"
            assert sent(demo, "ListGroups") == 2
            refused = await call(here, "cipp_critical", **block(tenant, user), confirmation=plan["confirmation"])
            assert refused["outcome"] == "refused"
            assert "CIPP_STATE_URL" in refused["messages"][0]
            away = await call(here, "cipp_query", sql=f"SELECT * FROM {kept['result']}")
            assert away["outcome"] == "refused"
            assert away["hint"] == "Repeat the read it came from."
            own = await call(there, "cipp_query", sql=f"SELECT count(*) FROM {kept['result']}")
            assert own["outcome"] == "ok"
            assert sent(demo, "ExecDisableUser") == 0
            one.wait_for("Redis (CIPP_STATE_URL) cannot be reached")
        finally:
            redis.start()
        with anyio.fail_after(20):
            while True:
                plan = await call(here, "cipp_critical", **block(tenant, user))
                done = await call(there, "cipp_critical", **block(tenant, user), confirmation=plan["confirmation"])
                if done["outcome"] == "ok":
                    break
                await anyio.sleep(0.1)
    assert sent(demo, "ExecDisableUser") == 1


def test_an_instance_that_never_reached_redis_takes_no_requests(start: Start) -> None:
    (server,) = start(1, CIPP_STATE_URL="redis://127.0.0.1:1/0")
    message = request("cipp_search", {"query": "users"})
    assert server.post(message, routed(message, Authorization=f"Bearer {TOKENS['alice']}")).status_code == 503
    assert server.post(message, path="/readyz").status_code == 405
    assert b" 503 " in server.raw(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert b" 200 " in server.raw(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")


async def test_nothing_in_redis_can_be_read_or_passed_for_another(
    demo: DemoCipp, start: Start, redis: RedisServer
) -> None:
    tenant = demo.state.tenants[0]
    one, other = start()
    async with client_of(one.url, TOKENS["alice"]) as here, client_of(other.url, TOKENS["alice"]) as there:
        users = await read(here, "ListUsers", {"limit": 1}, tenantFilter=tenant.domain)
        groups = await read(here, "ListGroups", {"limit": 1}, tenantFilter=tenant.domain)
        keys = list(redis.client.scan_iter("*"))
        stored = b"\n".join(keys)
        values: dict[int, bytes] = {}
        for key in keys:
            if redis.client.type(key) == b"string":
                value = redis.client.get(key)
                assert isinstance(value, bytes)
                stored += value
                if b":kept:" in key:
                    values[len(values)] = key
        for secret in (tenant.domain, "alice", users["result"], next(iter(tenant.users))):
            assert secret.encode() not in stored
        first, second = values[0], values[1]
        redis.client.rename(first, second)  # whoever can write to Redis passes one result for another
        for handle in (users["result"], groups["result"]):
            asked = await call(there, "cipp_query", sql=f"SELECT * FROM {handle}")
            assert asked["outcome"] == "refused"
    async with client_of(other.url, TOKENS["carol"]) as stranger:
        asked = await call(stranger, "cipp_query", sql=f"SELECT * FROM {users['result']}")
        assert asked["outcome"] == "refused"
