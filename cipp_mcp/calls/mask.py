"""Takes credentials out of answers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

WITHHELD = "(withheld: CIPP_ALLOW_SECRETS is not set)"
# Names that hold a credential in any answer of a change, and texts that spell one out (CIPP hands them out as copyField).
_NAMES = re.compile(
    r"^(copyfield|password|newpassword|passwd|temporaryaccesspass|access_?token|refresh_?token|id_?token|client_?secret|"
    r"applicationsecret|appsecret|secrettext|sasurl|recoverykey|recoverykeys|enrollmenttoken|passcode|privatekey)$",
    re.IGNORECASE,
)
_IN_TEXT = re.compile(
    r"((?:password|passcode|temporary access pass|\bTAP\b|secret|approval code)[^.\n]{0,60}?\b(?:is|to|was|set to|:|=)\s*[:=]?\s*)([^\s'\"<]{4,})",
    re.IGNORECASE,
)
_ADDRESS = re.compile(r"^[a-z0-9._+-]+@[a-z0-9-]+(\.[a-z0-9-]+)+$")
_HARMLESS = re.compile(
    r"^(true|false|null|none|the|be|not|no|set|reset|expire|never|change|user|their|has|been|a|an)\b", re.IGNORECASE
)


def mask(value: Any, paths: Sequence[str], *, change: bool) -> tuple[Any, bool]:
    """(`value` without credentials, whether any was taken out).

    `paths` are the entry's dotted paths, in which list levels are skipped; answers of a `change` are searched
    for the usual names and texts besides. A credential found under a name is also removed from every text.
    """
    found: set[str] = set()
    steps = [path.lower().split(".") for path in paths]
    # What a read brings has been taken out of its envelope by now.
    steps += [path[1:] for path in steps if path[0] in ("results", "result") and len(path) > 1]
    masked = _mask(value, steps, change, found)
    if found:
        masked = _without(masked, found)
    if change:
        masked = _texts(masked, found)
    return masked, bool(found)


def _mask(value: Any, paths: list[list[str]], change: bool, found: set[str]) -> Any:
    if isinstance(value, list):
        return [_mask(item, paths, change, found) for item in value]
    if not isinstance(value, dict):
        return value
    result: dict[str, Any] = {}
    for name, inner in value.items():
        folded = str(name).lower()
        below = [path[1:] for path in paths if path[0] == folded]
        if [] in below or (change and _NAMES.match(folded)):
            result[name] = _withhold(inner, found)
        else:
            # An envelope may or may not be part of a path: Results.copyField and copyField mean the same.
            rest = [path for path in below if path] + (paths if folded in ("results", "result", "body") else [])
            result[name] = _mask(inner, rest, change, found)
    return result


def _withhold(value: Any, found: set[str]) -> Any:
    if isinstance(value, str):
        if value and not _ADDRESS.match(value):  # a user name beside a password is no secret to be hunted down
            found.add(value)
        return WITHHELD if value else value
    if isinstance(value, list):
        return [_withhold(item, found) for item in value]
    if isinstance(value, dict):
        return {name: _withhold(inner, found) for name, inner in value.items()}
    if value is None or isinstance(value, bool):
        return value
    found.add(str(value))
    return WITHHELD


def _without(value: Any, found: set[str]) -> Any:
    if isinstance(value, str):
        for secret in sorted(found, key=len, reverse=True):
            if len(secret) >= 4:
                value = value.replace(secret, WITHHELD)
        return value
    if isinstance(value, list):
        return [_without(item, found) for item in value]
    if isinstance(value, dict):
        return {name: _without(inner, found) for name, inner in value.items()}
    return value


def _texts(value: Any, found: set[str]) -> Any:
    if isinstance(value, str):

        def withhold(match: re.Match[str]) -> str:
            if _HARMLESS.match(match[2]) or match[2].startswith("(withheld"):
                return match[0]
            found.add(match[2])
            return match[1] + WITHHELD

        return _IN_TEXT.sub(withhold, value)
    if isinstance(value, list):
        return [_texts(item, found) for item in value]
    if isinstance(value, dict):
        return {name: _texts(inner, found) for name, inner in value.items()}
    return value
