"""The command line: for people on a terminal, for scripts through a pipe."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp import Client, StdioServerParameters

from cipp_mcp.cli.printing import column_widths, print_table
from cipp_mcp.demo import DemoCipp
from cipp_mcp.registry import AREAS, RISKS, Registry


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    base = {name: value for name, value in os.environ.items() if not name.startswith("CIPP_")}
    command = [sys.executable, "-m", "cipp_mcp", *arguments]
    return subprocess.run(
        command,
        env=base | {"PYTHONUTF8": "1"} | environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
    )


@pytest.fixture(scope="module")
def shown() -> str:
    """What ``cipp-mcp demo`` prints."""
    done = run("demo")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_demo_shows_a_real_session_and_the_configuration_to_paste(shown: str) -> None:
    for step in ("> tools/list", "> cipp_search", "> ListTenants", "> cipp_read", "> cipp_query"):
        assert step in shown
    assert '"outcome": "ok"' in shown
    assert '"mcpServers"' in shown
    assert "CIPP_CLIENT_SECRET" in shown


def test_the_configuration_that_the_demo_prints_starts_the_server(shown: str, tmp_path: Path) -> None:
    entry = json.JSONDecoder().raw_decode(shown[shown.index('{\n  "mcpServers"') :])[0]["mcpServers"]["cipp"]

    async def tools() -> list[str]:
        # A host's PATH holds nothing of the virtual environment that the demo ran in.
        server = StdioServerParameters(
            command=entry["command"], args=entry["args"], env={"PATH": os.defpath}, cwd=tmp_path
        )
        async with Client(server) as client:
            return [tool.name for tool in (await client.list_tools()).tools]

    assert "cipp_search" in anyio.run(tools)


def test_tools_lists_the_areas_searches_and_shows_one_endpoint() -> None:
    assert all(area in run("tools").stdout for area in AREAS)
    assert "ListMFAUsers" in run("tools", "who", "has", "no", "mfa").stdout
    one = run("tools", "execdisableuser").stdout
    assert one.startswith("ExecDisableUser:")
    assert "Enable" in one
    nothing = run("tools", "zzqx")
    assert nothing.returncode == 1
    assert "Nothing found" in nothing.stdout


def test_the_overview_counts_every_endpoint_by_area_and_risk() -> None:
    lines = run("tools").stdout.splitlines()
    assert lines[0].split() == ["area", "all", *RISKS]
    registry = Registry.load()
    for line in lines[1 : 1 + len(AREAS)]:
        area, total, *counts = line.split()
        assert int(total) == len(registry.names(area)) == sum(map(int, counts))  # type: ignore[arg-type]
    for risk in RISKS:
        assert any(line.startswith(f"{risk} ") for line in lines[2 + len(AREAS) :])


@pytest.mark.parametrize(
    "arguments", [["exchange", "--risk", "destructive"], ["--area", "exchange", "--risk", "destructive"]]
)
def test_an_area_is_browsed_by_risk(arguments: list[str]) -> None:
    listed = {line.split()[0] for line in run("tools", *arguments).stdout.splitlines()}
    assert listed == {
        entry.name for entry in Registry.load() if (entry.area, entry.risk) == ("exchange", "destructive")
    }


def test_a_risk_alone_is_listed_area_by_area() -> None:
    lines = run("tools", "--risk", "secret").stdout.splitlines()
    names = {line.split()[0] for line in lines if " secret " in line}
    assert names == {entry.name for entry in Registry.load() if entry.risk == "secret"}
    assert [line for line in lines if line in AREAS] == ["endpoint", "cipp", "tools"]


def test_a_search_stays_within_area_and_risk() -> None:
    registry = Registry.load()
    lines = run("tools", "delete", "forwarding", "rule", "--area", "exchange", "--risk", "security").stdout.splitlines()
    assert lines
    assert {(registry[line.split()[0]].area, registry[line.split()[0]].risk) for line in lines} == {
        ("exchange", "security")
    }


@pytest.mark.parametrize(
    ("arguments", "said"), [(["--area", "mail"], "exchange"), (["--risk", "high"], "destructive, platform")]
)
def test_an_unknown_area_or_risk_is_refused_with_the_known_ones(arguments: list[str], said: str) -> None:
    done = run("tools", *arguments)
    assert done.returncode == 2
    assert said in done.stderr


def test_an_area_without_the_risk_says_so() -> None:
    done = run("tools", "identity", "--risk", "platform")
    assert (done.returncode, done.stdout) == (1, "identity has no endpoint of risk platform.\n")


def test_call_prints_json_when_piped(demo: DemoCipp) -> None:
    tenant = demo.state.tenants[0].domain
    done = run(
        "call",
        "ListUsers",
        f"tenantFilter={tenant}",
        "--limit",
        "2",
        "--fields",
        "id,displayName",
        **demo.environment(),
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["columns"] == ["id", "displayName"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["ListUser"], 1, "Near: ListUsers"),
        (["ListUsers"], 1, "needs tenantFilter"),
        (["ListUsers", "tenantFilter"], 2, "not of the form key=value"),
        (["ListUsers", "tenantFilter={"], 2, "not valid JSON"),
        (["ExecDisableUser", "tenantFilter=x.example", "ID=1", "Enable=false"], 1, "needs access full"),
    ],
)
def test_a_wrong_call_says_what_is_wrong_and_fails(demo: DemoCipp, arguments: list[str], code: int, said: str) -> None:
    done = run("call", *arguments, **demo.environment())
    assert done.returncode == code
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_usage_is_explained_on_stderr_only() -> None:
    done = run("no-such-command")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "no-such-command" in done.stderr


def test_a_demo_that_cannot_be_is_refused() -> None:
    done = run("--demo", "--demo-users", "2", "--demo-tenants", "5")
    assert done.returncode == 2
    assert "--demo-users 2" in done.stderr


def test_a_table_shows_columns_over_their_values(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["name", "on", "tags"], [["Ann", True, ["a", "b"]], ["Bob", None, []]])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["name", "on", "tags"]
    assert lines[2].split(maxsplit=2) == ["Ann", "true", '["a", "b"]']
    assert lines[3].split() == ["Bob", "[]"]


@pytest.mark.parametrize(
    ("natural", "room", "widths"),
    [
        ([4, 6], 80, [4, 6]),  # everything fits
        ([4, 90, 60], 80, [4, 36, 36]),  # the wide ones share what the narrow one leaves
        ([90, 5], 40, [33, 5]),
        ([30, 30, 30, 30], 50, [24, 24]),  # two can be read, four could not
        ([30], 10, [10]),
    ],
)
def test_columns_share_the_width_of_the_terminal(natural: list[int], room: int, widths: list[int]) -> None:
    assert column_widths(natural, room) == widths


@given(st.lists(st.integers(0, 300), min_size=1, max_size=30), st.integers(1, 300))
def test_a_table_is_never_wider_than_the_terminal(natural: list[int], room: int) -> None:
    widths = column_widths(natural, room)
    assert sum(widths) + 2 * (len(widths) - 1) <= room
    assert all(size <= max(1, wanted) for size, wanted in zip(widths, natural, strict=False))


def test_columns_without_room_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([f"column{number:02}" for number in range(20)], [["x" * 40] * 20])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines[:3])) <= 160
    assert lines[3].startswith("No room for: ")
    shown = len(lines[0].split())
    assert lines[3].split(": ")[1].split(", ") == [f"column{number:02}" for number in range(shown, 20)]
