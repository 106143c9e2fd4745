"""Finds endpoints by intent.

Two full-text indexes (SQLite FTS5, porter stemming) and a comparison of meaning are added up: one index over what
is written about each endpoint, one over single ways of asking for it. Both are built in memory on first use.
"""

from __future__ import annotations

import re
import sqlite3
import threading
from dataclasses import dataclass
from typing import Any

from cipp_mcp.registry.language import expansions, one_spelling, plain_words, query_words, stem
from cipp_mcp.registry.loader import Registry
from cipp_mcp.registry.meaning import Meaning
from cipp_mcp.registry.models import AREAS, NEVER_CALLABLE, Area, Endpoint, Risk
from cipp_mcp.registry.words import split_name

# Columns of the first index with their weight in bm25.
_COLUMNS = {
    "name": 6.0,
    "title": 6.0,
    "summary": 4.0,
    "keywords": 6.0,
    "description": 1.2,
    "parameters": 0.6,
    "tag": 1.0,
}
# The weights below were set on the half of the intents that tuning may see (tests/intents.json, "tuned").
_EXPANDED = 0.6
_EXPANDED_ASKS = 0.8
_ASKS = 1.5
_NEXT_ASK = 0.6
_ASKS_COUNTED = 6
_NAME_COVERED = 0.5
_MEANING = 1.5
_WORDING = 1.25
_COMPARED = 25

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


