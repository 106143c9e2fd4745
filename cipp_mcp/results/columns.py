"""The columns of a result: gathered row by row, then made queryable."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_SAMPLED_ROWS = 200
_MAX_COLUMNS = 900
_MOST_SHAPES = 200
_GENERATED = 200
"""Each costs more than the one before to be added; columns beyond are expressions of the view."""

_KINDS: dict[type, str] = {type(None): "null", bool: "0/1", int: "number", float: "number", str: "text"}


class Columns:
    """Gathers the columns that rows have, and one level of scalars inside their objects."""

    def __init__(self) -> None:
        self.kinds: dict[str, str] = {}
        self._known: set[str] = set()
        self._folded: dict[str, str] = {}
        self._paths: dict[str, str] = {}
        self._seen = 0

    def see(self, row: dict[str, Any]) -> None:
        """Notes the columns of `row`."""
        if self._seen == 0:
            self._begin_like(row)
            return
        self._seen += 1
        sampled = self._seen <= _SAMPLED_ROWS
        if not sampled and row.keys() <= self._known:
            return
        self._add(row, sampled=sampled)

    def _add(self, row: dict[str, Any], *, sampled: bool) -> None:
        kinds = self.kinds
        for name, value in row.items():
            kind = _KINDS.get(type(value), "json")
            # Most values are of the kind that their column had in the row before.
            if (kinds.get(name) == kind and kind != "json") or not (sampled or name not in self._known):
                continue
            self._note(name, kind, f'$."{name}"')
            self._known.add(name)
            if isinstance(value, dict):
                for inner, deep in value.items():
                    if not isinstance(deep, dict | list) and '"' not in inner:
                        self._note(f"{name}.{inner}", _KINDS.get(type(deep), "json"), f'$."{name}"."{inner}"')

    def _begin_like(self, row: dict[str, Any]) -> None:
        """Takes over the columns of an earlier result whose first row had the same shape: most answers repeat."""
        shape = _shape(row)
        columns = _first_rows.get(shape)
        if columns is None:
            if len(_first_rows) >= _MOST_SHAPES:
                _first_rows.clear()
            columns = Columns()
            columns._add(row, sampled=True)
            _first_rows[shape] = columns  # only when it is whole: other threads look here too
        self.kinds, self._known = dict(columns.kinds), set(columns._known)
        self._folded, self._paths = dict(columns._folded), dict(columns._paths)
        self._seen = 1

    def _note(self, name: str, kind: str, path: str) -> None:
        known = self.kinds.get(name)
        if known is not None:
            if known == "null" or (kind != known and kind != "null"):
                self.kinds[name] = kind if known == "null" else "any"
            return
        # SQLite folds case: of two names that differ in case only, the first is the column.
        odd = '"' in name or "\x00" in name or not encodable(name)
        if odd or len(self.kinds) >= _MAX_COLUMNS or name.lower() in self._folded:
            return
        self._folded[name.lower()] = name
        self.kinds[name] = kind
        self._paths[name] = path

    def statements(self, handle: str, table: str) -> Iterator[str]:
        """What turns `table` into a view called `handle` that has these columns."""
        shown = []
        for position, (name, path) in enumerate(self._paths.items()):
            value = f"json_extract(_row, {_literal(path)})"
            if position < _GENERATED:
                yield f'ALTER TABLE "{table}" ADD COLUMN c{position} AS ({value})'
                value = f"c{position}"
            shown.append(f"{value} AS {_quoted(name)}")
        yield f'CREATE VIEW "{handle}" AS SELECT {", ".join(shown or ["NULL AS empty"])} FROM "{table}"'


def _shape(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(
        (name, tuple((inner, type(deep)) for inner, deep in value.items()) if type(value) is dict else type(value))
        for name, value in row.items()
    )


_first_rows: dict[tuple[Any, ...], Columns] = {}


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def encodable(text: str) -> bool:
    """Whether `text` has a form in UTF-8, which half of a surrogate pair has not."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
