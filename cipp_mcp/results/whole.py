"""An answer in whole, for readers that have no token budget: scripts, and people at a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from cipp_mcp.clean import clean
from cipp_mcp.results.shape import dig

_PAGE = 1000

Pages = Callable[[int, int], list[Any]]
"""The rows from a start on, at most so many of them."""


@dataclass(frozen=True)
class Whole:
    """Everything an answer holds, where a reply shows what fits its budget. Lists are read page by page."""

    total: int
    pages: Pages | None = None
    columns: tuple[str, ...] = ()
    """The endpoint's default columns."""
    hint: str | None = None
    raw: Any = None
    """The answer where it is no list of rows, as CIPP sent it."""

    @classmethod
    def of_data(cls, data: Any, hint: str | None) -> Whole:
        return cls(len(data) if isinstance(data, list) else 1, hint=hint, raw=data)

    @cached_property
    def data(self) -> Any:
        """The answer where it is no list of rows. As a table it is one row, or one for each item of an array."""
        return clean(self.raw)

    def rows(self, limit: int | None = None) -> Iterator[Any]:
        """The rows in their order: all of them, or the first `limit`."""
        last = self.total if limit is None else min(limit, self.total)
        if self.pages is None:
            yield from (self.data if isinstance(self.data, list) else [self.data])[:last]
            return
        for start in range(0, last, _PAGE):
            yield from self.pages(start, min(_PAGE, last - start))

    def names(self) -> list[str]:
        """Every name that any row has, in the order of their first appearance; ``value`` where a row is no object."""
        seen: dict[str, None] = {}
        for row in self.rows():
            seen.update(dict.fromkeys(row) if isinstance(row, dict) else {"value": None})
        return list(seen)

    def header(self, fields: Sequence[str] | None, names: Sequence[str]) -> list[str]:
        """The columns of a table of these rows, whose names are `names`: the `fields` asked for, ``*`` for all.

        Without `fields` they are the default columns, and of these the ones that rows have: a column that is empty in
        every row of today's answer stays, so that a script finds it where it was yesterday.
        """
        if fields and "*" not in fields:
            return list(dict.fromkeys(fields))
        if fields or not self.columns:
            return list(names)
        if not names:
            return list(self.columns)
        heads = {name.lower() for name in names}
        known = [path for path in self.columns if {path.lower(), path.lower().partition(".")[0]} & heads]
        return known or list(names)


def values(row: Any, header: Sequence[str]) -> list[Any]:
    """What `row` has under each column of `header`."""
    return [dig(row, path) for path in header]
