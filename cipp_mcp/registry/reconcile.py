"""Puts a hand-written layer over facts that have moved: ours where the fact beneath is as it was, theirs where it is not.

Three layers meet here: the hand-written patch, the facts it was written over, and the facts a deployment has now.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

# What the type of an argument consists of; a correction of one is worth nothing without the others.
_SHAPE = ("type", "items", "properties", "send", "open")
_ABSENT: Any = None


@dataclass(frozen=True)
class Conflict:
    """A hand-made correction that was set aside, because the fact it corrected has moved."""

    endpoint: str
    fact: str
    ours: Any
    was: Any
    theirs: Any

    def __str__(self) -> str:
        return f"{self.endpoint} {self.fact}: ours {self.ours!r} over {self.was!r}, now {self.theirs!r}"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Reconciler:
    """Renews the patches of one endpoint and keeps the conflicts."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self.conflicts: list[Conflict] = []

    def parameters(
        self, patch: Mapping[str, Any], base: Mapping[str, Any], new: Mapping[str, Any], where: str = "parameters"
    ) -> dict[str, Any]:
        """The merge patch for the facts `new`, of a `patch` that was written over the facts `base`."""
        kept: dict[str, Any] = {}
        for name, ours in patch.items():
            was, now = base.get(name), new.get(name)
            place = f"{where}.{name}"
            if was == now:
                kept[name] = ours
            elif now is None:
                if isinstance(ours, Mapping) and set(ours) & {"in", "required", "enum", *_SHAPE}:
                    self._note(place, ours, was, _ABSENT)
            elif ours is None or not isinstance(ours, Mapping):
                self._note(place, ours, was, now)
            else:
                kept[name] = self._parameter(ours, was or {}, now, place)
        return kept

    def value(self, fact: str, ours: Any, was: Any, now: Any) -> bool:
        """Whether a correction of a single fact stays; notes the conflict when it does not."""
        if was == now:
            return True
        if ours != now:
            self._note(fact, ours, was, now)
        return False

    def _parameter(
        self, ours: Mapping[str, Any], was: Mapping[str, Any], now: Mapping[str, Any], place: str
    ) -> dict[str, Any]:
        kept = dict(ours)
        for key in ("in", "required", "enum"):
            if key in kept and not self.value(f"{place}.{key}", kept[key], was.get(key), now.get(key)):
                del kept[key]
                if key == "enum":
                    kept.pop("closed", None)
        if any(was.get(key) != now.get(key) for key in ("type", "send", "open")):
            for key in _SHAPE:
                if key in kept:
                    self.value(f"{place}.{key}", kept[key], was.get(key), now.get(key))
                    del kept[key]
            return kept
        if isinstance(kept.get("properties"), Mapping):
            kept["properties"] = self.parameters(
                kept["properties"], was.get("properties") or {}, now.get("properties") or {}, place
            )
        if isinstance(kept.get("items"), Mapping):
            kept["items"] = self._parameter(
                kept["items"], was.get("items") or {}, now.get("items") or {}, f"{place}.items"
            )
        return kept

    def _note(self, fact: str, ours: Any, was: Any, theirs: Any) -> None:
        self.conflicts.append(Conflict(self._endpoint, fact, ours, was, theirs))
