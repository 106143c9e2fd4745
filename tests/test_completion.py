"""Shell completion offers commands, endpoints and their arguments, in a real bash too."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cipp_mcp.cli.completion import SCRIPTS
from cipp_mcp.cli.main import main
from cipp_mcp.registry import NEVER_CALLABLE, Registry

ROOT = Path(__file__).parents[1]


def offered(capsys: pytest.CaptureFixture[str], *words: str, split: bool = False) -> list[str]:
    """What is offered for the last of `words`."""
    options = ["--split"] if split else []
    with pytest.raises(SystemExit) as ended:
        main(["complete-words", *options, "--at", str(len(words) - 1), "--", *words])
    assert ended.value.code == 0
    return [line.partition("\t")[0] for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(
    ("words", "among"),
    [
        ([""], {"call", "tools", "demo", "completion"}),
        (["co"], {"completion"}),
        (["completion", ""], set(SCRIPTS)),
        (["completion", "p"], {"powershell"}),
        (["tools", "exch"], {"exchange"}),
        (["tools", "--risk", "s"], {"secret", "security"}),
        (["tools", "--area", ""], {"identity", "cipp"}),
        (["call", "listmailboxf"], {"ListMailboxForwarding"}),
        (["call", "--json", "ListMailboxF"], {"ListMailboxForwarding"}),
        (["call", "--fields", "id", "ListMailboxF"], {"ListMailboxForwarding"}),
        (["call", "ListUsers", ""], {"tenantFilter=", "UserID="}),
        (["call", "listusers", "t"], {"tenantFilter="}),
        (["call", "ExecDisableUser", "Enable="], {"Enable=true", "Enable=false"}),
        (["call", "--j"], {"--json"}),
        (["--v"], {"--version"}),
    ],
)
def test_what_fits_is_offered(capsys: pytest.CaptureFixture[str], words: list[str], among: set[str]) -> None:
    found = set(offered(capsys, *words))
    assert among <= found
    assert all(word.lower().startswith(words[-1].lower()) for word in found)


@pytest.mark.parametrize(
    "words",
    [["nothing", "x"], ["completion", "bash", ""], ["call", "NoSuch", ""], ["call", "--limit", ""], ["call", "zzz"]],
)
def test_where_nothing_fits_nothing_is_offered(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    assert offered(capsys, *words) == []


def test_an_argument_already_given_is_not_offered_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert "tenantFilter=" not in offered(capsys, "call", "ListUsers", "tenantfilter=x.example", "")


def test_every_callable_endpoint_is_offered_and_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert set(offered(capsys, "call", "")) == set(Registry.load().names()) - NEVER_CALLABLE


def test_the_command_behind_the_scripts_is_not_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert "complete-words" not in offered(capsys, "")
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "complete-words" not in capsys.readouterr().out


@pytest.mark.parametrize("shell", SCRIPTS)
def test_a_script_for_every_shell_asks_this_program(capsys: pytest.CaptureFixture[str], shell: str) -> None:
    with pytest.raises(SystemExit):
        main(["completion", shell])
    script = capsys.readouterr().out
    assert script == SCRIPTS[shell]
    assert "cipp-mcp complete-words" in script


@pytest.mark.skipif(sys.platform == "win32" or not shutil.which("bash"), reason="needs bash")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("(cipp-mcp call ListMailboxF)", "ListMailboxForwarding"),
        ("(cipp-mcp call ExecDisableUser Enable = f)", "false"),
        ("(cipp-mcp call ExecDisableUser Ena)", "Enable="),
        ("(cipp-mcp completion '')", "bash zsh fish powershell"),
    ],
)
def test_bash_completes_with_it(line: str, expected: str) -> None:
    commands = f"""
        cipp-mcp() {{ '{sys.executable}' -m cipp_mcp "$@"; }}
        {SCRIPTS["bash"]}
        COMP_WORDS={line}; COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
        _cipp_mcp
        echo "${{COMPREPLY[*]}}"
    """
    run = subprocess.run(["bash", "-c", commands], capture_output=True, text=True, cwd=ROOT, check=True)
    assert run.stdout.split() == expected.split(), run.stderr
