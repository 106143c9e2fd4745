"""How well and how fast endpoints are found: ``python -m tests.benchmarks.retrieval``.

Recall and mean reciprocal rank by kind on the tuned and on the untouched half of tests/intents.json, and the CPU
time of a search over the whole catalogue.
"""

from __future__ import annotations

import statistics
import time

from cipp_mcp.registry import Registry
from cipp_mcp.registry.search import Search
from tests.test_search import INTENTS, quality


def main() -> None:
    began = time.process_time()
    search = Search(Registry.load())
    built = time.process_time() - began
    print(f"{'':18}{'recall@1':>10}{'recall@3':>10}{'recall@5':>10}{'MRR':>8}")
    for half in ("tuned", "held"):
        for kind in ("plain", "jargon", None):
            found = quality(search, half, kind)
            print(f"{half + ' ' + (kind or 'all'):18}" + "".join(f"{value:10.3f}" for value in found.values()))
    times = []
    for intent in INTENTS:
        start = time.process_time()
        search.find(intent["query"])
        times.append(time.process_time() - start)
    print(
        f"index built in {built * 1000:.0f} ms; a search takes {statistics.median(times) * 1000:.2f} ms (median, CPU)"
    )


if __name__ == "__main__":
    main()
