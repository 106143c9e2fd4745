"""Finds endpoints by intent: SQLite FTS5 over names, titles, prose, keywords and parameters.

The index is built in memory on first use. Words are stemmed by FTS5's porter tokenizer; before that, American
and British spellings are made one, stop words dropped and camel-case names split.
"""

from __future__ import annotations

import re
import sqlite3
import threading
from dataclasses import dataclass
from typing import Any

from cipp_mcp.registry.loader import Registry
from cipp_mcp.registry.merge import split_name
from cipp_mcp.registry.models import AREAS, NEVER_CALLABLE, Area, Endpoint, Risk

# Columns of the index with their weight in bm25.
_COLUMNS = {
    "name": 6.0,
    "title": 6.0,
    "summary": 4.0,
    "keywords": 6.0,
    "description": 1.2,
    "parameters": 0.6,
    "tag": 1.0,
}

_STOP = frozenset(
    """a about all am an and any anybody anyone are as at be been by can could do does doing done for from get give
    got had has have having he her his how i if in into is it its just like make may me might must my need needs of
    off on one or our out please put she should show so some somebody someone something tell that the their them then there these
    they this those to up us user's want wants was we were what when where which while who whose why will with would you your
    currently still also now only too very more than tenant tenants customer customers client clients""".split()
)

# One spelling for both sides of the Atlantic, and one word for what people call the same thing.
_SPELLING = (
    (re.compile(r"isation"), "ization"),
    (re.compile(r"(?<=[a-z]{2})is(e|ed|es|ing)\b"), r"iz\1"),
    (re.compile(r"licence"), "license"),
    (re.compile(r"colour"), "color"),
    (re.compile(r"behaviour"), "behavior"),
    (re.compile(r"centre\b"), "center"),
    (re.compile(r"catalogue"), "catalog"),
    (re.compile(r"cancell"), "cancel"),
    (re.compile(r"enrolment"), "enrollment"),
    (re.compile(r"\be-mail"), "email"),
    (re.compile(r"\bsign[ -]?in(s?)\b"), r"signin\1"),
    (re.compile(r"\blog[ -]?(in|on)(s?)\b"), r"signin\2"),
    (re.compile(r"\bmail ?box"), "mailbox"),
    (re.compile(r"\bone ?drive"), "onedrive"),
    (re.compile(r"\bshare ?point"), "sharepoint"),
    (re.compile(r"\bweb ?hook"), "webhook"),
    (re.compile(r"\bpass ?word"), "password"),
    (re.compile(r"\bpass ?code"), "passcode"),
    (re.compile(r"\b(multi-?factor|two-?factor|2fa)( authentication)?"), "mfa"),
)
_EXPANSIONS: dict[str, tuple[str, ...]] = {
    "ca": ("conditional", "access"),
    "ooo": ("out", "office", "autoreply"),
    "oof": ("out", "office", "autoreply"),
    "pwd": ("password",),
    "pw": ("password",),
    "dl": ("distribution", "list", "group"),
    "m365": ("microsoft", "365"),
    "o365": ("microsoft", "365"),
    "aad": ("entra",),
    "exo": ("exchange",),
    "mem": ("intune",),
    "pc": ("computer", "device"),
    "laptop": ("device",),
    "sso": ("single", "signon"),
    "admins": ("admin", "role"),
    "calender": ("calendar",),
}
_READ_WORDS = frozenset(
    "list show view see find which who whose what how count report check display look read fetch audit".split()
)
_CHANGE_WORDS = frozenset(
    """add create new make set change edit update modify enable disable remove delete reset block unblock revoke wipe assign
    grant give convert offboard onboard deploy send restore rename move approve deny release rotate retire lock unlock
    turn switch hide forward stop start cancel run push install uninstall invite purge clear schedule""".split()
)
_WORD = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")


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
        self._db = sqlite3.connect(":memory:", check_same_thread=False)
        columns = ", ".join(_COLUMNS)
        self._db.execute(
            f"CREATE VIRTUAL TABLE entries USING fts5({columns}, tokenize='porter unicode61', detail=full)"
        )
        self._names: list[str] = []
        rows = []
        for _area, entry in registry.raw():
            if entry["name"] not in NEVER_CALLABLE:
                self._names.append(entry["name"])
                rows.append(tuple(_indexed(entry)[column] for column in _COLUMNS))
        marks = ", ".join("?" * len(_COLUMNS))
        self._db.executemany(f"INSERT INTO entries({columns}) VALUES ({marks})", rows)
        self._rank = f"bm25(entries, {', '.join(map(str, _COLUMNS.values()))})"

    def find(self, query: str, *, area: Area | None = None, risk: Risk | None = None, limit: int = 8) -> list[Hit]:
        """The endpoints that fit `query` best, best first; none when nothing fits."""
        exact = self._registry.resolve(query.strip()) if query.strip() else None
        words = query_words(query)
        hits = self._ranked(words, query, area, risk)
        if exact and exact not in NEVER_CALLABLE:
            first = Hit(self._registry[exact], 1000.0)
            hits = [first, *(hit for hit in hits if hit.endpoint.name != exact)]
        return hits[:limit]

    def _ranked(self, words: list[str], query: str, area: Area | None, risk: Risk | None) -> list[Hit]:
        if not words:
            return []
        match = " OR ".join(f'"{word}"' for word in words)
        sql = f"SELECT rowid, {self._rank} FROM entries WHERE entries MATCH ? ORDER BY 2 LIMIT 60"
        with self._lock:
            found = self._db.execute(sql, (match,)).fetchall()
        asked = set(re.findall(r"[a-z]+", query.lower()))
        wants_change = bool(asked & _CHANGE_WORDS)
        wants_read = bool(asked & _READ_WORDS) and not wants_change
        hits = []
        for rowid, rank in found:
            endpoint = self._registry[self._names[rowid - 1]]
            if (area and endpoint.area != area) or (risk and endpoint.risk != risk):
                continue
            hits.append(Hit(endpoint, _adjusted(-rank, endpoint, wants_read, wants_change)))
        return sorted(hits, key=lambda hit: -hit.score)

    def near(self, query: str) -> list[str]:
        """Names that look like `query`, for when nothing was found."""
        names = self._registry.near(query.replace(" ", ""), 5)
        for word in query_words(query):
            names += [name for name in self._names if word in name.lower()][:3]
        return list(dict.fromkeys(names))[:6]


