"""The risk of one call: of an endpoint together with its arguments."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from cipp_mcp.registry import RISKS, Endpoint, Risk

_ORDER = {risk: position for position, risk in enumerate(RISKS)}
# Graph paths whose answers are credentials, which the relays would fetch like any other.
_GRAPH_SECRET = re.compile(
    r"recoverykeys|devicelocalcredentials|getfilevaultkey|temporaryaccesspass|omasettingplaintext|synchronization/secrets|"
    r"keycredential|passwordcredential|authentication/(password|temporary)|getpasscode|managedappprotectionsecret",
    re.IGNORECASE,
)
_GRAPH_RELAYS = frozenset({"ListGraphRequest", "ListGraphBulkRequest", "ExecGraphRequest"})
RELAYS = _GRAPH_RELAYS | {"ListExoRequest"}
"""Endpoints that pass a request of the caller's own on to Graph or Exchange."""
# Words by which an argument asks for more than its endpoint's own risk.
_ESCALATING = re.compile(r"delete|remove|wipe|purge|cancel|reset|retire", re.IGNORECASE)
_ACTION_NAMES = frozenset({"action", "operation", "state"})
# Exchange cmdlets that only read; ListExoRequest refuses others itself, this is the second lock.
_EXO_READ = re.compile(r"^(get|search|test)-", re.IGNORECASE)


def risk_of(endpoint: Endpoint, arguments: Mapping[str, Any]) -> Risk:
    """The risk of calling `endpoint` with `arguments` (host names, ``extra`` included).

    Rules of the entry come first; a rule that lowers the risk counts only when no other copy of its argument,
    in ``extra`` or in an item, says something else.
    """
    risk = _by_rules(endpoint, arguments)
    if endpoint.name in _GRAPH_RELAYS and any(map(_asks_for_secret, strings(arguments))):
        risk = higher(risk, "secret")
    if endpoint.name == "ListGraphBulkRequest" and _bulk_changes(arguments):
        risk = higher(risk, "platform")
    if endpoint.name == "ListExoRequest":
        cmdlets = _copies(arguments, "cmdlet")
        if any(not _EXO_READ.match(str(cmdlet)) for cmdlet in cmdlets):
            risk = higher(risk, "platform")
    if endpoint.risk in ("write", "security") and not _has_rule_for_action(endpoint):
        for name in _ACTION_NAMES:
            if any(_ESCALATING.search(str(value)) for value in _copies(arguments, name)):
                risk = higher(risk, "destructive")
    return risk


def higher(one: Risk, other: Risk) -> Risk:
    """The graver of two risks."""
    return one if _ORDER[one] >= _ORDER[other] else other


def strings(value: Any, depth: int = 0) -> Iterator[str]:
    """Every string in `value`, names included, percent-decoded copies and opened JSON strings too."""
    if depth > 20:
        return
    if isinstance(value, str):
        yield value
        decoded = unquote(unquote(value))
        if decoded != value:
            yield decoded
        if value.lstrip()[:1] in ("{", "["):
            try:
                yield from strings(json.loads(value), depth + 1)
            except (ValueError, RecursionError):
                return
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield str(name)
            yield from strings(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner, depth + 1)


def _by_rules(endpoint: Endpoint, arguments: Mapping[str, Any]) -> Risk:
    for rule in endpoint.risk_when:
        copies = [copy for copy in _copies(arguments, rule.argument) if _word(copy)]
        wanted = None if rule.values is None else {_word(value) for value in rule.values}
        lowers = _ORDER[rule.risk] < _ORDER[endpoint.risk]
        if not copies:
            if wanted is not None and _word(None) in wanted:
                return rule.risk
            continue
        hits = [wanted is None or _word(copy) in wanted for copy in copies]
        if all(hits) if lowers else any(hits):
            return rule.risk
    return endpoint.risk


def _word(value: Any) -> str:
    """`value` as rules compare it: without case, 1 and 0 as the booleans that request building makes of them."""
    word = "" if value is None else str(value).strip().lower()
    return {"1": "true", "0": "false"}.get(word, word)


def _copies(arguments: Any, path: str) -> list[Any]:
    """Every value that the dotted `path` has in arguments, in extra and in items; {label, value} opened."""
    found: list[Any] = []
    head, _, rest = path.lower().partition(".")
    if isinstance(arguments, list):
        for item in arguments:
            found += _copies(item, path)
    elif isinstance(arguments, Mapping):
        for name, value in arguments.items():
            folded = str(name).lower()
            if folded == head:
                found += _copies(value, rest) if rest else _opened(value)
            elif folded in ("extra", "items"):
                found += _copies(value, path)
    return found


def _opened(value: Any) -> list[Any]:
    if isinstance(value, list):
        return [inner for item in value for inner in _opened(item)]
    if isinstance(value, Mapping):
        labelled = [item for name, item in value.items() if str(name).lower() == "value"]
        # An object of another shape is no value that a rule could name, but it is not absent either.
        return [inner for item in labelled for inner in _opened(item)] if labelled or not value else [str(value)]
    return [value]


def _has_rule_for_action(endpoint: Endpoint) -> bool:
    return any(rule.argument.lower() in _ACTION_NAMES for rule in endpoint.risk_when)


def _asks_for_secret(text: str) -> bool:
    return bool(_GRAPH_SECRET.search(text))


def _bulk_changes(arguments: Mapping[str, Any]) -> bool:
    methods = [str(method).upper() for request in _copies(arguments, "requests") for method in [request]]
    inner = [text for value in arguments.values() for text in _methods(value)]
    return any(method not in ("GET", "") for method in inner) or any(
        m in ("POST", "PATCH", "PUT", "DELETE") for m in methods
    )


def _methods(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if str(name).lower() == "method" and isinstance(inner, str):
                yield inner.upper()
            else:
                yield from _methods(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _methods(inner)
