"""How PowerShell sees JSON: names without case, members that are null, and what counts as true.

CIPP's handlers are PowerShell, and what they quietly ignore follows from these few rules.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any


class DuplicateName(ValueError):
    """Two names of one object differ only in case, which ConvertFrom-Json refuses."""


class Folded(Mapping[str, Any]):
    """A JSON object whose members are found without regard to case and are None when absent."""

    def __init__(self, pairs: list[tuple[str, Any]] | dict[str, Any]) -> None:
        self._members: dict[str, tuple[str, Any]] = {}
        for name, value in pairs.items() if isinstance(pairs, dict) else pairs:
            known = self._members.get(name.lower())
            if known is not None and known[0] != name:
                raise DuplicateName(f"the existing key '{known[0]}' was '{name}'")
            self._members[name.lower()] = (name, value)

    def __getitem__(self, name: str) -> Any:
        return self._members[name.lower()][1]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._members

    def get(self, name: str, default: Any = None) -> Any:
        found = self._members.get(name.lower())
        return default if found is None else found[1]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._members.values())

    def __len__(self) -> int:
        return len(self._members)

    def __repr__(self) -> str:
        return repr(plain(self))


def parse(text: str | bytes) -> Any:
    """JSON text as CIPP's handlers would see it.

    Raises DuplicateName, or ValueError when it is no JSON.
    """
    return json.loads(text, object_pairs_hook=Folded)


def folded(value: Any) -> Any:
    """The same view of a value that is already parsed."""
    if isinstance(value, dict):
        return Folded({name: folded(inner) for name, inner in value.items()})
    if isinstance(value, list):
        return [folded(inner) for inner in value]
    return value


def plain(value: Any) -> Any:
    """Back to ordinary dictionaries."""
    if isinstance(value, Mapping):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return value


def member(value: Any, *path: str) -> Any:
    """``$value.a.b``: null on anything without such a member, a list of members on a list."""
    for name in path:
        if isinstance(value, Mapping):
            value = Folded.get(value, name) if isinstance(value, Folded) else folded(plain(value)).get(name)
        elif isinstance(value, list):
            found = [member(inner, name) for inner in value]
            found = [inner for inner in found if inner is not None]
            value = None if not found else found[0] if len(found) == 1 else found
        else:
            return None
    return value


def first(*values: Any) -> Any:
    """``$a ?? $b ?? $c``: the first that is not null."""
    return next((value for value in values if value is not None), None)


def label_or_text(value: Any) -> Any:
    """``$x.value ?? $x``: what handlers write that accept both a bare value and a label object."""
    return first(member(value, "value"), value)


def truthy(value: Any) -> bool:
    """``[bool]$value``: every string with a character in it is true, "false" included."""
    if isinstance(value, list):
        return False if not value else truthy(value[0]) if len(value) == 1 else True
    if isinstance(value, Mapping):
        return True
    return bool(value)


def text(value: Any) -> str:
    """``"$value"``."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "True" if value else "False"
    if isinstance(value, list):
        return " ".join(text(inner) for inner in value)
    if isinstance(value, Mapping):
        return "@{" + "; ".join(f"{name}={text(inner)}" for name, inner in value.items()) + "}"
    return str(value)


def equal(left: Any, right: Any) -> bool:
    """``$left -eq $right``: the right side is converted to the type of the left, strings without case."""
    if isinstance(left, bool):
        return left == truthy(right)
    if left is None or right is None:
        return left is right
    return text(left).lower() == text(right).lower()


def rows(value: Any) -> list[Any]:
    """``@($value)``: nothing is no element, one thing is one."""
    return [] if value is None else list(value) if isinstance(value, list) else [value]


def to_boolean(value: Any) -> bool:
    """``[System.Convert]::ToBoolean($value)``: null is false, and so is the text "false"; other text is an error.

    Raises ValueError.
    """
    if not isinstance(value, str):
        return bool(value)
    folded_text = value.strip().lower()
    if folded_text not in ("true", "false"):
        raise ValueError("String was not recognized as a valid Boolean.")
    return folded_text == "true"


def is_true(value: Any) -> bool:
    """``$value -eq $true``: true itself or the text "true"."""
    return equal(value, True) if not isinstance(value, str) else value.lower() == "true"
