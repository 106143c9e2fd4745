"""Splits a list answer into rows without holding all of it as Python objects.

A 45 MB list becomes five times that as dicts. Here each row is decoded alone, together with its own JSON text,
which goes into the result table as it came.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any

_ENVELOPE = re.compile(r'\s*\{\s*"[Rr]esults"\s*:\s*\[')
_SPACE = re.compile(r"[\s,]*")
_WINDOW = 1 << 20


class RowReader:
    """Iterates over ``(row, json text of the row)``; ``rest`` holds the envelope's other keys at the end.

    Iteration raises ValueError when the JSON is broken or cut short.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.rest: dict[str, Any] = {}

    @classmethod
    def of(cls, content: bytes) -> RowReader | None:
        """A reader when `content` is a JSON array or an envelope that begins with one; else None."""
        start = content[:200].decode("utf-8-sig", errors="replace").lstrip()
        return cls(content) if start.startswith("[") or _ENVELOPE.match(start) else None

    def __iter__(self) -> Iterator[tuple[Any, str]]:
        text = _Text(self._content)
        head = _ENVELOPE.match(text.buffer)
        opening = head.end() if head else text.buffer.index("[") + 1
        text.drop(opening)
        while True:
            position = text.skip(_SPACE)
            if text.buffer.startswith("]", position):
                text.drop(position + 1)
                break
            row, end, exact = text.decode(position)
            yield row, text.buffer[position:end] if exact else json.dumps(row, ensure_ascii=False)
            text.drop(end)
        remainder = text.remainder().strip()
        if head:
            self.rest = json.loads('{"":0' + remainder, parse_constant=lambda _: None)
            self.rest.pop("", None)
        elif remainder:
            raise ValueError("more text after the end of the list")


class _Text:
    """The decoded text, a window at a time: text with wide characters would cost four bytes for each."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._constant = False
        self._json = json.JSONDecoder(parse_constant=self._note_constant)
        self.buffer = ""
        self._start = 0
        self._grow()

    def _note_constant(self, _name: str) -> None:
        self._constant = True

    def _grow(self, size: int = _WINDOW) -> bool:
        if self._at >= len(self._content):
            return False
        chunk = self._content[self._at : self._at + size]
        self._at += len(chunk)
        self.buffer += self._decoder.decode(chunk, self._at >= len(self._content))
        return True

    def drop(self, end: int) -> None:
        """Forgets everything before `end`; the text is moved only now and then, since moving costs."""
        self._start = end
        if end > _WINDOW // 2:
            self.buffer = self.buffer[end:]
            self._start = 0

    def skip(self, pattern: re.Pattern[str]) -> int:
        while True:
            match = pattern.match(self.buffer, self._start)
            position = match.end() if match else self._start
            if position < len(self.buffer):
                return position
            if not self._grow():
                raise ValueError("the list is cut short")

    def decode(self, position: int) -> tuple[Any, int, bool]:
        """(value, its end, whether its text is plain JSON) of the value that starts at `position`."""
        size = _WINDOW
        while True:
            self._constant = False
            try:
                value, end = self._json.raw_decode(self.buffer, position)
                # A number at the very end of the window might go on in the next one.
                if end < len(self.buffer) or not self._grow(size):
                    return value, end, not self._constant
            except RecursionError:
                raise ValueError("nested too deeply") from None
            except ValueError as error:
                if not self._grow(size):
                    raise ValueError(f"the list is cut short or broken ({error})") from None
            size *= 2

    def remainder(self) -> str:
        while self._grow():
            pass
        return self.buffer[self._start :]
