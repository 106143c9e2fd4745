"""cipp_read reaches everything of risk read and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from cipp_mcp.calls.risk import risk_of
from cipp_mcp.demo import DemoCipp
from cipp_mcp.registry import NEVER_CALLABLE, Endpoint, Parameter, Registry
from cipp_mcp.results.budget import tokens
from tests.conftest import body, call, in_memory, over_stdio, settings_for, text_of

pytestmark = pytest.mark.anyio

_SAMPLES = {"string": "x", "integer": 1, "number": 1, "boolean": True, "object": {}}


def sample(parameter: Parameter, name: str = "") -> object:
    """A plausible value of the declared type."""
    if parameter.enum:
        return parameter.enum[0]
    if name == "Cmdlet":
        return "Get-Mailbox"  # a name of no cmdlet that reads raises the risk
    if parameter.type == "string" and "url" in name.lower():
        return "https://contoso.sharepoint.com/sites/one"
    if parameter.type == "array":
        return [sample(parameter.items or Parameter(), name)]
    if parameter.properties:
        fields = parameter.properties.items()
        return {inner: sample(p, inner) for inner, p in fields if p.required or p.required_when}
    return "2026-11-23" if parameter.send == "epoch" else _SAMPLES[parameter.type]


def plausible_arguments(endpoint: Endpoint, tenant: str) -> dict[str, Any]:
    """A value of the declared type for whatever the endpoint cannot do without."""
    arguments: dict[str, Any] = {}
    for name, parameter in endpoint.parameters.items():
        if name in ("tenantFilter", "selectedTenants"):
            element = parameter.items or Parameter()
            one: object = {"defaultDomainName": tenant} if element.type == "object" else tenant
            arguments[name] = one if parameter.type == "string" else [one]
        elif parameter.required or parameter.required_when:
            arguments[name] = sample(parameter, name)
    for group in endpoint.one_of:
        if not any(name in arguments for name in group):
            arguments[group[0]] = sample(endpoint.parameters[group[0]], group[0])
    return arguments


async def test_every_read_is_answered_through_a_real_client(demo: DemoCipp) -> None:
    tenant = demo.state.tenants[0].domain
    reads = [e for e in Registry.load() if e.risk == "read" and e.callable]
    assert len(reads) > 200
    strange: dict[str, object] = {}
    async with over_stdio(demo.environment() | {"CIPP_WAIT_SECONDS": "2"}) as client:
        for endpoint in reads:
            arguments = {"name": endpoint.name, "arguments": plausible_arguments(endpoint, tenant)}
            result = await client.call_tool("cipp_read", arguments)
            reply = body(result)
            # Calls that became pending go on behind, so the newest request need not be this endpoint's.
            answered = [request.status for request in demo.requests if request.endpoint == endpoint.name]
            explained = reply["outcome"] == "failed" and bool(answered) and answered[-1] >= 400
            if not answered or not (explained or reply["outcome"] in ("ok", "pending")):
                strange[endpoint.name] = reply
            assert tokens(text_of(result)) <= 6000
    assert strange == {}


async def test_no_write_passes_through_cipp_read(demo: DemoCipp) -> None:
    tenant = demo.state.tenants[0].domain
    async with in_memory(settings_for(demo)) as client:
        for endpoint in Registry.load():
            arguments = plausible_arguments(endpoint, tenant)
            if risk_of(endpoint, arguments) == "read":
                continue
            reply = await call(client, "cipp_read", name=endpoint.name, arguments=arguments)
            assert reply["outcome"] == "refused", endpoint.name
    assert not demo.requests


@pytest.mark.parametrize("name", sorted(NEVER_CALLABLE))
@pytest.mark.parametrize("spelling", ["{}", "/api/{}", "Invoke-{}", " {} "])
async def test_cipps_own_mcp_is_never_callable(demo: DemoCipp, name: str, spelling: str) -> None:
    for tools in ("gateway", "all", "cipp"):
        async with in_memory(settings_for(demo, CIPP_TOOLS=tools)) as client:
            assert name not in {tool.name for tool in (await client.list_tools()).tools}
            for written in (spelling.format(name), spelling.format(name).lower(), spelling.format(name).upper()):
                assert (await call(client, "cipp_read", name=written))["outcome"] == "refused"
                assert (await call(client, written))["outcome"] == "refused"
            described = await call(client, "cipp_describe", names=[name])
            assert described["endpoints"] == []
    assert not demo.requests
