"""A person's yes: asked in each era, bound to one call, used once, and never assumed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import anyio
import mcp_types as types
import pytest

from cipp_mcp.calls.confirm import Confirmations
from cipp_mcp.demo import DemoCipp
from cipp_mcp.errors import Refused
from tests.conftest import ERAS, call, in_memory, over_stdio, settings_for, text_of

pytestmark = pytest.mark.anyio


class Person:
    """Answers questions, and remembers them."""

    def __init__(self, action: str, content: Callable[[str], dict[str, Any]] | None = None) -> None:
        self.questions: list[str] = []
        self._action, self._content = action, content or approve

    async def __call__(self, _context: Any, params: Any) -> types.ElicitResult:
        self.questions.append(params.message)
        content = self._content(params.message) if self._action == "accept" else None
        return types.ElicitResult(action=self._action, content=content)  # type: ignore[arg-type]


def approve(message: str) -> dict[str, Any]:
    """What somebody who reads the question and agrees sends back."""
    last = message.splitlines()[-1]
    return {"typed": last.removeprefix("To approve, type: ")} if last.startswith("To approve") else {"confirm": True}


@pytest.fixture
def victim(demo: DemoCipp) -> Any:
    tenant = demo.state.tenants[0]
    user = next(user for user in tenant.users.values() if user["accountEnabled"])
    yield tenant, user
    user["accountEnabled"] = True


def block(tenant: Any, user: Any) -> dict[str, Any]:
    return {"name": "ExecDisableUser", "arguments": {"tenantFilter": tenant.domain, "ID": user["id"], "Enable": False}}


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("action", ["accept", "decline", "cancel"])
async def test_a_real_client_is_asked_and_its_answer_is_what_happens(
    demo: DemoCipp, victim: Any, era: str, action: str
) -> None:
    tenant, user = victim
    person = Person(action)
    environment = demo.environment() | {"CIPP_ACCESS": "full"}
    async with over_stdio(environment, era, elicitation_callback=person) as client:
        reply = await call(client, "cipp_critical", **block(tenant, user))
    assert len(person.questions) == 1
    assert user["accountEnabled"] is (action != "accept")
    assert reply["outcome"] == ("ok" if action == "accept" else "refused")
    sent = [request.endpoint for request in demo.requests].count("ExecDisableUser")
    assert sent == (1 if action == "accept" else 0)


@pytest.mark.parametrize("era", ERAS)
async def test_the_question_reads_like_a_change_ticket(demo: DemoCipp, victim: Any, era: str) -> None:
    tenant, user = victim
    person = Person("decline")
    async with in_memory(settings_for(demo, CIPP_ACCESS="full"), era, elicitation_callback=person) as client:
        await call(client, "cipp_critical", **block(tenant, user))
    (question,) = person.questions
    assert "Block or unblock sign-in (ExecDisableUser)" in question
    assert "Risk: security" in question
    assert f"{tenant.name} ({tenant.domain})" in question
    assert f"{user['displayName']} <{user['userPrincipalName']}>" in question
    assert "Enable=false" in question
    assert "Effect: " in question


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("content", "happens"),
    [
        (lambda message: approve(message), True),
        (lambda message: {"typed": approve(message)["typed"].upper() + " "}, True),
        (lambda message: {"typed": "yes"}, False),
        (lambda message: {"confirm": True}, False),
        (lambda message: {}, False),
    ],
    ids=["name", "name in capitals", "yes", "a mere tick", "nothing"],
)
async def test_for_a_deletion_the_name_of_what_is_hit_has_to_be_typed(
    demo: DemoCipp, era: str, content: Callable[[str], dict[str, Any]], happens: bool
) -> None:
    tenant = demo.state.tenants[1]
    identifier, user = next((i, u) for i, u in tenant.users.items() if u["userType"] == "Member")
    person = Person("accept", content)
    arguments = {"tenantFilter": tenant.domain, "ID": identifier, "userPrincipalName": user["userPrincipalName"]}
    try:
        async with in_memory(settings_for(demo, CIPP_ACCESS="full"), era, elicitation_callback=person) as client:
            await call(client, "cipp_critical", name="RemoveUser", arguments=arguments)
        assert person.questions[0].endswith(f"To approve, type: {user['userPrincipalName']}")
        assert (identifier not in tenant.users) is happens
    finally:
        tenant.users[identifier] = user


async def test_where_nobody_can_be_asked_nothing_happens_and_the_setting_is_named(demo: DemoCipp, victim: Any) -> None:
    tenant, user = victim
    async with in_memory(settings_for(demo, CIPP_ACCESS="full")) as client:
        reply = await call(client, "cipp_critical", **block(tenant, user))
    assert reply["outcome"] == "refused"
    assert "CIPP_CONFIRM_FALLBACK" in reply["hint"]
    assert user["accountEnabled"]


async def test_two_steps_show_the_plan_first_and_act_on_the_second_call(demo: DemoCipp, victim: Any) -> None:
    tenant, user = victim
    settings = settings_for(demo, CIPP_ACCESS="full", CIPP_CONFIRM_FALLBACK="two-step")
    async with in_memory(settings) as client:
        plan = await call(client, "cipp_critical", **block(tenant, user))
        assert plan["outcome"] == "confirm"
        assert user["displayName"] in plan["messages"][0]
        assert user["accountEnabled"]
        done = await call(client, "cipp_critical", **block(tenant, user), confirmation=plan["confirmation"])
        assert done["outcome"] == "ok"
        assert not user["accountEnabled"]
        again = await call(client, "cipp_critical", **block(tenant, user), confirmation=plan["confirmation"])
        assert "already been used" in again["messages"][0]


async def test_two_steps_are_not_open_to_a_host_that_can_ask(demo: DemoCipp, victim: Any) -> None:
    tenant, user = victim
    settings = settings_for(demo, CIPP_ACCESS="full", CIPP_CONFIRM_FALLBACK="two-step")
    async with in_memory(settings) as client:
        plan = await call(client, "cipp_critical", **block(tenant, user))
    async with in_memory(settings, elicitation_callback=Person("decline")) as client:
        reply = await call(client, "cipp_critical", **block(tenant, user), confirmation=plan["confirmation"])
    assert reply["outcome"] == "refused"
    assert user["accountEnabled"]


@pytest.mark.parametrize(
    "changed",
    [
        {"Enable": True},
        {"ID": "other@hartwelldental.example"},
        {"tenantFilter": "obrienplumbing.example"},
        {"extra": {"More": 1}},
    ],
    ids=str,
)
async def test_a_changed_argument_voids_the_confirmation(demo: DemoCipp, victim: Any, changed: dict[str, Any]) -> None:
    tenant, user = victim
    settings = settings_for(demo, CIPP_ACCESS="full", CIPP_CONFIRM_FALLBACK="two-step")
    async with in_memory(settings) as client:
        plan = await call(client, "cipp_critical", **block(tenant, user))
        other = block(tenant, user)
        other["arguments"] |= changed
        reply = await call(client, "cipp_critical", **other, confirmation=plan["confirmation"])
    assert reply["outcome"] == "refused"
    assert "another call" in reply["messages"][0]
    assert "ExecDisableUser" not in [request.endpoint for request in demo.requests]


@pytest.mark.parametrize("key", [None, "k" * 40], ids=["no key", "CIPP_STATE_KEY"])
async def test_a_restart_voids_confirmations_unless_a_key_is_configured(
    demo: DemoCipp, victim: Any, key: str | None
) -> None:
    tenant, user = victim
    changes = {"CIPP_ACCESS": "full", "CIPP_CONFIRM_FALLBACK": "two-step"} | ({"CIPP_STATE_KEY": key} if key else {})
    async with in_memory(settings_for(demo, **changes)) as client:
        plan = await call(client, "cipp_critical", **block(tenant, user))
    async with in_memory(settings_for(demo, **changes)) as client:
        reply = await call(client, "cipp_critical", **block(tenant, user), confirmation=plan["confirmation"])
    assert reply["outcome"] == ("ok" if key else "refused")
    assert user["accountEnabled"] is (key is None)


async def test_a_confirmation_expires_after_five_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    confirmations = Confirmations("k" * 40)
    token = confirmations.issue("local", "digest")
    now = time.time()
    monkeypatch.setattr("cipp_mcp.calls.confirm.time.time", lambda: now + 301)
    with pytest.raises(Refused, match="expired"):
        await confirmations.redeem(token, "local", "digest")


async def test_another_caller_cannot_use_a_confirmation() -> None:
    confirmations = Confirmations("k" * 40)
    token = confirmations.issue("alice", "digest")
    with pytest.raises(Refused, match="another caller"):
        await confirmations.redeem(token, "bob", "digest")


@pytest.mark.parametrize("token", ["", ".", "...", "9999999999.a.-.b", "x.y.z.w", "9" * 5000, "\ud800.a.-.b"])
async def test_a_forged_confirmation_is_refused(token: str) -> None:
    with pytest.raises(Refused, match="belongs to another"):
        await Confirmations(None).redeem(token, "local", "digest")


async def test_a_2026_host_cannot_replay_its_answer(demo: DemoCipp, victim: Any) -> None:
    tenant, user = victim
    async with in_memory(settings_for(demo, CIPP_ACCESS="full"), elicitation_callback=Person("accept")) as client:
        asked = await client.session.call_tool("cipp_critical", block(tenant, user), allow_input_required=True)
        assert isinstance(asked, types.InputRequiredResult)
        answers: Any = {"confirm": types.ElicitResult(action="accept", content={"confirm": True})}
        for expected in ("ok", "refused"):
            result = await client.session.call_tool(
                "cipp_critical", block(tenant, user), input_responses=answers, request_state=asked.request_state
            )
            assert f'"outcome":"{expected}"' in text_of(result)
    assert [request.endpoint for request in demo.requests].count("ExecDisableUser") == 1


async def test_a_2026_host_that_answers_too_late_changes_nothing(
    demo: DemoCipp, victim: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant, user = victim
    async with in_memory(settings_for(demo, CIPP_ACCESS="full"), elicitation_callback=Person("accept")) as client:
        asked = await client.session.call_tool("cipp_critical", block(tenant, user), allow_input_required=True)
        assert isinstance(asked, types.InputRequiredResult)
        now = time.time()
        monkeypatch.setattr("cipp_mcp.calls.confirm.time.time", lambda: now + 301)
        answers: Any = {"confirm": types.ElicitResult(action="accept", content={"confirm": True})}
        result = await client.session.call_tool(
            "cipp_critical", block(tenant, user), input_responses=answers, request_state=asked.request_state
        )
    assert "has expired" in text_of(result)
    assert user["accountEnabled"]


async def test_a_2025_host_whose_person_does_not_answer_changes_nothing(
    demo: DemoCipp, victim: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant, user = victim

    async def away(_context: Any, _params: Any) -> types.ElicitResult:
        await anyio.sleep_forever()
        raise AssertionError

    monkeypatch.setattr("cipp_mcp.server.host.LIFETIME", 0.2)
    async with in_memory(settings_for(demo, CIPP_ACCESS="full"), "2025", elicitation_callback=away) as client:
        with anyio.fail_after(10):
            reply = await call(client, "cipp_critical", **block(tenant, user))
    assert "Nobody answered" in reply["messages"][0]
    assert user["accountEnabled"]