class Search:
    """The search index over a registry; safe for use from several threads."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._lock = threading.Lock()
        self._meaning = Meaning.load()
        self._wording = Meaning.load("wording.bin")
        self._names: list[str] = []
        self._newcomers: dict[str, tuple[list[float], list[float]]] = {}
        self._parts: dict[str, frozenset[str]] = {}
        self._titles: dict[str, str] = {}
        self._asked: list[str] = []
        self._db = sqlite3.connect(":memory:", check_same_thread=False)
        self._db.execute(f"CREATE VIRTUAL TABLE entries USING fts5({', '.join(_COLUMNS)}, tokenize='porter unicode61')")
        self._db.execute("CREATE VIRTUAL TABLE asks USING fts5(ask, tokenize='porter unicode61')")
        self._rank = f"bm25(entries, {', '.join(map(str, _COLUMNS.values()))})"
        rows, asks = [], []
        for _area, entry in registry.raw():
            if entry["name"] in NEVER_CALLABLE:
                continue
            self._names.append(entry["name"])
            if not self._meaning.knows(entry["name"]):
                told = " ".join([entry["title"], *entry.get("keywords", ())])
                self._newcomers[entry["name"]] = (
                    self._meaning.query(map(stem, query_words(told))) or [],
                    self._wording.query(plain_words(told)) or [],
                )
            self._titles[entry["title"].lower()] = entry["name"]
            parts = {stem(part.lower()) for part in split_name(entry["name"])}
            self._parts[entry["name"]] = frozenset(parts - _VERB_PARTS)
            rows.append(tuple(_indexed(entry).values()))
            for ask in (*entry.get("asks", ()), entry["summary"], *entry.get("keywords", ())):
                self._asked.append(entry["name"])
                asks.append(ask)
        self._db.executemany(f"INSERT INTO entries VALUES ({', '.join('?' * len(_COLUMNS))})", _respelt(rows))
        self._db.executemany("INSERT INTO asks VALUES (?)", _respelt([(ask,) for ask in asks]))

    def find(self, query: str, *, area: Area | None = None, risk: Risk | None = None, limit: int = 8) -> list[Hit]:
        """The endpoints that fit `query` best, best first; none when nothing fits."""
        exact = self._titles.get(query.strip().lower()) or self._registry.resolve(query)
        hits = self._ranked(query, area, risk)
        if exact and exact not in NEVER_CALLABLE:
            first = Hit(self._registry[exact], 1000.0)
            hits = [first, *(hit for hit in hits if hit.endpoint.name != exact)]
        return hits[:limit]

    def near(self, query: str) -> list[str]:
        """Names that look like `query`, for when nothing was found."""
        names = self._registry.near(query.replace(" ", ""), 5)
        for word in query_words(query):
            names += [name for name in self._names if word in name.lower()][:3]
        return list(dict.fromkeys(names))[:6]

    def _ranked(self, query: str, area: Area | None, risk: Risk | None) -> list[Hit]:
        words = query_words(query)
        expanded = [word for word in expansions(query) if word not in words]
        with self._lock:
            scores = self._full_text(words, expanded)
        asked = set(re.findall(r"[a-z]+", query.lower()))
        stems = {stem(word) for word in (*asked, *words)}
        adjusted: dict[str, float] = {}
        for name, score in scores.items():
            endpoint = self._registry[name]
            if (area and endpoint.area != area) or (risk and endpoint.risk != risk):
                continue
            adjusted[name] = score * _fit(endpoint, self._parts[name], asked, stems)
        best = sorted(adjusted, key=lambda name: -adjusted[name])[:_COMPARED]
        if not best:
            return []
        vector = self._meaning.query(map(stem, (*words, *expanded)))
        plain = self._wording.query((*plain_words(query), *expanded))
        top = adjusted[best[0]]
        hits = []
        for name in best:
            if name in self._newcomers:
                meant, said = self._newcomers[name]
                alike, worded = _cosine(vector, meant), _cosine(plain, said)
            else:
                alike = self._meaning.similarity(vector, name) if vector else 0.0
                worded = self._wording.similarity(plain, name) if plain else 0.0
            hits.append(Hit(self._registry[name], adjusted[name] / top + _MEANING * alike + _WORDING * worded))
        return sorted(hits, key=lambda hit: -hit.score)

    def _full_text(self, words: list[str], expanded: list[str]) -> dict[str, float]:
        scores: dict[str, float] = {}
        per_ask: dict[str, dict[int, float]] = {}
        for terms, weight, weight_of_asks in ((words, 1.0, 1.0), (expanded, _EXPANDED, _EXPANDED_ASKS)):
            if not terms:
                continue
            match = " OR ".join(f'"{term}"' for term in terms)
            sql = f"SELECT rowid, {self._rank} FROM entries WHERE entries MATCH ? ORDER BY 2 LIMIT 100"
            for row, rank in self._db.execute(sql, (match,)):
                name = self._names[row - 1]
                scores[name] = scores.get(name, 0.0) - rank * weight
            sql = "SELECT rowid, bm25(asks) FROM asks WHERE asks MATCH ? ORDER BY 2 LIMIT 250"
            for row, rank in self._db.execute(sql, (match,)):
                found = per_ask.setdefault(self._asked[row - 1], {})
                found[row] = found.get(row, 0.0) - rank * weight_of_asks
        for name, found in per_ask.items():
            best = sorted(found.values(), reverse=True)[:_ASKS_COUNTED]
            total = sum(score * _NEXT_ASK**position for position, score in enumerate(best))
            scores[name] = scores.get(name, 0.0) + _ASKS * total
        return scores


def _cosine(one: list[float] | None, other: list[float]) -> float:
    """Of two unit vectors; 0 where one of them is missing."""
    return sum(a * b for a, b in zip(one, other, strict=True)) if one and other else 0.0


def _fit(endpoint: Endpoint, parts: frozenset[str], asked: set[str], stems: set[str]) -> float:
    """How well the kind and the name of an endpoint fit the query's verb and words, as a factor."""
    reads = endpoint.risk in ("read", "secret")
    wants_change = not asked.isdisjoint(_CHANGE_WORDS)
    factor = 1.0
    if wants_change and reads:
        factor = 0.9
    elif not wants_change and not reads:
        factor = 0.9 if asked.isdisjoint(_READ_WORDS) else 0.75
    covered = len(parts & stems) / max(1, len(parts))
    factor *= 1 + _NAME_COVERED * covered * covered
    if "templat" in parts and "templat" not in stems:
        factor *= 0.8
    return factor * (0.9 if endpoint.unwritten else 1.0)


def _indexed(entry: dict[str, Any]) -> dict[str, str]:
    parameters = {**entry["facts"].get("parameters", {}), **(entry.get("parameters") or {})}
    return {
        "name": f"{entry['name']} {' '.join(split_name(entry['name']))}",
        "title": entry["title"],
        "summary": entry["summary"],
        "keywords": " . ".join(entry.get("keywords", ())),
        "description": f"{entry.get('description', '')} {entry.get('side_effects', '')}",
        "parameters": " ".join(" ".join([name, *split_name(name)]) for name in parameters),
        "tag": entry["facts"].get("tag", ""),
    }


def _respelt(rows: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """`rows` in one spelling; joined first, since twenty patterns over thousands of short texts are slow."""
    if not rows:
        return []
    width = len(rows[0])
    texts = one_spelling("\x1f".join(text for row in rows for text in row)).split("\x1f")
    return [tuple(texts[start : start + width]) for start in range(0, len(texts), width)]


def overview(registry: Registry) -> dict[str, int]:
    """How many endpoints each area has."""
    return {area: len(registry.names(area)) for area in AREAS}
