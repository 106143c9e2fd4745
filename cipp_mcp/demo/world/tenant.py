"""One customer's tenant. What is in it is made when it is first looked at, and changed in place afterwards."""

from __future__ import annotations

import datetime
from functools import cached_property
from typing import Any

from cipp_mcp.demo.world import (
    activity,
    devices,
    groups,
    licences,
    mail,
    mfa,
    people,
    policies,
    protection,
    services,
)
from cipp_mcp.demo.world.mail import Mailbox
from cipp_mcp.demo.world.names import profile
from cipp_mcp.demo.world.seeds import guid, source, stamp

Row = dict[str, Any]


class Tenant:
    """A tenant's identity and, as lazy attributes, everything in it."""

    def __init__(self, number: int, size: int, seed: int, today: datetime.datetime) -> None:
        self.number, self.size, self.seed, self.today = number, size, seed, today
        self.profile = profile(number)
        self.id = guid(seed, number, "tenant")
        self.name = self.profile.name
        self.domain = self.profile.domain
        self.initial = f"{self.profile.slug}.onmicrosoft.com"
        self.excluded = False

    def __repr__(self) -> str:
        return f"Tenant({self.domain})"

    def answers_to(self, name: str) -> bool:
        """Whether CIPP would resolve `name` to this tenant: id, default or initial domain."""
        return name.lower() in (self.id, self.domain, self.initial)

    @cached_property
    def row(self) -> Row:
        """The row of ListTenants (Get-Tenants.ps1)."""
        chance = source(self.seed, self.number, "row")
        return {
            "PartitionKey": "Tenants",
            "RowKey": self.id,
            "customerId": self.id,
            "displayName": self.name,
            "relationshipEnd": stamp(self.today + datetime.timedelta(days=chance.randrange(40, 700))),
            "relationshipCount": 1,
            "defaultDomainName": self.domain,
            "initialDomainName": self.initial,
            "hasAutoExtend": chance.random() < 0.8,
            "delegatedPrivilegeStatus": "granularDelegatedAdminPrivileges",
            "domains": "",
            "Excluded": False,
            "ExcludeUser": "",
            "ExcludeDate": "",
            "GraphErrorCount": 0,
            "LastGraphError": "",
            "RequiresRefresh": False,
            "LastRefresh": stamp(self.today),
        }

    @cached_property
    def users(self) -> dict[str, Row]:
        return people.make_users(self)

    @cached_property
    def mfa(self) -> dict[str, Row]:
        return mfa.make_mfa(self)

    @cached_property
    def groups(self) -> dict[str, Row]:
        return groups.make_groups(self)

    @cached_property
    def roles(self) -> dict[str, list[str]]:
        return groups.make_roles(self)

    @cached_property
    def owned(self) -> dict[str, int]:
        return licences.make_owned(self)

    @cached_property
    def mailboxes(self) -> dict[str, Mailbox]:
        return mail.make_mailboxes(self)

    @cached_property
    def devices(self) -> dict[str, Row]:
        return devices.make_devices(self)

    @cached_property
    def autopilot(self) -> dict[str, Row]:
        return devices.make_autopilot(self)

    @cached_property
    def locations(self) -> dict[str, Row]:
        return policies.make_locations(self)

    @cached_property
    def ca_policies(self) -> dict[str, Row]:
        return policies.make_ca_policies(self)

    @cached_property
    def intune_policies(self) -> dict[str, Row]:
        return policies.make_intune_policies(self)

    @cached_property
    def compliance_policies(self) -> dict[str, Row]:
        return policies.make_compliance_policies(self)

    @cached_property
    def quarantine(self) -> dict[str, Row]:
        return protection.make_quarantine(self)

    @cached_property
    def trace(self) -> list[Row]:
        return protection.make_trace(self)

    @cached_property
    def incidents(self) -> dict[str, Row]:
        return protection.make_incidents(self)

    @cached_property
    def alerts(self) -> dict[str, Row]:
        return protection.make_alerts(self)

    @cached_property
    def signins(self) -> list[Row]:
        return activity.make_signins(self)

    @cached_property
    def audit_logs(self) -> list[Row]:
        return activity.make_audit_logs(self)

    @cached_property
    def apps(self) -> dict[str, Row]:
        return services.make_apps(self)

    @cached_property
    def domains(self) -> dict[str, Row]:
        return services.make_domains(self)

    @cached_property
    def transport_rules(self) -> dict[str, Row]:
        return services.make_transport_rules(self)

    @cached_property
    def contacts(self) -> dict[str, Row]:
        return services.make_contacts(self)

    @cached_property
    def spam_filters(self) -> dict[str, Row]:
        return services.make_filters(self)

    @cached_property
    def sites(self) -> dict[str, Row]:
        return services.make_sites(self)

    @cached_property
    def intune_apps(self) -> dict[str, Row]:
        return services.make_intune_apps(self)

    @cached_property
    def deleted(self) -> dict[str, Row]:
        """Soft-deleted directory objects by id, with the columns of ListDeletedItems."""
        return {}

    @cached_property
    def jit_admins(self) -> dict[str, Row]:
        """Accounts that are administrators for a while, with the columns of ListJITAdmin."""
        return {}

    @cached_property
    def connectors(self) -> dict[str, Row]:
        return services.make_connectors(self)

    @cached_property
    def restricted(self) -> dict[str, Row]:
        """Senders that Exchange has stopped, by address, with the columns of ListRestrictedUsers."""
        return protection.make_restricted(self)

    @cached_property
    def allow_block(self) -> dict[str, Row]:
        """The allow and block list, by value."""
        return protection.make_allow_block(self)

    @cached_property
    def risky(self) -> dict[str, Row]:
        """Accounts that Entra thinks are at risk, by object id."""
        return protection.make_risky(self)

    def settle(self) -> None:
        """Makes everything now: what is derived from the accounts must not depend on changes made to them later."""
        for name, attribute in vars(type(self)).items():
            if isinstance(attribute, cached_property):
                getattr(self, name)

    def user(self, key: Any) -> Row | None:
        """The account with this object id or UPN."""
        if not isinstance(key, str) or not key:
            return None
        found = self.users.get(key)
        if found is not None:
            return found
        folded = key.lower()
        return next((user for user in self.users.values() if user["userPrincipalName"].lower() == folded), None)
