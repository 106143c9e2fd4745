"""Makes tenant text safe to show: invisible and bidirectional control characters and lone surrogates go."""

from __future__ import annotations

import re
from typing import Any

# C0/C1 controls but tab and line feeds; soft hyphen; zero-width and bidirectional marks (Unicode TR 36, TR 9);
# variation selectors and the tag block, in which whole hidden sentences can be written; surrogates without a twin.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff\ud800-\udfff\U000e0000-\U000e0fff\U000f0000-\U0010ffff]"
)


_ESCAPED = re.compile(r"\\[ubf]")
_DEEPEST = 60


def clean_text(text: str) -> str:
    """`text` without characters that a reader cannot see but a model obeys."""
    return text if text.isascii() and text.isprintable() else _HIDDEN.sub("", text)


def one_line(text: str) -> str:
    """`text` cleaned and on one line, so that it cannot add lines to what a person is asked."""
    return " ".join(clean_text(text).split())


def cleaned(value: Any, text: str) -> Any:
    """`value` cleaned, where its JSON `text` shows that there may be something to clean; most texts show at once."""
    is_plain = text.isascii() and text.isprintable() and not _ESCAPED.search(text)
    return value if is_plain and text.count("[") + text.count("{") < _DEEPEST else clean(value)


def clean(value: Any, depth: int = 0) -> Any:
    """`value` with every string in it cleaned, names included; nesting beyond 60 levels becomes null."""
    if isinstance(value, str):
        return clean_text(value)
    if depth > _DEEPEST:
        return None
    if isinstance(value, dict):
        return {clean_text(str(name)): clean(inner, depth + 1) for name, inner in value.items()}
    if isinstance(value, list):
        return [clean(inner, depth + 1) for inner in value]
    return value
