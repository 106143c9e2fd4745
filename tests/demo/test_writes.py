"""Changes, read back through the API; and what CIPP quietly ignores."""

from __future__ import annotations

from typing import Any

import pytest

from cipp_mcp.demo.world import skus
from cipp_mcp.demo.world.tenant import Row, Tenant

from .conftest import Api


@pytest.fixture
def tenant(api: Api) -> Tenant:
    return api.demo.state.tenants[0]


@pytest.fixture
def user(tenant: Tenant) -> Row:
    """An enabled member with a licence, a mailbox and MFA."""
    return next(
        user
        for user in tenant.users.values()
        if user["accountEnabled"]
        and user["givenName"]
        and user["id"] in tenant.mailboxes
        and tenant.mfa[user["id"]]["methods"]
    )


def read_user(api: Api, key: str) -> Row:
    row: Row = api.get("ListUsers", tenantFilter=api.tenant, UserID=key).json()[0]
    return row


def label(value: Any) -> dict[str, Any]:
    return {"label": str(value), "value": value}


def test_sign_in_is_blocked_and_allowed_again(api: Api, user: Row) -> None:
    body = {"tenantFilter": api.tenant, "ID": user["id"]}
    told = api.results("ExecDisableUser", {**body, "Enable": False})
    assert told == f"Successfully set account enabled state to False for {user['id']}"
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
    assert answer.json()["Results"].startswith("Failed to set sign-in state for nobody. Error: Resource 'nobody'")


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
    assert api.results("ExecResetMFA", {"tenantFilter": api.tenant, "ID": user["id"]}).startswith(
        "No MFA methods found"
    )
    upn = user["userPrincipalName"]
    body = {"tenantFilter": api.tenant, "userPrincipalName": upn, "State": label("enforced")}
    assert api.results("ExecPerUserMFA", body) == [f"Successfully set Per user MFA State for {upn}"]
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
    assert told[0] == "Created New User."
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
    assert told[0] == "Success. The user has been edited."
    row = read_user(api, user["id"])
    assert (row["jobTitle"], row["department"]) == ("Head of Tests", before)
    assert row["LicJoined"] == "Power BI (free)"
    assert user["id"] not in tenant.mailboxes
    api.results("EditUser", {**body, "clearProperties": ["department"]})
    assert read_user(api, user["id"])["department"] is None


def test_editing_without_a_user_name_fails_under_200(api: Api, user: Row) -> None:
    told = api.results("EditUser", {"tenantFilter": api.tenant, "id": user["id"], "jobTitle": "Nobody"})
    assert told[0].startswith("Failed to edit user.")
    assert read_user(api, user["id"])["jobTitle"] != "Nobody"


def test_patching_takes_an_object_or_an_array(api: Api, user: Row) -> None:
    patch = {"id": user["id"], "tenantFilter": api.tenant, "jobTitle": "One"}
    assert api.results("PatchUser", patch) == ["Successfully patched 1 user across 1 tenant"]
    assert api.results("PatchUser", [{**patch, "jobTitle": "Two"}]) == ["Successfully patched 1 user across 1 tenant"]
    assert read_user(api, user["id"])["jobTitle"] == "Two"
    wrong = api.post("PatchUser", [{**patch, "noSuchField": 1}, {"id": user["id"]}])
    assert wrong.status_code == 400


def test_licences_in_bulk_are_given_and_taken(api: Api, tenant: Tenant, user: Row) -> None:
    sku = skus.SKUS["FLOW_FREE"].id
    tenant.owned[sku] = 9999
    request = {"tenantFilter": api.tenant, "userIds": [user["id"]], "LicenseOperation": "Add", "Licenses": [label(sku)]}
    assert api.results("ExecBulkLicense", [request])[0].startswith("Successfully set licenses for")
    assert sku in [entry["skuId"] for entry in read_user(api, user["id"])["assignedLicenses"]]
    ignored = api.results("ExecBulkLicense", [{**request, "Licenses": ["not-a-label"]}])
    assert ignored == [f"No license changes needed for user {user['userPrincipalName']}"]
    taken = {**request, "LicenseOperation": "Remove", "LicensesToRemove": [label(sku)]}
    api.results("ExecBulkLicense", [taken])
    assert sku not in [entry["skuId"] for entry in read_user(api, user["id"])["assignedLicenses"]]
    full = {**request, "Licenses": [label("11111111-2222-4333-8444-555555555555")]}
    assert api.results("ExecBulkLicense", [full])[0].startswith("Failed to assign licenses")


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
    from cipp_mcp.demo import DemoCipp

    fresh = DemoCipp(users=120, tenants=4, today=api.demo.state.today.date()).state.tenants[1]
    assert kept.items() <= {box.upn: box.exchange_guid for box in fresh.mailboxes.values()}.items()


