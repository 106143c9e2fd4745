"""Every kind of wrong set-up is named by ``cipp-mcp doctor`` together with its remedy."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cipp_mcp.connection.remedies import AADSTS_REMEDIES
from cipp_mcp.connection.tls import ssl_context
from cipp_mcp.connection.wire import Answer, Request
from cipp_mcp.demo import DemoCipp
from cipp_mcp.demo.clients import CLIENTS
from cipp_mcp.doctor import CHECKS
from cipp_mcp.doctor.case import Case
from cipp_mcp.doctor.configuration import values
from tests.conftest import settings_for
from tests.examining import examined, first_failure
from tests.openapi_documents import baked_facts, document_of

pytestmark = pytest.mark.anyio


async def test_a_right_set_up_passes_every_check(demo: DemoCipp) -> None:
    findings = await examined(demo)
    assert {finding.state for finding in findings.values()} == {"pass"}
    assert findings["tenants"].seen == "4 visible"
    assert "259 of 645 endpoints" in findings["access"].seen


async def test_an_examination_changes_nothing(demo: DemoCipp) -> None:
    await examined(demo, {"CIPP_ACCESS": "admin"})
    assert {request.method for request in demo.requests} == {"GET"}
    assert {request.endpoint for request in demo.requests} == {"GetVersion", "me", "ListTenants", "ListLogs"}


_CONFIGURATION = {
    "unknown setting": ({"CIPP_ACCES": "read"}, "settings", "did you mean CIPP_ACCESS", "cipp-mcp --help"),
    "wrong value": ({"CIPP_ACCESS": "all"}, "settings", "allowed are read", "cipp-mcp --help"),
    "nothing set": (
        {"CIPP_URL": "", "CIPP_CLIENT_SECRET": ""},
        "settings",
        "CIPP_URL, CIPP_CLIENT_SECRET not",
        "setup",
    ),
    "plain http": ({"CIPP_URL": "http://cipp.contoso.com"}, "settings", "must be https", "cipp-mcp --help"),
    "a page's address": (
        {"CIPP_URL": "https://cipp.contoso.com/cipp/integrations"},
        "settings",
        "the site itself",
        "help",
    ),
    "placeholder": ({"CIPP_CLIENT_SECRET": "<secret>"}, "values", "placeholder", "CIPP_CLIENT_SECRET"),
    "example host": ({"CIPP_URL": "https://your-cipp.example.com"}, "values", "placeholder", "CIPP_URL"),
    "host's own variable": ({"CIPP_CLIENT_SECRET": "${input:x}"}, "values", "the host fills in", "in this terminal"),
    "quotation marks": ({"CIPP_CLIENT_SECRET": '"abc"'}, "values", "quotation mark", "Take the quotation marks"),
    "token URL": ({"CIPP_URL": "https://login.microsoftonline.com"}, "values", "sign-in host", "API URL"),
    "management site": ({"CIPP_URL": "https://cippabc.scm.azurewebsites.net"}, "values", "management site", ".scm."),
    "documentation": (
        {"CIPP_URL": "https://docs.cipp.app"},
        "values",
        "not a CIPP deployment",
        "Integrations > CIPP-API",
    ),
    "delegated scope": ({"CIPP_SCOPE": "api://x/user_impersonation"}, "values", "CIPP_SCOPE is", "/.default"),
    "two scopes": ({"CIPP_SCOPE": "openid api://x/.default"}, "values", "CIPP_SCOPE is", "/.default"),
}


@pytest.mark.parametrize(("changes", "check", "said", "remedy"), _CONFIGURATION.values(), ids=_CONFIGURATION)
async def test_a_wrong_configuration_is_named_before_anything_is_sent(
    demo: DemoCipp, changes: dict[str, str], check: str, said: str, remedy: str
) -> None:
    found = first_failure(await examined(demo, changes))
    assert found.check == check
    assert said in found.seen
    assert remedy in found.remedy
    assert not demo.requests


async def test_the_id_of_a_secret_in_its_place_is_named(demo: DemoCipp) -> None:
    before = len(demo.token_requests)
    found = first_failure(await examined(demo, {"CIPP_CLIENT_SECRET": "2f0ab1de-0000-4000-8000-00000000000a"}))
    assert (found.check, "form of an id" in found.seen, "*value*" in found.remedy) == ("credential", True, True)
    assert len(demo.token_requests) == before


async def test_a_client_id_in_the_place_of_the_tenant_is_named(demo: DemoCipp) -> None:
    found = first_failure(await examined(demo, {"CIPP_TENANT_ID": demo.client_id}))
    assert "are the same" in found.seen


@pytest.mark.parametrize(
    ("content", "said"), [("", "is empty"), ("2f0ab1de-0000-4000-8000-00000000000a", "form of an id")]
)
async def test_a_file_that_holds_no_secret_is_named(demo: DemoCipp, tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "secret"
    file.write_text(content)
    changes = {"CIPP_CLIENT_SECRET": "", "CIPP_CLIENT_SECRET_FILE": str(file)}
    found = first_failure(await examined(demo, changes))
    assert (found.check, said in found.seen) == ("credential", True)


@pytest.mark.skipif(os.name != "posix", reason="Windows keeps no such permissions")
async def test_a_file_that_others_may_read_is_a_warning(demo: DemoCipp, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(demo.client_secret)
    file.chmod(0o644)
    changes = {"CIPP_CLIENT_SECRET": "", "CIPP_CLIENT_SECRET_FILE": str(file)}
    findings = await examined(demo, changes)
    assert findings["credential"].state == "warn"
    assert "chmod 600" in findings["credential"].remedy
    assert findings["logs"].state == "pass"
    file.chmod(0o600)
    assert (await examined(demo, changes))["credential"].state == "pass"


async def test_a_policy_file_with_a_fault_is_named(demo: DemoCipp, tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    file.write_text('{"default": {"deny": ["ListUser"]}}')
    found = first_failure(await examined(demo, {"CIPP_POLICY": str(file)}))
    assert (found.check, "ListUsers" in found.seen) == ("settings", True)


async def test_a_policy_file_that_leaves_nothing_is_named(demo: DemoCipp, tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    file.write_text('{"callers": {"somebody": {}}}')
    findings = await examined(demo, {"CIPP_POLICY": str(file)})
    assert findings["access"].state == "fail"
    assert '"local"' in findings["access"].remedy


@pytest.mark.parametrize(
    ("changes", "said", "remedy"),
    [
        ({"CIPP_CLIENT_SECRET": "wrong"}, "AADSTS7000215", "secret's *value*"),
        ({"CIPP_CLIENT_SECRET": DemoCipp.expired_client_secret}, "AADSTS7000222", "Reset the secret"),
        ({"CIPP_TENANT_ID": "11111111-2222-3333-4444-555555555555"}, "AADSTS90002", "CIPP_TENANT_ID"),
        ({"CIPP_CLIENT_ID": "11111111-2222-3333-4444-555555555555"}, "AADSTS700016", "CIPP_CLIENT_ID"),
        ({"CIPP_CLIENT_ID": DemoCipp.no_uri_client_id}, "Application ID URI", "Expose an API"),
        ({"CIPP_SCOPE": "api://somebody-else/.default"}, "AADSTS500011", "copy the API scope"),
    ],
    ids=["wrong secret", "expired secret", "wrong tenant", "unknown client", "no Application ID URI", "wrong scope"],
)
async def test_a_refused_token_is_named(demo: DemoCipp, changes: dict[str, str], said: str, remedy: str) -> None:
    found = first_failure(await examined(demo, changes))
    assert found.check == "token"
    assert said in found.seen
    assert remedy in found.remedy


@pytest.mark.parametrize("number", sorted(AADSTS_REMEDIES))
async def test_every_refusal_of_entra_that_a_set_up_meets_is_named(demo: DemoCipp, number: str) -> None:
    body = {"error": "invalid_grant", "error_description": f"AADSTS{number}: no.", "error_codes": [int(number)]}
    demo.answer("token", status=400, body=body)
    found = first_failure(await examined(demo))
    assert f"AADSTS{number}" in found.seen
    assert found.remedy == AADSTS_REMEDIES[number][1]


def test_the_remedies_are_whole_sentences_and_name_no_unknown_setting() -> None:
    from cipp_mcp.settings import SETTINGS

    known = {setting.name for setting in SETTINGS}
    for number, (what, remedy) in AADSTS_REMEDIES.items():
        assert number.isdigit()
        assert not what.endswith(".")
        assert remedy[0].isupper()
        assert remedy.endswith(".")
        assert set(re.findall(r"CIPP_[A-Z_]+", remedy)) <= known


async def test_a_client_for_cipps_own_mcp_is_named(demo: DemoCipp) -> None:
    findings = await examined(demo, {"CIPP_CLIENT_ID": demo.v2_client_id})
    assert findings["audience"].state == "warn"
    found = first_failure(findings)
    assert found.check == "api-client"
    assert "HTTP 401" in found.seen
    assert "bare client id" in found.seen
    assert "MCP Access Allowed" in found.remedy


async def test_a_token_for_another_api_is_named_by_its_audience(demo: DemoCipp) -> None:
    other = demo.identity.issue(CLIENTS[demo.client_id], audience="api://somebody-else")
    demo.answer("token", body={"token_type": "Bearer", "expires_in": 3600, "access_token": other})
    findings = await examined(demo)
    assert "api://somebody-else" in findings["audience"].seen
    found = first_failure(findings)
    assert found.check == "api-client"
    assert "api://somebody-else" in found.seen
    assert "CIPP_SCOPE" in found.remedy


async def test_a_token_of_another_tenant_than_the_configured_one_is_a_warning(demo: DemoCipp) -> None:
    claims = {"aud": f"api://{demo.client_id}", "tid": "11111111-2222-4333-8444-555555555555", "ver": "1.0"}
    token = demo.identity.sign(claims | {"iat": 0, "exp": 3600, "uti": "x"})
    demo.answer("token", body={"token_type": "Bearer", "expires_in": 3600, "access_token": token})
    found = (await examined(demo))["token"]
    assert (found.state, claims["tid"] in found.seen, "CIPP_TENANT_ID" in found.remedy) == ("warn", True, True)


async def test_a_cipp_too_old_to_tell_who_calls_is_a_warning(demo: DemoCipp) -> None:
    demo.answer("me", status=404, body=b"")
    findings = await examined(demo)
    assert (findings["api-client"].state, "Update CIPP" in findings["api-client"].remedy) == ("warn", True)
    assert findings["logs"].state == "pass"


async def test_a_base_role_that_may_not_list_tenants_is_named(demo: DemoCipp) -> None:
    denied = "Access to this CIPP API endpoint is not allowed, the base role lacks the permission"
    demo.answer("ListTenants", status=403, body=denied)
    found = first_failure(await examined(demo, {"CIPP_CLIENT_ID": demo.readonly_client_id}))
    assert (found.check, "role" in found.seen, "role" in found.remedy) == ("role", True, True)


async def test_a_file_without_a_certificate_in_it_is_named(demo: DemoCipp, tmp_path: Path) -> None:
    file = tmp_path / "client.pem"
    file.write_text("no certificate")
    changes = {"CIPP_CLIENT_SECRET": "", "CIPP_CLIENT_CERTIFICATE": str(file)}
    found = first_failure(await examined(demo, changes))
    assert (found.check, "certificate" in found.seen, "private key" in found.seen + found.remedy) == (
        "credential",
        True,
        True,
    )


async def test_the_address_of_a_static_web_app_is_a_warning_before_it_is_tried(demo: DemoCipp) -> None:
    settings = settings_for(demo, CIPP_URL="https://happy-sea-1.azurestaticapps.net")
    environment = demo.environment() | {"CIPP_URL": settings.url or ""}
    case = Case(environment, ssl_context, time.time, _unreachable, settings=settings)
    found = await values(case)
    assert (found.state, "front end" in found.seen, "API URL" in found.remedy) == ("warn", True, True)


async def _unreachable(_: Request) -> Answer:
    raise AssertionError("nothing is sent")


async def test_a_client_that_was_not_saved_to_azure_is_named(demo: DemoCipp) -> None:
    for status in (401, 403):
        demo.answer("me", status=status, body=b"")
        found = first_failure(await examined(demo))
        assert found.check == "api-client"
        assert "Save to Azure" in found.remedy
        demo.restore()


async def test_a_call_from_outside_the_clients_ip_range_is_named(demo: DemoCipp) -> None:
    found = first_failure(await examined(demo, {"CIPP_CLIENT_ID": demo.elsewhere_client_id}))
    assert found.check == "api-client"
    assert "IP range" in found.seen
    assert "IP range" in found.remedy


async def test_a_base_role_passes_although_cipp_cannot_list_it(demo: DemoCipp) -> None:
    findings = await examined(demo, {"CIPP_CLIENT_ID": demo.readonly_client_id})
    assert {finding.state for finding in findings.values()} == {"pass"}
    assert "base role" in findings["api-client"].seen


def _me(*permissions: str) -> dict[str, Any]:
    return {"clientPrincipal": {"appId": "x", "appRole": ["narrow"]}, "permissions": list(permissions)}


async def test_a_role_that_cannot_do_what_the_settings_allow_is_a_warning(demo: DemoCipp) -> None:
    demo.answer("me", body=_me("CIPP.Core.Read", "Identity.User.Read", "Tenant.Administration.Read"))
    findings = await examined(demo, {"CIPP_ACCESS": "write"})
    assert findings["role"].state == "warn"
    assert "no permission to write" in findings["role"].seen
    assert "CIPP_ACCESS=read" in findings["role"].remedy


@pytest.mark.parametrize(
    ("permissions", "said"), [((), "covers 0 of"), (("Identity.User.Read",), "but not ListTenants")]
)
async def test_a_role_that_is_too_narrow_is_named(demo: DemoCipp, permissions: tuple[str, ...], said: str) -> None:
    demo.answer("me", body=_me(*permissions))
    found = first_failure(await examined(demo))
    assert (found.check, said in found.seen, "role" in found.remedy) == ("role", True, True)


@pytest.mark.parametrize(
    ("version", "remedy"), [("10.7.5", "update it"), ("11.0.0", "Update cipp-mcp"), (None, "GitHub")]
)
async def test_another_version_of_cipp_is_a_warning(demo: DemoCipp, version: str | None, remedy: str) -> None:
    demo.answer("GetVersion", body={"LocalCIPPAPIVersion": version})
    findings = await examined(demo)
    assert findings["version"].state == "warn"
    assert "10.8.2" in findings["version"].seen
    assert remedy in findings["version"].remedy
    assert findings["logs"].state == "pass"


async def test_a_cipp_that_publishes_its_document_is_compared_with_the_catalogue(
    demo: DemoCipp, tmp_path: Path
) -> None:
    changes = {"CIPP_OPENAPI": "auto", "CIPP_CACHE": str(tmp_path)}
    assert "no document was found" in (await examined(demo, changes))["catalogue"].seen
    facts = baked_facts()
    facts["ListNovelties"] = facts.pop("ListUserPhoto")
    demo.describe(document_of(facts))
    found = (await examined(demo, changes))["catalogue"]
    assert (found.state, "1 new, 1 missing" in found.seen) == ("pass", True)
    demo.describe({"paths": []})
    found = (await examined(demo, {**changes, "CIPP_CACHE": str(tmp_path / "another")}))["catalogue"]
    assert (found.state, "CIPP_OPENAPI=off" in found.remedy) == ("warn", True)
    found = (await examined(demo, {"CIPP_OPENAPI": f"{demo.url}/nothing.json"}))["catalogue"]
    assert (found.state, "Check CIPP_OPENAPI" in found.remedy) == ("warn", True)


async def test_a_cipp_that_shows_no_tenant_is_named(demo: DemoCipp) -> None:
    demo.answer("ListTenants", body=[])
    found = first_failure(await examined(demo))
    assert (found.check, "no tenant" in found.seen) == ("tenants", True)


async def test_a_cipp_that_cannot_reach_its_tenants_is_named(demo: DemoCipp) -> None:
    demo.answer("ListTenants", body=[{"displayName": "Failed to retrieve tenants: invalid_grant"}])
    found = first_failure(await examined(demo))
    assert (found.check, "invalid_grant" in found.seen) == ("tenants", True)


async def test_an_allowed_tenant_that_cipp_does_not_show_is_named(demo: DemoCipp) -> None:
    domain = demo.state.tenants[0].domain
    assert (await examined(demo, {"CIPP_TENANTS": domain}))["tenants"].seen == "4 visible, 1 allowed"
    wrong = "x" + domain
    found = first_failure(await examined(demo, {"CIPP_TENANTS": wrong}))
    assert found.check == "tenants"
    assert wrong in found.seen
    assert domain in found.seen
    assert "CIPP_TENANTS" in found.remedy


async def test_a_first_call_that_fails_is_explained_as_to_a_caller(demo: DemoCipp) -> None:
    demo.answer("ListLogs", status=503, body="This feature has been disabled: Logs")
    found = first_failure(await examined(demo))
    assert (found.check, "switched off" in found.seen, "feature flags" in found.remedy) == ("logs", True, True)


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        ({"CIPP_ACCESS": "full", "CIPP_CONFIRM": "never"}, "CIPP_CONFIRM=critical"),
        ({"CIPP_ACCESS": "full", "CIPP_CONFIRM_FALLBACK": "two-step"}, "CIPP_CONFIRM_FALLBACK=refuse"),
    ],
)
async def test_a_model_that_nobody_watches_is_a_warning(demo: DemoCipp, changes: dict[str, str], remedy: str) -> None:
    found = (await examined(demo, changes))["access"]
    assert (found.state, remedy in found.remedy) == ("warn", True)


@pytest.fixture
def environment(demo: DemoCipp) -> dict[str, str]:
    return {**os.environ, **demo.environment()}


def _doctor(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cipp_mcp", "doctor", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)


def test_the_command_prints_findings_and_its_exit_code_tells(demo: DemoCipp, environment: dict[str, str]) -> None:
    run = _doctor(environment | {"CIPP_CLIENT_SECRET": "wrong"})
    assert run.returncode == 1
    assert "AADSTS7000215" in run.stdout
    assert "Begin with: Token." in run.stdout
    assert "\033" not in run.stdout
    assert run.stderr == ""


def test_json_for_a_ticket_has_every_check_and_no_secret(demo: DemoCipp, environment: dict[str, str]) -> None:
    run = _doctor(environment, "--json")
    document = json.loads(run.stdout)
    assert (run.returncode, document["ok"]) == (0, True)
    assert [check["check"] for check in document["checks"]] == [check.name for check in CHECKS]
    assert demo.client_secret not in run.stdout
