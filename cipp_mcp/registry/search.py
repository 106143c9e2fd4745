"""Finds endpoints by intent.

What a query means (`Meaning`), how well it fits single ways of asking (`Asks`), and whether the kind and the name of an
endpoint fit its verb and its words are added up, for the few endpoints that its words speak for. All of it is computed
when the catalogue changes, so there is nothing to index when a server starts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from heapq import nlargest
from typing import Any

from cipp_mcp.registry.asks import Asks
from cipp_mcp.registry.language import expansions, is_phrase, query_words, stem
from cipp_mcp.registry.loader import Registry
from cipp_mcp.registry.meaning import Meaning
from cipp_mcp.registry.models import AREAS, NEVER_CALLABLE, Area, Endpoint, Risk
from cipp_mcp.registry.spelling import corrected
from cipp_mcp.registry.words import split_name

# Set by hand on held-out asks and on the half of the intents that tuning may see (tests/intents.json, "tuned").
EXPANDED = 0.5
"""What a word weighs that only the thesaurus gives, against one of the query's own."""
_ASKS = 0.8
_NAME_COVERED = 0.45
_CHANGE_WANTED = -0.6
_READ_LIKELY = -0.2
_READ_WANTED = -0.95
_BARE = 3
"""So few words without a verb only name a thing: who types "mail flow rules" wants to see them."""
_TEMPLATE = -0.6
_UNWRITTEN = -0.5
_SURE = 11.0
"""What `Meaning.fit` gives an endpoint about which there is hardly a doubt."""
_LIKELY = 64
"""How many endpoints are compared by meaning, unless an area or a risk says which."""
_COMPARED = 20
"""How many of them are compared ask by ask."""

_VERB_PARTS = frozenset("list add edit set exec remove delete get patch copy new public".split())
_READ_WORDS = frozenset(
    """list show view see find which who whose what how count report check display look read fetch audit any anything have
    has is are does did history status state health overview last recent""".split()
)
_CHANGE_WORDS = frozenset(
    """add create new make set change edit update modify enable disable remove delete reset block unblock revoke wipe assign
    grant give convert offboard onboard deploy send restore rename move approve deny release rotate retire lock unlock
    turn switch hide forward stop start cancel run push install uninstall invite purge clear schedule bin sack strip boot
    scrap put hook pour carve undo close bring let save write kick hand take force stick slap apply migrate bulk
    reactivate suspend setup prevent extend book fix clean trigger kill allow""".split()
)


@dataclass(frozen=True)
class Hit:
    """One found endpoint; a larger score is a better match."""

    endpoint: Endpoint
    score: float


@dataclass(frozen=True)
class _Kind:
    """What a search wants to know of an endpoint beside what is said about it."""

    name: str
    area: Area
    risk: Risk
    parts: frozenset[str]
    unwritten: bool


