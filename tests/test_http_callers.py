"""Who may come in over HTTP, what each may do, as whom CIPP is called, and that nothing crosses between callers."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from cipp_mcp.demo import DemoCipp
from cipp_mcp.demo.clients import MCP_CLIENT_ID, PARTNER_TENANT_ID, PEOPLE
from cipp_mcp.registry import Registry
from tests.conftest import ERAS, call, read
from tests.over_http import (
    HttpServer,
    client_of,
    on_behalf,
    person_token,
    request,
    routed,
    serving,
    token_file,
    with_entra,
    write,
)
from tests.test_confirming import Person, block

pytestmark = pytest.mark.anyio
ANNA, BEN = PEOPLE.values()
TOKENS = {"alice": "a" * 40, "bob": "b" * 40, "carol": "c" * 40}
CROWD = {f"agent-{number}": f"{number:040d}" for number in range(12)}


def bearer(token: str) -> str:
    return f"Bearer {token}"


@pytest.fixture(scope="module")
def server(shared_demo: DemoCipp, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    """Static tokens; alice may do all, bob reads two tenants, carol belongs to a group, the crowd has one tenant each."""
    folder = tmp_path_factory.mktemp("http")
    domains = [tenant.domain for tenant in shared_demo.state.tenants]
    policy = {
        "callers": {
            "alice": {"access": "full"},
            "bob": {"access": "read", "tenants": domains[:2], "rate": 1000},
            **{name: {"tenants": [domains[number % len(domains)]]} for number, name in enumerate(CROWD)},
        },
        "groups": {"exchange-team": {"access": "write", "areas": ["exchange"]}},
    }
    write(folder / "policy.json", policy)
    environment = shared_demo.environment() | {
        "CIPP_ACCESS": "full",
        "CIPP_CONFIRM_FALLBACK": "two-step",
        "CIPP_HTTP_AUTH": "tokens",
        "CIPP_HTTP_TOKENS": str(token_file(folder / "tokens.json", TOKENS | CROWD, {"carol": ["exchange-team"]})),
        "CIPP_POLICY": str(folder / "policy.json"),
        "CIPP_AUDIT_LOG": str(folder / "audit"),
    }
    with serving(environment) as running:
        running.folder = folder  # type: ignore[attr-defined]
        yield running


@pytest.fixture(scope="module")
def entra(shared_demo: DemoCipp) -> Iterator[HttpServer]:
    with serving(with_entra(shared_demo, CIPP_ACCESS="full", CIPP_HTTP_ROLE="Agent.Use")) as running:
        yield running


@pytest.mark.parametrize("era", ERAS)
async def test_each_caller_sees_the_tools_of_its_policy(server: HttpServer, era: str) -> None:
    seen = {}
    for name, token in TOKENS.items():
        async with client_of(server.url, token, era) as client:
            listed = await client.list_tools()
            seen[name] = {tool.name for tool in listed.tools} & {"cipp_change", "cipp_critical"}
            if era == "2026":
                assert listed.cache_scope == "private"
    assert seen == {"alice": {"cipp_change", "cipp_critical"}, "bob": set(), "carol": {"cipp_change"}}


async def test_each_caller_reaches_what_its_policy_allows(server: HttpServer, demo: DemoCipp) -> None:
    domains = [tenant.domain for tenant in demo.state.tenants]
    async with client_of(server.url, TOKENS["bob"]) as bob, client_of(server.url, TOKENS["carol"]) as carol:
        assert (await read(bob, "ListUsers", {"limit": 1}, tenantFilter=domains[0]))["outcome"] == "ok"
        refused = await read(bob, "ListUsers", tenantFilter=domains[2])
        assert refused["outcome"] == "refused"
        assert domains[2] not in refused["hint"]
        assert (await read(carol, "ListMailboxes", {"limit": 1}, tenantFilter=domains[2]))["outcome"] == "ok"
        assert (await read(carol, "ListUsers", tenantFilter=domains[0]))["outcome"] == "refused"
        tenants = await call(bob, "ListTenants")
        assert len(tenants["rows"]) == 2


async def test_a_search_finds_what_the_caller_reaches(server: HttpServer) -> None:
    async with client_of(server.url, TOKENS["carol"]) as carol, client_of(server.url, TOKENS["alice"]) as alice:
        for query in ("users without MFA", "who forwards mail outside"):
            mine = [hit.split()[0] for hit in (await call(carol, "cipp_search", query=query))["hits"]]
            assert {Registry.load()[name].area for name in mine} <= {"exchange"}
        every = await call(alice, "cipp_search", query="users without MFA")
        assert every["hits"][0].startswith("ListMFAUsers")
        browsed = await call(carol, "cipp_search", area="identity")
        assert browsed["endpoints"] == []


@pytest.mark.parametrize("era", ERAS)
async def test_handles_of_another_caller_mean_nothing(server: HttpServer, demo: DemoCipp, era: str) -> None:
    domain = demo.state.tenants[0].domain
    async with client_of(server.url, TOKENS["alice"], era) as alice, client_of(server.url, CROWD["agent-0"]) as other:
        kept = await read(alice, "ListUsers", {"limit": 1}, tenantFilter=domain)
        asked = await call(other, "cipp_query", sql=f"SELECT * FROM {kept['result']}")
        assert asked["outcome"] == "refused"
        paged = await read(other, "ListUsers", {"cursor": f"{kept['result']}:1"})
        assert paged["outcome"] == "refused"
        resumed = await read(other, "ListUsers", {"resume": "j1"})
        assert resumed["outcome"] == "refused"
        with pytest.raises(Exception, match=kept["result"]):
            await other.read_resource(f"cipp://results/{kept['result']}")


async def test_a_confirmation_serves_its_own_caller_only(server: HttpServer, demo: DemoCipp, tmp_path: Path) -> None:
    tenant = demo.state.tenants[0]
    user = next(user for user in tenant.users.values() if user["accountEnabled"])
    tokens = {"one": "1" * 40, "two": "2" * 40}
    environment = demo.environment() | {
        "CIPP_ACCESS": "full",
        "CIPP_CONFIRM_FALLBACK": "two-step",
        "CIPP_HTTP_AUTH": "tokens",
        "CIPP_HTTP_TOKENS": str(token_file(tmp_path / "tokens", tokens)),
    }
    with serving(environment) as running:
        async with client_of(running.url, tokens["one"]) as one, client_of(running.url, tokens["two"]) as two:
            plan = await call(one, "cipp_critical", **block(tenant, user))
            stolen = await call(two, "cipp_critical", **block(tenant, user), confirmation=plan["confirmation"])
            assert "another caller" in stolen["messages"][0]
            assert user["accountEnabled"]
        async with client_of(running.url, tokens["one"], elicitation_callback=Person("accept")) as one:
            asked = await one.session.call_tool("cipp_critical", block(tenant, user), allow_input_required=True)
        message = request("cipp_critical", block(tenant, user))
        answers = {"confirm": {"action": "accept", "content": {"confirm": True}}}
        capabilities: dict[str, Any] = {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}}
        message["params"] |= {"inputResponses": answers, "requestState": asked.request_state}  # type: ignore[union-attr]
        message["params"]["_meta"] = message["params"]["_meta"] | capabilities
        replayed = running.post(message, routed(message, Authorization=bearer(tokens["two"])))
        assert "another caller" in replayed.text
        assert user["accountEnabled"]


async def test_nothing_crosses_between_many_interleaved_callers(server: HttpServer, demo: DemoCipp) -> None:
    """Each agent may touch one tenant; whatever it is shown over many turns, at once with the others, is that tenant's."""
    tenants = demo.state.tenants
    owners = {user["userPrincipalName"]: tenant.domain for tenant in tenants for user in tenant.users.values()}
    demo.delay("ListUsers", 0.02)

    async def work(number: int, name: str) -> None:
        own = tenants[number % len(tenants)].domain
        other = tenants[(number + 1) % len(tenants)].domain
        async with client_of(server.url, CROWD[name], "2026" if number % 2 else "2025") as client:
            for turn in range(4):
                users = await read(
                    client, "ListUsers", {"fresh": bool(turn % 2), "fields": ["userPrincipalName"]}, tenantFilter=own
                )
                assert {owners[row[0]] for row in users["rows"]} == {own}
                sql = f"SELECT userPrincipalName FROM {users['result']}"
                queried = await call(client, "cipp_query", sql=sql)
                assert {owners[row[0]] for row in queried["rows"]} == {own}
                assert (await read(client, "ListUsers", tenantFilter=other))["outcome"] == "refused"
                listed = await call(client, "ListTenants")
                place = listed["columns"].index("defaultDomainName")
                assert [row[place] for row in listed["rows"]] == [own]

    async with anyio.create_task_group() as group:
        for number, name in enumerate(CROWD):
            group.start_soon(work, number, name)
    noted = [json.loads(line) for line in (server.folder / "audit").read_text().splitlines()]  # type: ignore[attr-defined]
    refused = Counter(
        line["caller"] for line in noted if line["endpoint"] == "ListUsers" and line["decision"] == "tenant"
    )
    assert {name: refused[name] for name in CROWD} == dict.fromkeys(CROWD, 4)


