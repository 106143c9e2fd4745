"""One read-only SELECT over result tables, bounded in steps, time, rows and bytes."""

from __future__ import annotations

import difflib
import re
import sqlite3
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cipp_mcp.errors import Refused

_ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE}
# load_extension is off by default as well; fts3_tokenizer, readfile and the like are not to be reached at all.
_FORBIDDEN_FUNCTIONS = {"load_extension", "fts3_tokenizer", "readfile", "writefile", "edit", "randomblob", "zeroblob"}
_LIMIT_LENGTH = 64 * 1024 * 1024


@dataclass(frozen=True)
class QueryLimits:
    """Bounds of one query."""

    seconds: float = 15.0
    steps: int = 400_000_000
    rows: int = 100_000
    bytes: int = 64 * 1024 * 1024


def run_select(
    db: sqlite3.Connection,
    sql: str,
    tables: dict[str, list[str]],
    lost: Iterable[tuple[str, str]],
    limits: QueryLimits,
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """(column names, rows) of the one SELECT that `sql` is.

    Raises Refused when it is anything else, names something unknown, or reaches a bound.
    """
    stop = time.monotonic() + limits.seconds
    ticks = 0

    def over() -> int:
        nonlocal ticks
        ticks += 1
        return int(time.monotonic() > stop or ticks * 10_000 > limits.steps)

    def authorize(action: int, first: str | None, second: str | None, *_: str | None) -> int:
        if action == sqlite3.SQLITE_FUNCTION:
            return sqlite3.SQLITE_DENY if (second or "").lower() in _FORBIDDEN_FUNCTIONS else sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_READ and (first or "").lower().startswith("sqlite_"):
            return sqlite3.SQLITE_DENY
        return sqlite3.SQLITE_OK if action in _ALLOWED else sqlite3.SQLITE_DENY

    previous = db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LIMIT_LENGTH)
    try:
        db.set_authorizer(authorize)
        db.set_progress_handler(over, 10_000)
        return _fetch(db, sql, limits)
    except (sqlite3.Error, sqlite3.Warning, MemoryError) as error:
        raise _explained(error, ticks, sql, tables, dict(lost), limits) from None
    finally:
        db.set_progress_handler(None, 0)
        db.set_authorizer(None)
        db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, previous)


def _fetch(db: sqlite3.Connection, sql: str, limits: QueryLimits) -> tuple[list[str], list[tuple[Any, ...]]]:
    cursor = db.execute(sql)
    if cursor.description is None:
        raise Refused("cipp_query runs one SELECT; this statement returns nothing.")
    names: list[str] = []
    for name, *_ in cursor.description:
        shown, copy = name, 2
        while shown in names:
            shown, copy = f"{name}_{copy}", copy + 1
        names.append(shown)
    rows: list[tuple[Any, ...]] = []
    size = 0
    for row in cursor:
        rows.append(tuple(_portable(value) for value in row))
        size += sum(len(value) if isinstance(value, str) else 8 for value in rows[-1])
        if len(rows) > limits.rows or size > limits.bytes:
            raise Refused(
                f"The query returns more than {limits.rows:,} rows or {limits.bytes // 1024**2} MB and was stopped.",
                hint="Aggregate, filter or add LIMIT.",
            )
    return names, rows


def _portable(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return None
    return value


def _explained(
    error: BaseException, ticks: int, sql: str, tables: dict[str, list[str]], lost: dict[str, str], limits: QueryLimits
) -> Refused:
    text = str(error)
    have = ", ".join(tables) or "none yet; read something first"
    if isinstance(error, MemoryError) or "too big" in text or "out of memory" in text:
        return Refused(
            "The query needs more memory than it may have and was stopped.", hint="Filter or aggregate earlier."
        )
    if "interrupted" in text:
        return Refused(
            f"The query was stopped after {ticks * 10_000:,} steps or {limits.seconds:g} s.",
            hint="Join on fewer rows, or filter first and query the result.",
        )
    if "not authorized" in text or "prohibited" in text:
        return Refused("cipp_query reads only: one SELECT over results, nothing else.", hint=f"Tables: {have}.")
    if "one statement at a time" in text:
        return Refused("cipp_query runs exactly one SELECT at a time.", hint=f"Tables: {have}.")
    table = re.search(r"no such table: (\S+)", text)
    if table:
        gone = lost.get(table[1])
        if gone:
            return Refused(f"Result {table[1]} is no longer kept.", hint=f"Repeat the read it came from: {gone}")
        return Refused(f"There is no table {table[1]}. Tables: {have}.")
    column = re.search(r"no such column: (\S+)", text)
    if column:
        used = [name for name in tables if re.search(rf"\b{name}\b", sql)]
        columns = [name for table_name in used for name in tables[table_name]]
        near = difflib.get_close_matches(column[1].split(".")[-1], columns, 3)
        return Refused(
            f"There is no column {column[1]}." + (f" Did you mean {', '.join(near)}?" if near else ""),
            hint=f"Columns of {', '.join(used) or have}: {', '.join(columns)[:1500]}. Quote names with dots.",
        )
    return Refused(f"SQLite does not accept the query: {text[:300]}.", hint=f"Tables: {have}.")
