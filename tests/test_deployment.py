"""The catalogue follows the deployment: what it has more is callable, what it lacks is not offered, and nothing that
changes something is ever taken for a read."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from cipp_mcp.calls.risk import risk_of
from cipp_mcp.demo import DemoCipp
from cipp_mcp.registry import AREAS, Registry
from cipp_mcp.registry.deployment import overlay_of
from cipp_mcp.registry.document import parse_document
from cipp_mcp.registry.schema import runner_of
from cipp_mcp.server.app import CippServer
from tests.conftest import call, settings_for
from tests.openapi_documents import Drift, baked_facts, document_of, drifted
from tests.test_every_read import plausible_arguments

pytestmark = pytest.mark.anyio

_UNKNOWN = "NoSuchEndpoint"
_ANYTHING = {
    "CIPP_ACCESS": "admin",
    "CIPP_CONFIRM": "never",
    "CIPP_ALLOW_SECRETS": "true",
    "CIPP_ALLOW_ALL_TENANT_WRITES": "true",
}


@asynccontextmanager
async def following(demo: DemoCipp, cache: Path, **changes: str) -> AsyncIterator[tuple[Client, CippServer]]:
    """A client and its server, which has heard of the deployment's document by now."""
    log = cache.parent / "audit.jsonl"
    server = CippServer(settings_for(demo, CIPP_CACHE=str(cache), CIPP_AUDIT_LOG=str(log), **changes))
    async with Client(server.mcp, mode="auto") as client:
        await call(client, "cipp_search", query="users")
        await server.follower.settle(_UNKNOWN)
        yield client, server


def stored_in(cache: Path) -> list[Path]:
    return list(cache.rglob("*.openapi"))


async def test_every_endpoint_of_a_drifted_deployment_gets_the_right_request(demo: DemoCipp, tmp_path: Path) -> None:
    drift = drifted()
    demo.describe(drift.document)
    tenant = demo.state.tenants[0].domain
    touched = {*drift.added, *drift.renamed, *drift.verbs, *drift.moved, *drift.demanding, *drift.promoted}
    async with following(demo, tmp_path, **_ANYTHING) as (client, server):
        assert server.follower.report().state == "applied"
        wrong: dict[str, Any] = {}
        for name in touched:
            endpoint = server.registry[name]
            spelling = drift.renamed.get(name, name)
            demo.answer(spelling, body={"Results": "Done"})
            demo.requests.clear()
            arguments = plausible_arguments(endpoint, tenant)
            runner = runner_of(risk_of(endpoint, arguments))
            reply = await call(client, runner, name=name, arguments=arguments)
            sent = [request for request in demo.requests if request.endpoint == spelling]
            facts = drift.facts[spelling]
            if len(sent) != 1 or sent[0].method != facts["method"] or not _in_their_places(sent[0], facts):
                wrong[name] = (reply, sent)
    assert wrong == {}


def _in_their_places(sent: Any, facts: dict[str, Any]) -> bool:
    """Whether every argument that the document knows was sent where the document says, and required ones at all."""
    places = {name.lower(): shape["in"] for name, shape in facts.get("parameters", {}).items()}
    bodies = sent.body if isinstance(sent.body, list) else [sent.body or {}]
    body = {name.lower() for one in bodies for name in one}
    query = {name.lower() for name in sent.query}
    fits = all(places.get(name, "query") != "body" for name in query)
    fits = fits and all(places.get(name, "body") != "query" for name in body)
    needed = {name.lower() for name, shape in facts.get("parameters", {}).items() if name == "needsThisToo"}
    return fits and needed <= query | body


