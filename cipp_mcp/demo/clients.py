"""The API clients that the embedded CIPP knows, all with values that nobody can take for real ones."""

from __future__ import annotations

from dataclasses import dataclass

PARTNER_TENANT_ID = "dec0de00-0000-4000-8000-000000000001"
CLIENT_ID = "dec0de00-0000-4000-8000-0000000000c1"
READONLY_CLIENT_ID = "dec0de00-0000-4000-8000-0000000000c2"
NO_URI_CLIENT_ID = "dec0de00-0000-4000-8000-0000000000c3"
LIMITED_CLIENT_ID = "dec0de00-0000-4000-8000-0000000000c4"
ELSEWHERE_CLIENT_ID = "dec0de00-0000-4000-8000-0000000000c5"
V2_CLIENT_ID = "dec0de00-0000-4000-8000-0000000000c6"
MCP_CLIENT_ID = "dec0de00-0000-4000-8000-0000000000c7"
"""The application that an MCP server is in Entra, to which people sign in and which may act on their behalf."""

CLIENT_SECRET = "demo~not~a~real~secret"
EXPIRED_SECRET = "demo~secret~that~has~expired"


@dataclass(frozen=True)
class ApiClient:
    """A row of CIPP's table of API clients, with what Entra knows of the same application."""

    client_id: str
    name: str
    role: str
    custom: bool = True
    uri_exposed: bool = True
    ip_allowed: bool = True
    own_tenants: int | None = None
    """How many tenants, counted from the first, the role is limited to."""
    audience_is_uri: bool = True

    @property
    def audience(self) -> str:
        return f"api://{self.client_id}" if self.audience_is_uri else self.client_id


CLIENTS = {
    client.client_id: client
    for client in (
        ApiClient(CLIENT_ID, "cipp-mcp demo", "cipp-api"),
        ApiClient(READONLY_CLIENT_ID, "Dashboards", "readonly", custom=False),
        ApiClient(NO_URI_CLIENT_ID, "Half configured", "cipp-api", uri_exposed=False),
        ApiClient(LIMITED_CLIENT_ID, "One customer only", "customer-one", own_tenants=1),
        ApiClient(ELSEWHERE_CLIENT_ID, "Head office only", "cipp-api", ip_allowed=False),
        ApiClient(V2_CLIENT_ID, "Tokens of version 2", "cipp-api", audience_is_uri=False),
        ApiClient(MCP_CLIENT_ID, "MCP server", "cipp-api"),
    )
}


@dataclass(frozen=True)
class Person:
    """A member of the partner's staff who may sign in to CIPP, with the role that CIPP gives them."""

    oid: str
    upn: str
    role: str

    def through(self, application: str) -> ApiClient:
        """How CIPP sees this person, who comes with a token that `application` obtained on their behalf."""
        return ApiClient(application, self.upn, self.role, custom=False)


PEOPLE = {
    person.oid: person
    for person in (
        Person("dec0de00-0000-4000-8000-0000000000a1", "anna@partner.example", "editor"),
        Person("dec0de00-0000-4000-8000-0000000000a2", "ben@partner.example", "readonly"),
    )
}
