"""Loads the registry and finds entries by name."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from functools import cache
from typing import Any

from cipp_mcp.registry.files import read_all
from cipp_mcp.registry.merge import merge_entry
from cipp_mcp.registry.models import Area, Endpoint


class Registry:
    """All endpoints, merged on first use of each."""

    def __init__(self, areas: dict[Area, list[dict[str, Any]]]) -> None:
        self._raw = {str(entry["name"]): (area, entry) for area, entries in areas.items() for entry in entries}
        self._folded = {name.lower(): name for name in self._raw}
        self._merged: dict[str, Endpoint] = {}

    @classmethod
    @cache
    def load(cls) -> Registry:
        """The registry of the installed catalogue; read once per process."""
        return cls(read_all())

    def __len__(self) -> int:
        return len(self._raw)

    def __iter__(self) -> Iterator[Endpoint]:
        return (self[name] for name in self._raw)

    def __getitem__(self, name: str) -> Endpoint:
        """The endpoint of exactly this name; KeyError if there is none."""
        endpoint = self._merged.get(name)
        if endpoint is None:
            area, raw = self._raw[name]
            endpoint = self._merged[name] = merge_entry(raw, area)
        return endpoint

    def names(self, area: Area | None = None) -> list[str]:
        return [name for name, (of, _) in self._raw.items() if area in (None, of)]

    def raw(self) -> Iterator[tuple[Area, dict[str, Any]]]:
        """(area, unmerged entry) of every endpoint, for what only needs a few keys of each."""
        return iter(self._raw.values())

    def resolve(self, name: str) -> str | None:
        """CIPP's spelling of `name`, matched without case and without a leading ``/api/`` or ``Invoke-``."""
        folded = name.strip().lower().removeprefix("/").removeprefix("api/")
        return self._folded.get(folded) or self._folded.get(folded.removeprefix("invoke-"))

    def near(self, name: str, count: int = 3) -> list[str]:
        """The names most like `name`, best first."""
        close = difflib.get_close_matches(name.lower(), self._folded, count, cutoff=0.6)
        return [self._folded[match] for match in close]
