"""Puts right what is mistyped: a word that nobody knows becomes one that is a single slip away.

A slip is a letter too many, too few or wrong, or two letters swapped (Damerau-Levenshtein distance 1).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

_WORD = re.compile(r"\b[A-Za-z]{5,20}\b")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_RARE = 3
_MOST = 6
"""So many words of a query are looked at: a page of gibberish must not take long."""
_EASY = 5
"""Letters swapped, or one for two of the same, are likelier by this than any other slip."""


def corrected(text: str, known: Callable[[str], bool], often: Callable[[str], int]) -> str:
    """`text` with unknown words replaced by the commonest known one that is a slip away.

    A capital inside a sentence marks a name, which is left alone, and so is what would only become a rare word.
    """

    tried = 0

    def mend(match: re.Match[str]) -> str:
        nonlocal tried
        word = match[0]
        lower = word.lower()
        is_name = match.start() > 0 and word[0].isupper() and text != text.upper()
        if is_name or known(lower) or tried == _MOST:
            return word
        tried += 1
        best = max(_slips(lower), key=lambda slip: often(slip[0]) * slip[1])[0]
        return best if often(best) >= _RARE else word

    return _WORD.sub(mend, text)


def _slips(word: str) -> Iterator[tuple[str, int]]:
    """What may have been meant, with how likely such a slip is."""
    for at in range(len(word) + 1):
        before, after = word[:at], word[at:]
        if after:
            yield before + after[1:], _EASY if before[-1:] == after[0] else 1
        if len(after) > 1:
            yield before + after[1] + after[0] + after[2:], _EASY
        for letter in _LETTERS:
            if after and at:  # the first letter is seldom the wrong one
                yield before + letter + after[1:], 1
            yield before + letter + after, _EASY if letter in (before[-1:], after[:1]) else 1
