"""What a test can look up afterwards: the requests the server got, and the answers it was told to give."""

from __future__ import annotations

import hashlib
import threading
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, overload


@dataclass(frozen=True)
class Recorded:
    """One request as it arrived and the status it was answered with."""

    method: str
    path: str
    endpoint: str
    query: dict[str, str]
    body: Any
    status: int
    caller: str = ""
    """Who CIPP took the caller for: the name of an API client or a person."""


class Recording(Sequence[Recorded]):
    """A list that one thread appends to while others read it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._items: list[Recorded] = []
        self._cleared = 0

    @property
    def cleared(self) -> int:
        """How often it has been cleared; a call that came in before that is not to be recorded after it."""
        with self._lock:
            return self._cleared

    def append(self, item: Recorded, since: int | None = None) -> None:
        """Adds `item`, unless the recording has been cleared since it said `since`."""
        with self._lock:
            if since in (None, self._cleared):
                self._items.append(item)

    def clear(self) -> None:
        with self._lock:
            self._items.clear()
            self._cleared += 1

    def __len__(self) -> int:
        with self._lock:
            return len(self._items)

    @overload
    def __getitem__(self, index: int) -> Recorded: ...
    @overload
    def __getitem__(self, index: slice) -> list[Recorded]: ...
    def __getitem__(self, index: int | slice) -> Recorded | list[Recorded]:
        with self._lock:
            return self._items[index]

    def __iter__(self) -> Iterator[Recorded]:
        with self._lock:
            return iter(list(self._items))

    def __repr__(self) -> str:
        return repr(list(self))


@dataclass
class Override:
    """An answer given instead of the real one, a number of times or for good."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str | None = None
    times: int | None = None
    delay: float = 0.0
    genuine: bool = False
    """Whether the real answer is given after the delay."""


class Document:
    """The description of the API that the deployment serves at its root; a classic deployment has none."""

    def __init__(self) -> None:
        self.content: bytes | None = None
        self.requests = Recording()

    def answer(self, if_none_match: str | None) -> tuple[int, bytes, dict[str, str]] | None:
        """(status, body, headers) of a GET; None when there is no document."""
        content = self.content
        if content is None:
            return None
        etag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        headers = {"etag": etag, "content-type": "application/json"}
        return (304, b"", headers) if if_none_match == etag else (200, content, headers)


class Overrides:
    """The answers that tests have laid down, per endpoint, in the order they were given."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: defaultdict[str, deque[Override]] = defaultdict(deque)

    def add(self, endpoint: str, override: Override) -> None:
        """Limited answers come before the unlimited one, of which the newest counts."""
        with self._lock:
            limited = [other for other in self._waiting[endpoint] if other.times is not None]
            unlimited = [other for other in self._waiting[endpoint] if other.times is None]
            if override.times is None:
                unlimited = [override]
            else:
                limited.append(override)
            self._waiting[endpoint] = deque(limited + unlimited)

    def clear(self) -> None:
        with self._lock:
            self._waiting.clear()

    def take(self, endpoint: str) -> Override | None:
        with self._lock:
            waiting = self._waiting.get(endpoint)
            if not waiting:
                return None
            first = waiting[0]
            if first.times is not None:
                first.times -= 1
                if first.times <= 0:
                    waiting.popleft()
            return first
