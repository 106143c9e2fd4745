"""``cipp-mcp call --csv``: every row, exactly, in a form that no spreadsheet runs."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cipp_mcp.cli.csv_output import cell, write_csv
from cipp_mcp.demo import DemoCipp
from cipp_mcp.results.whole import Whole
from tests.test_cli import run


def rows_of(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


def printed(demo: DemoCipp, *arguments: str, code: int = 0, **environment: str) -> tuple[list[list[str]], str]:
    """(the rows on stdout, what was said on stderr) of a call."""
    base = {name: value for name, value in os.environ.items() if not name.startswith("CIPP_")}
    done = subprocess.run(
        [sys.executable, "-m", "cipp_mcp", "call", *arguments, "--csv"],
        env=base | demo.environment() | environment,
        capture_output=True,
        timeout=60,
    )
    said = done.stderr.decode()
    assert done.returncode == code, said
    text = done.stdout.decode("utf-8")
    assert text.count("\n") == text.count("\r\n")
    return rows_of(text), said


def test_all_rows_are_written_however_many_there_are(demo: DemoCipp) -> None:
    people = [{"id": str(number), "displayName": f"Person {number}", "department": "x" * 300} for number in range(2500)]
    demo.answer("ListUsers", body=people)
    (header, *rows), said = printed(demo, "ListUsers", f"tenantFilter={demo.state.tenants[0].domain}")
    assert header == ["displayName", "department", "id"]
    assert rows == [[person["displayName"], person["department"], person["id"]] for person in people]
    assert said == "2500 rows.\n"


def test_rows_are_left_out_only_where_a_limit_asks_for_it(demo: DemoCipp) -> None:
    tenant = demo.state.tenants[0]
    (header, *rows), said = printed(demo, "ListUsers", f"tenantFilter={tenant.domain}", "--limit", "7")
    assert len(rows) == 7
    assert f"7 of {len(tenant.users)} rows, as --limit asks" in said
    assert f"{len(header)} of " in said
    assert "--fields '*'" in said


def test_every_column_is_written_where_all_are_asked_for(demo: DemoCipp) -> None:
    first = {"id": "1", "@odata.type": "user", "skills": ["a", "b"], "manager": {"id": "2"}, "on": True, "n": 1.5}
    last = {"id": "2", "late": "only here"}
    demo.answer("ListUsers", body=[first, *({"id": "x"} for _ in range(300)), last])
    (header, *rows), said = printed(demo, "ListUsers", f"tenantFilter={demo.state.tenants[0].domain}", "--fields", "*")
    assert header == ["id", "'@odata.type", "skills", "manager", "on", "n", "late"]
    assert rows[0] == ["1", "user", '["a","b"]', '{"id":"2"}', "true", "1.5", ""]
    assert rows[-1] == ["2", "", "", "", "", "", "only here"]
    assert said == "302 rows.\n"


def test_named_fields_are_the_columns_in_their_order_found_or_not(demo: DemoCipp) -> None:
    demo.answer("ListUsers", body=[{"id": "1", "manager": {"displayName": "Ann"}}, {"id": "2"}])
    tenant = f"tenantFilter={demo.state.tenants[0].domain}"
    table, _ = printed(demo, "ListUsers", tenant, "--fields", "manager.displayName, id,nothing")
    assert table == [["manager.displayName", "id", "nothing"], ["Ann", "1", ""], ["", "2", ""]]


def test_an_empty_list_still_has_its_header(demo: DemoCipp) -> None:
    demo.answer("ListUsers", body=[])
    table, said = printed(demo, "ListUsers", f"tenantFilter={demo.state.tenants[0].domain}")
    assert len(table) == 1
    assert {"displayName", "userPrincipalName"} <= set(table[0])
    assert said == "0 rows.\n"


def test_an_answer_that_is_an_object_is_one_row_uncut(demo: DemoCipp) -> None:
    demo.answer("GetVersion", body={"LocalCIPPVersion": "1.2.3", "Notes": "n" * 50_000, "Flags": {"a": [1]}})
    table, _ = printed(demo, "GetVersion")
    assert table == [["LocalCIPPVersion", "Notes", "Flags"], ["1.2.3", "n" * 50_000, '{"a":[1]}']]


def test_a_change_gives_its_messages_as_rows(demo: DemoCipp) -> None:
    tenant = demo.state.tenants[0]
    demo.answer("ExecHideFromGAL", body={"Results": ["Hidden", "Done"]})
    arguments = [f"tenantFilter={tenant.domain}", f"ID={next(iter(tenant.mailboxes))}", "HidefromGAL=true"]
    table, _ = printed(demo, "ExecHideFromGAL", *arguments, CIPP_ACCESS="write")
    assert table == [["message"], ["Hidden"], ["Done"]]


def test_a_call_that_fails_writes_no_table(demo: DemoCipp) -> None:
    table, said = printed(demo, "ListUsers", "tenantFilter=nobody.example", code=1)
    assert table == []
    assert "not allowed" in said
    assert printed(demo, "ListUser", code=1)[0] == []


def test_tenants_that_are_missing_are_told_by_stderr_and_the_exit_code(demo: DemoCipp) -> None:
    demo.answer("ListUserCounts", status=500, body={"Results": "broken"}, times=1)
    (header, *rows), said = printed(demo, "ListUserCounts", "tenantFilter=AllTenants", code=3)
    assert header[0] == "Tenant"
    assert len(rows) == len(demo.state.tenants) - 1
    assert "broken" in said


def test_csv_and_json_exclude_each_other() -> None:
    done = run("call", "ListTenants", "--csv", "--json")
    assert done.returncode == 2
    assert "not allowed with argument" in done.stderr


@pytest.mark.parametrize("limit", ["0", "-1", "ten"])
def test_a_limit_is_a_number_of_rows(limit: str) -> None:
    done = run("call", "ListTenants", f"--limit={limit}")
    assert done.returncode == 2
    assert "not a number of rows" in done.stderr


def test_credentials_that_may_be_shown_are_in_the_file_and_otherwise_not(demo: DemoCipp) -> None:
    demo.answer("ListBreachesAccount", body=[{"Name": "Leak", "password": "hunter2hunter2"}])
    call = ["ListBreachesAccount", "account=a@b.example", "--fields", "*"]
    table, _ = printed(demo, *call, CIPP_ALLOW_SECRETS="true", CIPP_CONFIRM="never")
    assert table == [["Name", "password"], ["Leak", "hunter2hunter2"]]
    table, _ = printed(demo, *call, CIPP_CONFIRM="never", code=1)
    assert table == []


def test_json_too_holds_every_row_and_whole_cells(demo: DemoCipp) -> None:
    people = [{"id": str(number), "displayName": "d" * 500} for number in range(2500)]
    demo.answer("ListUsers", body=people)
    done = run("call", "ListUsers", f"tenantFilter={demo.state.tenants[0].domain}", **demo.environment())
    reply = json.loads(done.stdout)
    assert reply["rows"] == [[person["displayName"], person["id"]] for person in people]
    assert (reply["count"], reply["total"]) == (2500, 2500)
    assert "truncated" not in reply
    assert "cursor" not in reply


@pytest.mark.skipif(sys.platform == "win32", reason="Windows reports a closed pipe in another way")
@pytest.mark.parametrize("arguments", [["tools", "identity"], ["call", "ListTenants", "--csv", "--demo"]])
def test_a_reader_that_has_enough_causes_no_traceback(arguments: list[str]) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    command = [sys.executable, "-m", "cipp_mcp", *arguments]
    done = subprocess.run(command, stdout=theirs, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(theirs)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        '=HYPERLINK("https://evil.example","x")',
        "+cmd|' /C calc'!A0",
        "-2+3",
        "-2+3+cmd|' /C calc'!A0",
        "@SUM(A1)",
        "\t=1+1",
        "\r=1",
        "\n=1",
        "  =1+1",
        "＝1+1",
        "+49 (0)89/1234",
        "-",
        "+1 2-3",
    ],
)
def test_what_a_spreadsheet_would_run_is_disarmed(text: str) -> None:
    assert cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["plain", "a=b", "1-2", "'quoted", "+49 89 1234567", "-12.5", "+1", "x@y.example", ""])
def test_other_text_stays_as_it_is(text: str) -> None:
    assert cell(text) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (True, "true"), (-5, "-5"), (-0.25, "-0.25"), ([], "[]"), ({"a": None}, '{"a":null}'), ("ü", "ü")],
)
def test_a_cell_holds_the_value_as_json_has_it(value: object, text: str) -> None:
    assert cell(value) == text


@settings(deadline=None)  # the machine may be busy
@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["a", "b", "c,d", 'e"f']),
            st.none() | st.booleans() | st.integers() | st.text(),
        ),
        max_size=5,
    )
)
def test_what_is_written_is_read_back_whatever_it_holds(rows: list[dict[str, object]]) -> None:
    text = io.StringIO(newline="")
    whole = Whole.of_data(rows, None)
    write_csv(text, whole, None, None)
    header = whole.names()
    assert rows_of(text.getvalue()) == [header, *([cell(row.get(name)) for name in header] for row in whole.rows())]
