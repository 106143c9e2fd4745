"""Changes of accounts and groups, read back through the API; and what CIPP quietly ignores."""

from __future__ import annotations

from cipp_mcp.demo import DemoCipp
from cipp_mcp.demo.world import skus
from cipp_mcp.demo.world.tenant import Row, Tenant

from .conftest import Api, label, read_user


def test_sign_in_is_blocked_and_allowed_again(api: Api, user: Row) -> None:
    body = {"tenantFilter": api.tenant, "ID": user["id"]}
    told = api.results("ExecDisableUser", {**body, "Enable": False})
    assert told == f"Successfully blocked sign-in of {user['id']} (accountEnabled False)"
    assert read_user(api, user["id"])["accountEnabled"] is False
    api.results("ExecDisableUser", {**body, "Enable": "true"})
    assert read_user(api, user["id"])["accountEnabled"] is True


def test_without_enable_the_account_is_disabled(api: Api, user: Row) -> None:
    api.results("ExecDisableUser", {"tenantFilter": api.tenant, "ID": user["id"]})
    assert read_user(api, user["id"])["accountEnabled"] is False


def test_a_get_with_a_query_changes_as_well(api: Api, user: Row) -> None:
    assert api.get("ExecDisableUser", tenantFilter=api.tenant, ID=user["id"], Enable="false").status_code == 200
    assert read_user(api, user["id"])["accountEnabled"] is False


def test_an_unknown_user_is_a_failure_with_its_reason(api: Api) -> None:
    answer = api.post("ExecDisableUser", {"tenantFilter": api.tenant, "ID": "nobody", "Enable": True})
    assert answer.status_code == 500
    assert answer.json()["Results"].startswith("Failed to change the sign-in of nobody. Error: Resource 'nobody'")


def test_a_new_password_is_told_once_and_only_changes_hands_there(api: Api, user: Row) -> None:
    told = api.results("ExecResetPass", {"tenantFilter": api.tenant, "ID": user["id"], "MustChange": True})
    assert told["copyField"] in told["resultText"]
    assert told["state"] == "success"
    assert user["_password"] == told["copyField"]
    assert user["_must_change"] is True
    again = api.results("ExecResetPass", {"tenantFilter": api.tenant, "ID": user["id"]})
    assert again["copyField"] != told["copyField"]
    assert user["_must_change"] is False
    assert told["copyField"] not in api.get("ListUsers", tenantFilter=api.tenant).text


def test_mfa_methods_are_removed_and_per_user_state_is_set(api: Api, user: Row) -> None:
    api.results("ExecResetMFA", {"tenantFilter": api.tenant, "ID": user["id"]})
    assert api.results("ExecResetMFA", {"tenantFilter": api.tenant, "ID": user["id"]}).endswith("has no MFA methods")
    upn = user["userPrincipalName"]
    body = {"tenantFilter": api.tenant, "userPrincipalName": upn, "State": label("enforced")}
    assert api.results("ExecPerUserMFA", body) == [f"Successfully changed the per-user MFA state of {upn}"]
    row = next(row for row in api.get("ListMFAUsers", tenantFilter=api.tenant).json() if row["UPN"] == upn)
    assert (row["PerUser"], row["MFARegistration"]) == ("enforced", False)


def test_an_access_pass_stands_in_both_fields(api: Api, user: Row) -> None:
    told = api.results("ExecCreateTAP", {"tenantFilter": api.tenant, "ID": user["id"], "lifetimeInMinutes": 30})
    assert told[0]["copyField"] == told[0]["temporaryAccessPass"]
    assert told[0]["lifetimeInMinutes"] == 30
    assert told[1]["copyField"] == user["id"]


def test_a_user_is_made_with_licence_groups_and_password(api: Api, tenant: Tenant) -> None:
    sku = next(sku for sku, total in tenant.owned.items() if total > 500 or _free(tenant, sku))
    group = next(group for group in tenant.groups.values() if group["displayName"] == "Managers")
    body = {
        "tenantFilter": api.tenant,
        "displayName": "Nora New",
        "givenName": "Nora",
        "surname": "New",
        "username": "nora.new",
        "PrimDomain": label(tenant.domain),
        "licenses": [label(sku)],
        "AddToGroups": [label(group["id"])],
        "usageLocation": label("US"),
    }
    answer = api.post("AddUser", body)
    told = answer.json()["Results"]
    assert told[0] == "Made the account."
    assert told[1]["copyField"] == f"nora.new@{tenant.domain}"
    assert told[2]["copyField"] in told[2]["resultText"]
    row = read_user(api, f"nora.new@{tenant.domain}")
    assert row["assignedLicenses"][0]["skuId"] == sku
    assert row["id"] in group["_members"]
    twice = api.post("AddUser", body)
    assert twice.status_code == 500
    assert "already exists" in twice.json()["Results"][0]