def test_offboarding_needs_an_action_and_becomes_a_task(api: Api, tenant: Tenant, user: Row) -> None:
    upn = user["userPrincipalName"]
    nothing = api.post("ExecOffboardUser", {"tenantFilter": api.tenant, "user": [label(upn)], "DisableSignIn": "false"})
    assert nothing.status_code == 400
    told = api.results(
        "ExecOffboardUser",
        {
            "tenantFilter": api.tenant,
            "user": [label(upn)],
            "DisableSignIn": True,
            "ConvertToShared": True,
            "RemoveGroups": True,
        },
    )
    assert told == [f"Task Offboarding: {upn} scheduled to run now"]
    states = []
    for _ in range(2):
        row = api.get("ListScheduledItems", tenantFilter=api.tenant, Type="Invoke-CIPPOffboardingJob").json()[0]
        states.append(row["TaskState"])
    assert states == ["Running", "Completed"]
    assert read_user(api, user["id"])["accountEnabled"] is False
    assert tenant.mailboxes[user["id"]].kind == "SharedMailbox"
    assert api.get("ListUserGroups", tenantFilter=api.tenant, userId=user["id"]).json() == []


def test_groups_are_made_filled_and_deleted(api: Api, tenant: Tenant, user: Row) -> None:
    made = {"tenantFilter": label(api.tenant), "displayName": "Testers", "groupType": "security", "username": "testers"}
    assert api.results("AddGroup", made) == [f"Successfully created group Testers for {api.tenant}"]
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


def test_forwarding_is_set_and_ended(api: Api, tenant: Tenant, user: Row) -> None:
    base = {"tenantFilter": api.tenant, "userID": user["userPrincipalName"]}
    other = next(box.upn for box in tenant.mailboxes.values() if box.user_id != user["id"])
    api.results(
        "ExecEmailForward",
        {**base, "forwardOption": "internalAddress", "ForwardInternal": label(other), "KeepCopy": True},
    )
    row = next(
        row
        for row in api.get("ListMailboxForwarding", tenantFilter=api.tenant).json()
        if row["UPN"] == user["userPrincipalName"]
    )
    assert (row["ForwardTo"], row["DeliverToMailboxAndForward"]) == (other, True)
    api.results("ExecEmailForward", {**base, "forwardOption": "disabled"})
    assert tenant.mailboxes[user["id"]].forwarding_internal is None
    assert api.post("ExecEmailForward", {**base, "forwardOption": "away"}).status_code == 500


def test_mailboxes_are_converted_archived_hidden_and_answer_for_themselves(api: Api, tenant: Tenant, user: Row) -> None:
    base = {"tenantFilter": api.tenant, "ID": user["id"]}
    api.results("ExecConvertMailbox", {**base, "MailboxType": "Shared"})
    api.results("ExecEnableArchive", base)
    api.results("ExecHideFromGAL", {**base, "HideFromGAL": True})
    row = next(
        row
        for row in api.get("ListMailboxes", tenantFilter=api.tenant).json()
        if row["ExternalDirectoryObjectId"] == user["id"]
    )
    assert (row["recipientTypeDetails"], row["ArchiveEnabled"], row["HiddenFromAddressListsEnabled"]) == (
        "SharedMailbox",
        True,
        True,
    )
    api.results(
        "ExecSetOoO", {"tenantFilter": api.tenant, "userId": user["id"], "AutoReplyState": "Enabled", "input": "Away"}
    )
    told = api.get("ListOoO", tenantFilter=api.tenant, userid=user["id"]).json()
    assert (told["AutoReplyState"], told["InternalMessage"], told["ExternalMessage"]) == ("Enabled", "Away", "Away")