@pytest.mark.parametrize("tools", ["gateway", "all"])
async def test_no_vanished_endpoint_is_offered(demo: DemoCipp, tmp_path: Path, tools: str) -> None:
    drift = drifted()
    demo.describe(drift.document)
    demo.answer("GetVersion", body={"LocalCIPPAPIVersion": "10.7.5"})
    async with following(demo, tmp_path):
        pass  # an earlier process, which left the document behind
    async with following(demo, tmp_path, **_ANYTHING, CIPP_TOOLS=tools) as (client, _):
        listed = {tool.name for tool in (await client.list_tools()).tools}
        assert not listed & drift.removed
        if tools == "all":
            assert set(drift.added) <= listed
        for name in drift.removed:
            found = (await call(client, "cipp_search", query=name))["hits"]
            assert f"{name} [not in your CIPP version (10.7.5)" in " ".join(found)
            assert all("[not in your CIPP" in line for line in found[found.index(_line(found, name)) :])
            described = await call(client, "cipp_describe", names=[name])
            assert described["endpoints"] == []
            assert "not in your CIPP version (10.7.5)" in described["unknown"][0]
            demo.requests.clear()
            for runner in ("cipp_read", "cipp_change", "cipp_critical"):
                reply = await call(client, runner, name=name, arguments={"extra": {}})
                assert reply["outcome"] == "refused"
                assert f"{name} is not in your CIPP version (10.7.5)" in reply["messages"][0]
            assert not demo.requests
        for area in AREAS:
            assert not set((await call(client, "cipp_search", area=area))["endpoints"]) & drift.removed


def _line(found: list[str], name: str) -> str:
    return next(line for line in found if line.startswith(f"{name} "))


@pytest.mark.parametrize("offset", range(14))
def test_no_new_write_is_ever_taken_for_a_read(offset: int) -> None:
    drift, ours = drifted(offset), Registry.load()
    theirs = ours.copy()
    theirs.apply(overlay_of(parse_document(json.dumps(drift.document).encode()), ours.baked), "10.9.0")
    for name, model in drift.added.items():
        if ours[model].risk in ("write", "destructive", "platform"):
            assert theirs[name].risk == "platform", name
        if drift.facts[name]["method"] != "GET" or "Write" in drift.facts[name]["role"]:
            assert theirs[name].risk == "platform", name
    for name in drift.promoted:
        expected = "platform" if ours[name].risk in ("read", "secret") else ours[name].risk
        assert theirs[name].risk == expected, name
    for endpoint in ours:
        if endpoint.risk != "read":
            assert theirs[endpoint.name].risk != "read", endpoint.name


async def test_new_endpoints_are_found_by_their_words_and_marked_as_unreviewed(demo: DemoCipp, tmp_path: Path) -> None:
    facts = baked_facts()
    facts["ListPrinterQuotas"] = {
        "method": "GET",
        "tag": "Endpoint > Reports",
        "role": "Endpoint.Device.Read",
        "parameters": {"tenantFilter": {"in": "query", "type": "string", "required": True}},
        "response": {"type": "array", "fields": {"string": ["displayName", "adminPassword"]}},
    }
    document = document_of(facts)
    document["paths"]["/api/ListPrinterQuotas"]["get"]["description"] = "Pages\u202e left per\n printer."
    demo.describe(document)
    demo.answer("ListPrinterQuotas", body=[{"displayName": "Lobby", "adminPassword": "hunter22"}])
    tenant = demo.state.tenants[0].domain
    async with following(demo, tmp_path) as (client, server):
        hits = (await call(client, "cipp_search", query="printer quotas"))["hits"]
        assert hits[0].startswith("ListPrinterQuotas [read]")
        described = (await call(client, "cipp_describe", names=["invoke-listprinterquotas"]))["endpoints"][0]
        assert "“Pages left per printer.”" in described["description"]
        assert "newer than the catalogue" in described["notes"][0]
        reply = await call(client, "cipp_read", name="ListPrinterQuotas", arguments={"tenantFilter": tenant})
        assert reply["outcome"] == "ok"
        assert "hunter22" not in json.dumps(reply)
        report = server.follower.report()
    assert (report.added, report.missing, report.deployment_version) == (["ListPrinterQuotas"], {}, "10.8.2")
    assert report.source == f"{demo.url}/openapi.json"


