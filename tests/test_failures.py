"""Every way in which CIPP cannot be reached or will not answer gives one clear message with the next step."""

from __future__ import annotations

import json
import socket

import pytest

from cipp_mcp.demo import DemoCipp
from tests.conftest import in_memory, read, settings_for

pytestmark = pytest.mark.anyio


async def _failure(demo: DemoCipp, endpoint: str = "ListUserCounts", **changes: str) -> dict[str, object]:
    async with in_memory(settings_for(demo, **changes)) as client:
        reply = await read(client, endpoint, tenantFilter=demo.state.tenants[0].domain)
    text = json.dumps(reply)
    assert reply["outcome"] == "failed"
    assert len(reply["messages"]) == 1
    assert reply["hint"]
    assert demo.client_secret not in text
    assert "Traceback" not in text
    assert "eyJ" not in text  # the beginning of every JWT
    return reply


@pytest.mark.parametrize(
    ("changes", "said", "advised"),
    [
        ({"CIPP_CLIENT_SECRET": "wrong"}, "AADSTS7000215", "CIPP_CLIENT_SECRET"),
        ({"CIPP_TENANT_ID": "11111111-2222-3333-4444-555555555555"}, "AADSTS90002", "CIPP_TENANT_ID"),
        ({"CIPP_CLIENT_ID": "11111111-2222-3333-4444-555555555555"}, "AADSTS700016", "CIPP_CLIENT_ID"),
        ({"CIPP_SCOPE": "api://somebody-else/.default"}, "AADSTS500011", "Expose an API"),
    ],
    ids=["wrong secret", "wrong tenant", "unknown client", "wrong scope"],
)
async def test_a_refused_token_is_named_by_its_number(
    demo: DemoCipp, changes: dict[str, str], said: str, advised: str
) -> None:
    reply = await _failure(demo, **changes)
    assert said in str(reply["messages"])
    assert advised in str(reply["hint"])
    assert not demo.requests


async def test_an_expired_secret_is_named(demo: DemoCipp) -> None:
    reply = await _failure(demo, CIPP_CLIENT_SECRET=demo.expired_client_secret)
    assert "AADSTS7000222" in str(reply["messages"])


async def test_a_missing_application_id_uri_is_named(demo: DemoCipp) -> None:
    reply = await _failure(demo, CIPP_CLIENT_ID=demo.no_uri_client_id)
    assert "Application ID URI" in str(reply["messages"])


async def test_an_unreachable_host_is_named(demo: DemoCipp) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        reply = await _failure(demo, CIPP_URL=f"https://127.0.0.1:{unused.getsockname()[1]}")
    assert "No connection to 127.0.0.1" in str(reply["messages"])
    assert "CIPP_URL" in str(reply["hint"])


async def test_an_unreachable_authority_is_named(demo: DemoCipp) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        reply = await _failure(demo, CIPP_AUTHORITY=f"https://127.0.0.1:{unused.getsockname()[1]}")
    assert "authority 127.0.0.1" in str(reply["messages"])


async def test_a_token_of_another_audience_is_explained(demo: DemoCipp) -> None:
    reply = await _failure(demo, CIPP_CLIENT_ID=demo.v2_client_id)
    assert "HTTP 401" in str(reply["messages"])
    assert "audience" in str(reply["hint"])


async def test_a_role_that_lacks_the_permission_is_explained(demo: DemoCipp) -> None:
    demo.answer(
        "ListUserCounts",
        status=403,
        body="Access to this CIPP API endpoint is not allowed, the 'readonly' base role does not have the required permission: X",
    )
    reply = await _failure(demo)
    assert "role of the API client" in str(reply["messages"])


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"status": 403, "body": "Access to this tenant is not allowed"}, "does not include this tenant"),
        ({"status": 403, "body": b""}, "before CIPP saw the call"),
        ({"status": 404, "body": "Endpoint not found"}, "no such endpoint"),
        ({"status": 500, "body": "Cannot index into a null array."}, "HTTP 500"),
        ({"status": 503, "body": "This feature has been disabled: BPA"}, "switched off"),
        ({"status": 302, "body": b"", "headers": {"Location": "/.auth/login/aad"}}, "redirected"),
        ({"body": b"<!doctype html><title>CIPP</title>", "content_type": "text/html"}, "front end"),
        ({"body": b'[{"a": 1}, {"b', "content_type": "application/json"}, "not complete JSON"),
        ({"body": b'{"Results": ['}, "not complete JSON"),
    ],
    ids=["tenant", "EasyAuth 403", "404", "500", "feature flag", "302", "HTML", "cut list", "cut envelope"],
)
async def test_what_cipp_answers_instead_of_data_is_explained(
    demo: DemoCipp, answer: dict[str, object], said: str
) -> None:
    demo.answer("ListUserCounts", **answer)  # type: ignore[arg-type]
    reply = await _failure(demo)
    assert said in str(reply["messages"])


async def test_the_front_ends_address_is_recognised(demo: DemoCipp) -> None:
    demo.answer("ListTenants", body=b"<html>", content_type="text/html")
    reply = await _failure(demo, "ListTenants")
    assert "CIPP_URL" in str(reply["hint"])


async def test_a_revoked_token_costs_one_new_one_and_no_failure(demo: DemoCipp) -> None:
    async with in_memory(settings_for(demo)) as client:
        assert (await read(client, "ListTenants"))["outcome"] == "ok"
        before = len(demo.token_requests)
        demo.revoke_tokens()
        assert (await read(client, "ListTenants", {"fresh": True}))["outcome"] == "ok"
        assert len(demo.token_requests) - before == 1


async def test_a_passing_outage_is_not_noticed_by_a_reader(demo: DemoCipp) -> None:
    demo.answer("ListTenants", status=503, body=b"", times=1)
    async with in_memory(settings_for(demo)) as client:
        assert (await read(client, "ListTenants"))["outcome"] == "ok"
    assert [request.status for request in demo.requests] == [503, 200]
