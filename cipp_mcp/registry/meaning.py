"""Compares a query with an endpoint by meaning: latent semantic analysis, computed when the catalogue changes.

``tool_specs/vectors.bin`` holds a vector for each stemmed word and each endpoint, from a truncated singular value
decomposition of the catalogue's own texts (tests/build_vectors.py makes it; it needs numpy and scikit-learn, the
server does not). Words that stand for the same things have similar vectors, so a query can fit an endpoint with
which it shares no word.
"""

from __future__ import annotations

import json
import struct
from array import array
from collections.abc import Iterable
from functools import cache
from math import sqrt
from operator import mul
from typing import Any

from cipp_mcp.registry.files import folder

_MAGIC = b"CIPPVEC1"


class Meaning:
    """Word and endpoint vectors; all of one length."""

    def __init__(self, content: bytes) -> None:
        if content[:8] != _MAGIC:
            raise ValueError("vectors.bin is not a file of vectors")
        (size,) = struct.unpack_from("<I", content, 8)
        head: dict[str, Any] = json.loads(content[12 : 12 + size])
        self.digest = str(head["digest"])
        self._dimensions = int(head["dimensions"])
        self._values = array("b")
        self._values.frombytes(content[12 + size :])
        self._scales: list[float] = head["scales"]
        self._words = {word: position for position, word in enumerate(head["words"])}
        first = len(self._words)
        self._endpoints = {name: first + position for position, name in enumerate(head["endpoints"])}

    @classmethod
    @cache
    def load(cls) -> Meaning:
        return cls((folder() / "vectors.bin").read_bytes())

    def query(self, stems: Iterable[str]) -> list[float] | None:
        """The unit vector of a query's stems; None when no word of it is known."""
        total = [0.0] * self._dimensions
        for word in stems:
            position = self._words.get(word)
            if position is not None:
                scale = self._scales[position]
                row = self._row(position)
                total = [one + scale * value for one, value in zip(total, row, strict=True)]
        length = sqrt(sum(map(mul, total, total)))
        return [value / length for value in total] if length else None

    def similarity(self, query: list[float], endpoint: str) -> float:
        """Cosine of the angle between a query's vector and an endpoint's; 0 for an endpoint without one."""
        position = self._endpoints.get(endpoint)
        return 0.0 if position is None else sum(map(mul, query, self._row(position))) / 127

    def _row(self, position: int) -> array[int]:
        start = position * self._dimensions
        return self._values[start : start + self._dimensions]


def pack(
    digest: str, dimensions: int, words: list[str], scales: list[float], endpoints: list[str], rows: Iterable[Iterable[int]]
) -> bytes:
    """The content of ``vectors.bin``: a JSON head, then one signed byte for each number, words before endpoints."""
    head = {
        "digest": digest,
        "dimensions": dimensions,
        "words": words,
        "scales": [round(scale, 5) for scale in scales],
        "endpoints": endpoints,
    }
    text = json.dumps(head, separators=(",", ":"), ensure_ascii=True).encode()
    values = array("b", (value for row in rows for value in row))
    return _MAGIC + struct.pack("<I", len(text)) + text + values.tobytes()
