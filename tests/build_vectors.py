"""Makes ``tool_specs/vectors.bin`` from the catalogue: ``pip install numpy scikit-learn; python -m tests.build_vectors``.

Run it after changing prose, keywords or asks; tests/test_search.py says when the file is stale.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from cipp_mcp.registry import Registry
from cipp_mcp.registry.language import expansions, query_words, stem
from cipp_mcp.registry.meaning import pack

DIMENSIONS = 160


def documents(registry: Registry) -> dict[str, str]:
    """Endpoint name -> the stems of everything that is written about it, jargon translated."""
    found: dict[str, str] = {}
    for _area, entry in registry.raw():
        texts = [*entry.get("asks", ()), *entry.get("keywords", ()), entry["summary"], entry["title"]]
        words: list[str] = []
        for text in texts:
            own = query_words(text)
            words += own + [word for word in expansions(text) if word not in own]
        words += query_words(entry.get("description", ""))
        found[entry["name"]] = " ".join(map(stem, words))
    return found


def digest(texts: dict[str, str]) -> str:
    """A digest of everything the vectors are computed from."""
    return hashlib.sha256("\n".join(f"{name} {text}" for name, text in sorted(texts.items())).encode()).hexdigest()[:16]


def main() -> None:
    import numpy as np
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import normalize

    texts = documents(Registry.load())
    names = sorted(texts)
    vectorizer = TfidfVectorizer(tokenizer=str.split, token_pattern=None, sublinear_tf=True, lowercase=False)
    matrix = vectorizer.fit_transform([texts[name] for name in names])
    components = TruncatedSVD(DIMENSIONS, random_state=0).fit(matrix).components_.T
    weighted = components * vectorizer.idf_[:, None]
    largest = np.abs(weighted).max(axis=1, keepdims=True) + 1e-9
    words = np.round(weighted / largest * 127).astype(int)
    endpoints = np.round(normalize(matrix @ components) * 127).astype(int)
    vocabulary = [str(word) for word in vectorizer.get_feature_names_out()]
    content = pack(
        digest(texts),
        DIMENSIONS,
        vocabulary,
        [float(value) / 127 for value in largest.ravel()],
        names,
        [*words.tolist(), *endpoints.tolist()],
    )
    path = Path(__file__).parents[1] / "tool_specs" / "vectors.bin"
    path.write_bytes(content)
    print(f"{path.name}: {len(vocabulary)} words, {len(names)} endpoints, {len(content) / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