async def test_a_rate_is_counted_for_each_caller(demo: DemoCipp, tmp_path: Path) -> None:
    tokens = {"one": "1" * 40, "two": "2" * 40}
    write(tmp_path / "policy", {"default": {"rate": 2}})
    environment = demo.environment() | {
        "CIPP_HTTP_AUTH": "tokens",
        "CIPP_HTTP_TOKENS": str(token_file(tmp_path / "tokens", tokens)),
        "CIPP_POLICY": str(tmp_path / "policy"),
    }
    domain = demo.state.tenants[0].domain
    with serving(environment) as running:
        async with client_of(running.url, tokens["one"]) as one, client_of(running.url, tokens["two"]) as two:
            for client in (one, two):
                outcomes = [
                    (await read(client, "ListUsers", {"limit": 1}, tenantFilter=domain))["outcome"] for _ in "abc"
                ]
                assert outcomes == ["ok", "ok", "refused"]


async def test_tokens_and_policy_are_read_again_when_they_change(demo: DemoCipp, tmp_path: Path) -> None:
    tokens = {"one": "1" * 40, "two": "2" * 40}
    file, policy = token_file(tmp_path / "tokens", tokens), tmp_path / "policy"
    write(policy, {"default": {"access": "read"}})
    environment = demo.environment() | {
        "CIPP_ACCESS": "write",
        "CIPP_HTTP_AUTH": "tokens",
        "CIPP_HTTP_TOKENS": str(file),
        "CIPP_POLICY": str(policy),
    }
    message = request("cipp_search")
    with serving(environment) as running:

        def status(name: str) -> int:
            return running.post(message, routed(message, Authorization=bearer(tokens[name]))).status_code

        async with client_of(running.url, tokens["one"]) as one:
            domain = demo.state.tenants[0].domain
            kept = await read(one, "ListUsers", {"limit": 1}, tenantFilter=domain)
            assert "cipp_change" not in {tool.name for tool in (await one.list_tools()).tools}
            write(policy, {"default": {"access": "write"}})
            assert "cipp_change" in {tool.name for tool in (await one.list_tools(cache_mode="bypass")).tools}
            write(policy, {"default": {"access": "write", "tenants": [demo.state.tenants[1].domain]}})
            assert (await read(one, "ListUsers", tenantFilter=domain))["outcome"] == "refused"
            gone = await call(one, "cipp_query", sql=f"SELECT * FROM {kept['result']}")
            assert gone["outcome"] == "refused"
            write(policy, '{"default": {"acess": "admin"}}')
            assert (await read(one, "ListUsers", tenantFilter=domain))["outcome"] == "refused"
            running.wait_for("default.acess")
            running.wait_for("stays in force")
        assert (status("one"), status("two")) == (200, 200)
        token_file(file, {"one": tokens["one"]})
        assert (status("one"), status("two")) == (200, 401)
        write(file, "{")
        assert (status("one"), status("two")) == (200, 401)
        assert running.log.count("Token file") == 1


