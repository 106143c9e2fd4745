"""Edits JSON with comments and trailing commas in place: what is not meant stays byte for byte as it was.

VS Code, Cursor and Zed keep people's comments in such files, which a parse and dump would throw away.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

_BLANK = re.compile(r"(?:\s|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"')
_SCALAR = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null")
_DEPTH = 200


@dataclass
class _Node:
    """A value with its place in the text; `end` is behind its last character."""

    start: int
    end: int
    value: Any
    members: dict[str, _Node] = field(default_factory=dict)
    last: _Node | None = None
    """The last member or item, whose end a comma may have to follow."""
    comma: bool = False
    """Whether a comma follows it already."""
    begin: int = 0
    """Where it begins as a member: at its name."""


def parse(text: str) -> Any:
    """The value of `text`; an empty text is an empty object. Raises ValueError that names the line of a fault."""
    return _root(text).value


def set_member(text: str, path: Sequence[str], value: Any) -> str:
    """`text` with the member at `path` set to `value`; objects on the way are made where they are missing.

    Raises ValueError where the text is not JSON, or something on the way is not an object.
    """
    text = _started(text)
    node = _root(text)
    for depth, name in enumerate(path):
        if not isinstance(node.value, dict):
            raise ValueError(f"{'.'.join(path[:depth]) or 'the file'} is not an object")
        inner = node.members.get(name)
        if inner is None:
            for wrapped in reversed(path[depth + 1 :]):
                value = {wrapped: value}
            return _inserted(text, node, value, json.dumps(name) + ": ")
        node = inner
    return text[: node.start] + _dump(value, _indent_at(text, node.start), text) + text[node.end :]


def append_item(text: str, name: str, item: Any) -> str:
    """`text` with `item` behind the items of the top-level list `name`, which is made where it is missing."""
    text = _started(text)
    node = _root(text).members.get(name)
    if node is None:
        return set_member(text, [name], [item])
    if not isinstance(node.value, list):
        raise ValueError(f"{name} is not a list")
    return _inserted(text, node, item)


def _started(text: str) -> str:
    return text if text.strip("\ufeff \t\r\n") else "{}\n"


def _inserted(text: str, node: _Node, value: Any, name: str = "") -> str:
    """`text` with one more member or item at the end of the object or list `node`, behind all comments in it."""
    newline = "\r\n" if "\r\n" in text else "\n"
    outer = _indent_at(text, node.start)
    indent = outer + _unit(text)
    if node.last is not None:
        line = text[text.rfind("\n", 0, node.last.begin) + 1 : node.last.begin]
        indent = indent if line.strip() else line
    closing = node.end - 1
    behind = len(text[:closing].rstrip())
    head = text[:behind]
    if node.last is not None and not node.comma:
        head = text[: node.last.end] + "," + text[node.last.end : behind]
    return f"{head}{newline}{indent}{name}{_dump(value, indent, text)}{newline}{outer}{text[closing:]}"


def _dump(value: Any, indent: str, text: str) -> str:
    newline = "\r\n" if "\r\n" in text else "\n"
    dumped = json.dumps(value, indent=_unit(text), ensure_ascii=False)
    return dumped.replace("\n", newline + indent)


def _unit(text: str) -> str:
    match = re.search(r"\n([ \t]+)\S", text)
    return match[1] if match else "  "


def _indent_at(text: str, place: int) -> str:
    line = text[text.rfind("\n", 0, place) + 1 : place]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _root(text: str) -> _Node:
    start = 1 if text.startswith("\ufeff") else 0
    if not text[start:].strip():
        return _Node(start, start, {})
    node = _value(text, _skip(text, start), 0)
    if _skip(text, node.end) != len(text):
        raise _fault(text, node.end, "something stands behind the end")
    return node


def _value(text: str, at: int, depth: int) -> _Node:
    if depth > _DEPTH:
        raise _fault(text, at, "it is nested too deeply")
    if text[at : at + 1] in ("{", "["):
        return _container(text, at, depth)
    match = _STRING.match(text, at) or _SCALAR.match(text, at)
    if match is None:
        raise _fault(text, at, "a value is expected")
    try:
        return _Node(at, match.end(), json.loads(match[0]))
    except ValueError:
        raise _fault(text, at, "a value is malformed") from None


def _container(text: str, at: int, depth: int) -> _Node:
    closing = "}" if text[at] == "{" else "]"
    node = _Node(at, at, {} if closing == "}" else [])
    place = _skip(text, at + 1)
    while text[place : place + 1] != closing:
        if node.last is not None and not node.comma:
            raise _fault(text, place, f"a comma or {closing} is expected")
        name, begin = "", place
        if closing == "}":
            match = _STRING.match(text, place)
            if match is None:
                raise _fault(text, place, "a name in quotation marks is expected")
            name = json.loads(match[0])
            place = _skip(text, match.end())
            if text[place : place + 1] != ":":
                raise _fault(text, place, "a colon is expected")
            place = _skip(text, place + 1)
        inner = _value(text, place, depth + 1)
        if closing == "}":
            node.members[name], node.value[name] = inner, inner.value
        else:
            node.value.append(inner.value)
        place = _skip(text, inner.end)
        inner.begin = begin
        node.last, node.comma = inner, text[place : place + 1] == ","
        if node.comma:
            place = _skip(text, place + 1)
    node.end = place + 1
    return node


def _skip(text: str, at: int) -> int:
    match = _BLANK.match(text, at)
    assert match is not None
    return match.end()


def _fault(text: str, at: int, what: str) -> ValueError:
    return ValueError(f"line {text.count(chr(10), 0, at) + 1}: {what}")
