"""Keeps full answers as tables of an in-memory SQLite database, one database per caller.

Every row is stored as the JSON text it came as. When a query first names a result, generated columns take it apart
by ``json_extract``, so that booleans are 0/1, what is missing is NULL and objects and arrays are JSON text; SQLite can
index such columns by itself while it joins, which it cannot do with expressions in a view.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from cipp_mcp.clean import clean, cleaned
from cipp_mcp.errors import Refused
from cipp_mcp.results.budget import compact, tokens
from cipp_mcp.results.columns import Columns, encodable
from cipp_mcp.results.query import QueryLimits, run_select

_LIFETIME = 3600.0
MAX_BYTES = 512 * 1024 * 1024
_MAX_RESULTS = 1000
_HELD_BYTES = 64 * 1024
"""A result up to this size becomes a table only when a query names it."""


@dataclass
class Result:
    """A stored answer: its handle, where it came from and what its columns are."""

    handle: str
    source: str
    count: int = 0
    size: int = 0
    columns: dict[str, str] = field(default_factory=dict)
    made_at: float = field(default_factory=time.monotonic)

    def schema(self, budget: int) -> str:
        """Columns with their types, as many as `budget` tokens hold."""
        words: list[str] = []
        used = 8
        for position, (name, kind) in enumerate(self.columns.items()):
            word = f"{name} {kind}"
            used += tokens(word + ", ")
            if used > budget:
                return ", ".join(words) + f", … (+{len(self.columns) - position})"
            words.append(word)
        return ", ".join(words)


class ResultStore:
    """The results of one caller. Methods block for the length of their SQL; call large ones in a thread."""

    def __init__(self, *, lifetime: float = _LIFETIME, max_bytes: int = MAX_BYTES, tag: str = "") -> None:
        """`tag` ends all handles, where several instances give out handles to the same caller."""
        self._tag = tag
        self._new: deque[Result] = deque(maxlen=_MAX_RESULTS)
        self._lifetime = lifetime
        self._max_bytes = max_bytes
        self._results: OrderedDict[str, Result] = OrderedDict()
        self._lost: deque[tuple[str, str]] = deque(maxlen=500)
        self._held: dict[str, tuple[list[tuple[str]], Columns]] = {}
        self._unqueried: dict[str, Columns] = {}
        self._number = 0
        self._size = 0
        self._lock = threading.RLock()
        self._db = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        self._db.text_factory = lambda raw: raw.decode("utf-8", "replace")
        # Table-valued functions are set up at their first use, which the authorizer of a query would forbid.
        self._db.execute("SELECT 1 FROM json_each('[]'), json_tree('[]')")
        # All SQLite memory of this process is results and queries over them.
        self._db.execute(f"PRAGMA hard_heap_limit={max_bytes + 512 * 1024 * 1024}")

    @property
    def busy(self) -> bool:
        """Whether another thread is at work here, so that the event loop must not wait for it."""
        if self._lock.acquire(blocking=False):
            self._lock.release()
            return False
        return True

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def add(self, source: str, rows: Iterable[tuple[Any, str]]) -> Result:
        """Stores `rows` (each with its JSON text) under a new handle.

        Raises ValueError when the rows turn out to be broken JSON; nothing is kept then.
        """
        with self._lock:
            self._number += 1
            result = self._keep(f"r{self._number}{self._tag}", source, rows)
            if self._tag:
                self._new.append(result)
            return result

    def adopt(self, handle: str, source: str, rows: Iterable[tuple[Any, str]]) -> None:
        """Stores the rows of a result that another instance keeps, under the handle it has there."""
        with self._lock:
            if handle not in self._results:
                self._keep(handle, source, rows)

    def take_new(self) -> list[Result]:
        """The results added since it was last asked; where handles have a tag."""
        with self._lock:
            new = [result for result in self._new if result.handle in self._results]
            self._new.clear()
            return new

    def texts(self, handle: str) -> list[str]:
        """The JSON texts of all rows of a result; none when it is gone."""
        with self._lock:
            if handle in self._held:
                return [text for (text,) in self._held[handle][0]]
            if handle not in self._results:
                return []
            return [text for (text,) in self._db.execute(f'SELECT _row FROM "_{handle}" ORDER BY n')]

    def __contains__(self, handle: object) -> bool:
        return handle in self._results

    def _keep(self, handle: str, source: str, rows: Iterable[tuple[Any, str]]) -> Result:
        with self._lock:
            result = Result(handle, source)
            columns = Columns()
            texts = iter(self._texts(rows, columns, result))
            held: list[tuple[str]] = []
            for text in texts:
                held.append(text)
                if result.size > _HELD_BYTES:
                    self._write(result.handle, chain(held, texts))
                    self._unqueried[result.handle] = columns
                    break
            else:
                self._held[result.handle] = (held, columns)
            result.columns = columns.kinds
            self._results[result.handle] = result
            self._size += result.size
            self._evict()
            return result

    def _write(self, handle: str, texts: Iterable[tuple[str]]) -> None:
        """Makes the table of a result."""
        with self._all_or_nothing():
            self._db.execute(f'CREATE TABLE "_{handle}" (n INTEGER PRIMARY KEY, _row TEXT NOT NULL)')
            self._db.executemany(f'INSERT INTO "_{handle}" (_row) VALUES (?)', texts)

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        self._db.execute("BEGIN")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _make_queryable(self, sql: str) -> None:
        """Makes the columns of those results that `sql` may name; most are never queried and never need them."""
        folded = sql.lower()
        for handle in [handle for handle in self._held if handle in folded]:
            texts, columns = self._held.pop(handle)
            self._write(handle, texts)
            self._unqueried[handle] = columns
        for handle in [handle for handle in self._unqueried if handle in folded]:
            with self._all_or_nothing():
                for statement in self._unqueried[handle].statements(handle, f"_{handle}"):
                    self._db.execute(statement)
            del self._unqueried[handle]

    def rows(self, handle: str, start: int, count: int) -> list[Any]:
        """Rows `start` to `start + count` of a result, decoded and cleaned."""
        with self._lock:
            self.get(handle)
            found = (
                self._held[handle][0][start : start + count]
                if handle in self._held
                else self._db.execute(
                    f'SELECT _row FROM "_{handle}" WHERE n > ? ORDER BY n LIMIT ?', (start, count)
                ).fetchall()
            )
        return [cleaned(json.loads(text, parse_constant=_no_constant), text) for (text,) in found]

    def get(self, handle: str) -> Result:
        """The result of `handle`.

        Raises Refused for one that is unknown or gone; the message says which read to repeat.
        """
        with self._lock:
            self._expire()
            result = self._results.get(handle)
            if result is not None:
                return result
            source = next((source for lost, source in self._lost if lost == handle), None)
        if source is not None:
            raise Refused(f"Result {handle} is no longer kept.", hint=f"Repeat the read it came from: {source}")
        have = ", ".join(self._results) or "none yet"
        raise Refused(
            f"There is no result {handle!r}. Kept results: {have}.", hint="Read something first, then query it."
        )

    def query(self, sql: str, limits: QueryLimits | None = None) -> Result:
        """Runs one SELECT over the kept results and stores what it returns as a result of its own.

        Raises Refused for anything but one SELECT, for unknown tables or columns (the message names the valid
        ones) and when a bound is reached.
        """
        with self._lock:
            self._expire()
            tables = {result.handle: list(result.columns) for result in self._results.values()}
            self._make_queryable(sql)
            names, rows = run_select(self._db, sql, tables, self._lost, limits or QueryLimits())
            dicts = (dict(zip(names, row, strict=True)) for row in rows)
            return self.add(f"cipp_query: {sql[:200]}", ((row, compact(row)) for row in dicts))

    @property
    def size(self) -> int:
        """Bytes of all results, as JSON text."""
        return self._size

    def drop_oldest(self) -> None:
        """Forgets the oldest result, if there is one."""
        with self._lock:
            if self._results:
                self._forget(next(iter(self._results.values())))

    def handles(self) -> list[Result]:
        with self._lock:
            self._expire()
            return list(self._results.values())

    def _texts(self, rows: Iterable[tuple[Any, str]], columns: Columns, result: Result) -> Iterable[tuple[str]]:
        for row, text in rows:
            if not isinstance(row, dict):
                row = {"value": row}
                text = compact(row)
            elif "\\ud" in text or "\\uD" in text or "\\u0000" in text or not encodable(text):
                # SQLite's JSON functions stop at a zero and cannot decode half a surrogate pair.
                row = clean(row)
                text = compact(row)
            columns.see(row)
            result.count += 1
            result.size += len(text)
            yield (text,)

    def _expire(self) -> None:
        now = time.monotonic()
        # They stand in the order in which they were made.
        while self._results and now - (oldest := next(iter(self._results.values()))).made_at > self._lifetime:
            self._forget(oldest)

    def _evict(self) -> None:
        while len(self._results) > 1 and (self._size > self._max_bytes or len(self._results) > _MAX_RESULTS):
            self._forget(next(iter(self._results.values())))

    def _forget(self, result: Result) -> None:
        self._unqueried.pop(result.handle, None)
        if self._held.pop(result.handle, None) is None:
            self._db.execute(f'DROP VIEW IF EXISTS "{result.handle}"')
            self._db.execute(f'DROP TABLE "_{result.handle}"')
        del self._results[result.handle]
        self._size -= result.size
        self._lost.append((result.handle, result.source))


def _no_constant(_: str) -> None:
    return None
