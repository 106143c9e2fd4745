"""Token counting, and cutting any JSON value down to a number of tokens."""

from __future__ import annotations

import json
import math
from typing import Any

BYTES_PER_TOKEN = 3.5
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def compact(value: Any) -> str:
    """Compact JSON that is valid JSON whatever Python held: no lone surrogates, no NaN, no infinity."""
    try:
        text = _ENCODER.encode(value)
    except ValueError:
        text = json.dumps(_finite(value), ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace").decode("utf-8")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, list | tuple) else value


def tokens(text: str) -> int:
    """A conservative token count: 3.5 bytes of UTF-8 each, rounded up."""
    return -int(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN)


def cut_text(text: str, length: int) -> str:
    """`text`, or its beginning and how long it was."""
    return text if len(text) <= length else f"{text[:length]}… ({len(text)} characters)"


def summary(value: Any, length: int) -> Any:
    """One table cell: scalars as they are, long text cut, objects and lists reduced to what names them."""
    if isinstance(value, str):
        return cut_text(value, length)
    if isinstance(value, dict):
        text = compact(value)
        if len(text) <= length:
            return value
        named = _label(value)
        return cut_text(named if named is not None else text, length)
    if isinstance(value, list):
        if len(compact(value)) <= length:
            return value
        labels = [_label(item) if isinstance(item, dict) else item for item in value]
        if all(isinstance(label, str | int | float) for label in labels):
            return cut_text(", ".join(map(str, labels)), length)
        return cut_text(compact(value), length)
    return value


def _label(value: dict[str, Any]) -> str | None:
    folded = {name.lower(): inner for name, inner in value.items()}
    for name in ("displayname", "name", "label", "userprincipalname", "value", "id"):
        if isinstance(folded.get(name), str | int):
            return str(folded[name])
    return None


def prune(value: Any, budget: int) -> tuple[Any, bool]:
    """(`value` or as much of its structure as `budget` tokens hold, whether something was left out)."""
    if tokens(compact(value)) <= budget:
        return value, False
    for length, count, depth in (
        (2000, 200, 8),
        (500, 50, 8),
        (200, 20, 6),
        (100, 10, 5),
        (60, 5, 4),
        (40, 3, 3),
        (20, 2, 2),
    ):
        smaller = _pruned(value, length, count, depth)
        if tokens(compact(smaller)) <= budget:
            return smaller, True
    return cut_text(compact(value), max(0, int(budget * BYTES_PER_TOKEN / 4) - 40)), True


def _pruned(value: Any, length: int, count: int, depth: int) -> Any:
    if isinstance(value, str):
        return cut_text(value, length)
    if isinstance(value, list):
        if depth == 0:
            return f"({len(value)} items)"
        kept = [_pruned(item, length, count, depth - 1) for item in value[:count]]
        return kept if len(value) <= count else [*kept, f"… ({len(value) - count} more)"]
    if isinstance(value, dict):
        if depth == 0:
            return f"({len(value)} fields)"
        names = list(value)
        shown = {cut_text(name, 100): _pruned(value[name], length, count, depth - 1) for name in names[: count * 4]}
        return shown if len(names) <= count * 4 else {**shown, "…": f"{len(names) - count * 4} more fields"}
    return value
