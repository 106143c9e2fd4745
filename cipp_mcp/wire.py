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


@dataclass(frozen=True)
class Answer:
    """What CIPP sent back."""

    status: int
    content_type: str
    headers: Mapping[str, str]
    content: bytes
    seconds: float
