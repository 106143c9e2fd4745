"""On a terminal: colours where they are wanted, a bar while CIPP works, questions, and tables that fit."""

from __future__ import annotations

import io
import re

import pytest

from cipp_mcp.cli.terminal import ProgressBar, has_colours, painted
from cipp_mcp.demo import DemoCipp
from tests.pseudo_terminal import needs_terminal, on_terminal
from tests.test_cli import run

_BAR = re.compile(r"\[#*-*\] \d of 4 tenants")


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def tenant(demo: DemoCipp) -> str:
    return f"tenantFilter={demo.state.tenants[0].domain}"


@needs_terminal
def test_a_call_shows_its_outcome_and_header_in_colour(demo: DemoCipp) -> None:
    seen = on_terminal(demo.environment(), "call", "ListUsers", tenant(demo), "--fields", "id,displayName")
    assert seen.code == 0
    assert "\033[32mok\033[0m: ListUsers" in seen.raw
    assert re.search("\033\\[1mid +displayName\033\\[0m", seen.raw)
    total = len(demo.state.tenants[0].users)
    assert f"50 of {total} rows (--limit {total} shows all, --csv writes them)" in seen.screen


@needs_terminal
@pytest.mark.parametrize("asked", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_nothing_is_coloured_where_nobody_wants_it(demo: DemoCipp, asked: dict[str, str]) -> None:
    for arguments in (["call", "ListTenants"], ["tools", "identity"], ["doctor"]):
        seen = on_terminal(demo.environment() | asked, *arguments)
        assert seen.code == 0
        assert "\033" not in seen.raw


@needs_terminal
def test_an_empty_no_color_asks_for_nothing(demo: DemoCipp) -> None:
    assert "\033[32mok" in on_terminal(demo.environment() | {"NO_COLOR": ""}, "call", "ListTenants").raw


def test_a_pipe_gets_no_colours(demo: DemoCipp) -> None:
    for arguments in (["call", "ListTenants"], ["tools", "identity"], ["doctor"]):
        done = run(*arguments, **demo.environment(), TERM="xterm-256color")
        assert done.returncode == 0
        assert "\033" not in done.stdout + done.stderr


def test_only_a_terminal_has_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("cipp_mcp.cli.terminal._windows_console_obeys", lambda _: True)
    assert painted("x", "good", Screen()) == "\033[32mx\033[0m"
    assert painted("x", "", Screen()) == "x"
    assert painted("x", "good", io.StringIO()) == "x"
    monkeypatch.setattr("cipp_mcp.cli.terminal._windows_console_obeys", lambda _: False)
    assert not has_colours(Screen())


@needs_terminal
def test_risks_stand_out_in_the_catalogue() -> None:
    seen = on_terminal({}, "tools", "exchange", "--risk", "destructive")
    assert "\033[31;1mdestructive\033[0m" in seen.raw
    assert "\033" not in on_terminal({}, "tools", "ListMailboxForwarding").raw.partition("\n")[2]


@needs_terminal
def test_lines_of_the_catalogue_fit_the_terminal() -> None:
    seen = on_terminal({}, "tools", "identity", columns=90)
    assert max(map(len, seen.screen)) <= 90
    assert len(seen.screen) == 69 + 1


@needs_terminal
def test_a_bar_shows_how_many_tenants_are_done_and_goes_at_the_end(demo: DemoCipp) -> None:
    demo.delay("ListUserCounts", 1.2)
    one_by_one = {"CIPP_MAX_CONCURRENCY": "1"}
    seen = on_terminal(demo.environment() | one_by_one, "call", "ListUserCounts", "tenantFilter=AllTenants")
    assert seen.code == 0
    drawn = _BAR.findall(seen.raw)
    assert len(set(drawn)) > 1
    assert drawn == sorted(drawn, key=lambda bar: bar.count("#"))
    assert not _BAR.search("\n".join(seen.screen))
    assert seen.screen[0] == "ok: ListUserCounts, AllTenants"


@needs_terminal
def test_a_bar_follows_cipps_queue(demo: DemoCipp) -> None:
    queued = {"Results": [], "Metadata": {"QueueMessage": "Loading data", "QueueId": "q"}}
    demo.answer("ListGraphRequest", body=queued, times=1)
    demo.answer("ListGraphRequest", body={"Results": [{"id": "1"}], "Metadata": {"QueueId": None}})
    running = {"Status": "Running", "TotalTasks": 4, "CompletedTasks": 3}
    for _ in range(3):
        demo.answer("ListCippQueue", body=[running], times=1)
    demo.answer("ListCippQueue", body=[{"Status": "Completed"}])
    arguments = ["call", "ListGraphRequest", "tenantFilter=AllTenants", "Endpoint=users"]
    seen = on_terminal(demo.environment(), *arguments)
    assert "[###############-----] 3 of 4 tenants" in seen.raw
    assert seen.screen[0] == "ok: ListGraphRequest, AllTenants"
    assert not _BAR.search("\n".join(seen.screen))


def test_no_bar_reaches_a_file(demo: DemoCipp) -> None:
    demo.delay("ListUserCounts", 0.6)
    done = run("call", "ListUserCounts", "tenantFilter=AllTenants", **demo.environment(), CIPP_MAX_CONCURRENCY="1")
    assert done.returncode == 0
    assert done.stderr == ""


def test_a_bar_is_drawn_over_itself_and_wiped_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    screen = Screen()
    bar = ProgressBar(screen)
    bar.show(1, 4, "1 of 4 tenants, the slow\none")
    bar.show(4, 4, "done")
    bar.clear()
    long, short, wiped = screen.getvalue().split("\r")[1:4]
    assert long == "[#####---------------] 1 of 4 tenants, the slow one"
    assert short == "[####################] done".ljust(len(long))
    assert wiped.strip() == ""
    assert screen.getvalue().endswith("\r")


def test_a_terminal_that_cannot_go_back_gets_a_line_for_every_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    screen = Screen()
    bar = ProgressBar(screen)
    for _ in range(2):
        bar.show(None, None, "waiting for CIPP")
    bar.clear()
    assert screen.getvalue() == "waiting for CIPP\n"


@needs_terminal
@pytest.mark.parametrize("endpoint", ["ExecDisableUser", "RemoveUser"])
def test_a_person_at_the_terminal_approves_a_change_there(demo: DemoCipp, endpoint: str) -> None:
    user = next(iter(demo.state.tenants[0].users.values()))
    change = ["call", endpoint, tenant(demo), f"ID={user['id']}", *(["Enable=false"] if endpoint[0] == "E" else [])]
    demo.answer(endpoint, body={"Results": "Done"})
    environment = demo.environment() | {"CIPP_ACCESS": "full"}
    # A change that cannot be undone wants the name typed.
    prompt, yes = ("[y/N] ", "y") if endpoint == "ExecDisableUser" else ("> ", user["userPrincipalName"])
    seen = on_terminal(environment, *change, typed=[(prompt, "somebody else")])
    assert seen.code == 1
    assert "declined" in seen.raw
    assert endpoint not in [request.endpoint for request in demo.requests]
    seen = on_terminal(environment, *change, typed=[(prompt, yes)])
    assert seen.code == 0, seen.raw
    assert endpoint in [request.endpoint for request in demo.requests]


@needs_terminal
def test_text_of_a_tenant_cannot_draw_on_the_terminal(demo: DemoCipp) -> None:
    demo.answer("ListUsers", body=[{"id": "1", "displayName": "Eve\r\n\033[2Jok: all is well"}])
    seen = on_terminal(demo.environment(), "call", "ListUsers", tenant(demo), "--fields", "displayName")
    assert seen.code == 0
    assert "\033[2J" not in seen.raw
    assert not [line for line in seen.screen if line.startswith("ok: all")]
