"""Natural arguments make exactly the request that CIPP's handlers read; each case names its source."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cipp_mcp.calls.request import build_request
from cipp_mcp.registry import Registry

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parent / "request_corpus.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["endpoint"])
def test_natural_arguments_make_the_request_that_the_handler_reads(case: dict[str, Any]) -> None:
    request = build_request(Registry.load()[case["endpoint"]], case["arguments"])
    assert request.query == case["query"], case["source"]
    assert request.body == case["body"], case["source"]


def test_the_corpus_covers_the_hardest_requests() -> None:
    assert len({case["endpoint"] for case in CASES}) >= 120
    assert all(case["source"] for case in CASES)
