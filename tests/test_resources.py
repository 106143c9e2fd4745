"""Resources and completions show the catalogue, tenants, policy and results of the caller, and nothing beyond."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mcp_types as types
import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError

from cipp_mcp.demo import DemoCipp
from cipp_mcp.registry import AREAS, NEVER_CALLABLE, Registry
from cipp_mcp.results.budget import tokens
from tests.conftest import ERAS, call, in_memory, over_stdio, read, settings_for
from tests.openapi_documents import baked_facts, document_of

pytestmark = pytest.mark.anyio

_RESULT = "cipp://results/{handle}{?from}"


async def text_of(client: Client, uri: str) -> str:
    result = await client.read_resource(uri, cache_mode="bypass")
    assert isinstance(result, types.ReadResourceResult)
    (contents,) = result.contents
    assert isinstance(contents, types.TextResourceContents)
    assert contents.uri == uri
    assert tokens(contents.text) <= 6000
    return contents.text


async def data_of(client: Client, uri: str) -> Any:
    """The JSON of a resource, checked to stand inside its fence where it holds what tenants wrote."""
    text = await text_of(client, uri)
    if text.startswith("CIPP answer"):
        first, text, last = text.split("\n")
        assert last.removeprefix("end ") in first
    return json.loads(text)


async def completed(client: Client, ref: Any, name: str, typed: str) -> list[str]:
    return (await client.complete(ref, {"name": name, "value": typed})).completion.values


def template(uri: str) -> types.ResourceTemplateReference:
    return types.ResourceTemplateReference(uri=uri)


def prompt(name: str) -> types.PromptReference:
    return types.PromptReference(name=name)


def narrowed(tmp_path: Path, **grant: Any) -> dict[str, str]:
    path = tmp_path / "policy.json"
    path.write_text(json.dumps({"default": grant}), encoding="utf-8")
    return {"CIPP_POLICY": str(path)}


@pytest.mark.parametrize("era", ERAS)
async def test_a_stock_client_reads_everything_that_is_listed(demo: DemoCipp, era: str) -> None:
    async with over_stdio(demo.environment(), era) as client:
        assert client.server_capabilities.prompts
        assert client.server_capabilities.resources
        assert client.server_capabilities.completions
        listed = (await client.list_resources()).resources
        assert [r.uri for r in listed if "catalogue/" in r.uri] == [f"cipp://catalogue/{area}" for area in AREAS]
        for resource in listed:
            assert resource.title
            assert resource.description
            assert await text_of(client, resource.uri)
        uris = [template.uri_template for template in (await client.list_resource_templates()).resource_templates]
        assert _RESULT in uris
        users = await read(client, "ListUsers", tenantFilter=demo.state.tenants[0].domain)
        kept = await data_of(client, "cipp://results")
        assert kept["results"][0] == {
            "result": users["result"],
            "rows": users["total"],
            "from": kept["results"][0]["from"],
        }
        assert kept["results"][0]["from"].startswith("ListUsers tenantFilter=")


async def test_the_catalogue_names_every_callable_endpoint_once(demo: DemoCipp) -> None:
    named: list[str] = []
    async with in_memory(settings_for(demo)) as client:
        for area in AREAS:
            lines = (await text_of(client, f"cipp://catalogue/{area}")).splitlines()
            named += [line.split()[1] for line in lines if line.startswith("- ")]
    assert sorted(named) == sorted(e.name for e in Registry.load() if e.callable)
    assert not demo.requests


async def test_an_endpoints_entry_is_what_describe_says(demo: DemoCipp) -> None:
    async with in_memory(settings_for(demo)) as client:
        (described,) = (await call(client, "cipp_describe", names=["ListUsers"]))["endpoints"]
        assert await data_of(client, "cipp://endpoints/listusers") == described


async def test_tenants_are_those_the_server_may_touch(demo: DemoCipp) -> None:
    first, second, *others = demo.state.tenants
    async with in_memory(settings_for(demo, CIPP_TENANTS=f"{first.id},{second.domain}")) as client:
        body = await data_of(client, "cipp://tenants")
        assert {tenant["domain"] for tenant in body["tenants"]} == {first.domain, second.domain}
        assert (await data_of(client, f"cipp://tenants/{first.name}"))["id"] == first.id
        for name, ref in (("tenant", template("cipp://tenants/{tenant}")), ("tenant", prompt("leaver"))):
            assert set(await completed(client, ref, name, "")) == {first.domain, second.domain}
            assert await completed(client, ref, name, first.name[:5].upper()) == [first.domain]
            assert await completed(client, ref, name, first.id[:8]) == [first.domain]
            assert await completed(client, ref, name, others[0].name[:6]) == []
        with pytest.raises(MCPError) as caught:
            await client.read_resource(f"cipp://tenants/{others[0].domain}")
        assert caught.value.code == -32602
        assert others[0].name not in caught.value.message


async def test_the_policy_in_force_says_what_runs_and_what_does_not(demo: DemoCipp, tmp_path: Path) -> None:
    async with in_memory(settings_for(demo)) as client:
        body = await data_of(client, "cipp://policy")
        assert body["runs"] == {"read": "cipp_read"}
        assert body["tenants"] == "all"
        assert body["shows_secrets"] is False
    narrow = narrowed(tmp_path, access="write", areas=["identity"], rate=30)
    async with in_memory(settings_for(demo, CIPP_ACCESS="full", CIPP_CONFIRM="writes", **narrow)) as client:
        body = await data_of(client, "cipp://policy")
        assert body["access"] == "write"
        assert body["runs"] == {"read": "cipp_read", "write": "cipp_change"}
        assert body["asks_a_person_for"] == ["write"]
        assert body["areas"] == ["identity"]
        assert body["calls_per_minute"] == 30


async def test_what_a_policy_does_not_reach_is_invisible(demo: DemoCipp, tmp_path: Path) -> None:
    narrow = narrowed(tmp_path, areas=["identity"], endpoints=["ListMailboxes"], deny=["ListUsers"])
    async with in_memory(settings_for(demo, **narrow)) as client:
        listed = [resource.uri for resource in (await client.list_resources()).resources]
        assert [uri for uri in listed if "catalogue/" in uri] == [
            "cipp://catalogue/identity",
            "cipp://catalogue/exchange",
        ]
        assert "ListMailboxes" in await text_of(client, "cipp://catalogue/exchange")
        assert "ListUsers " not in await text_of(client, "cipp://catalogue/identity")
        ref = template("cipp://endpoints/{name}")
        assert await completed(client, ref, "name", "ListMailbox") == ["ListMailboxes"]
        assert "ListUsers" not in await completed(client, ref, "name", "ListU")
        assert await completed(client, template("cipp://catalogue/{area}"), "area", "") == ["identity", "exchange"]
        for uri in ("cipp://endpoints/ListUsers", "cipp://endpoints/ListTransportRules", "cipp://catalogue/cipp"):
            with pytest.raises(MCPError) as caught:
                await client.read_resource(uri)
            assert caught.value.code == -32602
            assert "Near: ListUsers" not in caught.value.message


@pytest.mark.parametrize("name", sorted(NEVER_CALLABLE))
async def test_what_is_never_callable_is_never_shown(demo: DemoCipp, name: str) -> None:
    async with in_memory(settings_for(demo, CIPP_ACCESS="admin")) as client:
        assert name not in await completed(client, template("cipp://endpoints/{name}"), "name", name)
        assert name not in await text_of(client, "cipp://catalogue/cipp")
        with pytest.raises(MCPError):
            await client.read_resource(f"cipp://endpoints/{name}")


async def test_a_kept_result_is_read_page_by_page_with_all_its_columns(demo: DemoCipp) -> None:
    async with in_memory(settings_for(demo)) as client:
        users = await read(client, "ListUsers", {"limit": 1}, tenantFilter=demo.state.tenants[0].domain)
        uri, seen, names = f"cipp://results/{users['result']}", 0, set()
        while uri:
            page = await data_of(client, uri)
            seen += page["count"]
            names |= {row[page["columns"].index("id")] for row in page["rows"]}
            uri = page.get("next")
        assert seen == len(names) == users["total"]
        assert len(page["columns"]) > len(users["columns"])
        assert await completed(client, template(_RESULT), "handle", "r") == [users["result"]]


async def test_results_belong_to_their_caller(demo: DemoCipp) -> None:
    async with in_memory(settings_for(demo)) as mine, in_memory(settings_for(demo)) as theirs:
        users = await read(mine, "ListUsers", tenantFilter=demo.state.tenants[0].domain)
        assert (await data_of(theirs, "cipp://results"))["total"] == 0
        assert await completed(theirs, template(_RESULT), "handle", "") == []
        with pytest.raises(MCPError) as caught:
            await theirs.read_resource(f"cipp://results/{users['result']}")
        assert caught.value.code == -32602


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    "uri",
    [
        "cipp://nothing",
        "cipp://endpoints",
        "cipp://endpoints/ListNoSuch",
        "cipp://catalogue/nowhere",
        "cipp://catalogue/cipp?from=1",
        "cipp://policy/x",
        "cipp://results/r99",
        "cipp://results/r1?from=x",
        "cipp://results/r1?limit=1",
        "cipp://tenants/no.such.example",
        "cipp://[",
        "file:///etc/passwd",
        "http://catalogue",
        "",
    ],
)
async def test_an_unknown_resource_is_invalid_params(demo: DemoCipp, era: str, uri: str) -> None:
    async with in_memory(settings_for(demo), era) as client:
        with pytest.raises(MCPError) as caught:
            await client.read_resource(uri)
        assert caught.value.code == -32602
        assert "There is no" in caught.value.message or "row number" in caught.value.message


@pytest.mark.parametrize("era", ERAS)
async def test_completing_what_does_not_exist_is_invalid_params(demo: DemoCipp, era: str) -> None:
    async with in_memory(settings_for(demo), era) as client:
        for ref, name in (
            (prompt("none"), "tenant"),
            (prompt("leaver"), "none"),
            (template("cipp://none/{x}"), "x"),
            (template("cipp://tenants/{tenant}"), "name"),
        ):
            with pytest.raises(MCPError) as caught:
                await completed(client, ref, name, "")
            assert caught.value.code == -32602


async def test_completion_gives_at_most_a_hundred_values_and_the_best_first(demo: DemoCipp) -> None:
    async with in_memory(settings_for(demo)) as client:
        ref = template("cipp://endpoints/{name}")
        completion = (await client.complete(ref, {"name": "name", "value": "list"})).completion
        assert len(completion.values) == 100
        assert completion.has_more
        assert completion.total == sum("list" in e.name.lower() for e in Registry.load() if e.callable)
        assert (await completed(client, ref, "name", "mailboxes"))[0] == "ListMailboxes"
        assert await completed(client, prompt("leaver"), "user", "a") == []


async def test_the_deployment_says_how_it_differs_from_the_catalogue(demo: DemoCipp, tmp_path: Path) -> None:
    facts = {name: one for name, one in baked_facts().items() if name not in ("ListMailboxes", "ListUsers")}
    facts["ListNewThings"] = facts["ListGroups"]
    document = tmp_path / "openapi.json"
    document.write_text(json.dumps(document_of(facts)), encoding="utf-8")
    async with in_memory(settings_for(demo, CIPP_OPENAPI=str(document))) as client:
        report = await data_of(client, "cipp://deployment")
        assert report["state"] == "applied"
        assert report["added"] == ["ListNewThings"]
        assert set(report["missing"]) == {"ListMailboxes", "ListUsers"}
        assert (await data_of(client, "cipp://endpoints/ListNewThings"))["name"] == "ListNewThings"
        assert "ListUsers " not in await text_of(client, "cipp://catalogue/identity")
        with pytest.raises(MCPError, match="ListUsers is not in your CIPP version"):
            await client.read_resource("cipp://endpoints/ListUsers")
    narrow = narrowed(tmp_path, areas=["exchange"])
    async with in_memory(settings_for(demo, CIPP_OPENAPI=str(document), **narrow)) as client:
        report = await data_of(client, "cipp://deployment")
        assert set(report["missing"]) == {"ListMailboxes"}
        assert "added" not in report


async def test_no_resource_is_larger_than_the_budget(demo: DemoCipp) -> None:
    async with in_memory(settings_for(demo, CIPP_RESULT_TOKENS="1000")) as client:
        await read(client, "ListUsers", tenantFilter=demo.state.tenants[0].domain)
        for resource in (await client.list_resources()).resources:
            assert tokens(await text_of(client, resource.uri)) <= 1000, resource.uri
        assert "more: cipp_search" in await text_of(client, "cipp://catalogue/cipp")
        assert tokens(await text_of(client, "cipp://results/r1")) <= 1000


async def test_without_a_connection_the_catalogue_is_there_and_tenants_say_what_to_set() -> None:
    async with over_stdio({}) as client:
        assert "ListUsers" in await text_of(client, "cipp://catalogue/identity")
        assert await completed(client, prompt("leaver"), "tenant", "") == []
        with pytest.raises(MCPError, match="CIPP_URL"):
            await client.read_resource("cipp://tenants")


async def test_a_deployment_that_is_down_is_an_internal_error_with_the_reason(demo: DemoCipp) -> None:
    demo.answer("ListTenants", status=500, body="out of order")
    async with in_memory(settings_for(demo)) as client:
        with pytest.raises(MCPError) as caught:
            await client.read_resource("cipp://tenants")
        assert caught.value.code == -32603
        assert "500" in caught.value.message
        assert await completed(client, prompt("leaver"), "tenant", "") == []
