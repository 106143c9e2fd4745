"""Answers fit the budget whatever comes in, and nothing of them is lost to a query."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cipp_mcp.demo import DemoCipp
from cipp_mcp.errors import Refused
from cipp_mcp.results.budget import compact, prune, tokens
from cipp_mcp.results.query import QueryLimits
from cipp_mcp.results.rows import RowReader
from cipp_mcp.results.shape import row_page
from cipp_mcp.results.store import ResultStore
from tests.conftest import body, call, in_memory, read, settings_for

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40) | st.just("x" * 3000),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=5),
    max_leaves=25,
)


def store_of(rows: list[Any]) -> tuple[ResultStore, Any]:
    store = ResultStore()
    return store, store.add("test", ((row, compact(row)) for row in rows))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    rows=st.lists(JSON, max_size=30),
    budget=st.integers(300, 4000),
    fields=st.sampled_from([None, ["*"], ["a.b", "id"]]),
)
def test_a_page_of_any_rows_fits_its_budget_and_is_json(rows: list[Any], budget: int, fields: list[str] | None) -> None:
    store, result = store_of(rows)
    part = row_page(
        store.rows(result.handle, 0, 200),
        result,
        start=0,
        limit=None,
        columns=["id", "displayName"],
        fields=fields,
        budget=budget,
    )
    text = compact(part)
    assert tokens(text) <= budget
    assert json.loads(text)["total"] == len(rows)
    assert part.get("truncated") or part["count"] == len(rows)
    store.close()


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(st.dictionaries(st.text(max_size=12), JSON, max_size=6), max_size=20))
def test_a_query_over_the_handle_returns_every_row_that_came_in(rows: list[Any]) -> None:
    store, result = store_of(rows)
    counted = store.query(f"SELECT count(*) AS n FROM {result.handle}")
    assert store.rows(counted.handle, 0, 1) == [{"n": len(rows)}]
    assert store.query(f"SELECT * FROM {result.handle}").count == len(rows)
    store.close()


@settings(max_examples=150, deadline=None)
@given(value=JSON, budget=st.integers(60, 3000))
def test_any_object_is_cut_to_its_budget(value: Any, budget: int) -> None:
    smaller, cut = prune(value, budget)
    assert tokens(compact(smaller)) <= budget
    assert cut or compact(smaller) == compact(value)


@settings(max_examples=100, deadline=None)
@given(rows=st.lists(JSON, max_size=12), envelope=st.booleans(), ascii_only=st.booleans())
def test_rows_are_split_as_json_reads_them(rows: list[Any], envelope: bool, ascii_only: bool) -> None:
    value: Any = {"Results": rows, "Metadata": {"nextLink": "x"}} if envelope else rows
    content = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "replace")
    reader = RowReader.of(content)
    assert reader is not None
    wanted = json.loads(content, parse_constant=lambda _: None)
    assert [row for row, _ in reader] == (wanted["Results"] if envelope else wanted)
    assert not envelope or reader.rest == {"Metadata": {"nextLink": "x"}}


@pytest.mark.parametrize("content", [b"[1, 2", b"[{}", b'[{"a": ', b'{"Results": [{}], "Meta', b"[1] 2", b"[1 2]x"])
def test_a_list_that_is_cut_short_is_noticed(content: bytes) -> None:
    reader = RowReader.of(content)
    assert reader is not None
    with pytest.raises(ValueError, match=r".+"):
        list(reader)


def test_a_row_of_five_megabytes_and_two_hundred_thousand_rows_fit() -> None:
    for rows in ([{"id": "1", "html": "x" * 5_000_000}], [{"id": str(n)} for n in range(200_000)]):
        store, result = store_of(rows)
        part = row_page(
            store.rows(result.handle, 0, 200),
            result,
            start=0,
            limit=None,
            columns=["id", "html"],
            fields=None,
            budget=1000,
        )
        assert tokens(compact(part)) <= 1000
        assert part["total"] == len(rows)
        store.close()


def test_booleans_are_numbers_missing_is_null_and_objects_are_json() -> None:
    store, result = store_of([{"on": True, "who": {"name": "A"}, "tags": [1, 2]}, {"on": False, "n": 1.5}])
    sql = f'SELECT "on", "who.name" AS name, who, json_array_length(tags) AS tags, n FROM {result.handle}'
    found = store.rows(store.query(sql).handle, 0, 2)
    assert found == [
        {"on": 1, "name": "A", "who": '{"name":"A"}', "tags": 2, "n": None},
        {"on": 0, "name": None, "who": None, "tags": None, "n": 1.5},
    ]


def test_results_can_be_joined_and_lists_inside_them_opened() -> None:
    store, users = store_of([{"id": "1", "skus": [{"sku": "A"}, {"sku": "B"}]}, {"id": "2", "skus": []}])
    prices = store.add("prices", ((row, compact(row)) for row in [{"sku": "A", "price": 3}, {"sku": "B", "price": 4}]))
    sql = (
        f"SELECT u.id, sum(p.price) AS total FROM {users.handle} u, json_each(u.skus) s "
        f"JOIN {prices.handle} p ON p.sku = json_extract(s.value, '$.sku') GROUP BY u.id"
    )
    assert store.rows(store.query(sql).handle, 0, 5) == [{"id": "1", "total": 7}]


HOSTILE = [
    "DELETE FROM r1",
    "UPDATE r1 SET id = 1",
    "INSERT INTO r1 VALUES (1)",
    "DROP TABLE _r1",
    "DROP VIEW r1",
    "CREATE TABLE x (y)",
    "CREATE TEMP TABLE x AS SELECT 1",
    "CREATE VIEW x AS SELECT 1",
    "CREATE TRIGGER t AFTER INSERT ON _r1 BEGIN SELECT 1; END",
    "CREATE INDEX i ON _r1(_row)",
    "CREATE VIRTUAL TABLE f USING fts5(x)",
    "ALTER TABLE _r1 RENAME TO x",
    "ATTACH DATABASE '/etc/passwd' AS x",
    "ATTACH ':memory:' AS x",
    "DETACH main",
    "VACUUM",
    "VACUUM INTO 'copy.db'",
    "PRAGMA user_version",
    "PRAGMA hard_heap_limit = 0",
    "PRAGMA writable_schema = 1",
    "SELECT * FROM pragma_table_info('_r1')",
    "SELECT * FROM pragma_database_list",
    "SELECT load_extension('evil')",
    "SELECT readfile('/etc/passwd')",
    "SELECT writefile('x', 'y')",
    "SELECT edit('x')",
    "SELECT fts3_tokenizer('x')",
    "SELECT randomblob(1000000000)",
    "SELECT zeroblob(2000000000)",
    "SELECT 1; DELETE FROM _r1",
    "SELECT 1; SELECT 2",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT x",
    "REINDEX",
    "ANALYZE",
    "EXPLAIN DELETE FROM _r1",
    "REPLACE INTO _r1 VALUES (1, 'x')",
    "WITH x AS (SELECT 1) DELETE FROM _r1",
    "SELECT * FROM sqlite_master",
    "SELECT * FROM sqlite_schema",
    "SELECT * FROM sqlite_temp_master",
    "SELECT sql FROM main.sqlite_master",
    "",
    ";",
    "-- nothing",
    "SELECT",
    "SELECT * FROM r99",
    "SELECT nothing FROM r1",
    "\x00SELECT 1",
]


@pytest.mark.parametrize("sql", HOSTILE)
def test_hostile_sql_gets_a_clear_refusal_and_nothing_else(sql: str) -> None:
    store, result = store_of([{"id": "1"}])
    with pytest.raises(Refused) as caught:
        store.query(sql)
    assert caught.value.message
    assert store.rows(result.handle, 0, 2) == [{"id": "1"}]
    store.close()


@pytest.mark.parametrize(
    "sql",
    [
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c",
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c",
        "SELECT count(*) FROM r1 a, r1 b, r1 c, r1 d, r1 e",
        "SELECT a.id FROM r1 a, r1 b, r1 c, r1 d ORDER BY random()",
        "WITH RECURSIVE c(x) AS (SELECT 'x' UNION ALL SELECT x || x FROM c) SELECT length(x) FROM c",
        "SELECT group_concat(a.id || b.id || c.id) FROM r1 a, r1 b, r1 c, r1 d",
    ],
)
def test_a_query_that_would_take_everything_is_stopped(sql: str) -> None:
    store, _ = store_of([{"id": str(n)} for n in range(300)])
    with pytest.raises(Refused):
        store.query(sql, QueryLimits(seconds=0.4, rows=10_000, bytes=1_000_000))
    store.close()


def test_old_results_make_room_and_say_which_read_to_repeat() -> None:
    store = ResultStore(max_bytes=2_000)
    for number in range(4):
        store.add(f"ListUsers page {number}", ((row, compact(row)) for row in [{"x": "y" * 900}]))
    with pytest.raises(Refused) as caught:
        store.get("r1")
    assert caught.value.hint == "Repeat the read it came from: ListUsers page 0"
    assert [result.handle for result in store.handles()] == ["r3", "r4"]


def test_a_result_expires() -> None:
    store = ResultStore(lifetime=-1)
    result = store.add("ListUsers", iter(()))
    with pytest.raises(Refused, match="no longer kept"):
        store.get(result.handle)


def test_a_schema_costs_at_most_150_tokens() -> None:
    store, result = store_of([{f"column{n}": n for n in range(500)}])
    assert tokens(result.schema(150)) <= 150
    assert "+" in result.schema(150)
    store.close()


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan, 10**400, 2**63])
def test_numbers_that_json_or_sqlite_cannot_hold_do_no_harm(number: float) -> None:
    store, result = store_of([{"n": number}])
    assert store.query(f"SELECT n FROM {result.handle}").count == 1
    store.close()


@pytest.mark.anyio
async def test_cursors_walk_through_all_rows_without_calling_again(demo: DemoCipp) -> None:
    tenant = demo.state.tenants[0]
    async with in_memory(settings_for(demo)) as client:
        page = await read(client, "ListUsers", {"limit": 30, "fields": ["id"]}, tenantFilter=tenant.domain)
        found = [row[0] for row in page["rows"]]
        while "cursor" in page:
            page = body(
                await client.call_tool(
                    "cipp_read", {"name": "ListUsers", "cursor": page["cursor"], "limit": 30, "fields": ["id"]}
                )
            )
            found += [row[0] for row in page["rows"]]
    assert sorted(found) == sorted(tenant.users)
    assert len(demo.requests) == 1


@pytest.mark.anyio
async def test_an_identical_read_is_not_made_twice_unless_asked_to(demo: DemoCipp) -> None:
    tenant = demo.state.tenants[0].domain
    async with in_memory(settings_for(demo)) as client:
        for controls in ({}, {"limit": 3}, {"fields": ["id"]}):
            await read(client, "ListUsers", controls, tenantFilter=tenant)
        assert len(demo.requests) == 1
        await read(client, "ListUsers", {"fresh": True}, tenantFilter=tenant)
        assert len(demo.requests) == 2


@pytest.mark.anyio
async def test_a_change_makes_the_next_read_of_its_tenant_fresh(demo: DemoCipp) -> None:
    one, two = demo.state.tenants[:2]
    settings_ = settings_for(demo, CIPP_ACCESS="full", CIPP_CONFIRM="never")
    async with in_memory(settings_) as client:
        for tenant in (one, two):
            await read(client, "ListUsers", tenantFilter=tenant.domain)
        arguments = {"tenantFilter": one.domain, "ID": next(iter(one.users)), "Enable": True}
        await call(client, "cipp_critical", name="ExecDisableUser", arguments=arguments)
        demo.requests.clear()
        for tenant in (one, two):
            await read(client, "ListUsers", tenantFilter=tenant.domain)
    assert [request.query["tenantFilter"] for request in demo.requests] == [one.domain]


@pytest.mark.anyio
async def test_a_long_text_is_attached_up_to_the_budget_and_kept_whole(demo: DemoCipp) -> None:
    demo.answer("ListMailQuarantineMessage", body="From: a@b.example\r\n" + "line of a message\r\n" * 20_000)
    arguments = {"tenantFilter": demo.state.tenants[0].domain, "Identity": "1"}
    async with in_memory(settings_for(demo)) as client:
        result: Any = await client.call_tool("cipp_read", {"name": "ListMailQuarantineMessage", "arguments": arguments})
        reply = body(result)
        whole = await call(client, "cipp_query", sql=f"SELECT length(value) AS n FROM {reply['result']}")
    attached = result.content[1].resource
    assert attached.text.startswith("From: a@b.example")
    assert tokens(result.content[0].text) + tokens(attached.text) <= 6000
    assert whole["rows"][0][0] > 300_000


@pytest.mark.anyio
async def test_an_object_that_is_too_large_is_kept_whole_for_a_query(demo: DemoCipp) -> None:
    demo.answer("ListUserCounts", body={"Groups": [{"name": f"g{n}", "note": "x" * 50} for n in range(3000)]})
    async with in_memory(settings_for(demo)) as client:
        reply = await read(client, "ListUserCounts", tenantFilter=demo.state.tenants[0].domain)
        assert reply["truncated"]
        sql = f"SELECT json_array_length(Groups) AS n FROM {reply['result']}"
        assert (await call(client, "cipp_query", sql=sql))["rows"] == [[3000]]
