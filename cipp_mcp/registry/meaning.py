"""Compares a query with an endpoint by meaning, with vectors computed when the catalogue changes.

Two files in ``tool_specs`` hold vectors for words and for endpoints, in one format:

- ``vectors.bin``: latent semantic analysis of the catalogue's own texts. What is used for the same things here is alike.
- ``wording.bin``: vectors of 25,000 English words, distilled from the sentence model all-MiniLM-L6-v2 (Apache-2.0),
  and several for each endpoint, one for each group of ways to ask for it. What means the same in English is alike.

tests/build_vectors.py makes both; it needs numpy and scikit-learn, the server needs neither.
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
    """Word and endpoint vectors, all of one length; an endpoint may have several."""

    def __init__(self, content: bytes) -> None:
        if content[:8] != _MAGIC:
            raise ValueError("not a file of vectors")
        (size,) = struct.unpack_from("<I", content, 8)
        head: dict[str, Any] = json.loads(content[12 : 12 + size])
        self.digest = str(head["digest"])
        self._dimensions = int(head["dimensions"])
        self._values = array("b")
        self._values.frombytes(content[12 + size :])
        self._scales: list[float] = head["scales"]
        self._words = {word: position for position, word in enumerate(head["words"])}
        first = len(self._words)
        self._endpoints: dict[str, list[int]] = {}
        for position, name in enumerate(head["endpoints"]):
            self._endpoints.setdefault(name, []).append(first + position)

    @classmethod
    @cache
    def load(cls, name: str = "vectors.bin") -> Meaning:
        return cls((folder() / name).read_bytes())

    def word_rows(self) -> list[tuple[str, float, list[int]]]:
        """(word, scale, row) of every word, for computing endpoint vectors anew."""
        return [(word, self._scales[at], list(self._row(at))) for word, at in self._words.items()]

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

    def knows(self, endpoint: str) -> bool:
        """Whether there is a vector for `endpoint`; what only a deployment has, has none."""
        return endpoint in self._endpoints

    def similarity(self, query: list[float], endpoint: str) -> float:
        """Cosine of the smallest angle between a query's vector and one of an endpoint's; 0 for one without any."""
        positions = self._endpoints.get(endpoint, ())
        return max((sum(map(mul, query, self._row(at))) for at in positions), default=0.0) / 127

    def _row(self, position: int) -> array[int]:
        start = position * self._dimensions
        return self._values[start : start + self._dimensions]


def pack(
    digest: str,
    dimensions: int,
    words: list[str],
    scales: list[float],
    endpoints: list[str],
    rows: Iterable[Iterable[int]],
) -> bytes:
    """The content of a file of vectors: a JSON head, then one signed byte for each number, words before endpoints."""
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