async def test_an_argument_that_a_read_gains_may_ask_for_more_than_reading(demo: DemoCipp, tmp_path: Path) -> None:
    facts = baked_facts()
    facts["ListUsers"]["parameters"]["PurgeStale"] = {"in": "query", "type": "boolean"}
    facts["ListUsers"]["parameters"]["Department"] = {"in": "query", "type": "string"}
    demo.describe(document_of(facts))
    tenant = demo.state.tenants[0].domain
    async with following(demo, tmp_path) as (client, _):
        plain = {"tenantFilter": tenant, "Department": "Sales"}
        assert (await call(client, "cipp_read", name="ListUsers", arguments=plain))["outcome"] == "ok"
        assert demo.requests[-1].query["Department"] == "Sales"
        for arguments in ({**plain, "PurgeStale": True}, {**plain, "purgestale": "true"}):
            reply = await call(client, "cipp_read", name="ListUsers", arguments=arguments)
            assert reply["outcome"] == "refused"
            assert "platform" in reply["messages"][0]


async def test_hand_corrections_survive_unless_the_fact_beneath_them_moved(demo: DemoCipp, tmp_path: Path) -> None:
    facts = baked_facts()
    reset = facts["ExecResetPass"]["parameters"]  # by hand: ID and MustChange go into the body, MustChange is a boolean
    reset["ID"]["in"] = "query"
    reset["Reason"] = {"in": "body", "type": "string"}
    demo.describe(document_of(facts))
    async with following(demo, tmp_path) as (_, server):
        endpoint, ours = server.registry["ExecResetPass"], Registry.load()["ExecResetPass"]
        report = server.follower.report()
    assert endpoint.parameters["ID"].place == "query"
    assert endpoint.parameters["ID"].description == ours.parameters["ID"].description
    assert endpoint.parameters["MustChange"] == ours.parameters["MustChange"]
    assert "Reason" in endpoint.parameters
    assert endpoint.response.secrets == ours.response.secrets
    assert [(one["endpoint"], one["fact"], one["ours"], one["theirs"]) for one in report.conflicts] == [
        ("ExecResetPass", "parameters.ID.in", "body", "query")
    ]
    assert report.changed == {"ExecResetPass": ["parameters.ID.in", "+parameters.Reason"]}


async def test_renamed_endpoints_answer_to_both_names(demo: DemoCipp, tmp_path: Path) -> None:
    facts = baked_facts()
    facts["Invoke-ListMailboxes"] = facts.pop("ListMailboxes")
    facts["execmcp"] = facts.pop("ExecMcp")
    demo.describe(document_of(facts))
    demo.answer("Invoke-ListMailboxes", body=[])
    tenant = demo.state.tenants[0].domain
    async with following(demo, tmp_path, **_ANYTHING) as (client, server):
        for name in ("ListMailboxes", "invoke-listmailboxes", "/api/Invoke-ListMailboxes"):
            reply = await call(client, "cipp_read", name=name, arguments={"tenantFilter": tenant}, fresh=True)
            assert reply["outcome"] == "ok"
            assert demo.requests[-1].path == "/api/Invoke-ListMailboxes"
        for name in ("ExecMcp", "execmcp"):
            assert (await call(client, "cipp_critical", name=name, arguments={"extra": {}}))["outcome"] == "refused"
    assert server.follower.report().missing == {}


async def test_two_servers_in_one_process_follow_their_own_deployments(demo: DemoCipp, tmp_path: Path) -> None:
    demo.describe(drifted().document)
    async with following(demo, tmp_path) as (_, drifting), following(demo, tmp_path, CIPP_OPENAPI="off") as (_, other):
        assert len(drifting.registry) > len(other.registry) == len(Registry.load())
        assert other.follower.report().state == "off"
    assert all(not endpoint.absent and not endpoint.spelling for endpoint in Registry.load())


async def test_the_document_is_asked_for_conditionally_and_kept_for_the_next_start(
    demo: DemoCipp, tmp_path: Path
) -> None:
    demo.describe(drifted().document)
    async with following(demo, tmp_path):
        pass
    async with following(demo, tmp_path) as (_, server):
        assert server.follower.report().state == "applied"
    assert [request.status for request in demo.document_requests] == [200, 304]
    stored = stored_in(tmp_path)
    assert [path.name for path in stored] == ["10.8.2.openapi"]
    if sys.platform != "win32":
        assert stat.S_IMODE(stored[0].stat().st_mode) == 0o600
        assert stat.S_IMODE(stored[0].parent.stat().st_mode) == 0o700


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are another thing there")
async def test_a_stored_document_that_others_could_have_written_is_not_used(demo: DemoCipp, tmp_path: Path) -> None:
    demo.describe(drifted().document)
    async with following(demo, tmp_path):
        pass
    demo.describe(None)
    os.chmod(stored_in(tmp_path)[0].parent, 0o777)
    async with following(demo, tmp_path) as (_, server):
        assert server.follower.report().state == "no document"


