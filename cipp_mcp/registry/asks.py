"""How well a query fits single ways of asking for an endpoint, word by word.

Meaning is about everything that is said of an endpoint at once; this is about one sentence of it: somebody who asks in
nearly the same words as somebody before should be understood the same way. The measure is BM25 over single asks; the
words of each ask come ready from ``vectors.bin``, ordered by word and then by endpoint, so that the asks of the few
endpoints in question are found by halving.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from heapq import nlargest
from math import log

from cipp_mcp.registry.meaning import Meaning

_SATURATION = 1.2
_BY_LENGTH = 0.75
_NEXT = 0.4
_COUNTED = 6
"""One ask in the same words is good, several are better: each further one counts `_NEXT` of the one before."""


class Asks:
    """The asks of every endpoint, numbered as in a `Meaning`."""

    def __init__(self, meaning: Meaning) -> None:
        self._words, self._used = meaning.words, meaning.used
        self._asks, self._starts, self._asked = meaning.asks, meaning.starts, meaning.asked
        self._lengths = meaning.lengths
        usual = sum(self._lengths) / max(1, len(self._lengths))
        self._by_length = [
            (_SATURATION + 1) / (1 + _SATURATION * (1 - _BY_LENGTH + _BY_LENGTH * length / usual))
            for length in range(256)
        ]

    def often(self, stem: str) -> int:
        """In how many asks a stem occurs."""
        position = self._words.get(stem, self._used)
        return self._starts[position + 1] - self._starts[position] if position < self._used else 0

    def worth(self, stem: str) -> float:
        """What a word that two texts share says about their likeness: the rarer, the more."""
        often = self.often(stem)
        return log(1 + (len(self._lengths) - often + 0.5) / (often + 0.5))

    def scores(self, stems: Sequence[tuple[str, float]], endpoints: Iterable[int]) -> dict[int, float]:
        """A score for each of `endpoints` that shares words with the query's weighted stems."""
        spans = []
        for word, weight in stems:
            if self.often(word):
                position = self._words[word]
                spans.append((self._starts[position], self._starts[position + 1], weight * self.worth(word)))
        found = {}
        for endpoint in endpoints:
            each = self._of(spans, self._asked[endpoint], self._asked[endpoint + 1])
            if each:
                best = nlargest(_COUNTED, each) if len(each) > 1 else each
                found[endpoint] = sum(score * _NEXT**place for place, score in enumerate(best))
        return found

    def _of(self, spans: list[tuple[int, int, float]], first: int, end: int) -> list[float]:
        asks, lengths, by_length = self._asks, self._lengths, self._by_length
        scores: dict[int, float] = {}
        for at, stop, worth in spans:
            at = bisect_left(asks, first, at, stop)
            while at < stop:
                ask = asks[at]
                if ask >= end:
                    break
                scores[ask] = scores.get(ask, 0.0) + worth
                at += 1
        return [score * by_length[lengths[ask]] for ask, score in scores.items()]
