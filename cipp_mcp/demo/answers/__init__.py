"""Reads answered from the state, by area; importing this package registers them."""

from cipp_mcp.demo.answers import (
    cipp,
    collaboration,
    dbcache,
    devices,
    exchange,
    graph,
    groups,
    identity,
    mailboxes,
    secrets,
    security,
    standards,
    templates,
    tenants,
)

__all__ = [
    "cipp",
    "collaboration",
    "dbcache",
    "devices",
    "exchange",
    "graph",
    "groups",
    "identity",
    "mailboxes",
    "secrets",
    "security",
    "standards",
    "templates",
    "tenants",
]
