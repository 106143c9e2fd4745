"""Every change at every access level, in every confirmation mode, on every surface: never without level and yes."""

from __future__ import annotations

from typing import Any

import pytest

from cipp_mcp.calls.policy import ACCESS_LEVELS, CRITICAL, Access
from cipp_mcp.calls.risk import higher, risk_of
from cipp_mcp.demo import DemoCipp
from cipp_mcp.registry import Endpoint, Registry, Risk
from cipp_mcp.registry.schema import runner_of
from tests.conftest import body, in_memory, settings_for
from tests.test_confirming import Person
from tests.test_every_read import plausible_arguments

pytestmark = pytest.mark.anyio

_NEEDED: dict[Risk, Access] = {
    "read": "read",
    "secret": "read",
    "write": "write",
    "security": "full",
    "destructive": "full",
    "platform": "admin",
}


def changes(tenant: str) -> list[tuple[Endpoint, dict[str, Any], Risk]]:
    """(endpoint, arguments it cannot do without, risk of that call) of everything that is not of risk read."""
    found: list[tuple[Endpoint, dict[str, Any], Risk]] = []
    for endpoint in Registry.load():
        if endpoint.risk != "read" and endpoint.callable:
            arguments = plausible_arguments(endpoint, tenant)
            found.append((endpoint, arguments, risk_of(endpoint, arguments)))
    return found


async def run(client: Any, surface: str, endpoint: Endpoint, arguments: dict[str, Any], risk: Risk) -> dict[str, Any]:
    if surface == "own tool":
        return body(await client.call_tool(endpoint.name, dict(arguments)))
    runner = runner_of(risk) if surface == "right runner" else surface
    return body(await client.call_tool(runner, {"name": endpoint.name, "arguments": arguments}))


def count(demo: DemoCipp, endpoint: Endpoint) -> int:
    return [request.endpoint for request in demo.requests].count(endpoint.name)


@pytest.mark.parametrize("access", ACCESS_LEVELS)
@pytest.mark.parametrize("surface", ["own tool", "right runner", "cipp_read", "cipp_change", "cipp_critical"])
async def test_nothing_reaches_cipp_without_its_level(demo: DemoCipp, access: Access, surface: str) -> None:
    tenant = demo.state.tenants[0].domain
    settings = settings_for(
        demo, CIPP_ACCESS=access, CIPP_TOOLS="all", CIPP_CONFIRM="never", CIPP_ALLOW_ALL_TENANT_WRITES="true"
    )
    async with in_memory(settings) as client:
        listed = {tool.name for tool in (await client.list_tools()).tools}
        for endpoint, arguments, risk in changes(tenant):
            allowed = ACCESS_LEVELS.index(access) >= ACCESS_LEVELS.index(_NEEDED[risk]) and risk != "secret"
            right = surface in ("own tool", "right runner") or surface == runner_of(risk)
            if allowed and right:
                continue
            demo.requests.clear()
            reply = await run(client, surface, endpoint, arguments, risk)
            assert reply["outcome"] == "refused", (endpoint.name, reply)
            assert count(demo, endpoint) == 0, endpoint.name
            if surface == "own tool":
                assert (endpoint.name in listed) <= (_level_of(endpoint) <= ACCESS_LEVELS.index(access))


def _level_of(endpoint: Endpoint) -> int:
    return ACCESS_LEVELS.index(_NEEDED[endpoint.risk])


@pytest.mark.parametrize("confirm", ["critical", "writes"])
@pytest.mark.parametrize("answer", [None, "decline", "cancel"])
async def test_nothing_reaches_cipp_without_the_yes_that_is_demanded(
    demo: DemoCipp, confirm: str, answer: str | None
) -> None:
    tenant = demo.state.tenants[0].domain
    settings = settings_for(
        demo, CIPP_ACCESS="admin", CIPP_ALLOW_SECRETS="true", CIPP_CONFIRM=confirm, CIPP_ALLOW_ALL_TENANT_WRITES="true"
    )
    person = Person(answer or "cancel")
    options: dict[str, Any] = {"elicitation_callback": person} if answer else {}
    async with in_memory(settings, **options) as client:
        for endpoint, arguments, risk in changes(tenant):
            if risk == "read" or (risk not in CRITICAL and confirm == "critical"):
                continue
            demo.requests.clear()
            person.questions.clear()
            reply = await run(client, "right runner", endpoint, arguments, risk)
            assert reply["outcome"] == "refused", (endpoint.name, reply)
            assert count(demo, endpoint) == 0, endpoint.name
            said = "needs a person's yes" if answer is None else "The person"
            assert said in reply["messages"][0], (endpoint.name, reply)
            assert len(person.questions) == (0 if answer is None else 1), endpoint.name


WALKS = [
    *[
        ("2026", surface, confirm)
        for surface in ("right runner", "own tool")
        for confirm in ("critical", "writes", "never")
    ],
    # The eras differ in how a person is asked, and in nothing that depends on the surface.
    ("2025", "right runner", "critical"),
    ("2025", "own tool", "writes"),
]


