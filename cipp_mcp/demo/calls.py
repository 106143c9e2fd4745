"""One call on its way to a handler, and what a handler gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cipp_mcp.demo.clients import ApiClient
from cipp_mcp.demo.powershell import Folded, equal, first, label_or_text, member, text
from cipp_mcp.demo.world.state import State
from cipp_mcp.demo.world.tenant import Tenant

Handler = Callable[["Call"], Any]


@dataclass
class Answer:
    """An answer other than 200 with a JSON body; `bytes` and `str` bodies go out as they are."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str | None = None


class Refused(Exception):
    """Ends a handler with `answer`."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.body)
        self.answer = answer


@dataclass
class Call:
    """What a handler sees of a request."""

    endpoint: str
    query: Folded
    body: Any
    state: State
    client: ApiClient
    writes: bool = False

    def asked(self, name: str) -> Any:
        """``$Request.Query.name``."""
        return self.query.get(name)

    def sent(self, *path: str) -> Any:
        """``$Request.Body.name``; further names go into objects."""
        return member(self.body, *path)

    def given(self, name: str) -> Any:
        """``$Request.Query.name ?? $Request.Body.name``."""
        return first(self.asked(name), self.sent(name))

    def flag(self, name: str) -> bool:
        """``$Request.Query.name -eq $true``: the text "true" only."""
        return equal(self.asked(name), "true")

    @property
    def tenant_name(self) -> str | None:
        """The tenant that CIPP's access check looks at (Test-CIPPAccess.ps1)."""
        for source in (self.query, self.body):
            for name in ("tenantFilter", "tenantId"):
                value = label_or_text(member(source, name))
                if isinstance(value, list):
                    value = next((label_or_text(inner) for inner in value), None)
                if value not in (None, ""):
                    return text(value)
        return None

    @property
    def all_tenants(self) -> bool:
        return (self.tenant_name or "").lower() == "alltenants"

    @property
    def tenants(self) -> list[Tenant]:
        """The tenants that the call is about: the one named, or all that the client may see."""
        if self.all_tenants:
            return self.state.visible(self.client.own_tenants)
        return [self.tenant]

    @property
    def tenant(self) -> Tenant:
        """The tenant named; CIPP falls back on the partner's own, for which the first one stands in here."""
        name = self.tenant_name
        return self.find(name) if name else self.settled(self.state.tenants[0])

    def find(self, name: str) -> Tenant:
        """A tenant by name or id; an unknown one is an error in the handler."""
        found = self.state.tenant(name)
        if found is None:
            raise Refused(Answer(f"No tenant is called {name}: not found.", 500))
        return self.settled(found)

    def settled(self, tenant: Tenant) -> Tenant:
        if self.writes:
            tenant.settle()
        return tenant


HANDLERS: dict[str, Handler] = {}


def answers(*names: str) -> Callable[[Handler], Handler]:
    """Registers the decorated function as the handler of these endpoints."""

    def register(handler: Handler) -> Handler:
        for name in names:
            HANDLERS[name] = handler
        return handler

    return register


def results(message: Any, status: int = 200) -> Any:
    """CIPP's usual answer to a change: ``{"Results": …}``."""
    return Answer({"Results": message}, status) if status != 200 else {"Results": message}
