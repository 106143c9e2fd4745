"""Routes, the record of requests, answers laid down by tests, and the shape of every endpoint."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx
import pytest

from cipp_mcp.demo import DemoCipp
from cipp_mcp.demo.calls import HANDLERS
from cipp_mcp.demo.catalogue import BINARY, FLAGGED, REDIRECTS, catalogue

from .conftest import TODAY, Api, connect


def _arguments(api: Api) -> dict[str, dict[str, Any]]:
    """What endpoints cannot do without."""
    tenant = api.demo.state.tenants[0]
    box = next(iter(tenant.mailboxes.values()))
    task = next(iter(api.demo.state.tasks))
    return {
        "ListCalendarPermissions": {"UserID": box.upn},
        "ListContactPermissions": {"UserID": box.upn},
        "ListDBCache": {"type": "Users"},
        "ListDomainHealth": {"Action": "ReadSpfRecord", "Domain": tenant.domain},
        "ListExternalTenantInfo": {"tenant": tenant.domain},
        "ListGraphRequest": {"Endpoint": "users"},
        "ListMailboxMobileDevices": {"Mailbox": box.upn},
        "ListmailboxPermissions": {"userId": box.upn},
        "ListMailQuarantineMessage": {"Identity": next(iter(tenant.quarantine))},
        "ListOoO": {"userid": box.upn},
        "ListPerUserMFA": {"userId": box.user_id},
        "ListCippQueues": {"QueueIds": "none"},
        "ListScheduledItemDetails": {"RowKey": task},
        "ListSites": {"Type": "SharePointSiteUsage"},
        "ListUserGroups": {"userId": box.user_id},
        "ListUserMailboxDetails": {"UserID": box.user_id},
        "ListUserMailboxRules": {"UserID": box.user_id},
        "ListUserTrustedBlockedSenders": {"UserID": box.user_id},
        "ListTeams": {"type": "List"},
    }


def test_every_endpoint_answers_in_its_declared_shape(api: Api) -> None:
    arguments, wrong = _arguments(api), []
    for name, known in catalogue().items():
        if name in FLAGGED or name in BINARY or name in REDIRECTS:
            continue
        if known.endpoint.role.endswith("ReadWrite") and known.endpoint.risk != "read":
            continue
        query = {"tenantFilter": api.tenant, **arguments.get(name, {})}
        body = None
        if known.endpoint.method != "GET":
            body = {
                "tenantFilter": api.tenant,
                "requests": [{"id": "1", "method": "GET", "url": "users"}],
                "Cmdlet": "Get-Mailbox",
            }
        answer = api.post(name, body, **query) if body else api.get(name, **query)
        if answer.status_code != 200:
            wrong.append(f"{name}: {answer.status_code} {answer.text[:80]}")
        elif known.endpoint.response.kind == "text":
            if not answer.text.strip():
                wrong.append(f"{name}: no text")
        elif answer.content and not isinstance(json.loads(answer.content), dict | list):
            wrong.append(f"{name}: {answer.text[:80]}")
    assert wrong == []


def test_made_up_rows_have_the_columns_that_the_registry_names(shared: Api) -> None:
    wrong = []
    for name, known in catalogue().items():
        endpoint = known.endpoint
        if name in HANDLERS or name in FLAGGED or endpoint.risk != "read" or endpoint.response.kind != "list":
            continue
        answer = shared.client.get(
            f"/api/{name}", params={"tenantFilter": shared.tenant}, headers=shared.login()
        ).json()
        rows = answer["Results"] if isinstance(answer, dict) else answer
        missing = {column.split(".")[0] for column in endpoint.response.columns} - set(rows[0]) - {"Results"}
        if missing:
            wrong.append(f"{name}: {missing}")
    assert wrong == []


def test_every_change_answers_with_results_even_when_it_is_sent_nothing_useful(api: Api) -> None:
    wrong = []
    for name, known in catalogue().items():
        if name in FLAGGED or not known.endpoint.role.endswith("ReadWrite") or known.endpoint.risk == "read":
            continue
        answer = api.post(name, {"tenantFilter": api.tenant}, tenantFilter=api.tenant)
        if answer.status_code not in (200, 207, 400, 403, 404, 500) or not isinstance(
            _parsed(answer.content), dict | list | str
        ):
            wrong.append(f"{name}: {answer.status_code} {answer.text[:80]}")
    assert wrong == []


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return content.decode()


def test_the_same_call_gets_the_same_answer(shared: Api) -> None:
    for name in ("ListTestReports", "ListWebhookAlert", "ListUsers", "ListCustomVariables", "ListDevices"):
        assert (
            shared.get(name, tenantFilter=shared.tenant).content == shared.get(name, tenantFilter=shared.tenant).content
        )


def test_two_deployments_with_the_same_seed_are_alike_and_another_seed_differs(shared: Api) -> None:
    for seed, alike in ((1, True), (2, False)):
        with DemoCipp(seed=seed, today=TODAY) as demo, connect(demo) as client:
            other = Api(demo, client)
            for name in ("ListUsers", "ListMailboxes", "ListSignIns", "ListGroups", "ListLogs"):
                same = (
                    other.get(name, tenantFilter=shared.tenant).content
                    == shared.get(name, tenantFilter=shared.tenant).content
                )
                assert same == alike, name


def test_a_large_estate_starts_and_answers_quickly() -> None:
    with DemoCipp(users=20000, tenants=12, today=TODAY) as demo, connect(demo) as client:
        api = Api(demo, client)
        tenants = api.get("ListTenants").json()
        assert len(tenants) == 12
        counts = api.get("ListDBCache", tenantFilter="AllTenants", type="Users", countsOnly="true").json()["Results"]
        assert sum(row["Count"] for row in counts) == 20000


def test_an_unknown_endpoint_is_not_found_and_spelling_counts(shared: Api) -> None:
    for name in ("ListNothing", "listusers"):
        answer = shared.get(name)
        assert (answer.status_code, answer.json()) == (404, "Endpoint not found")


def test_outside_the_api_there_is_only_the_front_end(shared: Api) -> None:
    for path in ("/", "/identity/administration/users", "/ListTenants"):
        answer = shared.client.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")


@pytest.mark.parametrize("name", ["ListBPA", "ExecMcp", "ListWorkerHealth"])
def test_a_feature_that_is_switched_off_says_so(shared: Api, name: str) -> None:
    answer = shared.get(name)
    assert answer.status_code == 503
    assert answer.text.startswith("This feature has been disabled: ")


def test_query_names_are_read_without_regard_to_case(shared: Api) -> None:
    user = next(iter(shared.demo.state.tenants[0].users))
    assert [row["id"] for row in shared.get("ListUsers", TENANTFILTER=shared.tenant, userid=user).json()] == [user]


def test_body_names_that_differ_only_in_case_are_an_error(shared: Api) -> None:
    content = '{"tenantFilter": "a", "TenantFilter": "b"}'
    answer = shared.client.post("/api/ListMessageTrace", content=content, headers=shared.login())
    assert answer.status_code == 500
    assert "different casing" in answer.text


def test_calls_are_recorded_with_query_body_and_status(api: Api) -> None:
    api.post("ListMessageTrace", {"tenantFilter": api.tenant, "days": 3}, extra="1")
    seen = api.demo.requests[-1]
    assert (seen.method, seen.path, seen.endpoint, seen.status) == (
        "POST",
        "/api/ListMessageTrace",
        "ListMessageTrace",
        200,
    )
    assert (seen.query, seen.body) == ({"extra": "1"}, {"tenantFilter": api.tenant, "days": 3})


def test_an_answer_laid_down_is_given_as_often_as_asked_for(api: Api) -> None:
    api.demo.answer(
        "ListTenants", status=503, body=b"<html>", content_type="text/html", headers={"Retry-After": "2"}, times=1
    )
    first = api.get("ListTenants")
    assert (first.status_code, first.text, first.headers["retry-after"]) == (503, "<html>", "2")
    assert api.get("ListTenants").status_code == 200
    api.demo.answer("ListTenants", body=[{"displayName": "x"}])
    assert api.get("ListTenants").json() == api.get("ListTenants").json() == [{"displayName": "x"}]
    api.demo.restore()
    assert len(api.get("ListTenants").json()) == 4


def test_limited_answers_come_before_an_unlimited_one_and_the_newest_unlimited_counts(api: Api) -> None:
    for body, times in (("old", None), ("once", 1), ("new", None)):
        api.demo.answer("ListTenants", body=[body], times=times)
    assert [api.get("ListTenants").json() for _ in range(3)] == [["once"], ["new"], ["new"]]


def test_a_call_can_be_made_slow_and_is_carried_out_all_the_same(api: Api) -> None:
    user = next(iter(api.demo.state.tenants[0].users.values()))
    api.demo.delay("ExecDisableUser", 0.3, times=1)
    with pytest.raises(httpx.ReadTimeout):
        api.client.post(
            "/api/ExecDisableUser",
            json={"tenantFilter": api.tenant, "ID": user["id"], "Enable": False},
            headers=api.login(),
            timeout=0.05,
        )
    assert user["accountEnabled"] is True
    end = time.monotonic() + 5
    while user["accountEnabled"] and time.monotonic() < end:
        api.get("PublicPing")
    assert user["accountEnabled"] is False


def test_the_token_endpoint_can_be_made_to_fail(api: Api) -> None:
    api.demo.answer("token", status=503, body=b"busy", times=1)
    assert [api.token().status_code for _ in range(2)] == [503, 200]


def test_the_environment_names_everything_a_server_needs(shared: Api) -> None:
    environment = shared.demo.environment()
    assert set(environment) == {
        "CIPP_URL",
        "CIPP_TENANT_ID",
        "CIPP_CLIENT_ID",
        "CIPP_CLIENT_SECRET",
        "CIPP_AUTHORITY",
        "SSL_CERT_FILE",
    }
    assert environment["CIPP_URL"] == shared.demo.url
