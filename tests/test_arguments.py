"""Arguments are checked before anything is sent, and every refusal names what is valid."""

from __future__ import annotations

from typing import Any

import pytest

from cipp_mcp.calls.request import build_request
from cipp_mcp.demo import DemoCipp
from cipp_mcp.registry import Registry
from tests.conftest import call, in_memory, read, settings_for

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("ListUsers", {"tenantFilter": "a.example", "userid2": "x"}, "did you mean UserID?"),
        ("ListUsers", {}, "needs tenantFilter"),
        ("ListUsers", "not json", "not valid JSON"),
        ("ListUsers", [1], "must be an object"),
        ("ListUsers", {"tenantFilter": "a.example", "TENANTFILTER": "b.example"}, "given twice"),
        ("ListUsers", {"tenantFilter": "a.example", "extra": {"tenantfilter": "b.example"}}, "not inside extra"),
        ("ListUsers", {"tenantFilter": "a.example", "extra": "[1]"}, "extra must be an object"),
        ("NoSuchThing", {}, "There is no endpoint 'NoSuchThing'"),
        ("", {}, "There is no endpoint ''"),
    ],
)
async def test_a_wrong_argument_is_refused_by_name(demo: DemoCipp, name: str, arguments: Any, said: str) -> None:
    async with in_memory(settings_for(demo)) as client:
        reply = await call(client, "cipp_read", name=name, arguments=arguments)
    assert reply["outcome"] == "refused"
    assert said in reply["messages"][0]
    assert not demo.requests


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({}, "sourceA.type"),
        ({"type": "tenantPolicy", "tenantFilter": "a.example", "policyId": "1"}, "sourceA.urlName"),
        ({"type": "communityRepo", "path": "a.json", "branch": "main"}, "sourceA.fullName"),
    ],
)
async def test_a_field_that_another_field_calls_for_is_asked_for(demo: DemoCipp, source: Any, said: str) -> None:
    whole = {"type": "communityRepo", "fullName": "a/b", "branch": "main", "path": "a.json"}
    async with in_memory(settings_for(demo)) as client:
        reply = await read(client, "ExecCompareIntunePolicy", sourceA=source, sourceB=whole)
    assert reply["outcome"] == "refused"
    assert said in reply["messages"][0]
    assert "sourceB" not in reply["messages"][0]
    assert not demo.requests


def test_a_null_inside_an_object_stays_null() -> None:
    endpoint = Registry.load()["ExecExtensionsConfig"]
    request = build_request(endpoint, {"HaloPSA": {"Tenant": None, "Enabled": True}})
    assert request.body == {"HaloPSA": {"Tenant": None, "Enabled": True}}


async def test_names_are_matched_without_case_and_json_text_is_opened(demo: DemoCipp) -> None:
    tenant = demo.state.tenants[0]
    async with in_memory(settings_for(demo)) as client:
        user = next(iter(tenant.users))
        text = f'{{"TenantFilter": "{tenant.domain}", "userid": "{user}"}}'
        reply = await call(client, "cipp_read", name="listusers", arguments=text)
    assert reply["total"] == 1
    assert demo.requests[0].query == {"tenantFilter": tenant.domain, "UserID": user}


async def test_odata_names_are_sent_with_their_dollar(demo: DemoCipp) -> None:
    tenant = demo.state.tenants[0].domain
    async with in_memory(settings_for(demo)) as client:
        await read(client, "ListGraphRequest", tenantFilter=tenant, Endpoint="users", odata_select="id,displayName")
    assert demo.requests[0].query["$select"] == "id,displayName"


async def test_extra_fields_go_out_as_they_are(demo: DemoCipp) -> None:
    async with in_memory(settings_for(demo)) as client:
        await read(client, "ListLogs", extra={"SomethingNew": "1"})
    assert demo.requests[0].query == {"SomethingNew": "1"}


async def test_an_unknown_argument_of_a_gateway_tool_is_refused(demo: DemoCipp) -> None:
    async with in_memory(settings_for(demo)) as client:
        reply = await call(client, "cipp_read", name="ListUsers", tenantFilter="a.example")
    assert reply["outcome"] == "refused"
    assert "inside 'arguments'" in reply["hint"]


@pytest.mark.parametrize("limit", [0, -1, 2001, "many", True])
async def test_a_wrong_limit_is_refused(demo: DemoCipp, limit: Any) -> None:
    async with in_memory(settings_for(demo)) as client:
        reply = await call(client, "cipp_read", name="ListTenants", limit=limit)
    assert "from 1 to 2000" in reply["messages"][0]


async def test_an_endpoint_listed_as_a_tool_of_its_own_takes_its_arguments_directly(demo: DemoCipp) -> None:
    tenant = demo.state.tenants[1].domain
    async with in_memory(settings_for(demo, CIPP_TOOLS="ListUsers, teams-sharepoint")) as client:
        names = [tool.name for tool in (await client.list_tools()).tools]
        assert {"ListUsers", "ListSites", "cipp_read"} <= set(names)
        assert "ListGroups" not in names
        reply = await call(client, "ListUsers", tenantFilter=tenant, limit=3, fields=["displayName"])
        assert reply["columns"] == ["displayName"]
        assert reply["count"] == 3
        again = await call(client, "ListUsers", cursor=reply["cursor"], limit=3)
        assert again["rows"][0] != reply["rows"][0]
