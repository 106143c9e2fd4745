"""Shapes an outcome into the reply the host sees: default columns, as many rows as the budget holds.

Nothing is dropped in silence: what was left out is said, with the call that gets it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cipp_mcp.clean import clean
from cipp_mcp.results.budget import BYTES_PER_TOKEN, compact, cut_text, prune, summary, tokens
from cipp_mcp.results.store import Result

_DEFAULT_ROWS = 50
MAX_PAGE_ROWS = 2000
_CELL = 160
_ASKED_CELL = 2000
FENCE_TOKENS = 60
_SCHEMA_TOKENS = 110
_MAX_GUESSED_COLUMNS = 10


def row_page(
    rows: Sequence[Any],
    result: Result,
    *,
    start: int,
    limit: int | None,
    columns: Sequence[str],
    fields: Sequence[str] | None,
    budget: int,
) -> dict[str, Any]:
    """The list part of a reply: columns, rows, count, total, truncated, result, cursor, schema, hint.

    `rows` are the rows of `result` from `start` on; `columns` the endpoint's default ones; `fields` the caller's
    own choice of dotted paths, or ``*`` for every column. The part costs at most `budget` tokens.
    """
    total = result.count
    chosen = _choose(rows, result, columns, fields)
    page = list(rows[: limit or _DEFAULT_ROWS])
    cell = _ASKED_CELL if fields else _CELL
    table = [[_cell(row, path, cell) for path in chosen] for row in page]
    chosen, table = _without_empty(chosen, table, keep=bool(fields) and "*" not in (fields or ()))
    reply: dict[str, Any] = {"columns": chosen, "rows": [], "count": 0, "total": total, "result": result.handle}
    # Room for cursor, truncated, hint and the envelope around this part.
    room = budget - tokens(compact(reply)) - 110
    hidden = len(result.columns) > len(chosen)
    if hidden or total > len(page):
        schema = result.schema(min(_SCHEMA_TOKENS, max(20, room // 8)))
        if schema:
            reply["schema"] = schema
            room -= tokens(schema) + 6
    kept, narrowed = _fit(table, room)
    if narrowed is not None:
        reply["columns"] = chosen[:narrowed]
    reply["rows"], reply["count"] = kept, len(kept)
    shown = start + len(kept)
    if shown < total:
        reply["truncated"] = True
        reply["cursor"] = f"{result.handle}:{shown}"
        reply["hint"] = (
            f"{total - shown} more rows: call again with this cursor, or ask cipp_query for what you need, such as "
            f"SELECT count(*) FROM {result.handle}."
        )
    elif narrowed is not None:
        reply["truncated"] = True
        reply["hint"] = f"Cells were cut to fit; SELECT single columns FROM {result.handle} with cipp_query."
    elif start and not kept:
        reply["hint"] = f"No rows from {start} on; {result.handle} has {total}."
    return reply


def data_part(data: Any, budget: int) -> dict[str, Any]:
    """The part of a reply for an answer that is no list."""
    smaller, cut = prune(clean(data), budget - 70)
    if not cut:
        return {"data": smaller}
    return {"data": smaller, "truncated": True, "hint": "Long texts and lists were cut; name what you need in fields."}


def text_part(text: str, budget: int) -> tuple[dict[str, Any], tuple[str, bytes]]:
    """(the part of a reply for a long text, the text itself as an attachment); both cost at most `budget` tokens."""
    cleaned = clean(text)
    room = int((budget - 120) * BYTES_PER_TOKEN)
    shown = cleaned.encode("utf-8", "replace")[:room].decode("utf-8", "ignore")
    part: dict[str, Any] = {"data": {"type": "text/plain", "characters": len(cleaned), "shown": len(shown)}}
    if len(shown) < len(cleaned):
        part |= {"truncated": True, "hint": "Only the beginning of the text is attached."}
    return part, ("text/plain", shown.encode("utf-8"))


def select_paths(data: Any, fields: Sequence[str]) -> Any:
    """Only the dotted paths `fields` of an object (or of each object in a list)."""
    if "*" in fields:
        return data
    if isinstance(data, list):
        return [select_paths(item, fields) for item in data]
    return (
        {path: value for path in fields if (value := dig(data, path)) is not None} if isinstance(data, dict) else data
    )


def dig(row: Any, path: str) -> Any:
    """The value at a dotted `path`; a name that itself holds dots, and any case, are matched too."""
    if not isinstance(row, dict):
        return row if path == "value" else None
    if path in row:
        return row[path]
    head, _, rest = path.partition(".")
    name = next((known for known in row if known.lower() == path.lower()), None)
    if name is not None:
        return row[name]
    name = next((known for known in row if known.lower() == head.lower()), None)
    if name is None or not rest:
        return None
    inner = row[name]
    if isinstance(inner, list):
        return [value for item in inner if (value := dig(item, rest)) is not None]
    return dig(inner, rest)


def messages_part(messages: Sequence[str], budget: int) -> list[str]:
    """The messages, cleaned and cut to `budget` tokens."""
    kept: list[str] = []
    for position, message in enumerate(messages):
        text = cut_text(clean(str(message)), 1500)
        if tokens(compact([*kept, text])) > budget - 12:
            kept.append(f"… ({len(messages) - position} more)")
            break
        kept.append(text)
    return kept


def _choose(rows: Sequence[Any], result: Result, columns: Sequence[str], fields: Sequence[str] | None) -> list[str]:
    top = [name for name in result.columns if "." not in name] or ["value"]
    if fields and "*" in fields:
        return top
    if fields:
        return list(dict.fromkeys(fields))
    sample = rows[:50]
    names = {name.lower() for row in sample if isinstance(row, dict) for name in row} | {"value"}
    heads = [(path, path.lower()) for path in columns]
    there = [path for path, low in heads if low in names or low.partition(".")[0] in names]
    known = [path for path in there if any(dig(row, path) is not None for row in sample)]
    if known:
        return known
    # A version of CIPP whose rows look different: show what reads like names and plain values first.
    plain = [name for name in top if result.columns.get(name) != "json"]
    naming = [
        name for name in plain if any(word in name.lower() for word in ("name", "tenant", "title", "id", "status"))
    ]
    return list(dict.fromkeys([*naming, *plain, *top]))[:_MAX_GUESSED_COLUMNS]


def _cell(row: Any, path: str, length: int) -> Any:
    return summary(dig(row, path), length)


def _without_empty(columns: list[str], table: list[list[Any]], *, keep: bool) -> tuple[list[str], list[list[Any]]]:
    if keep or not table:
        return columns, table
    full = [
        position for position in range(len(columns)) if any(row[position] not in (None, "", [], {}) for row in table)
    ] or list(range(len(columns)))[:1]
    return [columns[position] for position in full], [[row[position] for position in full] for row in table]


def _fit(table: list[list[Any]], room: int) -> tuple[list[list[Any]], int | None]:
    """(the rows that fit into `room` tokens, how many columns are left when even one row had to be narrowed)."""
    kept: list[list[Any]] = []
    used = 0.0
    for row in table:
        cost = (len(compact(row).encode("utf-8")) + 1) / 3.5
        if used + cost > room:
            break
        kept.append(row)
        used += cost
    if kept or not table:
        return kept, None
    first = table[0]
    for length in (400, 120, 40, 15):
        narrowed = [summary(value, length) for value in first]
        if tokens(compact(narrowed)) <= room:
            return [narrowed], len(first)
    count = len(first)
    while count > 1 and tokens(compact(narrowed[:count])) > room:
        count //= 2
    return [narrowed[:count]], count