async def test_the_audit_names_the_caller(server: HttpServer, demo: DemoCipp) -> None:
    async with client_of(server.url, TOKENS["bob"]) as bob:
        await read(bob, "ListUsers", tenantFilter="nowhere.example")
    last = json.loads((server.folder / "audit").read_text().splitlines()[-1])  # type: ignore[attr-defined]
    assert (last["caller"], last["decision"]) == ("bob", "tenant")


def test_the_token_command_makes_an_entry_that_the_server_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from cipp_mcp.cli.main import main
    from cipp_mcp.server.bearer import StaticTokens

    with pytest.raises(SystemExit) as done:
        main(["token", "night-agent"])
    assert done.value.code == 0
    first, second = capsys.readouterr().out.strip().splitlines()
    write(tmp_path / "tokens", '{"callers": {' + second.partition(": ")[2] + "}}")
    admitted = anyio.run(StaticTokens(tmp_path / "tokens").verify, first.rpartition(" ")[2])
    assert admitted.identity.name == "night-agent"


@pytest.mark.parametrize("era", ERAS)
async def test_a_person_signed_in_with_entra_is_served(entra: HttpServer, demo: DemoCipp, era: str) -> None:
    async with client_of(entra.url, person_token(demo), era) as client:
        controls = {"limit": 1, "fresh": True}
        reply = await read(client, "ListUsers", controls, tenantFilter=demo.state.tenants[0].domain)
    assert reply["outcome"] == "ok"
    assert demo.requests[-1].caller == "cipp-mcp demo"


def test_clients_are_told_where_to_sign_in(entra: HttpServer, demo: DemoCipp) -> None:
    refused = httpx.post(entra.url, json={})
    assert refused.status_code == 401
    challenge = refused.headers["www-authenticate"]
    where = challenge.partition('resource_metadata="')[2].partition('"')[0]
    metadata = httpx.get(where, headers={"Origin": "https://any.example"}).json()
    assert metadata["resource"] == entra.url
    assert metadata["authorization_servers"] == [f"{demo.authority}/{PARTNER_TENANT_ID}/v2.0"]
    assert metadata["scopes_supported"] == [f"api://{MCP_CLIENT_ID}/access_as_user"]
    assert f'scope="api://{MCP_CLIENT_ID}/access_as_user"' in challenge


