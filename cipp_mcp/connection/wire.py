"""What goes over the wire to CIPP and comes back; shared by those who build, send and read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Request:
    """One HTTP request to CIPP, fully built. ``body`` None means no body."""

    endpoint: str
    method: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    repeatable: bool = True

    @property
    def tenant(self) -> str:
        """The tenant that the request is about, in lower case; empty where it names none."""
        source: Any = self.query if "tenantFilter" in self.query else self.body
        if isinstance(source, list):
            source = source[0] if source else None
        value = source.get("tenantFilter") if isinstance(source, Mapping) else None
        if isinstance(value, list):
            value = value[0] if value else None
        if isinstance(value, Mapping):
            value = value.get("value")
        return value.lower() if isinstance(value, str) else ""


@dataclass(frozen=True)
class Answer:
    """What CIPP sent back."""

    status: int
    content_type: str
    headers: Mapping[str, str]
    content: bytes
    seconds: float
