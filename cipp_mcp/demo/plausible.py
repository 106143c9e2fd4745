"""A believable value for a field of which only the name and the declared type are known."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any

from cipp_mcp.demo.world import seeds
from cipp_mcp.demo.world.tenant import Tenant
from cipp_mcp.registry.words import split_name

Maker = Callable[[Tenant, random.Random], Any]


def _someone(tenant: Tenant, chance: random.Random) -> str:
    users = list(tenant.users.values())
    return str(users[chance.randrange(len(users))]["userPrincipalName"])


def _moment(tenant: Tenant, chance: random.Random) -> str:
    return seeds.days_before(tenant.today, chance.uniform(1, 200))


def _guid(tenant: Tenant, chance: random.Random) -> str:
    return seeds.draw_guid(chance)


def _one_of(*values: str) -> Maker:
    return lambda tenant, chance: chance.choice(values)


def _pattern(text: str, *flags: re.RegexFlag) -> re.Pattern[str]:
    return re.compile(text, *flags)


# The first pattern that fits a field's name makes its value; names are as CIPP spells them.
_RULES: tuple[tuple[re.Pattern[str], Maker], ...] = (
    (_pattern(r"^(tenant|tenantFilter|tenantName|defaultDomainName|PartitionKey|domain|domains)$", re.I),
     lambda tenant, chance: tenant.domain),
    (_pattern(r"^(tenantId|customerId)$", re.I), lambda tenant, chance: tenant.id),
    (_pattern(r"^(?i:id|guid|rowkey)$|(?<=[a-z])(Id|ID|Guid|GUID)$"), _guid),
    (_pattern(r"^(Is|is|Has|has|Enable|enable|Allow|allow|Require|require|Can|can)(?=[A-Z])|(Enabled|Active)$"),
     lambda tenant, chance: chance.random() < 0.5),
    (_pattern(r"(date|datetime|timestamp|time|expiry|expiration|lastrefresh)$|^when[a-z]", re.I), _moment),
    (_pattern(r"[a-z](At|Until|On)$"), _moment),
    (_pattern(r"(count|percentage|score|priority|days|number of .*|size|port|total|limit|rate)$", re.I),
     lambda tenant, chance: chance.randrange(0, 100)),
    (_pattern(r"(telephone|phone|mobile)(number)?$", re.I), lambda tenant, chance: f"+1 555 01{chance.randrange(10**5):05d}"),
    (_pattern(r"^(user|username|upn|userprincipalname|mail|email|technician)$|(smtpaddress|emailaddress|upn)$", re.I), _someone),
    (_pattern(r"[a-z](By|User|Email|Emails)$"), _someone),
    (_pattern(r"(^|[a-z])(ip|ipaddress)$", re.I), lambda tenant, chance: f"198.51.100.{chance.randrange(1, 255)}"),
    (_pattern(r"ur[il]$", re.I), lambda tenant, chance: f"https://{tenant.domain}/{chance.randrange(100, 999)}"),
    (_pattern(r"^city$", re.I), lambda tenant, chance: tenant.profile.city),
    (_pattern(r"country", re.I), lambda tenant, chance: tenant.profile.country),
    (_pattern(r"version$", re.I), lambda tenant, chance: f"{chance.randrange(1, 5)}.{chance.randrange(10)}"),
    (_pattern(r"severity$", re.I), _one_of("low", "medium", "high")),
    (_pattern(r"(state|status)$", re.I), _one_of("Enabled", "Enabled", "Disabled")),
    (_pattern(r"(publisher|owner|vendor|provider)$", re.I), _one_of("Northwind", "Fabrikam", "Adatum")),
    (_pattern(r"(description|comment|comments|notes|reason|justification)$", re.I),
     _one_of("Asked for by the customer", "Made by the service desk", "Reviewed every quarter")),
    (_pattern(r"(category|type|kind)$", re.I), _one_of("Standard", "Custom")),
    (_pattern(r"(platform|operatingsystem|os)$", re.I), _one_of("Windows", "iOS", "Android")),
)  # fmt: skip
_TITLES = frozenset({"displayname", "name", "title", "label", "templatename", "rulename", "policyname", "baselinename"})


def value(tenant: Tenant, endpoint: str, field: str, kind: str, number: int) -> Any:
    """The value of `field` in row `number` of an endpoint's answer: always the same one."""
    chance = seeds.source(tenant.seed, endpoint, tenant.number, field, number)
    if kind == "array":
        return []
    if kind == "object":
        return {}
    if kind == "boolean":
        return chance.random() < 0.5
    if kind in ("integer", "number"):
        return chance.randrange(0, 100)
    if "." in field:
        return None
    made = next((make(tenant, chance) for pattern, make in _RULES if pattern.search(field)), None)
    if made is not None:
        return made if kind == "any" or isinstance(made, str) else str(made)
    words = split_name(endpoint)[1:] if field.lower() in _TITLES else split_name(field)
    return f"{' '.join(words) or endpoint} {number + 1}"