def _adjusted(score: float, endpoint: Endpoint, wants_read: bool, wants_change: bool) -> float:
    reads = endpoint.risk in ("read", "secret")
    if wants_change and reads:
        score *= 0.8
    elif wants_read and not reads:
        score *= 0.6
    elif not wants_change and not reads:
        score *= 0.85
    if endpoint.unwritten:
        score *= 0.9
    return score


def query_words(query: str) -> list[str]:
    """The words of a query that carry meaning, in one spelling, without repeats."""
    text = _one_spelling(" ".join(_split_camel(query)))
    words: list[str] = []
    for word in _WORD.findall(text):
        word = word.removesuffix("'s")
        words += _EXPANSIONS.get(word, ())
        if word not in _STOP and (len(word) > 1 or word.isdigit()):
            words.append(word)
    return list(dict.fromkeys(words)) or [word for word in _WORD.findall(text) if word.isalnum()]


def _split_camel(text: str) -> list[str]:
    parts: list[str] = []
    for word in text.split():
        pieces = split_name(word) if re.search(r"[a-z][A-Z]", word) else [word]
        parts += [word, *pieces] if len(pieces) > 1 else pieces
    return parts


def _one_spelling(text: str) -> str:
    text = text.lower().replace("’", "'")
    for pattern, replacement in _SPELLING:
        text = pattern.sub(replacement, text)
    return text


def _indexed(entry: dict[str, Any]) -> dict[str, str]:
    parameters = {**entry["facts"].get("parameters", {}), **(entry.get("parameters") or {})}
    texts = {
        "name": f"{entry['name']} {' '.join(split_name(entry['name']))}",
        "title": entry["title"],
        "summary": entry["summary"],
        "keywords": " . ".join(entry.get("keywords", ())),
        "asks": " . ".join(entry.get("asks", ())),
        "description": f"{entry.get('description', '')} {entry.get('side_effects', '')}",
        "parameters": " ".join(" ".join([name, *split_name(name)]) for name in parameters),
        "tag": entry["facts"].get("tag", ""),
    }
    return {column: _one_spelling(text) for column, text in texts.items()}


def overview(registry: Registry) -> dict[str, int]:
    """How many endpoints each area has."""
    return {area: len(registry.names(area)) for area in AREAS}
