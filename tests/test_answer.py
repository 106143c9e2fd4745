"""CIPP's many answer shapes are read as what they mean."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cipp_mcp.calls.answer import parse_json, read_answer
from cipp_mcp.calls.outcome import Outcome
from cipp_mcp.connection.wire import Answer
from cipp_mcp.demo import DemoCipp
from cipp_mcp.registry import Registry
from tests.conftest import in_memory, read, settings_for

pytestmark = pytest.mark.anyio

READ, OBJECT, CHANGE = (Registry.load()[name] for name in ("ListUsers", "ListUserCounts", "ExecDisableUser"))


def answered(endpoint: Any, body: Any, status: int = 200, media: str = "application/json", **headers: str) -> Outcome:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_answer(endpoint, Answer(status, media, headers, content, 0.0))


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        ([{"id": 1}, {"id": 2}], [{"id": 1}, {"id": 2}]),
        ({"Results": [{"id": 1}]}, [{"id": 1}]),
        ({"Results": [{"id": 1}], "Metadata": {"Queued": False}}, [{"id": 1}]),
        ({"id": 1, "displayName": "one", "mail": "x"}, [{"id": 1, "displayName": "one", "mail": "x"}]),
        (json.dumps([{"id": 1}]), [{"id": 1}]),
        (b"", []),
        (b"null", []),
        (b"\xef\xbb\xbf[]", []),
        ([], []),
        (["a", "b"], ["a", "b"]),
    ],
    ids=[
        "bare",
        "envelope",
        "with metadata",
        "unrolled",
        "JSON in a string",
        "empty",
        "null",
        "BOM",
        "no rows",
        "scalars",
    ],
)
def test_a_list_comes_as_rows_whatever_its_shape(body: Any, rows: list[Any]) -> None:
    outcome = answered(READ, body)
    assert (outcome.state, outcome.rows) == ("ok", rows)


@pytest.mark.parametrize(
    "body",
    [
        [{"displayName": "Failed to retrieve tenants: no access"}],
        {"Results": [{"resultText": "Unable to retrieve file contents: 404", "state": "error"}]},
        {"Results": [{"Error": "Mailbox not found"}]},
        {"Results": "Failed to get users"},
        "Error: something",
    ],
)
def test_a_failure_under_200_is_a_failure(body: Any) -> None:
    assert answered(READ, body).state == "failed"


@pytest.mark.parametrize(
    "body",
    [
        [{"UPN": "Loading data for all tenants. Please check back"}],
        {"Results": [], "Metadata": {"QueueMessage": "Loading", "QueueId": "q"}},
        {"Results": [{"QueueMessage": "Data still processing, please wait", "QueueId": "q", "Queued": True}]},
    ],
)
def test_a_placeholder_or_a_queue_notice_is_pending(body: Any) -> None:
    assert answered(READ, body).state == "pending"


@pytest.mark.parametrize(
    ("body", "state"),
    [
        ({"Results": "Successfully disabled the user"}, "ok"),
        ({"Results": ["Done", "Also done"]}, "ok"),
        ({"Results": ["Done", "Failed to add licence"]}, "partial"),
        ({"Results": ["Could not find user", "Unable to do it"]}, "failed"),
        ({"Results": {"resultText": "x", "state": "success"}}, "ok"),
        ({"Results": {"resultText": "Set error policy", "state": "success"}}, "ok"),
        ({"Results": [{"resultText": "x", "state": "Error"}, {"resultText": "y", "state": "success"}]}, "partial"),
        ({"Results": {"resultText": "careful", "state": "warning"}}, "partial"),
        ({"Results": "all went well", "severity": "failed"}, "failed"),
        ({"error": {"message": "denied"}}, "failed"),
        ({"Message": "Removed Global Administrator from r1"}, "ok"),
        ({"Message": "Relationship status is currently created, it is not possible to remove the role"}, "failed"),
        ({"Message": "Unexpected error patching GDAP relationship: x"}, "failed"),
        ({"Results": {"message": "Addresses refreshed", "severity": "success"}}, "ok"),
        ({"Results": {"message": "Addresses refreshed in part", "severity": "warning"}}, "partial"),
        ({"Results": []}, "unknown"),
        ({}, "unknown"),
        (b"", "unknown"),
        ("No errors were found", "ok"),
        (b'{"Results": "cut', "unknown"),
        ({"Results": "Consent was given", "Metadata": {"Heading": "CPV", "Success": False}}, "failed"),
        ({"Results": "Consent was given", "Metadata": {"Heading": "CPV", "Success": True}}, "ok"),
    ],
)
def test_a_change_is_read_three_valued(body: Any, state: str) -> None:
    assert answered(CHANGE, body).state == state


@pytest.mark.parametrize(
    ("status", "state"), [(400, "failed"), (403, "failed"), (404, "failed"), (500, "failed"), (503, "unknown")]
)
def test_an_error_status_is_a_failure_unless_the_change_may_have_happened(status: int, state: str) -> None:
    outcome = answered(CHANGE, {"Results": "The user could not be found"}, status)
    assert outcome.state == state
    assert status == 503 or "The user could not be found" in outcome.messages[0]


@pytest.mark.parametrize("names", [[], ["Error mail"], ["a", "b"]])
async def test_a_read_of_an_endpoint_that_can_also_change_is_read_as_a_read(demo: DemoCipp, names: list[str]) -> None:
    demo.answer("ExecManageRetentionTags", body=[{"Name": name} for name in names])
    async with in_memory(settings_for(demo)) as client:
        reply = await read(client, "ExecManageRetentionTags", tenantFilter=demo.state.tenants[0].domain)
    assert (reply["outcome"], reply.get("rows", [])) == ("ok", [[name] for name in names]), reply


async def test_what_stands_beside_the_rows_is_told_unless_rows_are_held_back(demo: DemoCipp) -> None:
    domain = demo.state.tenants[0].domain
    demo.answer("ListTestResultsTenants", body={"Results": [{"Tenant": domain}], "Counts": {"Passed": 7}})
    for changes, told in (({}, ['Counts: {"Passed":7}']), ({"CIPP_TENANTS": domain}, None)):
        async with in_memory(settings_for(demo, **changes)) as client:
            reply = await read(client, "ListTestResultsTenants", tenantFilter=domain)
        assert reply.get("messages") == told


def test_an_image_is_kept_as_it_is() -> None:
    outcome = answered(OBJECT, b"\x89PNG", media="image/png")
    assert outcome.binary == ("image/png", b"\x89PNG")


def test_a_redirect_is_the_answer_of_one_endpoint_and_a_failure_of_all_others() -> None:
    url = {"location": "https://contoso-admin.sharepoint.com"}
    admin = read_answer(Registry.load()["ListSharepointAdminUrl"], Answer(302, "", url, b"", 0.0))
    assert admin.data == {"AdminUrl": url["location"]}
    assert read_answer(READ, Answer(302, "", url, b"", 0.0)).state == "failed"


@given(content=st.binary(max_size=200), status=st.sampled_from([200, 204, 302, 400, 500]))
def test_no_bytes_that_cipp_could_send_raise_anything(content: bytes, status: int) -> None:
    for endpoint in (READ, OBJECT, CHANGE):
        for media in ("application/json", "text/plain", "text/html", ""):
            assert read_answer(endpoint, Answer(status, media, {}, content, 0.0)).state


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", '{"a": -Infinity}'])
def test_numbers_that_json_does_not_have_become_null(text: str) -> None:
    assert "n" not in json.dumps(parse_json(text.encode())).replace("null", "")


def test_nesting_without_end_is_refused() -> None:
    assert answered(READ, b"[" * 100_000).state == "failed"
