"""The main job: a stock MCP client over stdio, in both eras, gets from a question to rows."""

from __future__ import annotations

import anyio
import pytest

from cipp_mcp.demo import DemoCipp
from cipp_mcp.results.budget import compact, tokens
from tests.conftest import ERAS, body, call, over_stdio, read

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("era", ERAS)
async def test_a_client_lists_the_gateway_finds_an_endpoint_and_reads_rows(demo: DemoCipp, era: str) -> None:
    with anyio.fail_after(30):
        async with over_stdio(demo.environment(), era) as client:
            listed = await client.list_tools()
            assert [tool.name for tool in listed.tools] == [
                "ListTenants",
                "cipp_search",
                "cipp_describe",
                "cipp_read",
                "cipp_query",
            ]
            assert listed.next_cursor is None

            found = await call(client, "cipp_search", query="which users have no MFA")
            assert found["hits"][0].startswith("ListMFAUsers [read]")

            tenants = await call(client, "ListTenants")
            tenant = tenants["rows"][0][tenants["columns"].index("defaultDomainName")]
            users = await read(client, "ListMFAUsers", tenantFilter=tenant)
            assert users["outcome"] == "ok"
            assert users["tenant"] == tenant
            assert users["count"] == len(users["rows"]) > 0
            assert users["total"] == len(demo.state.tenants[0].mfa)

            without = await call(
                client, "cipp_query", sql=f"SELECT UPN FROM {users['result']} WHERE NOT MFARegistration"
            )
            assert 0 < without["total"] < users["total"]


@pytest.mark.parametrize("era", ERAS)
async def test_both_eras_are_told_the_same_of_a_refusal(demo: DemoCipp, era: str) -> None:
    async with over_stdio(demo.environment(), era) as client:
        refused = await read(client, "ListUser", tenantFilter="x.example")
        assert refused == {
            "outcome": "refused",
            "endpoint": "ListUser",
            "messages": ["There is no endpoint 'ListUser'. Near: ListUsers, ListMFAUsers, ListUserPhoto."],
            "hint": "cipp_search finds endpoints by what they do.",
        }
        assert not demo.requests


async def test_the_gateway_costs_at_most_2500_tokens(demo: DemoCipp) -> None:
    async with over_stdio(demo.environment()) as client:
        listed = await client.list_tools()
        text = compact([tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in listed.tools])
        assert tokens(text) <= 2500


async def test_without_connection_settings_the_server_starts_and_says_what_to_set() -> None:
    async with over_stdio({}) as client:
        assert (await client.list_tools()).tools
        assert (await call(client, "cipp_search", query="users"))["outcome"] == "ok"
        refused = await call(client, "ListTenants")
        assert refused["outcome"] == "refused"
        for name in ("CIPP_URL", "CIPP_TENANT_ID", "CIPP_CLIENT_ID", "CIPP_CLIENT_SECRET"):
            assert name in refused["messages"][0]


async def test_the_server_itself_can_serve_the_embedded_cipp() -> None:
    async with over_stdio({}, "2026", "--demo") as client:
        tenants = await call(client, "ListTenants")
        assert tenants["total"] >= 4


async def test_a_photo_comes_as_an_image(demo: DemoCipp) -> None:
    tenant = demo.state.tenants[0]
    async with over_stdio(demo.environment()) as client:
        arguments = {"tenantFilter": tenant.domain, "UserID": next(iter(tenant.users))}
        result = await client.call_tool("cipp_read", {"name": "ListUserPhoto", "arguments": arguments})
        assert body(result)["outcome"] == "ok"
        assert [block.type for block in result.content] == ["text", "image"]
