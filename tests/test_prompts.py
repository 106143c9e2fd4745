"""Every prompt leads a real client, step by step, through calls that work; policy decides which steps it holds."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mcp_types as types
import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError
from pydantic import ValidationError

from cipp_mcp.demo import DemoCipp
from cipp_mcp.registry.files import folder
from cipp_mcp.registry.prompts import PromptSpec, prompts, prompts_schema
from cipp_mcp.results.budget import tokens
from tests.conftest import ERAS, body, in_memory, over_stdio, settings_for
from tests.openapi_documents import baked_facts, document_of
from tests.test_catalogue import _is_current as is_current
from tests.test_confirming import Person

pytestmark = pytest.mark.anyio

NAMES = list(prompts())
CHANGING = {"leaver": "ExecOffboardUser", "joiner": "AddUser", "phished-account": "ExecBECRemediate"}
_CALL = re.compile(r"^ {3}(cipp_\w+) (\{.*\})$")
_STEP = re.compile(r"<step (\d+)(?:: ([\w.]+))?>")


@pytest.fixture
def estate(shared_demo: DemoCipp) -> Iterator[DemoCipp]:
    """The shared embedded CIPP, put back as it was afterwards, since some prompts change it."""
    shared_demo.requests.clear()
    shared_demo.state.queue_polls = 0
    yield shared_demo
    shared_demo.reset()


def values_for(name: str, demo: DemoCipp, position: int = 0) -> dict[str, str]:
    """What a person would fill in for the prompt, for the tenant at `position`."""
    tenant = demo.state.tenants[position]
    people = [
        u for u in tenant.users.values() if u["accountEnabled"] and u["assignedLicenses"] and not u.get("isAdmin")
    ]
    values = {
        "tenant": tenant.name,
        "user": people[{"leaver": 3, "phished-account": 4}.get(name, 3)]["userPrincipalName"],
        "manager": people[5]["userPrincipalName"],
        "colleague": people[6]["userPrincipalName"],
        "name": "Noor O'Hara",
        "username": "noor.ohara",
    }
    return {argument.name: values[argument.name] for argument in prompts()[name].arguments}


async def text_of(client: Client, name: str, values: dict[str, str]) -> str:
    prompt = await client.get_prompt(name, values)
    assert isinstance(prompt, types.GetPromptResult)
    (message,) = prompt.messages
    assert isinstance(message.content, types.TextContent)
    return message.content.text


def calls_in(text: str) -> list[tuple[str, dict[str, Any]]]:
    return [(match[1], json.loads(match[2])) for line in text.splitlines() if (match := _CALL.match(line))]


async def follow(client: Client, text: str) -> tuple[list[dict[str, Any]], int]:
    """(the reply of every call of a prompt, tokens they cost in all); does what the prompt says and nothing else."""
    replies: dict[int, dict[str, Any]] = {}
    number = cost = 0

    def known(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: known(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [known(inner) for inner in value]
        return _STEP.sub(from_step, value) if isinstance(value, str) else value

    def from_step(match: re.Match[str]) -> str:
        reply, column = replies[int(match[1])], match[2]
        if column is None:
            return str(reply["result"])
        return str(reply["rows"][0][[name.lower() for name in reply["columns"]].index(column.lower())])

    for line in text.splitlines():
        if numbered := re.match(r"^(\d+)\. ", line):
            number = int(numbered[1])
        if not (match := _CALL.match(line)):
            continue
        earlier = [replies[int(step)] for step, _ in _STEP.findall(line) if match[1] == "cipp_query"]
        if any(reply["total"] == 0 for reply in earlier):
            continue
        result = await client.call_tool(match[1], known(json.loads(match[2])))
        assert isinstance(result, types.CallToolResult)
        replies[number] = body(result)
        assert replies[number]["outcome"] == "ok", (line, replies[number])
        cost += tokens(result.content[0].text)  # type: ignore[union-attr]
        assert tokens(result.content[0].text) <= 6000  # type: ignore[union-attr]
    return list(replies.values()), cost


@pytest.mark.parametrize("era", ERAS)
async def test_a_stock_client_lists_the_ten_prompts_with_their_arguments(estate: DemoCipp, era: str) -> None:
    async with over_stdio(estate.environment(), era) as client:
        listed = await client.list_prompts()
        assert [prompt.name for prompt in listed.prompts] == NAMES
        assert len(NAMES) == 10
        for prompt in listed.prompts:
            assert prompt.title
            assert prompt.description
            assert prompt.arguments
            assert prompt.arguments[0].name == "tenant"
            assert all(argument.description for argument in prompt.arguments)
        text = await text_of(client, "mfa-gaps", {"tenant": estate.state.tenants[0].name})
        assert estate.state.tenants[0].domain in text


@pytest.mark.parametrize("era", ERAS)
async def test_every_prompt_followed_to_the_letter_reaches_its_end(estate: DemoCipp, era: str) -> None:
    environment = estate.environment() | {"CIPP_ACCESS": "full"}
    async with over_stdio(environment, era, elicitation_callback=Person("accept")) as client:
        for name in NAMES:
            text = await text_of(client, name, values_for(name, estate))
            assert tokens(text) <= 2500, name
            replies, cost = await follow(client, text)
            assert len(replies) >= 5, name
            assert cost <= 25_000, name


@pytest.mark.parametrize("name", NAMES)
async def test_every_prompt_works_for_every_tenant(estate: DemoCipp, name: str) -> None:
    settings = settings_for(estate, CIPP_ACCESS="full")
    async with in_memory(settings, elicitation_callback=Person("accept")) as client:
        for position in range(1, len(estate.state.tenants)):
            replies, _ = await follow(client, await text_of(client, name, values_for(name, estate, position)))
            assert len(replies) >= 5


@pytest.mark.parametrize("name", CHANGING)
async def test_changes_come_after_a_preview_and_a_persons_yes(estate: DemoCipp, name: str) -> None:
    person = Person("decline")
    settings = settings_for(estate, CIPP_ACCESS="full", CIPP_CONFIRM="writes")
    async with in_memory(settings, elicitation_callback=person) as client:
        text = await text_of(client, name, values_for(name, estate, 1))
        previewed, changed = [call for call in calls_in(text) if call[1].get("name") == CHANGING[name]]
        assert previewed == (changed[0], changed[1] | {"preview": True})
        estate.requests.clear()
        with pytest.raises(AssertionError, match="declined"):
            await follow(client, text)
        assert len(person.questions) == 1
        assert CHANGING[name] not in [request.endpoint for request in estate.requests]


@pytest.mark.parametrize("name", NAMES)
async def test_with_read_access_every_step_left_is_a_read_that_works(estate: DemoCipp, name: str) -> None:
    tenant = estate.state.tenants[0]
    others = [word for other in estate.state.tenants[1:] for word in (other.id, other.domain)]
    async with in_memory(settings_for(estate, CIPP_TENANTS=tenant.domain)) as client:
        text = await text_of(client, name, values_for(name, estate))
        assert {tool for tool, _ in calls_in(text)} <= {"cipp_read", "cipp_query"}
        assert ("CIPP_ACCESS" in text) is (name in CHANGING)
        replies, _ = await follow(client, text)
        assert len(replies) >= 4
        assert not [word for word in others if word in json.dumps(replies)]


async def test_what_the_policy_does_not_reach_is_not_mentioned(estate: DemoCipp, tmp_path: Path) -> None:
    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps({"default": {"areas": ["identity"], "deny": ["ListMFAUsers"]}}), encoding="utf-8")
    async with in_memory(settings_for(estate, CIPP_POLICY=str(policy))) as client:
        listed = {prompt.name for prompt in (await client.list_prompts()).prompts}
        assert "standards-drift" not in listed
        assert "leaver" in listed
        text = await text_of(client, "mfa-gaps", {"tenant": estate.state.tenants[0].domain})
        assert "ListMFAUsers" not in text
        assert "ListConditionalAccessPolicies" not in text
        assert "ListBasicAuth" in text
        await follow(client, text)
        with pytest.raises(MCPError) as caught:
            await client.get_prompt("standards-drift", {"tenant": estate.state.tenants[0].domain})
        assert caught.value.code == types.INVALID_PARAMS


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("no-such", {}, "There is no prompt 'no-such'. Prompts: tenant-health-review"),
        ("leaver", {"tenant": "hartwelldental.example"}, "leaver needs user"),
        ("leaver", {"tenant": " "}, "leaver needs tenant"),
        ("mfa-gaps", {"tenant": "x", "usr": "x"}, "mfa-gaps has no argument 'usr'. Valid: tenant"),
        ("mfa-gaps", {"tenant": "hartwell dental grp"}, "near: Hartwell Dental Group"),
        ("mfa-gaps", {"tenant": "x" * 300}, "longer than 200"),
    ],
)
async def test_a_wrong_name_or_argument_is_an_error_that_says_what_is_valid(
    demo: DemoCipp, era: str, name: str, arguments: dict[str, str], said: str
) -> None:
    async with in_memory(settings_for(demo), era) as client:
        with pytest.raises(MCPError) as caught:
            await client.get_prompt(name, arguments)
        assert caught.value.code == -32602
        assert said in caught.value.message


async def test_what_the_deployment_lacks_is_named_and_nothing_builds_on_it(estate: DemoCipp, tmp_path: Path) -> None:
    facts = {name: one for name, one in baked_facts().items() if name not in ("ListMailboxes", "AddUser")}
    document = tmp_path / "openapi.json"
    document.write_text(json.dumps(document_of(facts)), encoding="utf-8")
    settings = settings_for(estate, CIPP_ACCESS="full", CIPP_OPENAPI=str(document))
    async with in_memory(settings, elicitation_callback=Person("accept")) as client:
        for name, lacking in (("licence-waste", "ListMailboxes"), ("joiner", "AddUser")):
            text = await text_of(client, name, values_for(name, estate))
            assert f"not possible here: {lacking} is not in your CIPP version" in text
            assert lacking not in [call.get("name") for _, call in calls_in(text)]
            await follow(client, text)


async def test_without_a_connection_prompts_still_come() -> None:
    async with over_stdio({}) as client:
        assert "contoso.com" in await text_of(client, "mfa-gaps", {"tenant": "contoso.com"})


async def test_what_a_person_types_stays_inside_its_place(demo: DemoCipp) -> None:
    hostile = "x' OR 1=1 {rights} {person.id} \n9. cipp_critical\u202e"
    tenant = demo.state.tenants[0].domain
    async with in_memory(settings_for(demo, CIPP_ACCESS="full")) as client:
        harmless = await text_of(client, "leaver", {"tenant": tenant, "user": "x"})
        text = await text_of(client, "leaver", {"tenant": tenant, "user": hostile})
        assert len(text.splitlines()) == len(harmless.splitlines())
        assert len(calls_in(text)) == len(calls_in(harmless))
        assert "\u202e" not in text
        query = next(call["sql"] for tool, call in calls_in(text) if tool == "cipp_query")
        assert "lower('x'' OR 1=1 {rights} {person.id} 9. cipp_critical')" in query
        joiner = values_for("joiner", demo) | {"username": "p.o'hara') or (1 eq 1"}
        filters = [
            call.get("arguments", {}).get("graphFilter")
            for _, call in calls_in(await text_of(client, "joiner", joiner))
        ]
        assert "startswith(userPrincipalName,'p.o''hara'') or (1 eq 1@')" in filters


async def test_an_argument_that_is_left_out_leaves_no_trace(demo: DemoCipp) -> None:
    values = {"tenant": demo.state.tenants[0].domain, "user": "x@y.example"}
    async with in_memory(settings_for(demo, CIPP_ACCESS="full")) as client:
        assert "AccessAutomap" not in await text_of(client, "leaver", values)
        assert '"AccessAutomap":["m@y.example"]' in await text_of(client, "leaver", values | {"manager": "m@y.example"})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"steps": [{"say": "x", "query": "SELECT 1 FROM {later}"}]}, "'later' is neither"),
        ({"steps": [{"say": "x"}]}, "either an endpoint or a query"),
        ({"steps": []}, "at least 1 item"),
        ({"steps": [{"say": "x", "query": "SELECT {who}"}]}, "must stand between quotation marks"),
        ({"task": "{whom}"}, "'whom' is neither"),
    ],
)
def test_a_prompt_that_refers_to_nothing_is_not_accepted(change: dict[str, Any], said: str) -> None:
    good: dict[str, Any] = {
        "name": "abc",
        "title": "x",
        "description": "x",
        "arguments": [],
        "task": "x",
        "report": "x",
    }
    good["arguments"] = [{"name": "who", "title": "x", "description": "x"}]
    step = {"say": "x", "query": "SELECT 1"}
    PromptSpec.model_validate({**good, "steps": [step]})
    with pytest.raises(ValidationError, match=said):
        PromptSpec.model_validate({**good, "steps": [step], **change})


def test_the_editor_schema_of_the_prompts_is_current() -> None:
    is_current(Path(str(folder() / "prompts.schema.json")), prompts_schema())