@pytest.mark.parametrize(("era", "surface", "confirm"), WALKS)
async def test_with_level_and_yes_exactly_one_request_reaches_cipp(
    demo: DemoCipp, era: str, surface: str, confirm: str
) -> None:
    tenant = demo.state.tenants[3].domain
    settings = settings_for(
        demo,
        CIPP_ACCESS="admin",
        CIPP_ALLOW_SECRETS="true",
        CIPP_CONFIRM=confirm,
        CIPP_ALLOW_ALL_TENANT_WRITES="true",
        CIPP_TOOLS="all",
    )
    person = Person("accept")
    async with in_memory(settings, era, elicitation_callback=person) as client:
        for endpoint, arguments, risk in changes(tenant):
            demo.answer(endpoint.name, body={"Results": "Done"})
            demo.requests.clear()
            person.questions.clear()
            reply = await run(client, surface, endpoint, arguments, risk)
            if surface == "own tool" and higher(risk, endpoint.risk) != endpoint.risk:
                # Graver than the tool's annotations say: only the critical runner may carry it.
                assert (reply["outcome"], count(demo, endpoint)) == ("refused", 0), endpoint.name
                continue
            assert reply["outcome"] == "ok", (endpoint.name, reply)
            assert count(demo, endpoint) == 1, (endpoint.name, reply)
            asked = risk != "read" and (confirm == "writes" or (confirm == "critical" and risk in CRITICAL))
            assert len(person.questions) == asked, endpoint.name


async def test_a_read_that_its_argument_makes_a_change_is_refused_to_cipp_read(demo: DemoCipp) -> None:
    cases: list[tuple[str, dict[str, Any]]] = []
    for endpoint in Registry.load():
        for rule in endpoint.risk_when:
            if endpoint.risk == "read" and rule.risk != "read" and "." not in rule.argument and rule.values:
                cases.append((endpoint.name, {rule.argument: next(v for v in rule.values if v is not None)}))
    assert cases
    async with in_memory(settings_for(demo)) as client:
        for name, arguments in cases:
            reply = body(await client.call_tool("cipp_read", {"name": name, "arguments": arguments}))
            assert reply["outcome"] == "refused", (name, arguments)
            inside = body(await client.call_tool("cipp_read", {"name": name, "arguments": {"extra": arguments}}))
            assert inside["outcome"] == "refused", (name, arguments)
    assert not demo.requests


@pytest.mark.parametrize(
    "path",
    [
        "informationProtection/bitlocker/recoveryKeys/1?$select=key",
        "informationProtection%2Fbitlocker%2FrecoveryKeys%2F1",
        "directory/DeviceLocalCredentials/1?$select=credentials",
        "deviceManagement/managedDevices/1/getFileVaultKey",
    ],
)
async def test_a_graph_relay_does_not_hand_out_credentials(demo: DemoCipp, path: str) -> None:
    tenant = demo.state.tenants[0].domain
    async with in_memory(settings_for(demo)) as client:
        single = {"name": "ListGraphRequest", "arguments": {"tenantFilter": tenant, "Endpoint": path}}
        assert body(await client.call_tool("cipp_read", single))["outcome"] == "refused"
        requests = [{"id": "1", "method": "GET", "url": path}]
        bulk = {"name": "ListGraphBulkRequest", "arguments": {"tenantFilter": tenant, "requests": requests}}
        assert body(await client.call_tool("cipp_read", bulk))["outcome"] == "refused"
    assert not demo.requests


@pytest.mark.parametrize("method", ["POST", "patch", "DELETE", "PUT"])
async def test_a_bulk_graph_request_that_changes_something_is_no_read(demo: DemoCipp, method: str) -> None:
    tenant = demo.state.tenants[0].domain
    requests = [{"id": "1", "method": "GET", "url": "users"}, {"id": "2", "Method": method, "url": "users/1"}]
    async with in_memory(settings_for(demo)) as client:
        bulk = {"name": "ListGraphBulkRequest", "arguments": {"tenantFilter": tenant, "requests": requests}}
        assert body(await client.call_tool("cipp_read", bulk))["outcome"] == "refused"
    assert not demo.requests


async def test_changing_several_tenants_needs_a_setting_of_its_own(demo: DemoCipp) -> None:
    user = {"ID": "x@y.example", "Enable": False}
    calls: list[tuple[str, dict[str, Any]]] = [
        ("ExecDisableUser", {"tenantFilter": "AllTenants", **user}),
        ("ExecDisableUser", {"tenantFilter": [tenant.domain for tenant in demo.state.tenants[:2]], **user}),
        ("ExecStandardsRun", {"templateId": "x"}),
        ("AddCAPolicy", {"tenantFilter": ["AllTenants"], "RawJSON": {}}),
    ]
    settings = settings_for(demo, CIPP_ACCESS="admin", CIPP_CONFIRM="never")
    async with in_memory(settings) as client:
        for name, arguments in calls:
            for runner in ("cipp_critical", "cipp_change"):
                reply = body(await client.call_tool(runner, {"name": name, "arguments": arguments}))
                assert reply["outcome"] == "refused", (name, reply)
    assert {request.endpoint for request in demo.requests} <= {"ListTenants"}
