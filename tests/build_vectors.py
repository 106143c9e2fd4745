"""Makes the files of vectors from the catalogue: ``pip install numpy scikit-learn; python -m tests.build_vectors``.

Run it after changing prose, keywords or asks; tests/test_search.py says when the files are stale. The word vectors in
wording.bin stay as they are; ``python -m tests.build_vectors --words`` makes them anew from the sentence model
all-MiniLM-L6-v2, which the package sentence-transformers has to find on this machine (SENTENCE_MODEL: its folder).
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from cipp_mcp.registry import Registry
from cipp_mcp.registry.language import expansions, plain_words, query_words, stem
from cipp_mcp.registry.meaning import Meaning, pack

DIMENSIONS = 160
WORD_DIMENSIONS = 96
_GROUPS = 4
_COMMON = 1e-2
_FOLDER = Path(__file__).parents[1] / "tool_specs"


def asks_of(entry: dict[str, Any]) -> list[str]:
    """Everything in an entry that is said in the way people ask."""
    return [*entry.get("asks", ()), *entry.get("keywords", ()), entry["summary"], entry["title"]]


def documents(registry: Registry) -> dict[str, str]:
    """Endpoint name -> the stems of everything that is written about it, jargon translated."""
    found: dict[str, str] = {}
    for _area, entry in registry.raw():
        words: list[str] = []
        for text in asks_of(entry):
            own = query_words(text)
            words += own + [word for word in expansions(text) if word not in own]
        words += query_words(entry.get("description", ""))
        found[entry["name"]] = " ".join(map(stem, words))
    return found


def digest(texts: dict[str, str]) -> str:
    """A digest of everything the vectors are computed from."""
    return hashlib.sha256("\n".join(f"{name} {text}" for name, text in sorted(texts.items())).encode()).hexdigest()[:16]


def build_vectors(registry: Registry) -> bytes:
    """Latent semantic analysis: TF-IDF of the documents, truncated singular value decomposition."""
    import numpy as np
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import normalize

    texts = documents(registry)
    names = sorted(texts)
    vectorizer = TfidfVectorizer(tokenizer=str.split, token_pattern=None, sublinear_tf=True, lowercase=False)
    matrix = vectorizer.fit_transform([texts[name] for name in names])
    components = TruncatedSVD(DIMENSIONS, random_state=0).fit(matrix).components_.T
    weighted = components * vectorizer.idf_[:, None]
    largest = np.abs(weighted).max(axis=1, keepdims=True) + 1e-9
    words = np.round(weighted / largest * 127).astype(int)
    endpoints = np.round(normalize(matrix @ components) * 127).astype(int)
    vocabulary = [str(word) for word in vectorizer.get_feature_names_out()]
    scales = [float(value) / 127 for value in largest.ravel()]
    return pack(digest(texts), DIMENSIONS, vocabulary, scales, names, [*words.tolist(), *endpoints.tolist()])


def build_wording(registry: Registry, words: list[str], rows: list[list[int]]) -> bytes:
    """`rows` are unit vectors of `words` times 127; each endpoint gets the centres of groups of its asks.

    A word weighs a / (a + p) with p the share of all asks that have it (smooth inverse frequency).
    """
    import numpy as np
    from sklearn.cluster import KMeans
    from sklearn.preprocessing import normalize

    entries = {entry["name"]: asks_of(entry) for _, entry in registry.raw()}
    seen: Counter[str] = Counter()
    for asks in entries.values():
        for ask in asks:
            seen.update(set(plain_words(ask)))
    total = sum(map(len, entries.values()))
    scales = [_COMMON / (_COMMON + seen[word] / total) / 127 for word in words]
    weighted = np.array(rows, dtype=float) * np.array(scales)[:, None]
    at = {word: position for position, word in enumerate(words)}
    names: list[str] = []
    centres: list[list[int]] = []
    for name in sorted(entries):
        vectors = []
        for ask in entries[name]:
            known = [at[word] for word in (*plain_words(ask), *expansions(ask)) if word in at]
            if known:
                vectors.append(weighted[known].sum(axis=0))
        groups = min(_GROUPS, len(vectors))
        if groups:
            found = KMeans(groups, n_init=3, random_state=0).fit(normalize(np.array(vectors))).cluster_centers_
            centres += np.round(normalize(found) * 127).astype(int).tolist()
            names += [name] * groups
    return pack(digest(documents(registry)), WORD_DIMENSIONS, words, scales, names, [*rows, *centres])


def word_vectors(registry: Registry) -> tuple[list[str], list[list[int]]]:
    """The model's whole English words and the catalogue's own, each with its vector cut to its main components."""
    import numpy as np
    from sentence_transformers import SentenceTransformer
    from sklearn.preprocessing import normalize

    model = SentenceTransformer(os.environ["SENTENCE_MODEL"])
    english = {word for word in model.tokenizer.get_vocab() if re.fullmatch(r"[a-z]{2,}", word)}
    ours = {word for _, entry in registry.raw() for text in asks_of(entry) for word in plain_words(text)}
    words = sorted(english | {word for word in ours if len(word) > 1})
    vectors = np.asarray(model.encode(words, batch_size=512), dtype=float)
    centred = vectors - vectors.mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:WORD_DIMENSIONS]
    return words, np.round(normalize(centred @ axes.T) * 127).astype(int).tolist()


def main() -> None:
    registry = Registry.load()
    if "--words" in sys.argv:
        words, rows = word_vectors(registry)
    else:
        kept = Meaning.load("wording.bin").word_rows()
        words, rows = [word for word, _, _ in kept], [row for _, _, row in kept]
    for name, content in (
        ("vectors.bin", build_vectors(registry)),
        ("wording.bin", build_wording(registry, words, rows)),
    ):
        (_FOLDER / name).write_bytes(content)
        print(f"{name}: {len(content) / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
