"""What an endpoint that nobody has described may be trusted with: the graver risk wherever something is in doubt."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from cipp_mcp.registry.models import Risk
from cipp_mcp.registry.words import split_name

_READ_ROLE = re.compile(r"^[A-Za-z]+\.[A-Za-z]+\.Read$")
# Upstream's own editor role is kept from most of these (Config/cipp-roles.json).
_PLATFORM_ROLE = re.compile(
    r"^(CIPP\.(SuperAdmin|AppSettings|Extension|Tests|Backup)|Tenant\.(Relationship|Standards|Groups)|Scheduler\.Billing)"
    r"\..*Write$",
    re.IGNORECASE,
)
_DESTROYS = re.compile(r"delete(?!d)|remove(?!d)|wipe|purge|reset|revoke|offboard(?!ed)|retire(?!d)", re.IGNORECASE)
# Parts of names by which an argument asks for an act, or carries somebody else's request.
_ACTS = re.compile(
    r"action|operation|command|cmdlet|script|trigger|execut|cancel|clear|disable|enable|overwrite|rotate|approve|renew|"
    r"activate|restart|reboot|rebuild|refresh|install|payload|callback|webhook",
    re.IGNORECASE,
)
# The same, as the first word only: StartDate is a filter, startRun is not.
_ACTING_FIRST = frozenset(
    """add assign body call change cmd copy create deploy deny do edit endpoint exec execute flush force function grant
    import invoke kill make method move new patch perform post promote push put queue release rename request requests
    restore run save seed send set start stop store submit switch sync toggle unlock update uri url verb write""".split()
)
_MOMENT = re.compile(r"(date|time|day|days|before|after)$", re.IGNORECASE)
_CREDENTIAL = re.compile(
    r"password|secret|passcode|credential|bitlocker|recoverykey|laps|filevault|apikey|privatekey|token|sasurl|"
    r"accesspass|copyfield|otp$|totp",
    re.IGNORECASE,
)
_CREDENTIAL_FIELD = re.compile(
    r"(password|passwd|secret|secrettext|passcode|recoverykeys?|sasurl|accesspass|copyfield|token|apikey|privatekey)$",
    re.IGNORECASE,
)
# CIPP's own MCP transport carries calls inside calls; so may anything else that has it in its name.
_TRANSPORT = re.compile(r"mcp|\bbatch|batch$", re.IGNORECASE)


def cautious_risk(name: str, facts: Mapping[str, Any]) -> Risk:
    """The risk of an endpoint known by its facts alone.

    It is a read only when verb, role, name and every argument agree, and a secret read when it is named after a
    credential; everything else counts as ``platform``.
    """
    words = [word.lower() for word in split_name(name.removeprefix("Invoke-").removeprefix("invoke-"))]
    agrees = (
        facts.get("method") == "GET"
        and bool(_READ_ROLE.match(str(facts.get("role", ""))))
        and words[0] == "list"
        and not any(_DESTROYS.search(word) or _ACTS.search(word) for word in words[1:])
        and not any(asks_for_act(path, shape) for path, shape in arguments(facts))
    )
    if not agrees:
        return "platform"
    return "secret" if _CREDENTIAL.search(name) else "read"


def credential_fields(facts: Mapping[str, Any]) -> list[str]:
    """Fields of the answer that look like credentials, to be masked."""
    fields = facts.get("response", {}).get("fields", {})
    return sorted(name for names in fields.values() for name in names if _CREDENTIAL_FIELD.search(name))


def is_transport(name: str) -> bool:
    """Whether `name` looks like a way of making calls inside a call, past every check made here."""
    return bool(_TRANSPORT.search(name))


def raised_by_role(risk: Risk, role: str) -> Risk:
    """`risk`, or a graver one, now that CIPP asks for `role`."""
    if risk in ("read", "secret"):
        return risk if _READ_ROLE.match(role) or role == "Public" else "platform"
    return "platform" if _PLATFORM_ROLE.match(role) else risk


def rules_for_news(risk: Risk, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Risk rules for arguments and values that an endpoint of `risk` has only in the facts `after`."""
    known = dict(arguments(before))
    rules: list[dict[str, Any]] = []
    for path, shape in arguments(after):
        if path not in known:
            graver = _graver(risk, path, shape)
            if graver:
                rules.append({"argument": path, "risk": graver})
            continue
        fresh = [value for value in shape.get("enum") or () if value not in (known[path].get("enum") or ())]
        told = [value for value in fresh if _graver(risk, str(value), {}) or asks_for_act(path, {})]
        if told and risk in ("read", "secret", "write"):
            rules.append({"argument": path, "values": told, "risk": "destructive" if risk == "write" else "platform"})
    return rules


def arguments(facts: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(dotted path, shape) of every argument, those inside objects and lists too."""

    def walk(parameters: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        for name, shape in parameters.items():
            yield prefix + name, shape
            inner = shape
            while isinstance(inner.get("items"), Mapping):
                inner = inner["items"]
            yield from walk(inner.get("properties") or {}, f"{prefix}{name}.")

    yield from walk(facts.get("parameters") or {}, "")


def asks_for_act(path: str, shape: Mapping[str, Any]) -> bool:
    """Whether an argument, by its name or its known values, may ask for more than an answer."""
    name = path.rsplit(".", 1)[-1]
    return _acts(name) or any(_acts(str(value)) for value in shape.get("enum") or ())


def _acts(name: str) -> bool:
    if _DESTROYS.search(name) or _ACTS.search(name):
        return True
    return split_name(name)[0].lower() in _ACTING_FIRST and not _MOMENT.search(name)


def _graver(risk: Risk, path: str, shape: Mapping[str, Any]) -> Risk | None:
    if risk in ("read", "secret"):
        return "platform" if asks_for_act(path, shape) else None
    destroys = _DESTROYS.search(path.rsplit(".", 1)[-1])
    return "destructive" if destroys and risk in ("write", "security") else None
