"""Changes that are carried out on the state, by area; importing this package registers them."""

from cipp_mcp.demo.writes import (
    accounts,
    bulk,
    delegation,
    devices,
    estate,
    filters,
    groups,
    guests,
    incidents,
    mailboxes,
    mailflow,
    offboarding,
    policies,
    tasks,
    templates,
    users,
)

__all__ = [
    "accounts",
    "bulk",
    "delegation",
    "devices",
    "estate",
    "filters",
    "groups",
    "guests",
    "incidents",
    "mailboxes",
    "mailflow",
    "offboarding",
    "policies",
    "tasks",
    "templates",
    "users",
]