def _free(tenant: Tenant, sku: str) -> bool:
    used = sum(sku in [entry["skuId"] for entry in user["assignedLicenses"]] for user in tenant.users.values())
    return tenant.owned[sku] > used


def test_a_bare_domain_or_licence_is_not_seen(api: Api, tenant: Tenant) -> None:
    body = {"tenantFilter": api.tenant, "displayName": "Bare", "username": "bare", "PrimDomain": tenant.domain}
    assert api.post("AddUser", body).status_code == 500
    sku = next(iter(tenant.owned))
    api.results("AddUser", {**body, "Domain": tenant.domain, "licenses": [sku]})
    assert read_user(api, f"bare@{tenant.domain}")["assignedLicenses"] == []


def test_editing_leaves_empty_fields_alone_and_replaces_all_licences(api: Api, tenant: Tenant, user: Row) -> None:
    body = {
        "tenantFilter": api.tenant,
        "id": user["id"],
        "username": user["userPrincipalName"].split("@")[0],
        "Domain": tenant.domain,
        "jobTitle": "Head of Tests",
        "department": "",
        "licenses": [label(skus.SKUS["POWER_BI_STANDARD"].id)],
    }
    before = user["department"]
    tenant.owned.setdefault(skus.SKUS["POWER_BI_STANDARD"].id, 100)
    told = api.results("EditUser", body)
    assert told[0] == "Success. The account is changed."
    row = read_user(api, user["id"])
    assert (row["jobTitle"], row["department"]) == ("Head of Tests", before)
    assert row["LicJoined"] == "Power BI (free)"
    assert user["id"] not in tenant.mailboxes
    api.results("EditUser", {**body, "clearProperties": ["department"]})
    assert read_user(api, user["id"])["department"] is None


def test_editing_without_a_user_name_fails_under_200(api: Api, user: Row) -> None:
    told = api.results("EditUser", {"tenantFilter": api.tenant, "id": user["id"], "jobTitle": "Nobody"})
    assert told[0].startswith("Failed to change the account.")
    assert read_user(api, user["id"])["jobTitle"] != "Nobody"


def test_patching_takes_an_object_or_an_array(api: Api, user: Row) -> None:
    patch = {"id": user["id"], "tenantFilter": api.tenant, "jobTitle": "One"}
    assert api.results("PatchUser", patch) == ["Successfully changed 1 in 1 tenant"]
    assert api.results("PatchUser", [{**patch, "jobTitle": "Two"}]) == ["Successfully changed 1 in 1 tenant"]
    assert read_user(api, user["id"])["jobTitle"] == "Two"
    wrong = api.post("PatchUser", [{**patch, "noSuchField": 1}, {"id": user["id"]}])
    assert wrong.status_code == 400


def test_licences_in_bulk_are_given_and_taken(api: Api, tenant: Tenant, user: Row) -> None:
    sku = skus.SKUS["FLOW_FREE"].id
    tenant.owned[sku] = 9999
    request = {"tenantFilter": api.tenant, "userIds": [user["id"]], "LicenseOperation": "Add", "Licenses": [label(sku)]}
    assert api.results("ExecBulkLicense", [request])[0].startswith("Successfully changed the licences of")
    assert sku in [entry["skuId"] for entry in read_user(api, user["id"])["assignedLicenses"]]
    ignored = api.results("ExecBulkLicense", [{**request, "Licenses": ["not-a-label"]}])
    assert ignored == [f"Nothing to change in the licences of {user['userPrincipalName']}"]
    taken = {**request, "LicenseOperation": "Remove", "LicensesToRemove": [label(sku)]}
    api.results("ExecBulkLicense", [taken])
    assert sku not in [entry["skuId"] for entry in read_user(api, user["id"])["assignedLicenses"]]
    full = {**request, "Licenses": [label("11111111-2222-4333-8444-555555555555")]}
    assert api.results("ExecBulkLicense", [full])[0].startswith("Failed to change the licences")


