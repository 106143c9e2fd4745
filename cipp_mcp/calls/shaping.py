"""From an answer to a reply that fits: columns, rows and texts cut to the budget, with the way to the rest."""

from __future__ import annotations

from typing import Any

from cipp_mcp.calls.caller import Caller
from cipp_mcp.calls.planning import Call
from cipp_mcp.calls.reading import Fetched
from cipp_mcp.calls.reply import Reply, without_empty
from cipp_mcp.clean import clean
from cipp_mcp.errors import Refused
from cipp_mcp.registry import Endpoint, Registry
from cipp_mcp.results.budget import compact, tokens
from cipp_mcp.results.shape import MAX_PAGE_ROWS, data_part, messages_part, row_page, select_paths, text_part
from cipp_mcp.results.store import Result
from cipp_mcp.results.whole import Pages, Whole

_LONG_TEXT = 400


class Shaper:
    """Makes replies of at most `budget` tokens, the fence around them excluded."""

    def __init__(self, registry: Registry, budget: int) -> None:
        self._registry = registry
        self._budget = budget

    def answer(self, endpoint: Endpoint, tenant: str, fetched: Fetched, call: Call, caller: Caller) -> Reply:
        """The reply that shows what was `fetched`, as `call` wants it."""
        outcome, result = fetched.outcome, fetched.result
        attachment = outcome.binary
        body: dict[str, Any] = {"outcome": outcome.state, "endpoint": endpoint.name, "tenant": tenant}
        messages = messages_part(outcome.messages, self._budget // 3)
        room = self._budget - tokens(compact({**body, "messages": messages, "hint": outcome.hint})) - 20
        whole: Whole | None = None
        if result is not None:
            pages = _pages(result, fetched.shown, caller)
            part = self._rows_part(result, pages, endpoint, call, 0, room)
            whole = Whole(result.count, pages, tuple(endpoint.response.columns), outcome.hint)
        elif outcome.binary is not None:
            part = {"data": {"type": outcome.binary[0], "bytes": len(outcome.binary[1])}}
        elif isinstance(outcome.data, str) and tokens(outcome.data) > _LONG_TEXT:
            part, attachment = text_part(outcome.data, room)
            whole = Whole.of_data(outcome.data, outcome.hint)
        elif outcome.data is not None:
            data = select_paths(outcome.data, call.fields) if call.fields else outcome.data
            part = data_part(data, room)
            whole = Whole.of_data(data, outcome.hint)
        else:
            part = {}
        if part.get("truncated") and result is None and outcome.state == "ok" and not endpoint.response.secrets:
            kept = caller.results.add(endpoint.name, [(outcome.data, compact(outcome.data))])
            part |= {
                "result": kept.handle,
                "hint": f"{part['hint']} The whole of it is in {kept.handle} for cipp_query.",
            }
        body |= {"messages": messages, **part}
        body["hint"] = " ".join(filter(None, (outcome.hint, part.get("hint"))))
        return Reply(without_empty(body), attachment, whole)

    def _rows_part(
        self,
        result: Result,
        pages: Pages,
        endpoint: Endpoint | None,
        call: Call,
        start: int,
        room: int,
    ) -> dict[str, Any]:
        return row_page(
            pages(start, min(call.limit or 200, MAX_PAGE_ROWS)),
            result,
            start=start,
            limit=call.limit,
            columns=endpoint.response.columns if endpoint else (),
            fields=call.fields,
            budget=room,
        )

    def page(self, call: Call, caller: Caller) -> Reply:
        """The rows of a kept result from the cursor of `call` on; raises Refused for a cursor that is none."""
        handle, _, start_text = (call.cursor or "").partition(":")
        if not start_text.isdigit():
            raise Refused(f"{call.cursor!r} is not a cursor; use the one that came with the answer before, as it is.")
        result = caller.results.get(handle)
        name = self._registry.resolve(call.name) if call.name else None
        body: dict[str, Any] = {"outcome": "ok", "endpoint": name or result.source}
        room = self._budget - tokens(compact(body))
        endpoint = self._registry[name] if name else None
        pages = _pages(result, None, caller)
        return Reply(without_empty(body | self._rows_part(result, pages, endpoint, call, int(start_text), room)))


def _pages(result: Result, shown: list[Any] | None, caller: Caller) -> Pages:
    """The rows of `result`, or those to `shown` in their place."""
    if shown is not None:
        return lambda start, count: [clean(row) for row in shown[start : start + count]]
    return lambda start, count: caller.results.rows(result.handle, start, count)
