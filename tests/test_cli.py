"""The command line: for people on a terminal, for scripts through a pipe."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from cipp_mcp.cli.call import print_table
from cipp_mcp.demo import DemoCipp
from cipp_mcp.registry import AREAS


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


def test_demo_shows_a_real_session_and_the_configuration_to_paste() -> None:
    shown = run("demo")
    assert shown.returncode == 0, shown.stderr
    for step in ("> tools/list", "> cipp_search", "> ListTenants", "> cipp_read", "> cipp_query"):
        assert step in shown.stdout
    assert '"outcome": "ok"' in shown.stdout
    assert '"mcpServers"' in shown.stdout
    assert "CIPP_CLIENT_SECRET" in shown.stdout


def test_tools_lists_the_areas_searches_and_shows_one_endpoint() -> None:
    assert all(area in run("tools").stdout for area in AREAS)
    assert "ListMFAUsers" in run("tools", "who", "has", "no", "mfa").stdout
    one = run("tools", "execdisableuser").stdout
    assert one.startswith("ExecDisableUser:")
    assert "Enable" in one
    nothing = run("tools", "zzqx")
    assert nothing.returncode == 1
    assert "Nothing found" in nothing.stdout


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