def test_a_removed_user_is_deleted_and_can_be_restored(api: Api, tenant: Tenant, user: Row) -> None:
    groups = {group["id"] for group in tenant.groups.values() if user["id"] in group["_members"]}
    api.results("RemoveUser", {"tenantFilter": api.tenant, "ID": user["id"]})
    assert api.get("ListUsers", tenantFilter=api.tenant, UserID=user["id"]).status_code == 500
    assert [row["id"] for row in api.get("ListDeletedItems", tenantFilter=api.tenant).json()] == [user["id"]]
    assert not any(
        row["ExternalDirectoryObjectId"] == user["id"]
        for row in api.get("ListMailboxes", tenantFilter=api.tenant).json()
    )
    api.results("ExecRestoreDeleted", {"tenantFilter": api.tenant, "ID": user["id"]})
    assert read_user(api, user["id"])["id"] == user["id"]
    assert {group["id"] for group in tenant.groups.values() if user["id"] in group["_members"]} == groups
    assert user["id"] in tenant.mailboxes


def test_other_content_does_not_move_when_a_user_is_removed_before_it_was_read(api: Api, shared: Api) -> None:
    tenant = api.demo.state.tenants[1]
    first = next(iter(tenant.users))
    api.results("RemoveUser", {"tenantFilter": tenant.domain, "ID": first})
    kept = {row["UPN"]: row["ExchangeGuid"] for row in api.get("ListMailboxes", tenantFilter=tenant.domain).json()}
    fresh = DemoCipp(users=120, tenants=4, today=api.demo.state.today.date()).state.tenants[1]
    assert kept.items() <= {box.upn: box.exchange_guid for box in fresh.mailboxes.values()}.items()


def test_groups_are_made_filled_and_deleted(api: Api, tenant: Tenant, user: Row) -> None:
    made = {"tenantFilter": label(api.tenant), "displayName": "Testers", "groupType": "security", "username": "testers"}
    assert api.results("AddGroup", made) == [f"Successfully made the group Testers in {api.tenant}"]
    assert api.post("AddGroup", made).status_code == 500
    group = next(
        row for row in api.get("ListGroups", tenantFilter=api.tenant).json() if row["displayName"] == "Testers"
    )
    base = {"tenantFilter": api.tenant, "groupId": group["id"], "groupName": "Testers"}
    added = api.results("EditGroup", {**base, "AddMember": [user["userPrincipalName"]]})
    assert added == [f"Success - Added member {user['userPrincipalName']} to Testers group"]
    assert api.results("EditGroup", {**base, "RemoveMember": [user["id"]]})[0].startswith("Error - ")
    removed = api.results("EditGroup", {**base, "RemoveMember": [label(user["id"])]})
    assert removed[0].startswith("Success - Removed member")
    gone = {
        "tenantFilter": api.tenant,
        "id": group["id"],
        "displayName": "Testers",
        "GroupType": "Mail-Enabled Security",
    }
    api.results("ExecGroupsDelete", gone)
    assert group["id"] not in tenant.groups


def test_an_attacked_account_is_locked_in_one_go(api: Api, tenant: Tenant) -> None:
    box = next(box for box in tenant.mailboxes.values() if any(rule["ForwardTo"] for rule in box.rules))
    told = api.results("ExecBECRemediate", {"tenantFilter": api.tenant, "userid": box.user_id, "username": box.upn})
    assert told[0]["copyField"] in told[0]["resultText"]
    assert {step["state"] for step in told} <= {"success", "info"}
    assert read_user(api, box.user_id)["accountEnabled"] is False
    assert not any(rule["Enabled"] for rule in box.rules)
    gone = api.results("ExecBECRemediate", {"tenantFilter": api.tenant, "userid": "x", "username": "x"})
    assert {step["state"] for step in gone} == {"error"}


def test_accounts_in_bulk_tell_their_passwords_one_by_one(api: Api, tenant: Tenant) -> None:
    users = [{"mailNickName": "b1", "domain": tenant.domain, "displayName": "B One"}, {"mailNickName": "b2"}]
    told = api.results("AddUserBulk", {"tenantFilter": api.tenant, "BulkUser": users})
    assert [row["state"] for row in told] == ["success", "error"]
    assert told[0]["copyField"]
    assert read_user(api, f"b1@{tenant.domain}")["displayName"] == "B One"