def test_mailbox_permissions_need_label_objects_in_one_place_and_not_in_the_other(
    api: Api, tenant: Tenant, user: Row
) -> None:
    box = next(box for box in tenant.mailboxes.values() if box.kind == "SharedMailbox")
    box.full_access.clear()
    upn = user["userPrincipalName"]
    base = {"tenantFilter": api.tenant, "userID": box.upn}
    assert api.results("ExecEditMailboxPermissions", {**base, "AddFullAccess": [upn]}) == []
    assert box.full_access == []
    api.results("ExecEditMailboxPermissions", {**base, "AddFullAccess": [label(upn)], "AddSendAs": [label(upn)]})
    rows = api.get("ListmailboxPermissions", tenantFilter=api.tenant, userId=box.upn).json()
    assert {"User": upn, "Permissions": "FullAccess"} in rows
    entry = {"UserID": upn, "PermissionLevel": "FullAccess,SendAs", "Modification": "Remove"}
    api.results("ExecModifyMBPerms", {**base, "permissions": [entry]})
    assert upn not in box.full_access + box.send_as
    assert api.results("ExecModifyMBPerms", [{**base, "permissions": [entry]}] * 2) == [
        "No valid permission changes to process"
    ]


def test_an_evil_rule_is_found_and_removed(api: Api, tenant: Tenant) -> None:
    rows = api.get("ListMailboxRules", tenantFilter=api.tenant, UseReportDB="true").json()
    evil = next(row for row in rows if row["ForwardTo"])
    body = {
        "tenantFilter": api.tenant,
        "userPrincipalName": evil["UserPrincipalName"],
        "ruleId": evil["Identity"],
        "ruleName": evil["Name"],
    }
    assert api.results("ExecRemoveMailboxRule", body).startswith("Successfully deleted mailbox rule")
    left = api.get("ListUserMailboxRules", tenantFilter=api.tenant, UserID=evil["UserPrincipalName"]).json()
    assert not any(row["ForwardTo"] for row in left)


def test_a_wipe_keeps_every_field_that_was_sent(api: Api, tenant: Tenant) -> None:
    key = next(iter(tenant.devices))
    body = {
        "tenantFilter": api.tenant,
        "GUID": key,
        "Action": "wipe",
        "keepUserData": False,
        "keepEnrollmentData": True,
    }
    assert api.results("ExecDeviceAction", body) == f"Queued wipe on {key}"
    assert tenant.devices[key]["_wipe"] == {"Action": "wipe", "keepUserData": False, "keepEnrollmentData": True}
    assert api.post("ExecDeviceAction", {**body, "Action": "explode"}).status_code == 500
    api.results("ExecDeviceAction", {**body, "Action": "delete"})
    assert key not in [row["id"] for row in api.get("ListDevices", tenantFilter=api.tenant).json()]


def test_conditional_access_is_made_switched_and_removed(api: Api, tenant: Tenant) -> None:
    raw = '{"displayName": "Test policy", "state": "disabled", "conditions": {"users": {"includeUsers": ["All"]}}}'
    body = {"RawJSON": raw, "NewState": "enabled"}
    assert api.results("AddCAPolicy", {**body, "tenantFilter": api.tenant}) == []
    assert api.results("AddCAPolicy", {**body, "tenantFilter": [label(api.tenant)]}) == [
        f"Created policy Test policy for {api.tenant}"
    ]
    again = api.results("AddCAPolicy", {**body, "tenantFilter": [label(api.tenant)]})
    assert "already exists" in again[0]
    rows = api.get("ListConditionalAccessPolicies", tenantFilter=api.tenant).json()["Results"]
    policy = next(row for row in rows if row["displayName"] == "Test policy")
    assert policy["state"] == "enabled"
    api.results("EditCAPolicy", {"tenantFilter": api.tenant, "GUID": policy["id"], "State": "disabled"})
    assert tenant.ca_policies[policy["id"]]["state"] == "disabled"
    api.results("RemoveCAPolicy", {"tenantFilter": api.tenant, "GUID": policy["id"]})
    assert policy["id"] not in tenant.ca_policies


def test_named_locations_are_added_and_changed(api: Api, tenant: Tenant) -> None:
    body = {"policyName": "Branch", "Type": "IPLocation", "Ips": "192.0.2.0/24\n198.51.100.0/24", "Trusted": True}
    assert api.results("AddNamedLocation", {**body, "selectedTenants": [api.tenant]}) == []
    api.results("AddNamedLocation", {**body, "selectedTenants": [label(api.tenant)]})
    row = next(
        row for row in api.get("ListNamedLocations", tenantFilter=api.tenant).json() if row["displayName"] == "Branch"
    )
    assert row["rangeOrLocation"] == "192.0.2.0/24, 198.51.100.0/24"
    change = {"tenantFilter": api.tenant, "namedLocationId": row["id"]}
    api.results("ExecNamedLocation", {**change, "change": "addIp", "input": "203.0.113.0/24"})
    assert len(tenant.locations[row["id"]]["ipRanges"]) == 3