class Search:
    """The search over a registry; it is never changed, so several threads may use it."""

    def __init__(self, registry: Registry, meaning: Meaning | None = None) -> None:
        self._registry = registry
        self._meaning = meaning or Meaning.load()
        self._asks = Asks(self._meaning)
        numbers = {name: number for number, name in enumerate(self._meaning.endpoints)}
        self._kinds: dict[int, _Kind] = {}
        self._titles: dict[str, str] = {}
        self._newcomers: dict[int, frozenset[str]] = {}
        for area, entry in registry.raw():
            name = entry["name"]
            if name in NEVER_CALLABLE:
                continue
            number = numbers.get(name)
            if number is None:
                number = len(self._meaning.endpoints) + len(self._newcomers)
                self._newcomers[number] = _told(entry)
            self._titles[entry["title"].lower()] = name
            parts = frozenset(stem(part.lower()) for part in split_name(name)) - _VERB_PARTS
            self._kinds[number] = _Kind(name, area, entry["risk"], parts, bool(entry.get("unwritten")))

    def find(self, query: str, *, area: Area | None = None, risk: Risk | None = None, limit: int = 8) -> list[Hit]:
        """The endpoints that fit `query` best, best first; none when nothing fits."""
        exact = self._titles.get(query.strip().lower()) or self._registry.resolve(query)
        ranked = self._ranked(query, area, risk)
        if exact and exact not in NEVER_CALLABLE:
            ranked = [(1000.0, exact), *(hit for hit in ranked if hit[1] != exact)]
        return [Hit(self._registry[name], score) for score, name in ranked[:limit]]

    def near(self, query: str) -> list[str]:
        """Names that look like `query`, for when nothing was found."""
        names = self._registry.near(query.replace(" ", ""), 5)
        for word in query_words(query):
            names += [kind.name for kind in self._kinds.values() if word in kind.name.lower()][:3]
        return list(dict.fromkeys(names))[:6]

    def _ranked(self, query: str, area: Area | None, risk: Risk | None) -> list[tuple[float, str]]:
        query = corrected(query, self._known, self._often)
        weighted = weighted_stems(query)
        newcomers = self._overlap(weighted)
        vector = self._meaning.query(weighted)
        if vector is None and not newcomers:
            return []
        kinds = self._kinds
        if area or risk:
            kinds = {n: kind for n, kind in kinds.items() if area in (None, kind.area) and risk in (None, kind.risk)}
        likely = [number for number in self._meaning.closest(weighted) if number in kinds][:_LIKELY]
        if len(likely) < _COMPARED and vector is not None:
            likely = [number for number in kinds if number not in self._newcomers]
        kinds = {number: kinds[number] for number in (*likely, *newcomers) if number in kinds}
        meant = {n: newcomers[n] if n in newcomers else self._meaning.fit(vector or (), n) for n in kinds}
        old = [number for number in meant if number not in newcomers]
        asks = self._asks.scores(weighted, nlargest(_COMPARED, old, key=meant.__getitem__))
        most = max(asks.values(), default=0.0) or 1.0
        asked = frozenset(re.findall(r"[a-z]+", query.lower()))
        manner = _manner(asked)
        stems = {stem(word) for word in asked} | {word for word, weight in weighted if weight == 1.0}
        hits = []
        for number, score in meant.items():
            kind = kinds[number]
            hits.append((score + _ASKS * asks.get(number, 0.0) / most + _fit(kind, manner, stems), kind.name))
        return sorted(hits, key=lambda hit: -hit[0])

    def _overlap(self, weighted: list[tuple[str, float]]) -> dict[int, float]:
        """Endpoints that only the deployment has, with the share of the query's words that they hold."""
        if not self._newcomers:
            return {}
        worth = {word: weight * self._asks.worth(word) for word, weight in weighted}
        # What the thesaurus adds is another way of saying the same, so nobody has to hold it too.
        whole = sum(self._asks.worth(word) for word, weight in weighted if weight == 1.0) or 1.0
        shares = {
            number: sum(worth[word] for word in told & worth.keys()) / whole for number, told in self._newcomers.items()
        }
        return {number: _SURE * min(share, 1.0) for number, share in shares.items() if share}

    def _known(self, word: str) -> bool:
        return stem(word) in self._meaning.words or is_phrase(stem(word))

    def _often(self, word: str) -> int:
        return self._asks.often(stem(word))


def weighted_stems(text: str) -> list[tuple[str, float]]:
    """The stems of what `text` says, and of what it means in the catalogue's words, with their weights."""
    own = list(dict.fromkeys(map(stem, query_words(text))))
    more = dict.fromkeys(map(stem, expansions(text)))
    return [(word, 1.0) for word in own] + [(word, EXPANDED) for word in more if word not in own]


def _told(entry: dict[str, Any]) -> frozenset[str]:
    """The stems of what is said of an endpoint that the vectors do not have."""
    told = (*split_name(entry["name"]), entry["title"], entry["summary"], *entry.get("keywords", ()))
    return frozenset(map(stem, query_words(" ".join(told))))


def _manner(asked: frozenset[str]) -> tuple[float, float]:
    """What is added for an endpoint that reads and for one that changes, by the query's verb."""
    if not asked.isdisjoint(_CHANGE_WORDS):
        return _CHANGE_WANTED, 0.0
    names_it = len(asked) <= _BARE or not asked.isdisjoint(_READ_WORDS)
    return 0.0, _READ_WANTED if names_it else _READ_LIKELY


def _fit(kind: _Kind, manner: tuple[float, float], stems: set[str]) -> float:
    """How well the kind and the name of an endpoint fit the query's verb and words."""
    covered = len(kind.parts & stems) / max(1, len(kind.parts))
    score = manner[kind.risk not in ("read", "secret")] + _NAME_COVERED * covered * covered
    if "templat" in kind.parts and "templat" not in stems:
        score += _TEMPLATE
    return score + (_UNWRITTEN if kind.unwritten else 0.0)


def overview(registry: Registry) -> dict[str, int]:
    """How many endpoints each area has."""
    return {area: len(registry.names(area)) for area in AREAS}
