"""Which tenants there are, and which one a text means."""

from __future__ import annotations

import difflib
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from cipp_mcp.calls.jobs import Job, Jobs, Progress
from cipp_mcp.clean import one_line
from cipp_mcp.errors import CallFailed, Refused

ALL_TENANTS = "AllTenants"
_LIFETIME = 300.0


@dataclass(frozen=True)
class Tenant:
    """One tenant as ListTenants has it (CIPPCore Get-Tenants)."""

    id: str
    domain: str
    name: str
    initial: str = ""

    @property
    def identifiers(self) -> frozenset[str]:
        """Its id and domains in lower case: what names this tenant and no other."""
        return frozenset(text.lower() for text in (self.id, self.domain, self.initial) if text)

    def __str__(self) -> str:
        return f"{self.name} ({self.domain})"


@dataclass
class Tenants:
    """A list of tenants that can be asked what a text means."""

    all: list[Tenant]
    _by_identifier: dict[str, Tenant] = field(init=False)
    _by_name: dict[str, list[Tenant]] = field(init=False)

    def __post_init__(self) -> None:
        self._by_identifier = {identifier: tenant for tenant in self.all for identifier in tenant.identifiers}
        self._by_name = {}
        for tenant in self.all:
            self._by_name.setdefault(tenant.name.strip().lower(), []).append(tenant)

    @classmethod
    def of_rows(cls, rows: Iterable[Any]) -> Tenants:
        """The tenants in rows of ListTenants; rows without an id or a domain are no tenants."""
        found = []
        for row in rows:
            if isinstance(row, dict) and row.get("customerId") and row.get("defaultDomainName"):
                found.append(
                    Tenant(
                        id=str(row["customerId"]),
                        domain=str(row["defaultDomainName"]),
                        name=one_line(str(row.get("displayName") or row["defaultDomainName"])),
                        initial=str(row.get("initialDomainName") or ""),
                    )
                )
        return cls([tenant for tenant in found if tenant.domain.lower() != ALL_TENANTS.lower()])

    def known(self, text: str) -> Tenant | None:
        """The tenant that `text` is an id or a domain of."""
        return self._by_identifier.get(text.strip().lower())

    def named(self, text: str) -> list[Tenant]:
        """The tenants whose display name is `text`."""
        return self._by_name.get(text.strip().lower(), [])

    def resolve(self, text: str) -> Tenant:
        """The one tenant that `text` means: by id or domain, else by a display name that only one tenant has.

        Raises Refused, with the near names, when there is none or more than one.
        """
        tenant = self.known(text)
        if tenant is not None:
            return tenant
        named = self.named(text)
        if len(named) == 1:
            return named[0]
        if named:
            raise Refused(
                f"{text!r} is the name of {len(named)} tenants: {', '.join(tenant.domain for tenant in named)}.",
                hint="Use the domain or the id.",
                reason="tenant",
            )
        raise Refused(
            f"There is no tenant {text[:100]!r}{self._near(text)}.",
            hint="ListTenants gives the tenants; use a default domain or an id.",
            reason="tenant",
        )

    def _near(self, text: str) -> str:
        names = {tenant.name.lower(): tenant for tenant in self.all} | {t.domain.lower(): t for t in self.all}
        matches = difflib.get_close_matches(text.lower(), names, 3, cutoff=0.5)
        matches += [name for name in names if len(text) >= 3 and text.lower() in name]
        near = dict.fromkeys(str(names[match]) for match in matches)
        return f"; near: {', '.join(list(near)[:3])}" if near else ""


class TenantDirectory:
    """The tenants of the deployment, read once and again every five minutes."""

    def __init__(self, read: Callable[[], Awaitable[list[Any]]], jobs: Jobs) -> None:
        self._read = read
        self._jobs = jobs
        self._reading: Job | None = None
        self._tenants: Tenants | None = None
        self._read_at = 0.0

    @property
    def known(self) -> Tenants | None:
        """The tenants, if they need not be read now."""
        return self._tenants if time.monotonic() - self._read_at <= _LIFETIME else None

    async def tenants(self) -> Tenants:
        """All tenants that CIPP shows to this caller.

        They are read once for all who wait, and to the end even when those who wait give up. Raises CallFailed when
        they cannot be read: without them nothing can be checked.
        """
        if self.known is None:
            if self._reading is None or self._reading.done.is_set():
                self._reading = self._jobs.start("ListTenants", True, self._renew)
            reading = self._reading
            await reading.done.wait()
            if reading.error is not None:
                raise reading.error
            tenants: Tenants = reading.result
            return tenants
        assert self._tenants is not None
        return self._tenants

    async def _renew(self, _progress: Progress) -> Tenants:
        tenants = Tenants.of_rows(await self._read())
        if not tenants.all:
            raise CallFailed("CIPP shows no tenants, so no tenant can be checked.", hint="Check the client's role.")
        self._tenants, self._read_at = tenants, time.monotonic()
        return tenants

    def forget(self) -> None:
        """Reads the tenants anew at the next call, after a change to them."""
        self._tenants = None
        self._reading = None