def test_tasks_keep_the_row_key_that_was_sent_and_run_when_told(api: Api) -> None:
    key = "3f0c8a52-7d0b-4b61-9d4f-0a1b2c3d4e5f"
    body: dict[str, Any] = {
        "RowKey": key,
        "Name": "Check licences",
        "tenantFilter": label(api.tenant),
        "Command": label("Get-CIPPLicenseOverview"),
        "Recurrence": label("1d"),
    }
    assert api.results("AddScheduledItem", body).startswith("Successfully added task: Check licences.")
    row = api.get("ListScheduledItems", Id=key).json()[0]
    assert (row["TaskState"], row["Recurrence"], row["Tenant"]["value"]) == ("Planned", "1d", api.tenant)
    assert (
        api.results("AddScheduledItem", {"RowKey": key, "RunNow": True}) == "Task Check licences scheduled to run now"
    )
    states = [api.get("ListScheduledItems", Id=key).json()[0]["TaskState"] for _ in range(2)]
    assert states == ["Running", "Completed"]
    details = api.get("ListScheduledItemDetails", RowKey=key).json()
    assert details["Details"][0]["Results"] == ["Task Check licences has run"]
    assert api.results("RemoveScheduledItem", {"id": key}) == "Task removed successfully."
    assert api.get("ListScheduledItems", Id=key).json() == []


def test_a_task_with_an_unknown_command_is_an_error_under_200(api: Api) -> None:
    told = api.results("AddScheduledItem", {"Name": "x", "Command": label("Remove-Item"), "tenantFilter": api.tenant})
    assert told.startswith("Error - The command 'Remove-Item' does not exist")


def test_hidden_counts_by_its_presence(api: Api) -> None:
    body = {"Name": "Quiet", "Command": "Get-CIPPAlertMFAAlertUsers", "tenantFilter": api.tenant}
    api.post("AddScheduledItem", body, hidden="false")
    assert "Quiet" not in [row["Name"] for row in api.get("ListScheduledItems").json()]
    assert "Quiet" in [row["Name"] for row in api.get("ListScheduledItems", ShowHidden="true").json()]
    assert "Quiet" in [row["Conditions"] for row in api.get("ListAlertsQueue").json()]


def test_alert_rules_come_and_go(api: Api) -> None:
    body = {
        "tenantFilter": [label("AllTenants")],
        "conditions": [
            {"Property": label("Operation"), "Operator": label("EQ"), "Input": label("Add member to role.")}
        ],
        "actions": [{"label": "Send an e-mail", "value": "generatemail"}],
        "logbook": label("Audit.AzureActiveDirectory"),
    }
    api.results("AddAlert", body)
    rows = [row for row in api.get("ListAlertsQueue").json() if row["LogType"] == "Audit.AzureActiveDirectory"]
    assert len(rows) == 1
    api.results("RemoveQueuedAlert", {"ID": rows[0]["RowKey"], "EventType": "Audit log Alert"})
    assert not [row for row in api.get("ListAlertsQueue").json() if row["RowKey"] == rows[0]["RowKey"]]
    body["conditions"] = [{"Property": label("Operation"), "Operator": label("explodes"), "Input": label("x")}]
    assert api.post("AddAlert", body).status_code == 400


def test_templates_and_standards_are_kept(api: Api) -> None:
    api.results("AddGroupTemplate", {"displayName": "Project", "groupType": "m365"})
    row = next(row for row in api.get("ListGroupTemplates").json() if row["displayName"] == "Project")
    api.results("RemoveGroupTemplate", {"ID": row["GUID"]})
    assert "Project" not in [row["displayName"] for row in api.get("ListGroupTemplates").json()]
    made = api.post(
        "AddStandardsTemplate",
        {"templateName": "New", "tenantFilter": [label(api.tenant)], "standards": {"AuditLog": {}}},
    )
    key = made.json()["Metadata"]["id"]
    assert api.get("listStandardTemplates", id=key).json()[0]["templateName"] == "New"
    assert "standards.AuditLog" in api.get("ListStandardsCompare", tenantFilter=api.tenant, templateId=key).json()[0]
    api.results("RemoveStandardTemplate", {"ID": key})
    assert api.get("listStandardTemplates", id=key).json() == []


