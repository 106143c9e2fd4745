"""A reply on stdout: as a table for people, as JSON for programs. CSV has a module of its own."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from itertools import islice
from typing import Any

from cipp_mcp.calls.reply import Reply, without_empty
from cipp_mcp.clean import clean, one_line
from cipp_mcp.cli.terminal import painted, width
from cipp_mcp.results.whole import values

OUTCOME_STYLES = {"ok": "good", "failed": "bad", "refused": "bad"}
_DEFAULT_ROWS = 50
_READABLE = 16
_GAP = 2
_FOR_MODELS = ("result", "cursor", "schema", "truncated", "hint")
"""What a model needs to get at the rest of an answer; here the rest comes along, and no handle outlives the process."""


def whole_body(reply: Reply, fields: Sequence[str] | None, limit: int | None) -> dict[str, Any]:
    """The body of `reply` with all its rows or the first `limit`, uncut, in place of those that fit a model's budget."""
    whole = reply.whole
    if whole is None:
        return reply.body
    body = {name: value for name, value in reply.body.items() if name not in _FOR_MODELS}
    if "rows" in body:
        columns = whole.header(fields, whole.names())
        rows = [values(row, columns) for row in whole.rows(limit)]
        body |= {"columns": columns, "rows": rows, "count": len(rows), "truncated": len(rows) < whole.total}
    else:
        body["data"] = whole.data
    return without_empty(body | {"hint": whole.hint})


def print_json(reply: Reply, fields: Sequence[str] | None, limit: int | None) -> None:
    """Prints the reply as one JSON object."""
    print(json.dumps(whole_body(reply, fields, limit), ensure_ascii=False, indent=1))


def print_reply(reply: Reply, limit: int | None) -> None:
    """Prints a reply for people: how the call went, messages, rows as a table, and how to get what is not shown."""
    body, whole = reply.body, reply.whole
    outcome = body["outcome"]
    place = ", ".join(filter(None, (body.get("endpoint"), body.get("tenant"))))
    print(f"{painted(outcome, OUTCOME_STYLES.get(outcome, 'warning'))}: {one_line(place)}")
    for message in body.get("messages", ()):
        print(clean(message))
    hint = body.get("hint") if whole is None else whole.hint
    if whole is not None and "rows" in body:
        rows = list(islice(whole.rows(limit or _DEFAULT_ROWS), limit or _DEFAULT_ROWS))
        print_table(body["columns"], [values(row, body["columns"]) for row in rows])
        more = f" (--limit {whole.total} shows all, --csv writes them)" if len(rows) < whole.total else ""
        print(f"{len(rows)} of {whole.total} rows{more}")
    elif whole is not None:
        print(whole.data if isinstance(whole.data, str) else json.dumps(whole.data, ensure_ascii=False, indent=2))
    elif "data" in body:
        print(json.dumps(body["data"], ensure_ascii=False, indent=2))
    if hint:
        print(hint)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Prints rows under their columns, as wide as the terminal is; columns that find no room are named below."""
    if not columns:
        return
    texts = [[_shown(value) for value in row] for row in rows]
    natural = [max([len(name), *(len(row[at]) for row in texts)]) for at, name in enumerate(columns)]
    widths = column_widths(natural, width(sys.stdout, 160))
    for position, row in enumerate([list(columns), ["-" * size for size in widths], *texts]):
        cells = [_fitted(text, size) for text, size in zip(row, widths, strict=False)]
        line = "  ".join(cells).rstrip()
        print(painted(line, "strong") if position == 0 else line)
    if len(widths) < len(columns):
        print(f"No room for: {', '.join(columns[len(widths) :])}")


def column_widths(natural: Sequence[int], room: int) -> list[int]:
    """How wide each column may be, given how wide each would like to be; columns without room at the end get none.

    Narrow columns get what they need, and the wide ones share what is left: as many columns as still have a width at
    which one can read them.
    """
    count = len(natural)
    while count > 1 and sum(min(size, _READABLE) + _GAP for size in natural[:count]) - _GAP > room:
        count -= 1
    widths = [0] * count
    left, waiting = room - _GAP * (count - 1), count
    for at in sorted(range(count), key=lambda at: natural[at]):
        widths[at] = max(1, min(natural[at], left // waiting))
        left, waiting = left - widths[at], waiting - 1
    return widths


def _fitted(text: str, size: int) -> str:
    return text.ljust(size) if len(text) <= size else f"{text[: size - 1]}…"


def _shown(value: Any) -> str:
    """One cell on one line; text of a tenant must not move the cursor or begin a line of its own."""
    if value is None:
        return ""
    return one_line(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
