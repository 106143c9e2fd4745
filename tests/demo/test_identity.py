"""The token endpoint and CIPP's access check."""

from __future__ import annotations

import subprocess
import sys
import time

import httpx
import msal
import pytest
import requests

from cipp_mcp.demo import DemoCipp
from cipp_mcp.demo.clients import CLIENTS

from .conftest import Api, connect


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys, cipp_mcp.demo; "
        "print([name for name in ('uvicorn', 'cryptography', 'jwt', 'pydantic', 'starlette') if name in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def test_msal_gets_a_token_from_the_authority(shared: Api) -> None:
    with requests.Session() as session:
        session.trust_env = False
        session.verify = str(shared.demo.ca_file)
        app = msal.ConfidentialClientApplication(
            shared.demo.client_id,
            authority=f"{shared.demo.authority}/{shared.demo.tenant_id}",
            client_credential=shared.demo.client_secret,
            instance_discovery=False,
            http_client=session,
        )
        answer = app.acquire_token_for_client([f"api://{shared.demo.client_id}/.default"])
    assert answer["token_type"] == "Bearer"
    assert answer["expires_in"] == 3600


@pytest.mark.parametrize(
    ("form", "status", "error", "code"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client", 7000215),
        ({"client_secret": DemoCipp.expired_client_secret}, 401, "invalid_client", 7000222),
        ({"client_id": "dec0de00-0000-4000-8000-00000000dead"}, 400, "unauthorized_client", 700016),
        ({"scope": "https://graph.microsoft.com/.default"}, 400, "invalid_resource", 500011),
        ({"grant_type": "password"}, 400, "unsupported_grant_type", 70003),
    ],
)
def test_a_bad_token_request_gets_the_error_that_entra_gives(
    shared: Api, form: dict[str, str], status: int, error: str, code: int
) -> None:
    answer = shared.token(**form)
    assert answer.status_code == status
    body = answer.json()
    assert (body["error"], body["error_codes"]) == (error, [code])
    assert body["error_description"].startswith(f"AADSTS{code}: ")
    assert "Trace ID: " + body["trace_id"] in body["error_description"]


def test_an_unknown_tenant_has_no_token_endpoint(shared: Api) -> None:
    answer = shared.client.post("/someone-else/oauth2/v2.0/token", data={"grant_type": "client_credentials"})
    assert answer.status_code == 400
    assert answer.json()["error_codes"] == [90002]


def test_a_client_without_application_id_uri_gets_no_token(shared: Api) -> None:
    assert shared.token(shared.demo.no_uri_client_id).json()["error_codes"] == [500011]


def test_token_requests_are_counted_whether_they_succeed_or_not(api: Api) -> None:
    api.token()
    api.token(client_secret="wrong")
    assert [request.status for request in api.demo.token_requests] == [200, 401]


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer garbage"}, {"Authorization": "Basic abc"}])
def test_a_call_without_a_valid_token_is_turned_away_with_an_empty_401(shared: Api, header: dict[str, str]) -> None:
    answer = shared.client.get("/api/ListTenants", headers=header)
    assert (answer.status_code, answer.content) == (401, b"")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_tokens_that_expired_or_are_for_somebody_else_do_not_count(shared: Api) -> None:
    identity, client = shared.demo.identity, CLIENTS[shared.demo.client_id]
    for token in (identity.issue(client, lifetime=-10), identity.issue(client, audience="https://graph.microsoft.com")):
        assert shared.get("ListTenants", headers={"Authorization": f"Bearer {token}"}).status_code == 401


def test_a_token_of_version_2_has_the_wrong_audience(shared: Api) -> None:
    assert shared.get("ListTenants", headers=shared.login(shared.demo.v2_client_id)).status_code == 401


def test_revoked_tokens_stop_counting_and_new_ones_are_given(api: Api) -> None:
    old = api.login()
    assert api.get("ListTenants", headers=old).status_code == 200
    api.demo.revoke_tokens()
    assert api.get("ListTenants", headers=old).status_code == 401
    assert api.get("ListTenants", headers=api.login()).status_code == 200


def test_the_lifetime_of_tokens_can_be_chosen() -> None:
    with DemoCipp(users=8, token_lifetime=90) as demo, connect(demo) as client:
        assert Api(demo, client).token().json()["expires_in"] == 90


def test_a_readonly_client_may_read_but_not_write_nor_see_the_settings(shared: Api) -> None:
    reader = shared.login(shared.demo.readonly_client_id)
    assert shared.get("ListUsers", headers=reader, tenantFilter=shared.tenant).status_code == 200
    answer = shared.get("ExecDisableUser", headers=reader, tenantFilter=shared.tenant)
    assert answer.status_code == 403
    text = "the 'readonly' base role does not have the required permission: Identity.User.ReadWrite"
    assert answer.text == f"Access to this CIPP API endpoint is not allowed, {text}"
    assert shared.get("ExecBackendURLs", headers=reader).status_code == 403


def test_the_wrong_address_is_turned_away_like_a_missing_permission(shared: Api) -> None:
    answer = shared.get("ListTenants", headers=shared.login(shared.demo.elsewhere_client_id))
    assert answer.status_code == 403
    assert answer.text.endswith("the API Client does not have the required permission")


def test_tenants_outside_the_estate_or_the_role_are_refused(shared: Api) -> None:
    limited, second = shared.login(shared.demo.limited_client_id), shared.demo.state.tenants[1].domain
    for headers, tenant in ((None, "nobody.example"), (limited, second)):
        answer = shared.get("ListUsers", headers=headers, tenantFilter=tenant)
        assert (answer.status_code, answer.text) == (403, "Access to this tenant is not allowed")
    assert len(shared.get("ListTenants", headers=limited).json()) == 1
    assert shared.get("ListUsers", headers=limited, tenantFilter=shared.tenant).status_code == 200


def test_me_works_for_custom_roles_and_fails_for_base_roles(shared: Api) -> None:
    told = shared.get("me").json()
    assert told["clientPrincipal"] == {"appId": shared.demo.client_id, "appRole": ["cipp-api"]}
    assert "Identity.User.Read" in told["permissions"]
    answer = shared.get("me", headers=shared.login(shared.demo.readonly_client_id))
    assert answer.status_code == 403
    assert answer.text.startswith("Cannot bind argument")


def test_the_server_stops_within_a_second_though_a_call_is_under_way() -> None:
    with DemoCipp(users=8) as demo, connect(demo) as client:
        api = Api(demo, client)
        headers = api.login()
        demo.delay("ListTenants", 30)
        with pytest.raises(httpx.ReadTimeout):
            client.get("/api/ListTenants", headers=headers, timeout=0.1)
        started = time.monotonic()
        demo.stop()
        assert time.monotonic() - started < 1
    assert not demo.ca_file.exists()