def test_an_application_needs_the_app_role(entra: HttpServer, demo: DemoCipp) -> None:
    message = request("cipp_search")
    for roles, status in ((["Agent.Use"], 200), (["Other"], 403), (None, 403)):
        token = person_token(demo, scp=None, preferred_username=None, roles=roles)
        answer = entra.post(message, routed(message, Authorization=bearer(token)))
        assert answer.status_code == status


def test_tokens_signed_with_a_new_key_are_taken_and_made_up_keys_do_not_flood_the_authority(
    shared_demo: DemoCipp,
) -> None:
    import jwt

    message = request("cipp_search")
    with serving(with_entra(shared_demo)) as running:

        def status(token: str) -> int:
            return running.post(message, routed(message, Authorization=bearer(token))).status_code

        shared_demo.identity.rotate()
        assert status(person_token(shared_demo)) == 200
        claims = shared_demo.identity.person_claims(ANNA)
        made_up = [jwt.encode(claims, "k" * 32, headers={"kid": f"k{number}", "alg": "HS256"}) for number in range(5)]
        assert {status(token) for token in made_up} == {401}


async def test_cipp_sees_each_person_and_applies_their_role(demo: DemoCipp) -> None:
    tenant = demo.state.tenants[0]
    with serving(on_behalf(demo, CIPP_ACCESS="write", CIPP_CONFIRM="never")) as running:
        async with (
            client_of(running.url, person_token(demo, 0)) as anna,
            client_of(running.url, person_token(demo, 1)) as ben,
        ):
            for _ in range(3):
                for client, person in ((anna, ANNA), (ben, BEN)):
                    controls = {"limit": 1, "fresh": True}
                    assert (await read(client, "ListUsers", controls, tenantFilter=tenant.domain))["outcome"] == "ok"
                    assert demo.requests[-1].caller == person.upn
            arguments = {"tenantFilter": tenant.domain, "displayName": "x", "email": "x@obo.example"}
            change: dict[str, Any] = {"name": "AddContact", "arguments": arguments}
            done = await call(anna, "cipp_change", **change)
            assert done["outcome"] == "ok", done
            failed = await call(ben, "cipp_change", **change)
    assert failed["outcome"] == "failed"
    assert "readonly" in failed["messages"][0]
    exchanges = [entry for entry in demo.token_requests if "assertion" in entry.body]
    assert len({entry.body["assertion"] for entry in exchanges[-2:]}) == 2


async def test_where_entra_wants_the_person_the_answer_says_so(demo: DemoCipp) -> None:
    said = {
        "error": "interaction_required",
        "error_description": "AADSTS50076: a second factor",
        "error_codes": [50076],
    }
    demo.answer("token", status=400, body=said)
    with serving(on_behalf(demo)) as running:
        async with client_of(running.url, person_token(demo)) as anna:
            failed = await read(anna, "ListUsers", tenantFilter=demo.state.tenants[0].domain)
            assert "AADSTS50076" in failed["messages"][0]
            assert "Sign in again" in failed["hint"]
            demo.restore()
            again = await read(anna, "ListUsers", {"limit": 1}, tenantFilter=demo.state.tenants[0].domain)
    assert again["outcome"] == "ok"


def test_a_token_whose_groups_are_not_named_gets_nothing_where_groups_decide(
    shared_demo: DemoCipp, tmp_path: Path
) -> None:
    group = "dec0de00-0000-4000-8000-0000000000e1"
    write(tmp_path / "policy", {"groups": {group: {"access": "read"}}, "default": {}})
    message = request("cipp_read", {"name": "ListTenants"})
    with serving(with_entra(shared_demo, CIPP_POLICY=str(tmp_path / "policy"))) as running:
        for changes, said in (
            ({"groups": [group]}, '\\"outcome\\":\\"ok\\"'),
            ({"_claim_names": {"groups": "src1"}}, "does not allow"),
        ):
            token = person_token(shared_demo, **changes)
            answer = running.post(message, routed(message, Authorization=bearer(token)))
            assert said in answer.text


async def test_a_session_is_open_to_whoever_opened_it_only(server: HttpServer) -> None:
    """The 2025 era keeps sessions; their ids are not secrets enough to stand for a person."""
    start = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}},
    }
    old = {"MCP-Protocol-Version": "2025-06-18"}
    opened = server.post(start, old | {"Authorization": bearer(TOKENS["alice"])})
    session = {**old, "Mcp-Session-Id": opened.headers["mcp-session-id"]}
    listing = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
    with contextlib.suppress(httpx.ReadTimeout):
        stolen = server.post(listing, session | {"Authorization": bearer(TOKENS["bob"])})
    assert stolen.status_code == 404
    assert server.post(listing, session).status_code == 401
