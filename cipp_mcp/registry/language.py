"""From what people type to words that can be searched: one spelling, no fillers, jargon translated."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

from cipp_mcp.registry.files import folder
from cipp_mcp.registry.words import split_name

# One spelling for both sides of the Atlantic, and one for what is written together, apart or with a hyphen.
_SPELLING = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"isation", "ization"),
        (r"(?<=[a-z]{2})is(e|ed|es|ing)\b", r"iz\1"),
        (r"licence", "license"),
        (r"colour", "color"),
        (r"behaviour", "behavior"),
        (r"centre\b", "center"),
        (r"catalogue", "catalog"),
        (r"cancell", "cancel"),
        (r"enrolment", "enrollment"),
        (r"\be-mail", "email"),
        (r"\bsign[ -]?in(s?)\b", r"signin\1"),
        (r"\blog[ -]?(in|on)(s?)\b", r"signin\2"),
        (r"\bmail ?box", "mailbox"),
        (r"\bone ?drive", "onedrive"),
        (r"\bshare ?point", "sharepoint"),
        (r"\bweb ?hook", "webhook"),
        (r"\bpass ?word", "password"),
        (r"\bpass ?code", "passcode"),
        (r"\b(multi-?factor|two-?factor|2fa)( authentication)?", "mfa"),
    )
)
_WORD = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")
_ENDING = re.compile(r"(?:ies|es|s|ing|ed|e)$")


def one_spelling(text: str) -> str:
    """`text` in lower case, with one spelling for what is spelt in several ways."""
    text = text.lower().replace("’", "'")
    for pattern, replacement in _SPELLING:
        text = pattern.sub(replacement, text)
    return text


def stem(word: str) -> str:
    """`word` without its ending; cruder than the index's stemmer, and the same on both sides of a comparison."""
    return _ENDING.sub("", word) if len(word) > 4 else word


def query_words(query: str) -> list[str]:
    """The words of a query that carry meaning, without repeats; all of them when none does."""
    found = [word.removesuffix("'s") for word in _WORD.findall(one_spelling(" ".join(_split_camel(query))))]
    stop = _thesaurus()[0]
    kept = [word for word in found if word not in stop and (len(word) > 1 or word.isdigit())]
    return list(dict.fromkeys(kept or [word for word in found if word.isalnum()]))


def plain_words(text: str) -> list[str]:
    """Every word of `text` in one spelling, fillers included: their vectors weigh next to nothing."""
    return re.findall(r"[a-z0-9]+", one_spelling(text))


def expansions(query: str) -> list[str]:
    """The catalogue's words for the jargon in `query`: the longest phrase at each place wins."""
    phrases = _thesaurus()[1]
    tokens = [stem(word) for word in re.findall(r"[a-z0-9]+", query.lower().replace("'s", ""))]
    found: list[str] = []
    position = 0
    while position < len(tokens):
        for phrase, words in phrases.get(tokens[position], ()):
            if tokens[position : position + len(phrase)] == phrase:
                found += words
                position += len(phrase) - 1
                break
        position += 1
    return list(dict.fromkeys(one_spelling(word) for word in found))


def is_phrase(word: str) -> bool:
    """Whether the thesaurus translates something that begins with the stem `word`."""
    return word in _thesaurus()[1]


def _split_camel(text: str) -> list[str]:
    parts: list[str] = []
    for word in text.split():
        pieces = split_name(word) if re.search(r"[a-z][A-Z]", word) else [word]
        parts += [word, *pieces] if len(pieces) > 1 else pieces
    return parts


@cache
def _thesaurus() -> tuple[frozenset[str], dict[str, list[tuple[list[str], list[str]]]]]:
    """(words without meaning, phrases by their first word), from ``tool_specs/thesaurus.json``."""
    data: dict[str, Any] = json.loads((folder() / "thesaurus.json").read_text(encoding="utf-8"))
    phrases: dict[str, list[tuple[list[str], list[str]]]] = {}
    for phrase, words in data["expansions"].items():
        tokens = [stem(word) for word in re.findall(r"[a-z0-9]+", phrase)]
        if tokens:
            phrases.setdefault(tokens[0], []).append((tokens, words))
    for same_start in phrases.values():
        same_start.sort(key=lambda pair: -len(pair[0]))
    return frozenset(data["stop"]), phrases