def test_contacts_are_added_edited_and_removed(api: Api, tenant: Tenant) -> None:
    body = {
        "tenantid": api.tenant,
        "displayName": "Plumber",
        "email": "plumber@trades.example",
        "firstName": "Pat",
        "lastName": "Lumber",
    }
    api.results("AddContact", body)
    assert api.post("AddContact", body).status_code == 500
    row = next(
        row for row in api.get("ListContacts", tenantFilter=api.tenant).json() if row["DisplayName"] == "Plumber"
    )
    api.results(
        "EditContact", {"tenantID": api.tenant, "ContactID": row["Guid"], "displayName": "Plumber 2", "phone": "1"}
    )
    told = api.get("ListContacts", tenantFilter=api.tenant, id=row["Guid"]).json()
    assert (told["displayName"], told["phones"]) == ("Plumber 2", [{"type": "business", "number": "1"}])
    api.results("RemoveContact", {"tenantFilter": api.tenant, "GUID": row["Guid"], "Mail": "plumber@trades.example"})
    assert row["Guid"] not in tenant.contacts


def test_quarantine_is_released_and_fails_under_200(api: Api, tenant: Tenant) -> None:
    key = next(iter(tenant.quarantine))
    body = {"tenantFilter": api.tenant, "Identity": key, "Type": "Release", "AllowSender": True}
    assert api.results("ExecQuarantineManagement", body) == f"Successfully processed {key}"
    row = next(
        row
        for row in api.get("ListMailQuarantine", tenantFilter=api.tenant).json()["Results"]
        if row["Identity"] == key
    )
    assert row["ReleaseStatus"] == "RELEASED"
    assert row["SenderAddress"] in api.get("ListSpamfilter", tenantFilter=api.tenant).json()[0]["AllowedSenders"]
    assert api.results("ExecQuarantineManagement", {**body, "Identity": "none"}).startswith("Failed.")


def test_an_application_for_several_tenants_may_go_well_for_some_only(api: Api) -> None:
    tenants = [{"defaultDomainName": tenant.domain, "customerId": tenant.id} for tenant in api.demo.state.tenants[:2]]
    answer = api.post("AddMSPApp", {"RMMName": label("datto"), "DisplayName": "Agent", "selectedTenants": tenants})
    assert answer.status_code == 207
    assert [told.split()[0] for told in answer.json()["Results"]] == ["Successfully", "Failed"]


def test_an_excluded_tenant_leaves_the_list(api: Api, tenant: Tenant) -> None:
    api.post("ExecExcludeTenant", {"value": [tenant.id]}, AddExclusion="true")
    assert tenant.id not in [row["customerId"] for row in api.get("ListTenants").json()]
    assert [row["customerId"] for row in api.get("ExecExcludeTenant", List="true").json()] == [tenant.id]


def test_other_changes_say_yes_and_do_nothing_but_leave_a_record(api: Api) -> None:
    told = api.results("ExecSyncVPP", {"tenantFilter": api.tenant, "Extra": 1})
    assert told.startswith("Success")
    assert api.demo.requests[-1].body == {"tenantFilter": api.tenant, "Extra": 1}


def test_changes_are_in_the_log(api: Api, user: Row) -> None:
    api.results("ExecDisableUser", {"tenantFilter": api.tenant, "ID": user["id"], "Enable": False})
    newest = api.get("ListLogs").json()[0]
    assert (newest["API"], newest["Tenant"]) == ("ExecDisableUser", api.tenant)


def test_an_attacked_account_is_locked_in_one_go(api: Api, tenant: Tenant) -> None:
    box = next(box for box in tenant.mailboxes.values() if any(rule["ForwardTo"] for rule in box.rules))
    told = api.results("ExecBECRemediate", {"tenantFilter": api.tenant, "userid": box.user_id, "username": box.upn})
    assert told[0]["copyField"] in told[0]["resultText"]
    assert {step["state"] for step in told} <= {"success", "info"}
    assert read_user(api, box.user_id)["accountEnabled"] is False
    assert not any(rule["Enabled"] for rule in box.rules)
    gone = api.results("ExecBECRemediate", {"tenantFilter": api.tenant, "userid": "x", "username": "x"})
    assert {step["state"] for step in gone} == {"error"}


