"""Changes of mailboxes and mail flow, read back through the API."""

from __future__ import annotations

from cipp_mcp.demo.world.tenant import Row, Tenant

from .conftest import Api, label


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
    assert api.results("ExecModifyMBPerms", [{**base, "permissions": [entry]}] * 2) == ["Nothing valid to change"]


def test_an_evil_rule_is_found_and_removed(api: Api, tenant: Tenant) -> None:
    rows = api.get("ListMailboxRules", tenantFilter=api.tenant, UseReportDB="true").json()
    evil = next(row for row in rows if row["ForwardTo"])
    body = {
        "tenantFilter": api.tenant,
        "userPrincipalName": evil["UserPrincipalName"],
        "ruleId": evil["Identity"],
        "ruleName": evil["Name"],
    }
    assert api.results("ExecRemoveMailboxRule", body).startswith("Successfully removed the rule")
    left = api.get("ListUserMailboxRules", tenantFilter=api.tenant, UserID=evil["UserPrincipalName"]).json()
    assert not any(row["ForwardTo"] for row in left)


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
    assert api.results("ExecQuarantineManagement", body) == f"Successfully treated {key}"
    row = next(
        row
        for row in api.get("ListMailQuarantine", tenantFilter=api.tenant).json()["Results"]
        if row["Identity"] == key
    )
    assert row["ReleaseStatus"] == "RELEASED"
    assert row["SenderAddress"] in api.get("ListSpamfilter", tenantFilter=api.tenant).json()[0]["AllowedSenders"]
    assert api.results("ExecQuarantineManagement", {**body, "Identity": "none"}).startswith("Failed.")


def test_calendar_rights_are_given_and_one_failure_fails_all(api: Api, tenant: Tenant, user: Row) -> None:
    entry = {"UserID": [label("someone")], "PermissionLevel": label("Editor"), "Modification": "Add"}
    body = {"tenantFilter": api.tenant, "userID": user["id"], "permissions": [entry]}
    api.results("ExecModifyCalPerms", body)
    assert tenant.mailboxes[user["id"]].calendar["someone"] == "Editor"
    gone = [{**entry, "Modification": "Remove"}, {**entry, "UserID": "nobody", "Modification": "Remove"}]
    assert api.post("ExecModifyCalPerms", {**body, "permissions": gone}).status_code == 500


def test_exchange_cmdlets_read_and_never_write(api: Api) -> None:
    rows = api.post("ListExoRequest", {"tenantFilter": api.tenant, "Cmdlet": "Get-Mailbox", "Select": "UPN"}).json()[
        "Results"
    ]
    assert set(rows[0]) == {"UPN"}
    assert api.post("ListExoRequest", {"tenantFilter": api.tenant, "Cmdlet": "Set-Mailbox"}).status_code == 400
    told = api.post("ListExoRequest", {"tenantFilter": api.tenant, "Cmdlet": "Get-Nothing"}).json()
    assert "Error" in told["Results"][0]
