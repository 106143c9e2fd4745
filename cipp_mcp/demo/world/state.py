"""Everything that the embedded CIPP remembers, as plain Python."""

from __future__ import annotations

import datetime
from functools import cached_property

from cipp_mcp.demo.world import tables
from cipp_mcp.demo.world.names import profile
from cipp_mcp.demo.world.queues import Queues
from cipp_mcp.demo.world.tables import Row
from cipp_mcp.demo.world.tenant import Tenant


class State:
    """The estate and CIPP's own tables."""

    def __init__(
        self,
        users: int = 300,
        tenants: int = 4,
        seed: int = 1,
        today: datetime.date | None = None,
        queue_polls: int = 2,
    ) -> None:
        if tenants < 1 or users < tenants:
            raise ValueError("an estate needs one tenant at least and one user for each")
        now = datetime.datetime.now(datetime.UTC)
        day = today or now.date()
        self.seed = seed
        self.today = datetime.datetime(day.year, day.month, day.day, tzinfo=datetime.UTC)
        self.queue_polls = queue_polls
        self.queues = Queues()
        self.changes = 0
        """How many ids and passwords have been handed out, so that the next one is new."""
        self.compromise_checks: dict[str, int] = {}
        """How often each user's check for compromise has been asked for."""
        self.tenants = [Tenant(number, size, seed, self.today) for number, size in enumerate(_sizes(users, tenants))]

    @cached_property
    def templates(self) -> dict[str, dict[str, Row]]:
        return tables.make_templates(self)

    @cached_property
    def standards(self) -> dict[str, Row]:
        return tables.make_standards(self)

    @cached_property
    def tasks(self) -> dict[str, Row]:
        return tables.make_tasks(self)

    @cached_property
    def webhook_rules(self) -> dict[str, Row]:
        return tables.make_webhook_rules(self)

    @cached_property
    def tenant_groups(self) -> dict[str, Row]:
        return tables.make_tenant_groups(self)

    @cached_property
    def logs(self) -> list[Row]:
        return tables.make_logs(self)

    def log(self, api: str, message: str, tenant: Tenant | None = None, severity: str = "Info") -> None:
        """Adds an entry to CIPP's log, as its handlers do for every change."""
        domain, tenant_id = (tenant.domain, tenant.id) if tenant else ("None", "None")
        row = tables.log_row(self, -len(self.logs), domain, tenant_id, api, severity, message)
        row["DateTime"], row["DateFilter"] = self.logs[0]["DateTime"], self.logs[0]["DateFilter"]
        self.logs.insert(0, row)

    def tenant(self, name: str) -> Tenant | None:
        """The tenant with this id, default or initial domain."""
        return next((tenant for tenant in self.tenants if tenant.answers_to(name)), None)

    def visible(self, own_tenants: int | None = None) -> list[Tenant]:
        """The tenants that are not excluded, cut to those that a client's role is limited to."""
        tenants = [tenant for tenant in self.tenants if not tenant.excluded]
        return tenants if own_tenants is None else tenants[:own_tenants]


def _sizes(users: int, tenants: int) -> list[int]:
    weights = [profile(number).weight for number in range(tenants)]
    sizes = [max(1, int(users * weight / sum(weights))) for weight in weights]
    while sum(sizes) > users:
        sizes[sizes.index(max(sizes))] -= 1
    for number in range(users - sum(sizes)):
        sizes[number % tenants] += 1
    return sizes
