"""What the README and the pages beside it tell a stranger to do works, and what they say is so."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from cipp_mcp import __version__
from cipp_mcp.calls.policy import PolicyFile
from cipp_mcp.demo import DemoCipp
from cipp_mcp.registry import Registry
from cipp_mcp.registry.files import catalogue_version
from cipp_mcp.settings import Settings

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *(ROOT / "cipp_mcp" / room / "README.md" for room in ("cli", "calls", "registry"))]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")
_PROGRAMS = ("cipp-mcp", "python", "python3", "pip", "pipx", "uvx", "git", "docker", ".")


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def commands(page: Path) -> Iterator[str]:
    """Every command of a page: the lines of its fenced blocks without a language, and code in the text that is one."""
    for language, block in _FENCE.findall(page.read_text(encoding="utf-8")):
        if not language:
            for line in block.splitlines():
                yield from line.split(" && ")
    for span in _SPAN.findall(prose(page)):
        if (span.split()[0] in _PROGRAMS and " " in span) or span.endswith("activate"):
            yield span


def this_is_installed(_: Path) -> None:
    assert metadata.version("cipp-mcp") == __version__
    (script,) = metadata.entry_points(group="console_scripts", name="cipp-mcp")
    assert callable(script.load())


def extra_is_installed(extra: str) -> Callable[[Path], None]:
    def check(_: Path) -> None:
        wanted = [Requirement(text) for text in metadata.requires("cipp-mcp") or ()]
        of_extra = [one for one in wanted if one.marker and one.marker.evaluate({"extra": extra})]
        assert of_extra
        for one in of_extra:
            assert one.specifier.contains(metadata.version(one.name)), one

    return check


def the_tests_can_be_collected(_: Path) -> None:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-n", "0", __file__]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout


def an_environment_can_be_activated(folder: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", ".venv"], cwd=folder, check=True, timeout=60)
    assert (folder / ".venv" / ("Scripts" if os.name == "nt" else "bin") / "activate").is_file()


# What installs or fetches is not done again in a test: what stands here is represented by a check of its result, and
# any command that neither stands here nor is cipp-mcp's own fails the test. `.ci/run` does the two lines for real.
REPRESENTED: dict[str, Callable[[Path], None] | None] = {
    "python3 -m venv .venv": an_environment_can_be_activated,
    ". .venv/bin/activate": an_environment_can_be_activated,
    r".venv\Scripts\activate": an_environment_can_be_activated,
    "python -m pip install .": this_is_installed,
    'python -m pip install -e ".[test]"': extra_is_installed("test"),
    'python -m pip install ".[keyring]"': extra_is_installed("keyring"),
    "python -m pytest": the_tests_can_be_collected,
    "git pull": None,  # nothing to check: a clone of its own, with a remote, would be pulled from
}


@pytest.fixture
def sandbox(shared_demo: DemoCipp, tmp_path: Path) -> dict[str, str]:
    """The environment of a person with an empty home folder, no key store, and the embedded CIPP for theirs."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CIPP_", "XDG_", "CLAUDE_", "APPDATA", "LOCALAPPDATA", "REQUESTS_"))
    }
    home = {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path), "PYTHONUTF8": "1"}
    return kept | home | shared_demo.environment() | {"PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cipp_mcp", *arguments],
        env=environment,
        cwd=environment["HOME"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )


@pytest.mark.parametrize("command", sorted({command for page in PAGES for command in commands(page)}))
def test_every_command_of_the_pages_works(sandbox: dict[str, str], tmp_path: Path, command: str) -> None:
    if command in REPRESENTED:
        check = REPRESENTED[command]
        if check is not None:
            check(tmp_path)
        return
    words = shlex.split(command)
    if words[:3] == ["python", "-m", "cipp_mcp"]:
        words = ["cipp-mcp", *words[3:]]
    assert words[0] == "cipp-mcp", f"{command!r} is neither cipp-mcp's own nor represented by a check"
    if words[1] == "doctor" and "--host" in words:
        # Whoever asks for a host has configured it before.
        assert run(sandbox, "setup", *words[-2:], "--no-test").returncode == 0
        for name in [name for name in sandbox if name.startswith("CIPP_")]:
            del sandbox[name]
    done = run(sandbox, *words[1:])
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout


def test_no_check_stands_for_a_command_that_nobody_is_told() -> None:
    assert set(REPRESENTED) <= {command for page in PAGES for command in commands(page)}


def test_the_two_lines_that_others_rely_on_are_there() -> None:
    blocks = [block for _, block in _FENCE.findall((ROOT / "README.md").read_text(encoding="utf-8"))]
    assert blocks[0] == "python -m pip install . && python -m cipp_mcp demo\n"
    assert 'python -m pip install -e ".[test]" && python -m pytest\n' in blocks


def test_the_readme_stays_short() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in ("badges", "settings"):
        text = re.sub(rf"<!-- {name} -->.*<!-- /{name} -->", "", text, flags=re.DOTALL)
    assert len(text.encode()) < 6000


def test_the_numbers_are_those_of_the_catalogue() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"All {len(Registry.load())} endpoints of CIPP {catalogue_version()}" in text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_every_link_within_the_project_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}, target


def test_the_troubleshooting_table_quotes_what_doctor_says() -> None:
    package = ROOT / "cipp_mcp"
    sources = [*(package / "doctor").glob("*.py"), package / "connection/remedies.py", package / "calls/outcome.py"]
    said = "".join(source.read_text(encoding="utf-8") for source in sources)
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("| It says |")[1].split("\n\n")[0]
    quoted = [words for line in section.splitlines()[2:] for words in _SPAN.findall(line.split("|")[1])]
    assert len(quoted) > 10
    assert [words for words in quoted if words not in said] == []


def json_blocks() -> list[Any]:
    pages = [page.read_text(encoding="utf-8") for page in PAGES]
    return [json.loads(block) for page in pages for language, block in _FENCE.findall(page) if language == "json"]


def test_configurations_to_copy_hold_settings_that_are_accepted() -> None:
    servers = [block.get("mcpServers") or block.get("servers") for block in json_blocks()]
    entries = [server["cipp"]["env"] for server in servers if server]
    assert len(entries) == 2
    ids = dict.fromkeys(("CIPP_TENANT_ID", "CIPP_CLIENT_ID"), "11111111-2222-4333-8444-555555555555")
    for environment in entries:
        assert Settings.from_environment(environment | ids).missing == []


def test_the_policy_to_copy_is_one(tmp_path: Path) -> None:
    (policy,) = [block for block in json_blocks() if "callers" in block]
    file = tmp_path / "policy.json"
    file.write_text(json.dumps(policy))
    assert PolicyFile.read(file)


def test_all_prompts_are_named() -> None:
    text = (ROOT / "cipp_mcp/registry/README.md").read_text(encoding="utf-8")
    prompts = json.loads((ROOT / "tool_specs/prompts.json").read_text(encoding="utf-8"))
    names = {prompt["name"] for prompt in (prompts["prompts"] if isinstance(prompts, dict) else prompts)}
    assert {span for span in _SPAN.findall(text.split("## Prompts")[1].split("##")[0]) if "." not in span} == names
