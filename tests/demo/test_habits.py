"""How answers are delayed, wrapped and unrolled."""

from __future__ import annotations

from typing import Any

import pytest

from cipp_mcp.demo import DemoCipp

from .conftest import TODAY, Api, connect

QUEUED = (
    "ListLicensesReport",
    "ListMailQuarantine",
    "ListConditionalAccessPolicies",
    "ListTransportRules",
    "ListMailboxRules",
    "ExecAlertsList",
    "ExecIncidentsList",
    "ExecMDOAlertsList",
)


@pytest.mark.parametrize("name", QUEUED)
def test_all_tenants_start_a_queue_that_fills_the_next_answer(api: Api, name: str) -> None:
    started = api.get(name, tenantFilter="AllTenants").json()
    assert started["Results"] == []
    queue = started["Metadata"]["QueueId"]
    assert "Loading data" in started["Metadata"]["QueueMessage"]
    assert ("Queued" in started["Metadata"]) == (name == "ListLicensesReport")
    states = [api.get("ListCippQueue", QueueId=queue).json()[0] for _ in range(2)]
    assert [(row["Status"], row["PercentComplete"]) for row in states] == [("Running", 50.0), ("Completed", 100.0)]
    done = api.get(name, tenantFilter="AllTenants").json()
    assert done["Results"]
    assert not done["Metadata"].get("QueueMessage")


def test_repeating_the_call_also_brings_the_queue_forward(api: Api) -> None:
    answers = [api.get("ListTransportRules", tenantFilter="AllTenants").json() for _ in range(3)]
    assert [bool(answer["Results"]) for answer in answers] == [False, False, True]
    assert answers[1]["Metadata"]["QueueMessage"].startswith("Still loading")
    assert answers[0]["Metadata"]["QueueId"] == answers[1]["Metadata"]["QueueId"]


def test_rules_of_one_tenant_go_through_a_queue_too(api: Api) -> None:
    assert api.get("ListMailboxRules", tenantFilter=api.tenant).json()["Metadata"]["QueueId"]
    assert api.get("ListMailboxRules", tenantFilter=api.tenant, UseReportDB="true").json()[0]["Tenant"] == api.tenant


def test_several_queues_are_rolled_up(api: Api) -> None:
    names = ("ListTransportRules", "ExecIncidentsList")
    ids = [api.get(name, tenantFilter="AllTenants").json()["Metadata"]["QueueId"] for name in names]
    summaries = [api.get("ListCippQueues", QueueIds=",".join([*ids, "gone"])).json() for _ in range(2)]
    assert [told["Summary"]["IsComplete"] for told in summaries] == [False, True]
    assert summaries[0]["MissingQueueIds"] == ["gone"]


def test_the_number_of_polls_can_be_chosen() -> None:
    with DemoCipp(users=20, today=TODAY, queue_polls=0) as demo, connect(demo) as client:
        api = Api(demo, client)
        assert [bool(api.get("ListTransportRules", tenantFilter="AllTenants").json()["Results"]) for _ in range(2)] == [
            False,
            True,
        ]


@pytest.mark.parametrize(
    ("name", "column"), [("ListMFAUsers", "UPN"), ("ListLicenses", "License"), ("ListBasicAuth", "MetaData")]
)
def test_a_made_up_row_stands_for_data_that_is_still_loading(api: Api, name: str, column: str) -> None:
    first = api.get(name, tenantFilter="AllTenants").json()
    assert [row[column].startswith("Loading data for all tenants") for row in first] == [True]
    api.get(name, tenantFilter="AllTenants")
    rows = api.get(name, tenantFilter="AllTenants").json()
    assert all("Loading" not in str(row) for row in rows)


def test_a_check_for_compromise_is_polled_with_its_guid(api: Api) -> None:
    user = next(iter(api.demo.state.tenants[0].users))
    query: dict[str, Any] = {"tenantFilter": api.tenant, "userid": user, "userName": "x"}
    assert api.get("ExecBECCheck", **query).json() == {"GUID": user}
    query["GUID"] = user
    answers = [api.get("ExecBECCheck", **query).json() for _ in range(3)]
    assert answers[:2] == [{"Waiting": True}, {"Waiting": True}]
    assert "NewRules" in answers[2]


def test_one_row_comes_unrolled_and_no_row_as_nothing(shared: Api) -> None:
    assert shared.get("ListOrg", tenantFilter=shared.tenant).json()["displayName"] == shared.demo.state.tenants[0].name
    group = next(iter(shared.demo.state.tenants[0].groups))
    assert shared.get("ListGroups", tenantFilter=shared.tenant, groupID=group).json()["groupInfo"]["id"] == group
    nothing = shared.get("ListDeviceDetails", tenantFilter=shared.tenant, DeviceName="none")
    assert (nothing.status_code, nothing.content) == (200, b"")


def test_some_json_is_sent_as_text(shared: Api) -> None:
    user = next(iter(shared.demo.state.tenants[0].mailboxes))
    for name, query in (("ListAlertsQueue", {}), ("ListOoO", {"tenantFilter": shared.tenant, "userid": user})):
        answer = shared.get(name, headers=None, **query)
        assert answer.headers["content-type"].startswith("text/plain")
        assert answer.json()


def test_failures_come_under_200_too(shared: Api) -> None:
    answer = shared.post("ExecGetLocalAdminPassword", {"tenantFilter": shared.tenant, "guid": "none"})
    assert answer.status_code == 200
    assert answer.json()["Results"].startswith("Failed.")


def test_the_sharepoint_address_is_a_redirect_unless_it_is_asked_for(shared: Api) -> None:
    answer = shared.get("ListSharepointAdminUrl", tenantFilter=shared.tenant)
    assert (answer.status_code, answer.headers["location"]) == (302, answer.json()["AdminUrl"])
    assert shared.get("ListSharepointAdminUrl", tenantFilter=shared.tenant, ReturnUrl="true").status_code == 200


def test_pages_are_numbered_in_quarantine_and_linked_on_graph(shared: Api) -> None:
    seen: list[str] = []
    link: str | None = None
    while True:
        query = {"tenantFilter": shared.tenant, "manualPagination": "true"} | ({"nextLink": link} if link else {})
        page = shared.get("ListMailQuarantine", headers=None, **query).json()
        seen += [row["Identity"] for row in page["Results"]]
        link = (page["Metadata"] or {}).get("nextLink")
        if not link:
            break
    assert sorted(seen) == sorted(shared.demo.state.tenants[0].quarantine)
    query = {"tenantFilter": shared.tenant, "Endpoint": "users", "$top": "40", "manualPagination": "true"}
    first = shared.get("ListGraphRequest", headers=None, **query).json()
    link = first["Metadata"]["nextLink"]
    assert str(link).startswith("https://graph.microsoft.com/beta/users?")
    second = shared.get("ListGraphRequest", headers=None, **query, nextLink=link).json()
    ids = [row["id"] for page in (first, second) for row in page["Results"]]
    assert len(ids) == len(set(ids)) == len(shared.demo.state.tenants[0].users)
    assert shared.get("ListGraphRequest", headers=None, **query, nextLink="https://evil.example/x").status_code == 400
