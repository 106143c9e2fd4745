"""What the reads tell, and that they agree with each other."""

from __future__ import annotations

import datetime

import pytest

from cipp_mcp.demo import odata
from cipp_mcp.demo.calls import HANDLERS
from cipp_mcp.demo.catalogue import catalogue

from .conftest import TODAY, Api


def test_the_estate_has_the_customers_that_make_trouble(shared: Api) -> None:
    rows = shared.get("ListTenants").json()
    assert len(rows) == 4
    assert any("'" in row["displayName"] and "&" in row["displayName"] for row in rows)
    assert {tenant.profile.country for tenant in shared.demo.state.tenants} >= {"US", "GB", "DE"}
    assert all(row["initialDomainName"].endswith(".onmicrosoft.com") for row in rows)
    assert sum(len(tenant.users) for tenant in shared.demo.state.tenants) == 300
    assert shared.get("ListTenants", AllTenantSelector="true").json()[0]["customerId"] == "AllTenants"


def test_a_tenant_is_known_by_its_id_and_both_its_domains(shared: Api) -> None:
    tenant = shared.demo.state.tenants[0]
    for name in (tenant.id, tenant.domain, tenant.initial):
        assert len(shared.get("ListUsers", tenantFilter=name).json()) == len(tenant.users)


def test_somebody_is_licensed_without_mfa_and_long_gone_in_every_tenant(shared: Api) -> None:
    for tenant in shared.demo.state.tenants:
        mfa = {row["ID"]: row for row in shared.get("ListMFAUsers", tenantFilter=tenant.domain).json()}
        idle = shared.get("ListInactiveAccounts", tenantFilter=tenant.domain, InactiveDays="90").json()
        found = [
            row for row in idle if row["numberOfAssignedLicenses"] and not mfa[row["azureAdUserId"]]["MFARegistration"]
        ]
        assert found, tenant.name
        assert any(row["MFARegistration"] for row in mfa.values())


def test_licences_count_the_users_that_hold_them(shared: Api) -> None:
    users = shared.get("ListUsers", tenantFilter=shared.tenant).json()
    for row in shared.get("ListLicenses", tenantFilter=shared.tenant).json():
        holders = [user for user in users if any(entry["skuId"] == row["skuId"] for entry in user["assignedLicenses"])]
        assert int(row["CountUsed"]) == len(holders) == len(row["AssignedUsers"] or [])
        assert int(row["CountAvailable"]) == int(row["TotalLicenses"]) - len(holders) >= 0


def test_groups_of_a_user_and_members_of_a_group_agree(shared: Api) -> None:
    tenant = shared.demo.state.tenants[0]
    group = next(group for group in tenant.groups.values() if group["displayName"] == "All Staff")
    told = shared.get("ListGroups", tenantFilter=shared.tenant, groupID=group["id"], members="true").json()
    member = told["members"][0]["id"]
    groups = shared.get("ListUserGroups", tenantFilter=shared.tenant, userId=member).json()
    assert group["id"] in [row["id"] for row in groups]


def test_sign_ins_devices_and_mailboxes_belong_to_users_of_the_tenant(shared: Api) -> None:
    users = {user["userPrincipalName"] for user in shared.get("ListUsers", tenantFilter=shared.tenant).json()}
    for name, column in (
        ("ListSignIns", "userPrincipalName"),
        ("ListDevices", "userPrincipalName"),
        ("ListMailboxes", "UPN"),
    ):
        rows = shared.get(name, tenantFilter=shared.tenant).json()
        assert rows
        assert {row[column] for row in rows} <= users


def test_dates_follow_the_day_that_was_chosen(shared: Api) -> None:
    newest = max(row["createdDateTime"] for row in shared.get("ListSignIns", tenantFilter=shared.tenant).json())
    assert newest[:10] in (TODAY.isoformat(), (TODAY - datetime.timedelta(days=1)).isoformat())


