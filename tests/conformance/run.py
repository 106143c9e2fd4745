"""Runs the official MCP conformance suite in both protocol eras, and the Inspector's check of the listed tools.

    python -m tests.conformance.run [folder]

Needs npm; what package.json names is installed into `folder`, or into a temporary one. Exits with 1 when a scenario
fails that expected-failures*.yml does not name, or passes although it does.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
ERAS = ("2025-11-25", "2026-07-28")
SCENARIOS = {
    "2025-11-25": (
        "server-initialize",
        "server-session-lifecycle",
        "ping",
        "tools-list",
        "resources-list",
        "prompts-list",
        "server-sse-multiple-streams",
        "dns-rebinding-protection",
    ),
    "2026-07-28": (
        "server-stateless",
        "tools-list",
        "resources-list",
        "prompts-list",
        "server-sse-multiple-streams",
        "sep-2164-resource-not-found",
        "dns-rebinding-protection",
        "caching",
        "http-header-validation",
    ),
}
"""What needs no fixtures, and therefore holds for the server alone."""

SURFACES = (
    {"CIPP_TOOLS": "gateway"},
    {"CIPP_TOOLS": "all"},
    {"CIPP_TOOLS": "all", "CIPP_ACCESS": "admin", "CIPP_ALLOW_SECRETS": "true"},
)


class Tools:
    """The Node programs of package.json."""

    def __init__(self, folder: Path) -> None:
        npm = shutil.which("npm")
        if npm is None:
            raise SystemExit("npm is needed to install the conformance suite; it comes with Node.js.")
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(HERE / "package.json", folder)
        subprocess.run([npm, "install", "--no-audit", "--no-fund", "--silent"], cwd=folder, check=True)
        self._programs = str(folder / "node_modules" / ".bin")
        # The Inspector keeps a list of servers in the home folder.
        self._environment = os.environ | {
            "PATH": self._programs + os.pathsep + os.environ["PATH"],
            "HOME": str(folder),
            "USERPROFILE": str(folder),
        }

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = shutil.which(program, path=self._programs)
        assert command is not None, program
        return subprocess.run(
            [command, *arguments], env=self._environment, capture_output=True, text=True, encoding="utf-8", timeout=300
        )


@contextmanager
def serving(*arguments: str) -> Iterator[str]:
    """The address of the HTTP server that `python -m` starts with `arguments`."""
    command = [sys.executable, "-m", *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, encoding="utf-8", cwd=HERE.parents[1]) as server:
        assert server.stderr is not None
        try:
            yield _address(server.stderr)
        finally:
            server.terminate()
            server.communicate(timeout=30)


def _address(said: Iterable[str]) -> str:
    """Where a server serves, from what it says on stderr."""
    lines = []
    for line in said:
        lines.append(line)
        if found := re.search(r"serving MCP at (\S+)", line):
            return found[1]
    raise SystemExit("The server did not start:\n" + "".join(lines))


def whole_suite(tools: Tools, address: str, era: str) -> bool:
    """Every scenario of `era` against the server with fixtures."""
    arguments = ("--suite", "all", "--spec-version", era, "--expected-failures", str(HERE / "expected-failures.yml"))
    run = tools.run("conformance", "server", "--url", address, *arguments)
    total = re.search(r"^Total: (\d+) passed, (\d+) failed", run.stdout, re.MULTILINE)
    passed = run.returncode == 0 and total is not None and int(total[1]) > 0
    return _said(f"{era}, all scenarios", passed, total[0] if total else "", run)


def one_scenario(tools: Tools, address: str, era: str, scenario: str) -> bool:
    """One scenario against the server without fixtures."""
    arguments = ("--spec-version", era, "--expected-failures", str(HERE / "expected-failures-bare.yml"), "--verbose")
    run = tools.run("conformance", "server", "--url", address, "--scenario", scenario, *arguments)
    checked = run.stdout.count('"SUCCESS"')
    return _said(f"{era}, {scenario} on the bare server", run.returncode == 0 and checked > 0, f"{checked} checks", run)


def portable_list(tools: Tools, settings: dict[str, str], era: str) -> bool:
    """The Inspector's check of every schema in tools/list, over stdio."""
    given = [part for name, value in settings.items() for part in ("-e", f"{name}={value}")]
    run = tools.run(
        *("mcp-inspector", "--cli", "--format", "json", "--protocol-era", era, "--method", "tools/list", "--strict"),
        *(*given, "--", sys.executable, "-m", "cipp_mcp"),
    )
    count = len(json.loads(run.stdout)["result"]["tools"]) if run.returncode == 0 else 0
    shown = " ".join(f"{name}={value}" for name, value in settings.items())
    return _said(f"{era}, tools/list with {shown}", count > 0, f"{count} tools portable", run)


def _said(what: str, passed: bool, result: str, run: subprocess.CompletedProcess[str]) -> bool:
    print(f"{'ok    ' if passed else 'FAILED'} {what}: {result or 'no result'}", flush=True)
    if not passed:
        print(run.stdout, run.stderr)
    return passed


def main(folder: Path) -> bool:
    """Runs everything; whether all of it went as expected."""
    tools = Tools(folder)
    with serving("tests.conformance.app") as address:
        results = [whole_suite(tools, address, era) for era in ERAS]
    with serving("cipp_mcp", "serve", "--transport", "http", "--demo", "--listen", "127.0.0.1:0") as address:
        results += [one_scenario(tools, address, era, scenario) for era in ERAS for scenario in SCENARIOS[era]]
    results += [portable_list(tools, settings, era) for settings in SURFACES for era in ("legacy", "modern")]
    return all(results)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        raise SystemExit(0 if main(Path(sys.argv[1] if len(sys.argv) > 1 else temporary)) else 1)
