"""The part of OData's query language that technicians use on Graph: filter, select, order, search."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

Row = dict[str, Any]
Test = Callable[[Row], Any]
_TOKENS = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<stamp>\d{4}-\d\d-\d\d(?:T[\d:.]+Z)?)|(?P<number>-?\d+(?:\.\d+)?)"
    r"|(?P<name>[A-Za-z_@$][\w.@$-]*(?:/[A-Za-z_$@][\w.@$-]*)*)|(?P<mark>[(),:]))"
)
_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "gt": lambda left, right: left is not None and left > right,
    "ge": lambda left, right: left is not None and left >= right,
    "lt": lambda left, right: left is not None and left < right,
    "le": lambda left, right: left is not None and left <= right,
    "eq": lambda left, right: _same(left, right),
    "ne": lambda left, right: not _same(left, right),
}
_FUNCTIONS: dict[str, Callable[[str, str], bool]] = {
    "startswith": lambda value, part: value.startswith(part),
    "endswith": lambda value, part: value.endswith(part),
    "contains": lambda value, part: part in value,
}


class BadFilter(ValueError):
    """The filter is not understood."""


def reach(row: Any, path: str) -> Any:
    """The value at a slash-separated path; ``$count`` is the length of a list."""
    for name in path.split("/"):
        if name == "$count":
            return len(row or [])
        row = row.get(name) if isinstance(row, dict) else None
    return row


def compile_filter(text: str) -> Test:
    """A test for rows.

    Raises BadFilter.
    """
    parser = _Parser(text)
    test = parser.either()
    if parser.peek() is not None:
        raise BadFilter(f"Syntax error: unexpected '{parser.peek()}'")
    return test


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        self._at = 0
        position = 0
        text = text.strip()
        while position < len(text):
            match = _TOKENS.match(text, position)
            if match is None or match.lastgroup is None:
                raise BadFilter(f"Syntax error at position {position} in '{text}'.")
            self._tokens.append((match.lastgroup, match.group(match.lastgroup)))
            position = match.end()

    def peek(self) -> str | None:
        return self._tokens[self._at][1] if self._at < len(self._tokens) else None

    def either(self) -> Test:
        tests = [self._both()]
        while self._word("or"):
            tests.append(self._both())
        return tests[0] if len(tests) == 1 else lambda row: any(test(row) for test in tests)

    def _both(self) -> Test:
        tests = [self._not()]
        while self._word("and"):
            tests.append(self._not())
        return tests[0] if len(tests) == 1 else lambda row: all(test(row) for test in tests)

    def _not(self) -> Test:
        if self._word("not"):
            inner = self._not()
            return lambda row: not inner(row)
        if self._mark("("):
            inner = self.either()
            self._need(")")
            return inner
        return self._comparison()

    def _comparison(self) -> Test:
        kind, name = self._next()
        if kind != "name":
            raise BadFilter(f"Invalid filter clause near '{name}'.")
        if name.lower() in _FUNCTIONS:
            return self._function(_FUNCTIONS[name.lower()])
        if name.lower().endswith("/any"):
            return self._any(name[:-4])
        operator = (self.peek() or "").lower()
        if operator == "in":
            self._next()
            self._need("(")
            values = [self._value()]
            while self._mark(","):
                values.append(self._value())
            self._need(")")
            return lambda row: any(_same(reach(row, name), value) for value in values)
        if operator not in _ORDER:
            raise BadFilter(f"Invalid filter clause: '{name}' is followed by no comparison.")
        self._next()
        compare, value = _ORDER[operator], self._value()
        return lambda row: compare(reach(row, name), value)

    def _function(self, function: Callable[[str, str], bool]) -> Test:
        self._need("(")
        _, path = self._next()
        self._need(",")
        part = str(self._value()).lower()
        self._need(")")
        if (self.peek() or "").lower() == "eq":
            self._next()
            wanted = self._value()
            return lambda row: function(str(reach(row, path) or "").lower(), part) == wanted
        return lambda row: function(str(reach(row, path) or "").lower(), part)

    def _any(self, path: str) -> Test:
        self._need("(")
        if self._mark(")"):
            return lambda row: bool(reach(row, path))
        _, variable = self._next()
        self._need(":")
        test = self.either()
        self._need(")")
        return lambda row: any(test({variable: item}) for item in reach(row, path) or [])

    def _value(self) -> Any:
        kind, value = self._next()
        if kind == "text":
            return value[1:-1].replace("''", "'")
        if kind == "number":
            return float(value) if "." in value else int(value)
        return {"true": True, "false": False, "null": None}.get(value.lower(), value)

    def _next(self) -> tuple[str, str]:
        if self._at >= len(self._tokens):
            raise BadFilter("Invalid filter clause: it ends too early.")
        self._at += 1
        return self._tokens[self._at - 1]

    def _word(self, word: str) -> bool:
        if (self.peek() or "").lower() == word:
            self._at += 1
            return True
        return False

    def _mark(self, mark: str) -> bool:
        return self._word(mark)

    def _need(self, mark: str) -> None:
        if not self._mark(mark):
            raise BadFilter(f"Invalid filter clause: '{mark}' is missing.")


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, str) and isinstance(right, str):
        return left.lower() == right.lower()
    return bool(left == right)


def select(rows: list[Row], names: str | None) -> list[Row]:
    """The rows with the named properties only; the id is not added."""
    wanted = [name.strip() for name in (names or "").split(",") if name.strip()]
    return [{name: row.get(name) for name in wanted if name in row} for row in rows] if wanted else rows


def order(rows: list[Row], clause: str | None) -> list[Row]:
    for part in reversed([part.split() for part in (clause or "").split(",") if part.strip()]):
        name, down = part[0], len(part) > 1 and part[1].lower() == "desc"
        rows = sorted(rows, key=lambda row, name=name: str(reach(row, name) or "").lower(), reverse=down)  # type: ignore[misc]
    return rows


def search(rows: list[Row], clause: str | None) -> list[Row]:
    """``"displayName:anna" OR "mail:anna"``."""
    parts = re.findall(r'"?(\w+):([^"]+?)"?(?:\s+OR\s+|$)', clause or "")
    if not parts:
        return rows
    return [row for row in rows if any(value.lower() in str(row.get(name) or "").lower() for name, value in parts)]
