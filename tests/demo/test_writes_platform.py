"""Changes of devices, policies and of CIPP itself, read back through the API."""

from __future__ import annotations

from typing import Any

from cipp_mcp.demo.world.tenant import Row, Tenant

from .conftest import Api, label, read_user


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
    assert told == [f"Offboarding: {upn} starts now"]
    states = []
    for _ in range(2):
        row = api.get("ListScheduledItems", tenantFilter=api.tenant, Type="Invoke-CIPPOffboardingJob").json()[0]
        states.append(row["TaskState"])
    assert states == ["Running", "Completed"]
    assert read_user(api, user["id"])["accountEnabled"] is False
    assert tenant.mailboxes[user["id"]].kind == "SharedMailbox"
    assert api.get("ListUserGroups", tenantFilter=api.tenant, userId=user["id"]).json() == []


def test_a_wipe_keeps_every_field_that_was_sent(api: Api, tenant: Tenant) -> None:
    key = next(iter(tenant.devices))
    body = {
        "tenantFilter": api.tenant,
        "GUID": key,
        "Action": "wipe",
        "keepUserData": False,
        "keepEnrollmentData": True,
    }
    assert api.results("ExecDeviceAction", body) == f"Started wipe on {key}"
    assert tenant.devices[key]["_wipe"] == {"Action": "wipe", "keepUserData": False, "keepEnrollmentData": True}
    assert api.post("ExecDeviceAction", {**body, "Action": "explode"}).status_code == 500
    api.results("ExecDeviceAction", {**body, "Action": "delete"})
    assert key not in [row["id"] for row in api.get("ListDevices", tenantFilter=api.tenant).json()]


def test_conditional_access_is_made_switched_and_removed(api: Api, tenant: Tenant) -> None:
    raw = '{"displayName": "Test policy", "state": "disabled", "conditions": {"users": {"includeUsers": ["All"]}}}'
    body = {"RawJSON": raw, "NewState": "enabled"}
    assert api.results("AddCAPolicy", {**body, "tenantFilter": api.tenant}) == []
    assert api.results("AddCAPolicy", {**body, "tenantFilter": [label(api.tenant)]}) == [
        f"Made the policy Test policy in {api.tenant}"
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
    assert api.results("AddScheduledItem", body).startswith("Successfully planned Check licences,")
    row = api.get("ListScheduledItems", Id=key).json()[0]
    assert (row["TaskState"], row["Recurrence"], row["Tenant"]["value"]) == ("Planned", "1d", api.tenant)
    assert api.results("AddScheduledItem", {"RowKey": key, "RunNow": True}) == "Check licences starts now"
    states = [api.get("ListScheduledItems", Id=key).json()[0]["TaskState"] for _ in range(2)]
    assert states == ["Running", "Completed"]
    details = api.get("ListScheduledItemDetails", RowKey=key).json()
    assert details["Details"][0]["Results"] == ["Check licences has run"]
    assert api.results("RemoveScheduledItem", {"id": key}) == "Successfully removed the task."
    assert api.get("ListScheduledItems", Id=key).json() == []


def test_a_task_with_an_unknown_command_is_an_error_under_200(api: Api) -> None:
    told = api.results("AddScheduledItem", {"Name": "x", "Command": label("Remove-Item"), "tenantFilter": api.tenant})
    assert told.startswith("Error - 'Remove-Item' is no command")


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
    assert api.results("ExecStandardsRun", {"tenantFilter": api.tenant}).endswith(
        "the standards for allTenants, template All"
    )
    assert api.tenant in api.results("ExecStandardsRun", {}, tenantFilter=api.tenant)


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