async def test_where_the_document_comes_from(demo: DemoCipp, tmp_path: Path) -> None:
    content = json.dumps(drifted().document)
    demo.answer("ListOpenApiSpec", body=content.encode(), content_type="application/json")
    async with following(demo, tmp_path / "1") as (_, server):
        assert server.follower.report().source == "ListOpenApiSpec"
    file = tmp_path / "openapi.json"
    file.write_text(content, encoding="utf-8")
    demo.restore()
    async with following(demo, tmp_path / "2", CIPP_OPENAPI=str(file)) as (_, server):
        assert server.follower.report().source == str(file)
        assert not demo.document_requests
    demo.describe(json.loads(content))
    async with following(demo, tmp_path / "3", CIPP_OPENAPI=f"{demo.url}/openapi.json") as (_, server):
        assert server.follower.report().source == f"{demo.url}/openapi.json"
    async with following(demo, tmp_path / "4", CIPP_OPENAPI="off") as (_, server):
        assert len(demo.document_requests) == 1


async def test_nothing_is_asked_of_the_deployment_before_a_tool_is_called(demo: DemoCipp, tmp_path: Path) -> None:
    demo.describe(drifted().document)
    server = CippServer(settings_for(demo, CIPP_CACHE=str(tmp_path)))
    async with Client(server.mcp, mode="auto") as client:
        await client.list_tools()
        assert server.follower.report().state == "not asked yet"
    assert not demo.document_requests


async def test_a_tool_list_stays_the_same_for_a_connection_and_changes_at_the_next_start(
    demo: DemoCipp, tmp_path: Path
) -> None:
    drift = drifted()
    demo.describe(drift.document)
    server = CippServer(settings_for(demo, CIPP_CACHE=str(tmp_path), CIPP_TOOLS="all"))
    async with Client(server.mcp, mode="auto") as client:
        before = [tool.name for tool in (await client.list_tools()).tools]
        await call(client, "cipp_search", query="users")
        assert len(server.registry) > len(Registry.load())
        assert [tool.name for tool in (await client.list_tools()).tools] == before
        promoted = next(name for name in drift.promoted if name in before)
        assert (await call(client, promoted, tenantFilter="x.example"))["outcome"] == "refused"
    async with following(demo, tmp_path, CIPP_TOOLS="all") as (client, _):
        after = {tool.name for tool in (await client.list_tools()).tools}
    assert after - set(before) == {name for name in drift.added if server.registry[name].risk == "read"}
    assert drift.removed & set(before)
    assert not drift.removed & after


def test_a_drift_has_something_of_everything() -> None:
    drift: Drift = drifted()
    for names in (drift.removed, drift.added, drift.renamed, drift.verbs, drift.moved, drift.demanding, drift.promoted):
        assert len(names) > 15


async def test_upstream_is_asked_for_the_document_of_the_deployments_version(
    demo: DemoCipp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cipp_mcp.registry.document_source._UPSTREAM", demo.url + "/openapi.json?{ref}/{path}")
    demo.describe(drifted().document)
    demo.answer("GetVersion", body={"LocalCIPPAPIVersion": "10.7.5"})
    async with following(demo, tmp_path, CIPP_OPENAPI="upstream") as (_, server):
        report = server.follower.report()
    assert report.deployment_version == "10.7.5"
    assert report.source == f"{demo.url}/openapi.json?v10.7.5/Config/openapi.json"


async def test_without_a_version_upstream_is_not_guessed_at(demo: DemoCipp, tmp_path: Path) -> None:
    demo.answer("GetVersion", body={"LocalCIPPAPIVersion": "../../evil"})
    async with following(demo, tmp_path, CIPP_OPENAPI="upstream") as (_, server):
        report = server.follower.report()
    assert report.state == "no document"
    assert "did not tell its version" in (report.reason or "")
