"""Compares a query with endpoints by meaning, with numbers computed when the catalogue changes.

``vectors.bin`` in ``tool_specs`` holds a linear model, trained on everything that is said about each endpoint in the
way people ask for it (tests/build_vectors.py; that needs numpy and scipy, the server needs neither): a vector for every
word and one for every endpoint. A query's vector is the weighted mean of its words'; the larger its product with an
endpoint's, the likelier that endpoint is meant. English words that the catalogue never uses have a vector as well,
derived from words that mean much the same.

Beside them lies which words each single ask holds, for `cipp_mcp.registry.asks`.
"""

from __future__ import annotations

import json
import struct
import sys
from array import array
from collections.abc import Iterable, Sequence
from functools import cache
from operator import mul
from typing import Any

from cipp_mcp.registry.files import folder

_MAGIC = b"CIPPVEC2"


class Meaning:
    """Word and endpoint vectors; endpoints are numbered as in `endpoints`."""

    def __init__(self, content: bytes) -> None:
        head, parts = unpack(content)
        self.digest = str(head["digest"])
        self.endpoints: list[str] = head["endpoints"]
        self.words: dict[str, int] = {word: position for position, word in enumerate(head["words"])}
        self.used: int = head["used"]
        """The first so many words are the catalogue's own; the others are known only by their likeness to these."""
        self.asks, self.lengths, self.starts = parts["asks"], parts["lengths"], parts["starts"]
        self.asked: array[int] = parts["asked"]
        self._dimensions = int(head["dimensions"])
        self._near = int(head["near"])
        self._values, self._scales = parts["values"], parts["scales"]
        self._rows, self._heights, self._bias = parts["rows"], parts["heights"], parts["bias"]
        self._closest, self._closeness = parts["closest"], parts["closeness"]

    @classmethod
    @cache
    def load(cls) -> Meaning:
        return cls((folder() / "vectors.bin").read_bytes())

    def query(self, stems: Iterable[tuple[str, float]]) -> list[float] | None:
        """The vector of weighted stems; None when the catalogue uses none of them."""
        wide = self._dimensions
        total, weights, known = [0.0] * wide, 0.0, False
        for stem, weight in stems:
            position = self.words.get(stem)
            if position is None:
                continue
            known |= position < self.used
            weights += weight
            scale = weight * self._scales[position]
            row = self._values[position * wide : (position + 1) * wide]
            total = [one + scale * value for one, value in zip(total, row, strict=True)]
        if not known:
            return None
        return [value / max(weights, 1.0) for value in total]

    def closest(self, stems: Iterable[tuple[str, float]]) -> list[int]:
        """The endpoints that the words speak for, most first, from a short list that is kept for each word."""
        found: dict[int, float] = {}
        for stem, weight in stems:
            position = self.words.get(stem, self.used)
            if position < self.used:
                span = slice(position * self._near, (position + 1) * self._near)
                for endpoint, close in zip(self._closest[span], self._closeness[span], strict=True):
                    found[endpoint] = found.get(endpoint, 0.0) + weight * close
        return sorted(found, key=found.__getitem__, reverse=True)

    def fit(self, query: Sequence[float], endpoint: int) -> float:
        """How likely a query's vector means an endpoint, as a logarithm that is only good for comparing."""
        row = self._rows[endpoint * self._dimensions : (endpoint + 1) * self._dimensions]
        alike: float = self._heights[endpoint] * sum(map(mul, query, row)) + self._bias[endpoint]
        return alike


def pack(head: dict[str, Any], parts: dict[str, array[Any]]) -> bytes:
    """The content of a file of vectors: a JSON head that names the parts, then the parts, little-endian."""
    head = {**head, "parts": [[name, part.typecode, len(part)] for name, part in parts.items()]}
    text = json.dumps(head, separators=(",", ":"), ensure_ascii=True).encode()
    return _MAGIC + struct.pack("<I", len(text)) + text + b"".join(_little(part).tobytes() for part in parts.values())


def unpack(content: bytes) -> tuple[dict[str, Any], dict[str, array[Any]]]:
    """The head and the parts of what `pack` made."""
    if content[:8] != _MAGIC:
        raise ValueError("not a file of vectors")
    (size,) = struct.unpack_from("<I", content, 8)
    head: dict[str, Any] = json.loads(content[12 : 12 + size])
    parts: dict[str, array[Any]] = {}
    start = 12 + size
    for name, kind, length in head["parts"]:
        part: array[Any] = array(kind)
        end = start + length * part.itemsize
        part.frombytes(content[start:end])
        parts[name], start = _little(part), end
    return head, parts


def _little(part: array[Any]) -> array[Any]:
    """`part`, or a copy with its bytes turned round on a machine that is not little-endian."""
    if sys.byteorder == "little":
        return part
    turned = part[:]
    turned.byteswap()
    return turned
