"""The right endpoint is found by what people say; measured on intents that tuning has not seen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cipp_mcp.registry import Registry
from cipp_mcp.registry.files import read_all
from cipp_mcp.registry.meaning import Meaning
from cipp_mcp.registry.search import Search
from cipp_mcp.registry.spelling import corrected
from cipp_mcp.results.budget import compact, tokens
from cipp_mcp.server.catalogue import describe_answer, search_answer
from tests.build_vectors import digest

INTENTS: list[dict[str, Any]] = json.loads((Path(__file__).parent / "intents.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def search() -> Search:
    return Search(Registry.load())


def quality(search: Search, half: str, kind: str | None = None) -> dict[str, float]:
    """recall@1, @3, @5 and mean reciprocal rank over the intents of one half, and of one kind."""
    ranks = []
    for intent in INTENTS:
        if intent["half"] == half and kind in (None, intent["kind"]):
            hits = [hit.endpoint.name for hit in search.find(intent["query"], limit=20)]
            ranks.append(next((place for place, name in enumerate(hits, 1) if name in intent["accept"]), 1000))
    found = {f"recall@{depth}": sum(rank <= depth for rank in ranks) / len(ranks) for depth in (1, 3, 5)}
    return found | {"MRR": sum(1 / rank for rank in ranks if rank < 1000) / len(ranks)}


# The floor for jargon is two intents below 0.90: other random numbers or a little prose move single ranks when trained.
@pytest.mark.parametrize(
    ("kind", "measure", "floor"), [("plain", "recall@5", 0.95), ("jargon", "recall@5", 0.88), (None, "recall@1", 0.75)]
)  # fmt: skip
def test_the_untouched_intents_are_found(search: Search, kind: str | None, measure: str, floor: float) -> None:
    assert quality(search, "held", kind)[measure] >= floor


def test_the_intents_are_enough_and_name_real_endpoints() -> None:
    assert len(INTENTS) >= 250
    assert sum(intent["kind"] == "jargon" for intent in INTENTS) * 2 >= len(INTENTS)
    assert all(Registry.load().resolve(name) == name for intent in INTENTS for name in intent["accept"])


def test_no_intent_of_the_test_is_a_training_sentence() -> None:
    asks = {ask.lower() for _, entry in Registry.load().raw() for ask in entry.get("asks", ())}
    assert [intent["query"] for intent in INTENTS if intent["query"].lower() in asks] == []


def test_the_vectors_are_those_of_this_catalogue() -> None:
    assert Meaning.load().digest == digest(Registry.load()), "run: python -m tests.build_vectors"


@pytest.mark.parametrize("query", ["ListMFAUsers", "listmfausers", "/api/ListMFAUsers", "Invoke-ListMFAUsers"])
def test_a_query_that_is_a_name_finds_it_first(search: Search, query: str) -> None:
    assert search.find(query)[0].endpoint.name == "ListMFAUsers"


@pytest.mark.parametrize("name", [e.name for e in Registry.load() if e.callable])
def test_every_endpoint_is_found_by_its_own_title(search: Search, name: str) -> None:
    title = Registry.load()[name].title
    assert name in [hit.endpoint.name for hit in search.find(title, limit=5)], title


def test_nothing_found_gives_near_names_and_areas(search: Search) -> None:
    answer = search_answer(search, Registry.load(), {"query": "zzqx"})
    assert answer["hits"] == []
    assert set(answer["areas"]) >= {"identity", "exchange"}


def test_an_empty_query_gives_an_overview(search: Search) -> None:
    assert "identity" in search_answer(search, Registry.load(), {})["areas"]


def test_every_search_answer_costs_at_most_800_tokens(search: Search) -> None:
    registry = Registry.load()
    queries = [intent["query"] for intent in INTENTS] + ["", "user", "template", "x" * 5000, "\ud800", '"OR" AND NOT *']
    for query in queries:
        for limit in (None, 20):
            answer = search_answer(search, registry, {"query": query} | ({"limit": limit} if limit else {}))
            assert tokens(compact({"outcome": "ok", **answer})) + 60 <= 800, query
    for area in ("identity", "tenant"):
        assert tokens(compact(search_answer(search, registry, {"area": area}))) + 60 <= 800


def test_every_description_costs_at_most_3000_tokens() -> None:
    registry = Registry.load()
    for name in registry.names():
        assert tokens(compact(describe_answer(registry, {"names": [name]}))) + 60 <= 3000, name
    many = describe_answer(registry, {"names": registry.names()[:40]})
    assert tokens(compact(many)) + 60 <= 3000
    assert many["left_out"]


def test_an_area_or_risk_narrows_the_hits(search: Search) -> None:
    hits = search.find("delete", area="exchange", risk="destructive")
    assert hits
    assert {(hit.endpoint.area, hit.endpoint.risk) for hit in hits} == {("exchange", "destructive")}


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("ofboard a leaver", "ExecOffboardUser"),
        ("mailbox forwading to outside", "ListMailboxForwarding"),
        ("conditonal access polices", "ListConditionalAccessPolicies"),
        ("autopliot devices", "ListAPDevices"),
        ("quarentine", "ListMailQuarantine"),
    ],
)
def test_a_slip_of_the_pen_is_forgiven(search: Search, query: str, name: str) -> None:
    assert name in [hit.endpoint.name for hit in search.find(query, limit=3)]


def test_names_and_words_that_are_right_are_left_alone() -> None:
    often = {"forward": 9, "hansen": 9}
    assert corrected("where does Jansen forward", often.__contains__, lambda word: often.get(word, 0)).endswith(
        "Jansen forward"
    )
    assert corrected("forwrad it", often.__contains__, lambda word: often.get(word, 0)) == "forward it"


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("TAP", "ExecCreateTAP"),
        ("LAPS", "ExecGetLocalAdminPassword"),
        ("CA policies", "ListConditionalAccessPolicies"),
        ("GDAP", "ListGDAPRelationships"),
        ("OOF", "ExecSetOoO"),
        ("BEC", "ExecBECCheck"),
        ("SKU", "ListLicenses"),
        ("MDM", "ListDevices"),
        ("SSPR", "ExecResetPass"),
    ],
)
def test_abbreviations_of_the_trade_are_understood(search: Search, query: str, name: str) -> None:
    assert name in [hit.endpoint.name for hit in search.find(query, limit=3)]


def test_what_only_a_deployment_has_is_found_by_its_words() -> None:
    areas = read_all()
    model = next(entry for entry in areas["tools"] if entry["name"] == "ListCommunityRepos")
    areas["tools"].append(
        {
            **model,
            "name": "ListZeppelinHangars",
            "title": "Zeppelin hangars",
            "summary": "List the hangars of all zeppelins",
            "keywords": ["airship mooring"],
        }
    )
    names = [hit.endpoint.name for hit in Search(Registry(areas)).find("list the zeppelin hangars in use")]
    assert names[0] == "ListZeppelinHangars"