@pytest.mark.parametrize(
    ("clause", "check"),
    [
        ("accountEnabled eq false", lambda user: not user["accountEnabled"]),
        (
            "userType eq 'Guest' and accountEnabled eq true",
            lambda user: user["userType"] == "Guest" and user["accountEnabled"],
        ),
        ("startswith(displayName,'A') or startswith(displayName,'B')", lambda user: user["displayName"][0] in "AB"),
        ("assignedLicenses/$count ne 0", lambda user: bool(user["assignedLicenses"])),
        ("not (userType eq 'Guest')", lambda user: user["userType"] != "Guest"),
        ("department in ('Finance','Sales')", lambda user: user["department"] in ("Finance", "Sales")),
        ("proxyAddresses/any(p:startswith(p,'SMTP:'))", lambda user: bool(user["proxyAddresses"])),
    ],
)
def test_graph_filters_work(shared: Api, clause: str, check: object) -> None:
    every = shared.demo.state.tenants[0].users.values()
    answer = shared.get(
        "ListGraphRequest", headers=None, **{"tenantFilter": shared.tenant, "Endpoint": "users", "$filter": clause}
    )
    assert answer.status_code == 200, answer.text
    assert callable(check)
    assert {row["id"] for row in answer.json()["Results"]} == {user["id"] for user in every if check(user)}


def test_graph_selects_orders_counts_and_complains(shared: Api) -> None:
    base = {"tenantFilter": shared.tenant, "Endpoint": "users"}
    rows = shared.get(
        "ListGraphRequest", headers=None, **base, **{"$select": "id,displayName", "$orderby": "displayName desc"}
    ).json()["Results"]
    assert set(rows[0]) == {"id", "displayName", "Tenant", "CippStatus"}
    assert [row["displayName"].lower() for row in rows] == sorted(
        (row["displayName"].lower() for row in rows), reverse=True
    )
    assert shared.get("ListGraphRequest", headers=None, **base, CountOnly="true").json()["Results"] == [len(rows)]
    bad = shared.get("ListGraphRequest", headers=None, **base, **{"$filter": "accountEnabled maybe false"})
    assert bad.status_code == 400
    assert bad.text.startswith("Graph Error: ")
    gone = shared.get("ListGraphRequest", headers=None, tenantFilter=shared.tenant, Endpoint="unicorns")
    assert (gone.status_code, "segment 'unicorns'" in gone.text) == (400, True)


def test_a_bad_filter_is_refused() -> None:
    for clause in ("a eq", "(a eq 1", "startswith(a", "a eq 1 b", "'x' eq 1"):
        with pytest.raises(odata.BadFilter):
            odata.compile_filter(clause)


def test_graph_gives_keys_away_only_when_they_are_selected(shared: Api) -> None:
    base = {"tenantFilter": shared.tenant, "Endpoint": "informationProtection/bitlocker/recoveryKeys"}
    rows = shared.get("ListGraphRequest", headers=None, **base).json()["Results"]
    assert rows
    assert "key" not in rows[0]
    told = shared.get(
        "ListGraphRequest",
        headers=None,
        tenantFilter=shared.tenant,
        Endpoint=f"{base['Endpoint']}/{rows[0]['id']}",
        **{"$select": "key"},
    ).json()
    assert len(told["Results"][0]["key"]) == 55


def test_a_photo_is_a_picture(shared: Api) -> None:
    user = next(iter(shared.demo.state.tenants[0].users))
    answer = shared.get("ListUserPhoto", tenantFilter=shared.tenant, UserID=user)
    assert answer.headers["content-type"] == "image/png"
    assert answer.content.startswith(b"\x89PNG")


def test_the_cache_knows_its_types(shared: Api) -> None:
    types = shared.get("ListDBCache", tenantFilter="AllTenants", type="_availableTypes").json()["Results"]
    assert {"Users", "Groups", "Mailboxes", "Devices", "MFAState"} <= set(types)
    missing = shared.get("ListDBCache", tenantFilter="AllTenants")
    assert (missing.status_code, missing.json()["AvailableTypes"]) == (400, types)
    rows = shared.get("ListDBCache", tenantFilter="AllTenants", type="Users").json()["Results"]
    assert {row["Tenant"] for row in rows} == {tenant.domain for tenant in shared.demo.state.tenants}


def test_search_finds_people_across_tenants(shared: Api) -> None:
    user = next(iter(shared.demo.state.tenants[2].users.values()))
    rows = shared.get("ExecUniversalSearchV2", searchTerms=user["userPrincipalName"], limit="5").json()
    assert [(row["Tenant"], row["Data"]["id"]) for row in rows] == [(shared.demo.state.tenants[2].domain, user["id"])]


def test_live_calls_for_all_tenants_fail_where_only_the_report_knows_them(shared: Api) -> None:
    assert shared.get("ListMailboxes", tenantFilter="AllTenants").status_code == 403
    rows = shared.get("ListMailboxes", tenantFilter="AllTenants", UseReportDB="true").json()
    assert len({row["Tenant"] for row in rows}) == 4


def test_every_handler_is_for_an_endpoint_that_exists() -> None:
    assert set(HANDLERS) <= set(catalogue())