def test_incidents_are_closed(api: Api, tenant: Tenant) -> None:
    key = next(iter(tenant.incidents))
    body = {"tenantFilter": api.tenant, "GUID": key, "Status": "resolved", "Severity": "low"}
    api.results("ExecSetSecurityIncident", body)
    row = next(
        row for row in api.get("ExecIncidentsList", tenantFilter=api.tenant).json()["Results"] if row["Id"] == key
    )
    assert (row["Status"], row["Severity"] != "low") == ("resolved", True)
    assert api.post("ExecSetSecurityIncident", {**body, "Classification": "truePositive"}).status_code == 500


def test_tenant_groups_are_kept_and_pass_the_access_check(api: Api, tenant: Tenant) -> None:
    body = {"Action": "AddEdit", "groupName": "Dentists", "members": [label(tenant.id)]}
    assert api.results("ExecTenantGroup", body)[0]["state"] == "success"
    group = next(row for row in api.get("ListTenantGroups").json()["Results"] if row["Name"] == "Dentists")
    assert [row["defaultDomainName"] for row in group["Members"]] == [tenant.domain]
    assert api.get("ListStandards", tenantFilter=group["Id"]).status_code != 403


def test_standards_run_everywhere_unless_told_otherwise_in_the_query(api: Api) -> None:
    assert api.results("ExecStandardsRun", {"tenantFilter": api.tenant}).endswith("tenant: allTenants - Template: All")
    assert api.tenant in api.results("ExecStandardsRun", {}, tenantFilter=api.tenant)


def test_calendar_rights_are_given_and_one_failure_fails_all(api: Api, tenant: Tenant, user: Row) -> None:
    entry = {"UserID": [label("someone")], "PermissionLevel": label("Editor"), "Modification": "Add"}
    body = {"tenantFilter": api.tenant, "userID": user["id"], "permissions": [entry]}
    api.results("ExecModifyCalPerms", body)
    assert tenant.mailboxes[user["id"]].calendar["someone"] == "Editor"
    gone = [{**entry, "Modification": "Remove"}, {**entry, "UserID": "nobody", "Modification": "Remove"}]
    assert api.post("ExecModifyCalPerms", {**body, "permissions": gone}).status_code == 500


def test_accounts_in_bulk_tell_their_passwords_one_by_one(api: Api, tenant: Tenant) -> None:
    users = [{"mailNickName": "b1", "domain": tenant.domain, "displayName": "B One"}, {"mailNickName": "b2"}]
    told = api.results("AddUserBulk", {"tenantFilter": api.tenant, "BulkUser": users})
    assert [row["state"] for row in told] == ["success", "error"]
    assert told[0]["copyField"]
    assert read_user(api, f"b1@{tenant.domain}")["displayName"] == "B One"


def test_answers_that_hold_credentials_hold_one_here_too(api: Api) -> None:
    assert api.results("ExecManageAppCredentials", {"Action": "Add"})["copyField"]
    assert api.post("ExecDeviceCodeLogon", {}).json()["access_token"]
    assert api.get("ListAndroidEnrollmentProfiles", tenantFilter=api.tenant).json()["Results"][0]["tokenValue"]


def test_calls_inside_a_call_are_carried_out(api: Api, user: Row) -> None:
    change = {"tenantFilter": api.tenant, "ID": user["id"], "Enable": False}
    requests = [
        {"id": "1", "url": "ExecDisableUser", "method": "POST", "body": change},
        {"id": "2", "url": "ListNothing", "method": "GET"},
    ]
    told = api.post("$batch", {"requests": requests}).json()["responses"]
    assert [(row["id"], row["status"]) for row in told] == [("1", 200), ("2", 404)]
    assert read_user(api, user["id"])["accountEnabled"] is False
    assert api.post("$batch", {"requests": requests * 11}).status_code == 400


def test_exchange_cmdlets_read_and_never_write(api: Api) -> None:
    rows = api.post("ListExoRequest", {"tenantFilter": api.tenant, "Cmdlet": "Get-Mailbox", "Select": "UPN"}).json()[
        "Results"
    ]
    assert set(rows[0]) == {"UPN"}
    assert api.post("ListExoRequest", {"tenantFilter": api.tenant, "Cmdlet": "Set-Mailbox"}).status_code == 400
    told = api.post("ListExoRequest", {"tenantFilter": api.tenant, "Cmdlet": "Get-Nothing"}).json()
    assert "Error" in told["Results"][0]
