"""A running deployment and a client that is logged in to it."""

from __future__ import annotations

import datetime
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from cipp_mcp.demo import DemoCipp
from cipp_mcp.demo.world.tenant import Row, Tenant

TODAY = datetime.date(2026, 3, 2)


@dataclass
class Api:
    """Calls the API the way a logged-in client does."""

    demo: DemoCipp
    client: httpx.Client

    def token(self, client_id: str | None = None, **form: str) -> httpx.Response:
        wanted = client_id or self.demo.client_id
        fields = {
            "grant_type": "client_credentials",
            "client_id": wanted,
            "client_secret": self.demo.client_secret,
            "scope": f"api://{wanted}/.default",
            **form,
        }
        return self.client.post(f"/{self.demo.tenant_id}/oauth2/v2.0/token", data=fields)

    def login(self, client_id: str | None = None) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token(client_id).json()['access_token']}"}

    def get(self, endpoint: str, headers: dict[str, str] | None = None, **query: Any) -> httpx.Response:
        return self.client.get(f"/api/{endpoint}", params=query, headers=headers or self._headers)

    def post(self, endpoint: str, body: Any, **query: Any) -> httpx.Response:
        return self.client.post(f"/api/{endpoint}", params=query, json=body, headers=self._headers)

    def results(self, endpoint: str, body: Any, **query: Any) -> Any:
        """The Results of a change that is expected to be answered with 200."""
        answer = self.post(endpoint, body, **query)
        assert answer.status_code == 200, answer.text
        return answer.json()["Results"]

    @property
    def _headers(self) -> dict[str, str]:
        if not hasattr(self, "_kept"):
            self._kept = self.login()
        return self._kept

    @property
    def tenant(self) -> str:
        return self.demo.state.tenants[0].domain


def connect(demo: DemoCipp) -> httpx.Client:
    context = ssl.create_default_context(cafile=str(demo.ca_file))
    return httpx.Client(base_url=demo.url, verify=context, trust_env=False, timeout=20)


@pytest.fixture(scope="session")
def shared() -> Iterator[Api]:
    """A deployment that tests only read from."""
    with DemoCipp(today=TODAY) as demo, connect(demo) as client:
        yield Api(demo, client)


@pytest.fixture(scope="session")
def changeable() -> Iterator[Api]:
    with DemoCipp(users=120, tenants=4, today=TODAY) as demo, connect(demo) as client:
        yield Api(demo, client)


@pytest.fixture
def api(changeable: Api) -> Api:
    """A deployment as it is at the beginning, for a test to change."""
    changeable.demo.reset()
    fresh = Api(changeable.demo, changeable.client)
    fresh.get("PublicPing")
    changeable.demo.reset()
    return fresh


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
