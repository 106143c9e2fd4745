"""Makes ``tool_specs/vectors.bin`` from the catalogue: ``pip install numpy scipy; python -m tests.build_vectors``.

Run it after changing prose, keywords or asks, or the thesaurus; tests/test_search.py says when the file is stale. It
takes a minute, and gives the same file for the same catalogue on one machine.

``tests/english.bin`` holds vectors of 25,000 English words, distilled from the sentence model all-MiniLM-L6-v2
(Apache-2.0). It only changes with ``--words``, for which the package sentence-transformers has to find that model
(SENTENCE_MODEL: its folder).
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from array import array
from collections import defaultdict
from pathlib import Path
from typing import Any

from cipp_mcp.registry import Registry
from cipp_mcp.registry.language import plain_words, query_words, stem
from cipp_mcp.registry.meaning import pack, unpack
from cipp_mcp.registry.search import weighted_stems
from cipp_mcp.registry.words import split_name
from tests.training import DIMENSIONS, train

_ENGLISH = Path(__file__).parent / "english.bin"
_VECTORS = Path(__file__).parents[1] / "tool_specs" / "vectors.bin"
_ENGLISH_DIMENSIONS = 96
_REPEATED = 4
"""How often title, summary and name are taught for once that an ask is: they say best what an endpoint is."""
_NEAR = 24


def asks_of(entry: dict[str, Any]) -> list[str]:
    """Everything in an entry that is said in the way people ask."""
    return [*entry.get("asks", ()), entry["summary"], *entry.get("keywords", ())]


def lessons(entry: dict[str, Any]) -> list[str]:
    """Every sentence from which an endpoint is learnt."""
    core = [entry["title"], entry["summary"], " ".join(split_name(entry["name"]))]
    description = [part for part in entry.get("description", "").split(". ") if part.strip()]
    return [*asks_of(entry), entry["title"], *core * _REPEATED, *description]


def digest(registry: Registry) -> str:
    """A digest of everything the vectors are computed from."""
    told = [
        f"{entry['name']} " + " ".join(f"{word}{weight:.1g}" for text in lessons(entry) for word, weight in stems(text))
        for _, entry in registry.raw()
    ]
    return hashlib.sha256("\n".join(sorted(told)).encode()).hexdigest()[:16]


def stems(text: str) -> list[tuple[str, float]]:
    return weighted_stems(text)


def build_vectors(registry: Registry) -> bytes:
    """The trained model in signed bytes, each word's closest endpoints, and the words of every ask by word."""
    import numpy as np

    entries = {entry["name"]: entry for _, entry in registry.raw()}
    names = sorted(entries)
    sentences = [(stems(text), number) for number, name in enumerate(names) for text in lessons(entries[name])]
    model = train([(told, number) for told, number in sentences if told], len(names), _english())
    at = {word: position for position, word in enumerate(model.vocabulary[: model.used])}

    asked, lengths = [0], list[int]()
    holders: dict[int, list[int]] = defaultdict(list)
    for name in names:
        for ask in asks_of(entries[name]):
            words = set(map(stem, query_words(ask)))
            for word in words:
                holders[at[word]].append(len(lengths))
            lengths.append(min(255, len(words)))
        asked.append(len(lengths))
    starts = [0]
    for position in range(model.used):
        starts.append(starts[-1] + len(holders[position]))

    speaks = model.words[: model.used] @ (model.endpoints - model.endpoints.mean(axis=0)).T
    closest = np.argsort(-speaks, axis=1)[:, :_NEAR]
    closeness = np.maximum(np.take_along_axis(speaks, closest, axis=1), 0)
    closeness = np.round(closeness / closeness.max() * 65535)
    values, scales = _in_bytes(model.words)
    rows, heights = _in_bytes(model.endpoints)
    head = {
        "digest": digest(registry),
        "dimensions": DIMENSIONS,
        "near": _NEAR,
        "used": model.used,
        "words": model.vocabulary,
        "endpoints": names,
    }
    parts: dict[str, array[Any]] = {
        "values": array("b", values.ravel().tolist()),
        "scales": array("f", scales.tolist()),
        "rows": array("b", rows.ravel().tolist()),
        "heights": array("f", heights.tolist()),
        "bias": array("f", model.bias.tolist()),
        "closest": array("H", closest.ravel().tolist()),
        "closeness": array("H", closeness.astype(int).ravel().tolist()),
        "asks": array("H", (ask for position in range(model.used) for ask in holders[position])),
        "starts": array("I", starts),
        "lengths": array("B", lengths),
        "asked": array("H", asked),
    }
    return pack(head, parts)


def _in_bytes(matrix: Any) -> tuple[Any, Any]:
    """Every row as signed bytes, and what they have to be multiplied with."""
    import numpy as np

    largest = np.abs(matrix).max(axis=1, keepdims=True) + 1e-9
    return np.round(matrix / largest * 127).astype(int), (largest / 127).ravel()


def _english() -> dict[str, Any]:
    """The mean vector of the English words of each stem."""
    import numpy as np

    head, parts = unpack(_ENGLISH.read_bytes())
    rows = np.array(parts["values"], dtype=np.float32).reshape(len(head["words"]), -1) / 127
    alike: dict[str, list[Any]] = defaultdict(list)
    for word, row in zip(head["words"], rows, strict=True):
        alike[stem(word)].append(row)
    return {word: np.mean(found, axis=0) for word, found in alike.items()}


def word_vectors(registry: Registry) -> bytes:
    """The model's whole English words and the catalogue's own, each with its vector cut to its main components."""
    import numpy as np
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(os.environ["SENTENCE_MODEL"])
    english = {word for word in model.tokenizer.get_vocab() if re.fullmatch(r"[a-z]{2,}", word)}
    ours = {word for _, entry in registry.raw() for text in asks_of(entry) for word in plain_words(text)}
    words = sorted(english | {word for word in ours if len(word) > 1})
    vectors = np.asarray(model.encode(words, batch_size=512), dtype=float)
    axes = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)[2][:_ENGLISH_DIMENSIONS]
    cut = (vectors - vectors.mean(axis=0)) @ axes.T
    unit = np.round(cut / np.linalg.norm(cut, axis=1, keepdims=True) * 127).astype(int)
    return pack({"words": words}, {"values": array("b", unit.ravel().tolist())})


def main() -> None:
    registry = Registry.load()
    if "--words" in sys.argv:
        _ENGLISH.write_bytes(word_vectors(registry))
    content = build_vectors(registry)
    _VECTORS.write_bytes(content)
    print(f"{_VECTORS.name}: {len(content) / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
