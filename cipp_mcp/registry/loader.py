"""Loads the registry, finds entries by name, and follows what a deployment says of itself."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

from cipp_mcp.registry.files import read_all
from cipp_mcp.registry.merge import merge_entry
from cipp_mcp.registry.models import Area, Endpoint
from cipp_mcp.registry.words import canonical

if TYPE_CHECKING:
    from cipp_mcp.registry.deployment import Overlay


class Registry:
    """All endpoints, merged on first use of each."""

    def __init__(self, areas: dict[Area, list[dict[str, Any]]]) -> None:
        self._baked = {str(entry["name"]): (area, entry) for area, entries in areas.items() for entry in entries}
        self._pristine: dict[str, Endpoint] = {}
        self._begin(self._baked, {}, {})
        self.revision = 0
        """Counts the overlays that were applied: what is derived from an older state is stale."""

    @classmethod
    @cache
    def load(cls) -> Registry:
        """The registry of the installed catalogue; read once per process, shared, never changed."""
        return cls(read_all())

    def copy(self) -> Registry:
        """A registry of one's own over the same catalogue, to `apply` a deployment's document to."""
        other = Registry({})
        other._baked, other._pristine = self._baked, self._pristine
        other._begin(self._baked, {}, {})
        return other

    def _begin(
        self, raw: dict[str, tuple[Area, dict[str, Any]]], spelling: dict[str, str], absent: dict[str, str]
    ) -> None:
        self._raw, self._spelling, self._absent = raw, spelling, absent
        self._folded = {canonical(name): name for name in raw} | {name.lower(): name for name in raw}
        self._merged: dict[str, Endpoint] = {}

    @property
    def baked(self) -> dict[str, tuple[Area, dict[str, Any]]]:
        """The installed catalogue: name -> (area, entry), whatever the deployment says."""
        return self._baked

    def apply(self, overlay: Overlay, version: str | None) -> None:
        """Takes on what `overlay` says of a deployment of this version, in place of any overlay before."""
        which = f"your CIPP version ({version})" if version else "your CIPP version"
        absent = {
            name: f"not in {which}" + (f"; use {instead}" if instead else "")
            for name, instead in overlay.missing.items()
        }
        self._begin({**self._baked, **overlay.entries}, overlay.spelling, absent)
        self.revision += 1

    def __contains__(self, name: object) -> bool:
        return name in self._raw

    def __len__(self) -> int:
        return len(self._raw)

    def __iter__(self) -> Iterator[Endpoint]:
        return (self[name] for name in self._raw)

    def __getitem__(self, name: str) -> Endpoint:
        """The endpoint of exactly this name; KeyError if there is none."""
        area, raw = self._raw[name]
        is_baked = name in self._baked and raw is self._baked[name][1]
        merged = self._pristine if is_baked else self._merged
        endpoint = merged.get(name)
        if endpoint is None:
            endpoint = merged[name] = merge_entry(raw, area)
        spelling, absent = self._spelling.get(name, ""), self._absent.get(name, "")
        if not spelling and not absent and name in self._baked:
            return endpoint
        news = {"spelling": spelling, "absent": absent, "reviewed": name in self._baked}
        return endpoint.model_copy(update=news)

    def names(self, area: Area | None = None) -> list[str]:
        return [name for name, (of, _) in self._raw.items() if area in (None, of)]

    def raw(self) -> Iterator[tuple[Area, dict[str, Any]]]:
        """(area, unmerged entry) of every endpoint, for what only needs a few keys of each."""
        return iter(self._raw.values())

    def resolve(self, name: str) -> str | None:
        """The catalogue's spelling of `name`, matched without case and without a leading ``/api/`` or ``Invoke-``."""
        folded = name.strip().lower().removeprefix("/").removeprefix("api/")
        return self._folded.get(folded) or self._folded.get(canonical(folded))

    def near(self, name: str, count: int = 3) -> list[str]:
        """The names most like `name`, best first."""
        close = difflib.get_close_matches(name.lower(), self._folded, 2 * count, cutoff=0.6)
        here = [known for known in dict.fromkeys(self._folded[match] for match in close) if known not in self._absent]
        return here[:count]
