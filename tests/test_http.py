"""Over HTTP the server behaves as over stdio, in both eras, and ends without losing what is under way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import httpx
import pytest

from cipp_mcp.demo import DemoCipp
from tests.conftest import ERAS, call, read
from tests.over_http import HttpServer, client_of, request, routed, serving
from tests.test_confirming import Person, block

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def server(shared_demo: DemoCipp) -> Iterator[HttpServer]:
    environment = shared_demo.environment() | {"CIPP_ACCESS": "full", "CIPP_CONFIRM_FALLBACK": "two-step"}
    with serving(environment) as running:
        yield running


@pytest.mark.parametrize("era", ERAS)
async def test_a_real_client_searches_reads_and_queries(server: HttpServer, demo: DemoCipp, era: str) -> None:
    async with client_of(server.url, era=era) as client:
        assert {tool.name for tool in (await client.list_tools()).tools} >= {"ListTenants", "cipp_search", "cipp_read"}
        found = await call(client, "cipp_search", query="which users have no MFA")
        assert "ListMFAUsers" in str(found)
        users = await read(client, "ListUsers", tenantFilter=demo.state.tenants[0].domain)
        counted = await call(client, "cipp_query", sql=f"SELECT count(*) AS n FROM {users['result']}")
        assert counted["rows"] == [[users["total"]]] or counted["rows"] == [[users["count"]]]
        assert (await client.list_prompts()).prompts
        assert (await client.list_resources()).resources


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("action", ["accept", "decline"])
async def test_a_person_is_asked(server: HttpServer, demo: DemoCipp, era: str, action: str) -> None:
    tenant = demo.state.tenants[0]
    user = next(user for user in tenant.users.values() if user["accountEnabled"])
    person = Person(action)
    try:
        async with client_of(server.url, era=era, elicitation_callback=person) as client:
            reply = await call(client, "cipp_critical", **block(tenant, user))
        assert len(person.questions) == 1
        assert reply["outcome"] == ("ok" if action == "accept" else "refused")
        assert user["accountEnabled"] is (action != "accept")
    finally:
        user["accountEnabled"] = True


@pytest.mark.parametrize("era", ERAS)
async def test_a_client_that_goes_away_cancels_its_read(server: HttpServer, demo: DemoCipp, era: str) -> None:
    demo.delay("ListUsers", 20)
    async with client_of(server.url, era=era) as client:
        with anyio.move_on_after(0.5):
            await read(client, "ListUsers", tenantFilter=demo.state.tenants[1].domain)
        demo.restore()
        again = await read(client, "ListUsers", {"limit": 1}, tenantFilter=demo.state.tenants[1].domain)
    assert again["outcome"] == "ok"


@pytest.mark.parametrize("era", ERAS)
async def test_progress_is_reported_while_cipp_works(server: HttpServer, demo: DemoCipp, era: str) -> None:
    demo.delay("ListGroups", 2)
    said: list[str | None] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        said.append(message)

    arguments = {"name": "ListGroups", "arguments": {"tenantFilter": demo.state.tenants[0].domain}, "fresh": True}
    async with client_of(server.url, era=era) as client:
        await client.call_tool("cipp_read", arguments, progress_callback=note)
    assert said


def test_health_needs_no_name_and_tells_nothing(server: HttpServer) -> None:
    for path in ("/healthz", "/readyz"):
        answer = httpx.get(server.base + path, headers={"Host": "10.0.0.5:8000"})
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_a_server_that_is_not_connected_lives_but_is_not_ready() -> None:
    with serving({}) as running:
        assert httpx.get(running.base + "/healthz").status_code == 200
        assert httpx.get(running.base + "/readyz").status_code == 503


@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no SIGTERM")
async def test_what_is_in_flight_is_finished_after_sigterm(demo: DemoCipp) -> None:
    demo.delay("ListUsers", 1.0)
    demo.token_requests.clear()
    with serving(demo.environment()) as running:
        async with client_of(running.url, era="2025") as idle, client_of(running.url) as client:
            await idle.list_tools()
            await client.list_tools()
            replies = []

            async def read_users() -> None:
                replies.append(await read(client, "ListUsers", {"limit": 1}, tenantFilter=demo.state.tenants[0].domain))

            async with anyio.create_task_group() as group:
                group.start_soon(read_users)
                while not demo.token_requests:  # the read has come as far as asking for a token
                    await anyio.sleep(0.01)
                running.process.send_signal(signal.SIGTERM)
            assert replies[0]["outcome"] == "ok"
        assert running.process.wait(5) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no SIGTERM")
async def test_a_change_that_outlives_the_drain_is_named_unknown_in_the_audit(demo: DemoCipp, tmp_path: Path) -> None:
    demo.delay("AddContact", 20)
    audit = tmp_path / "audit"
    environment = demo.environment() | {
        "CIPP_ACCESS": "write",
        "CIPP_AUDIT_LOG": str(audit),
        "CIPP_HTTP_DRAIN_SECONDS": "1",
        "CIPP_WAIT_SECONDS": "1",
    }
    arguments = {"tenantFilter": demo.state.tenants[0].domain, "displayName": "x", "email": "x@example.com"}
    with serving(environment) as running:
        async with client_of(running.url) as client:
            reply = await call(client, "cipp_change", name="AddContact", arguments=arguments)
            assert reply["outcome"] == "pending"
        assert running.stop() in (0, 1)
    assert '"outcome":"unknown"' in audit.read_text()


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"CIPP_HTTP_LISTEN": "0.0.0.0:0"}, "CIPP_HTTP_AUTH must be tokens or entra"),
        ({"CIPP_HTTP_LISTEN": "[::]:0"}, "CIPP_HTTP_AUTH must be tokens or entra"),
        ({"CIPP_HTTP_LISTEN": "192.0.2.1:80"}, "CIPP_HTTP_AUTH must be tokens or entra"),
        ({"CIPP_HTTP_LISTEN": "example.com:80"}, "must be an address and a port"),
        ({"CIPP_HTTP_LISTEN": "127.0.0.1:99999"}, "must be an address and a port"),
        ({"CIPP_HTTP_AUTH": "basic"}, "allowed are none, tokens, entra"),
        ({"CIPP_HTTP_AUTH": "tokens"}, "needs CIPP_HTTP_TOKENS"),
        ({"CIPP_HTTP_AUTH": "entra", "CIPP_TENANT_ID": "contoso.com"}, "needs CIPP_TENANT_ID as an id"),
        ({"CIPP_HTTP_AUTH": "entra"}, "needs CIPP_HTTP_AUDIENCE"),
        ({"CIPP_HTTP_SCOPE": "x"}, "it must be entra"),
        ({"CIPP_HTTP_CALL_AS": "caller"}, "needs CIPP_HTTP_AUTH=entra"),
        ({"CIPP_HTTP_PUBLIC_URL": "http://mcp.example.com/mcp"}, "must be an https address"),
        ({"CIPP_HTTP_PUBLIC_URL": "https://mcp.example.com"}, "must name the path too"),
        ({"CIPP_HTTP_ALLOWED_HOSTS": "*"}, "is no host"),
        ({"CIPP_HTTP_ALLOWED_ORIGINS": "https://chat.example.com/"}, "is no origin"),
        ({"CIPP_HTTP_TRUSTED_PROXIES": "0.0.0.0/0"}, "would trust the headers of everybody"),
        ({"CIPP_HTTP_AUDIENCE": "me"}, "neither an application id nor its URI"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_a_start_that_would_be_unsafe_is_refused(environment: dict[str, str], said: str) -> None:
    from cipp_mcp.errors import SettingsError
    from cipp_mcp.settings import Settings

    with pytest.raises(SettingsError) as caught:
        Settings.from_environment(environment)
    assert said in caught.value.message


def test_the_command_itself_refuses_to_listen_openly_and_takes_flags() -> None:
    base = {name: value for name, value in os.environ.items() if not name.startswith("CIPP_")}
    for arguments, said in (
        (["--transport", "http", "--listen", "0.0.0.0:0"], "CIPP_HTTP_AUTH must be tokens or entra"),
        (["--listen", "127.0.0.1:0"], "need --transport http"),
    ):
        command = [sys.executable, "-m", "cipp_mcp", "serve", *arguments]
        done = subprocess.run(command, env=base, capture_output=True, text=True, check=False, timeout=30)
        assert done.returncode == 2
        assert said in done.stderr


@pytest.fixture(scope="module")
def proxied(shared_demo: DemoCipp) -> Iterator[HttpServer]:
    environment = shared_demo.environment() | {
        "CIPP_HTTP_ALLOWED_HOSTS": "mcp.example.com,localhost:1,127.0.0.1",
        "CIPP_HTTP_TRUSTED_PROXIES": "127.0.0.1",
    }
    with serving(environment, "--allowed-origins", "https://chat.example.com") as running:
        yield running


def test_pages_of_allowed_origins_may_call_and_their_preflight_is_answered(proxied: HttpServer) -> None:
    asked = {"Origin": "https://chat.example.com", "Access-Control-Request-Method": "POST"}
    preflight = httpx.options(proxied.url, headers=asked)
    assert preflight.headers["access-control-allow-origin"] == "https://chat.example.com"
    message = request("cipp_search")
    answer = proxied.post(message, routed(message, Origin="https://chat.example.com"))
    assert answer.status_code == 200
    assert proxied.post(message, routed(message, Origin="https://evil.example")).status_code == 403


def test_forwarded_headers_count_only_from_named_proxies(server: HttpServer, proxied: HttpServer) -> None:
    for running, shown in ((server, "127.0.0.1"), (proxied, "203.0.113.9")):
        httpx.get(running.base + "/nothing", headers={"X-Forwarded-For": "203.0.113.9"})
        running.wait_for(f"turned away a request from {shown}: not found")


def test_behind_a_proxy_its_public_name_is_known(proxied: HttpServer) -> None:
    message = request("cipp_search")
    for host, status in (("mcp.example.com", 200), ("mcp.example.com:8443", 200), ("localhost", 421)):
        assert proxied.post(message, routed(message, Host=host)).status_code == status, host
