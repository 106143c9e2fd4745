"""Credentials in answers: withheld unless the operator allows them, shown once, kept nowhere."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cipp_mcp.calls.mask import WITHHELD, mask
from cipp_mcp.demo import DemoCipp
from tests.conftest import call, in_memory, settings_for
from tests.test_audit import reset_password
from tests.test_confirming import Person

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("allowed", ["false", "true"])
async def test_a_new_password_is_shown_only_where_it_is_allowed(demo: DemoCipp, allowed: str) -> None:
    person = Person("accept")
    answer = {"Results": {"resultText": "New password is Kx7!pq99Lm", "copyField": "Kx7!pq99Lm", "state": "success"}}
    demo.answer("ExecResetPass", body=answer)
    settings = settings_for(demo, CIPP_ACCESS="full", CIPP_ALLOW_SECRETS=allowed)
    async with in_memory(settings, elicitation_callback=person) as client:
        reply = await call(client, "cipp_critical", **reset_password(demo))
    assert reply["outcome"] == "ok"
    assert ("Kx7!pq99Lm" in json.dumps(reply)) is (allowed == "true")
    said = "will be shown" if allowed == "true" else "will be withheld"
    assert said in person.questions[0]


async def test_a_secret_read_is_refused_unless_allowed_and_then_asked_for(demo: DemoCipp) -> None:
    tenant = demo.state.tenants[0].domain
    arguments = {"name": "ExecGetRecoveryKey", "arguments": {"tenantFilter": tenant, "GUID": "1"}}
    async with in_memory(settings_for(demo, CIPP_ACCESS="admin")) as client:
        reply = await call(client, "cipp_critical", **arguments)
        assert "CIPP_ALLOW_SECRETS" in reply["hint"]
    assert "ExecGetRecoveryKey" not in [request.endpoint for request in demo.requests]


async def test_credentials_are_never_kept_for_queries(demo: DemoCipp) -> None:
    demo.answer("ListBreachesAccount", body=[{"Name": "Leak", "password": "hunter2hunter2"}])
    settings = settings_for(demo, CIPP_ALLOW_SECRETS="true", CIPP_CONFIRM="never")
    async with in_memory(settings) as client:
        reply = await call(client, "cipp_critical", name="ListBreachesAccount", arguments={"account": "a@b.example"})
        kept = await call(client, "cipp_query", sql=f"SELECT * FROM {reply['result']}")
    assert "hunter2hunter2" not in json.dumps(kept)


async def test_what_is_shown_beside_a_credential_is_cleaned_like_any_other_text(demo: DemoCipp) -> None:
    demo.answer("ListBreachesAccount", body=[{"Name": "Le\u202eak", "password": "hunter2hunter2"}])
    settings = settings_for(demo, CIPP_ALLOW_SECRETS="true", CIPP_CONFIRM="never")
    async with in_memory(settings) as client:
        reply = await call(client, "cipp_critical", name="ListBreachesAccount", arguments={"account": "a@b.example"})
    assert reply["rows"] == [["Leak"]]


@pytest.mark.parametrize(
    ("name", "arguments", "body"),
    [
        ("ListAppleEnrollmentProfiles", {}, {"Results": {"Profiles": [{"adminAccountPassword": "hunter2hunter2"}]}}),
        (
            "ListGraphRequest",
            {"Endpoint": "users"},
            {"Results": [{"id": "1", "key": "hunter2hunter2"}], "Metadata": {}},
        ),
        ("ListDBCache", {"type": "IntunePolicies"}, {"Results": [{"omaSettings": [{"value": "hunter2hunter2"}]}]}),
    ],
)
async def test_credentials_in_an_envelope_are_withheld_from_reads(
    demo: DemoCipp, name: str, arguments: dict[str, str], body: Any
) -> None:
    demo.answer(name, body=body)
    arguments = {"tenantFilter": demo.state.tenants[0].domain, **arguments}
    async with in_memory(settings_for(demo)) as client:
        reply = await call(client, "cipp_read", name=name, arguments=arguments)
        kept = await call(client, "cipp_query", sql=f"SELECT * FROM {reply['result']}") if "result" in reply else None
    assert reply["outcome"] == "ok"
    assert "hunter2hunter2" not in json.dumps([reply, kept])
    assert WITHHELD in json.dumps([reply, kept])


@pytest.mark.parametrize(
    ("value", "secret"),
    [
        ({"Results": [{"copyField": "S3cret!x", "resultText": "Password is S3cret!x"}]}, "S3cret!x"),
        ({"Results": "The password has been set to Zz9!abcd"}, "Zz9!abcd"),
        ({"Results": ["User created", "Password: Qq1!wert"]}, "Qq1!wert"),
        ({"access_token": "eyJhbGciOi", "expires_in": 3600}, "eyJhbGciOi"),
        ({"Results": {"temporaryAccessPass": "AB12-CD34"}}, "AB12-CD34"),
        ({"deep": {"er": [{"SASUrl": "https://x/?sig=abc"}]}}, "sig=abc"),
        ({"Results": "New passcode is 493817"}, "493817"),
        ({"password": 12345678}, "12345678"),
    ],
)
def test_a_credential_in_the_answer_of_a_change_is_withheld(value: Any, secret: str) -> None:
    masked, found = mask(value, [], change=True)
    assert secret not in json.dumps(masked)
    assert WITHHELD in json.dumps(masked)
    assert found or "Results" in value


@pytest.mark.parametrize(
    "text",
    [
        "Password reset is not allowed",
        "The password was set to never expire",
        "Password policies have been applied",
        "User must change password at next logon",
    ],
)
def test_ordinary_sentences_about_passwords_are_left_alone(text: str) -> None:
    assert mask({"Results": text}, [], change=True)[0] == {"Results": text}


def test_paths_of_an_entry_are_found_below_envelopes_and_lists() -> None:
    value = {"Results": [{"key": "111111-222222", "id": "1"}, {"key": "333333-444444"}]}
    masked, found = mask(value, ["key"], change=False)
    assert found
    assert masked == {"Results": [{"key": WITHHELD, "id": "1"}, {"key": WITHHELD}]}
