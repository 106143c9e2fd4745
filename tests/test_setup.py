"""``cipp-mcp setup`` leads from four values to a host that works, and destroys nothing on the way."""

from __future__ import annotations

import getpass
import json
import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import keyring
import pytest
from keyring.core import load_keyring
from mcp import Client, StdioServerParameters

from cipp_mcp.cli.hosts import HOSTS, Host, configuration_file
from cipp_mcp.cli.jsonc import parse
from cipp_mcp.cli.main import main
from cipp_mcp.cli.remote_hosts import STEPS
from cipp_mcp.connection.keystore import stored_secret
from cipp_mcp.demo import DemoCipp
from cipp_mcp.server.app import CippServer
from tests.conftest import read, settings_for

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder, in place of this machine's."""
    for name in [
        name for name in os.environ if name.startswith(("XDG_", "CLAUDE_", "APPDATA", "LOCALAPPDATA", "REQUESTS_"))
    ]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    return tmp_path


@pytest.fixture
def key_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TEST_KEYS_FILE", str(tmp_path / "keys.json"))
    before = keyring.get_keyring()
    keyring.set_keyring(load_keyring("tests.file_keyring.FileKeyring"))
    yield
    keyring.set_keyring(before)


@pytest.fixture
def no_key_store() -> Iterator[None]:
    before = keyring.get_keyring()
    keyring.set_keyring(load_keyring("keyring.backends.fail.Keyring"))
    yield
    keyring.set_keyring(before)


@pytest.fixture
def setup(demo: DemoCipp, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command with the embedded CIPP's settings in the environment; gives (exit code, what was printed)."""
    for name, value in demo.environment().items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str, **changes: str) -> tuple[int, str]:
        for name, value in changes.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit) as ended:
            main(["setup", *arguments])
        told = capsys.readouterr()
        assert demo.client_secret not in told.out + told.err
        assert isinstance(ended.value.code, int)
        return ended.value.code, told.out + told.err

    return run


def _entry(host: Host) -> dict[str, Any]:
    made: dict[str, Any] = parse(configuration_file(host).read_text(encoding="utf-8"))[host.key]["cipp"]
    return made


@pytest.mark.usefixtures("key_store")
@pytest.mark.parametrize("name", HOSTS)
def test_each_host_gets_an_entry_without_the_secret(demo: DemoCipp, setup: Run, name: str) -> None:
    code, told = setup("--host", name, "--no-test")
    assert code == 0
    made = _entry(HOSTS[name])
    assert str(configuration_file(HOSTS[name])) in told
    assert (made["command"], made["args"]) == (sys.executable, ["-m", "cipp_mcp"])
    assert made["env"] == {**demo.environment(), "CIPP_CLIENT_SECRET": "keyring"}
    assert stored_secret(demo.client_id) == demo.client_secret


@pytest.mark.usefixtures("key_store")
def test_what_was_written_starts_a_server_that_reaches_cipp(setup: Run) -> None:
    code, told = setup("--host", "claude-desktop")
    assert code == 0
    assert "This set-up works." in told
    made = _entry(HOSTS["claude-desktop"])
    # A host starts servers with little more than the entry's own environment.
    environment = {**made["env"], "TEST_KEYS_FILE": os.environ["TEST_KEYS_FILE"], "PATH": os.environ["PATH"]}
    environment["PYTHON_KEYRING_BACKEND"] = "tests.file_keyring.FileKeyring"
    command = StdioServerParameters(command=made["command"], args=made["args"], env=environment, cwd=os.getcwd())

    async def tenants() -> dict[str, Any]:
        async with Client(command) as client:
            return await read(client, "ListTenants")

    assert anyio.run(tenants)["outcome"] == "ok"


@pytest.mark.usefixtures("key_store")
def test_a_set_up_that_does_not_work_is_not_written(setup: Run) -> None:
    code, told = setup("--host", "cursor", CIPP_CLIENT_SECRET="wrong")
    assert code == 1
    assert "AADSTS7000215" in told
    assert "Nothing was written" in told
    assert not configuration_file(HOSTS["cursor"]).exists()


@pytest.mark.usefixtures("no_key_store")
def test_without_a_key_store_vs_code_asks_for_the_secret_itself(demo: DemoCipp, setup: Run) -> None:
    file = configuration_file(HOSTS["vscode"])
    file.parent.mkdir(parents=True)
    file.write_text('{"inputs": [{"id": "mine", "type": "promptString"}], "servers": {"mine": {}}}')
    for _ in range(2):
        code, told = setup("--host", "vscode", "--no-test")
        assert code == 0
    assert "no key store" in told
    text = file.read_text(encoding="utf-8")
    assert demo.client_secret not in text
    document = parse(text)
    assert [question["id"] for question in document["inputs"]] == ["mine", "cipp-client-secret"]
    assert document["inputs"][1]["password"] is True
    assert document["servers"]["cipp"]["env"]["CIPP_CLIENT_SECRET"] == "${input:cipp-client-secret}"


@pytest.mark.usefixtures("no_key_store")
@pytest.mark.parametrize("before", [None, "{}"], ids=["new", "there before"])
def test_without_a_key_store_the_file_becomes_the_owners_alone(demo: DemoCipp, setup: Run, before: str | None) -> None:
    file = configuration_file(HOSTS["cursor"])
    if before is not None:
        file.parent.mkdir(parents=True)
        file.write_text(before)
        file.chmod(0o644)
    assert setup("--host", "cursor", "--no-test")[0] == 0
    assert _entry(HOSTS["cursor"])["env"]["CIPP_CLIENT_SECRET"] == demo.client_secret
    if os.name == "posix":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.usefixtures("no_key_store")
def test_a_key_store_that_was_demanded_must_be_there(setup: Run) -> None:
    code, told = setup("--host", "cursor", "--no-test", "--secret", "keyring")
    assert code == 2
    assert "no key store" in told
    assert not configuration_file(HOSTS["cursor"]).exists()


@pytest.mark.usefixtures("key_store")
def test_what_else_stands_in_the_file_stays_byte_for_byte(setup: Run) -> None:
    file = configuration_file(HOSTS["zed"])
    file.parent.mkdir(parents=True)
    before = '// my settings\n{\n\t"theme": "One", // dark\n\t"context_servers": {\n\t\t"other": {"command": "x"},\n\t},\n}\n'
    file.write_bytes(before.encode())
    code, told = setup("--host", "zed", "--no-test")
    assert code == 0
    after = file.read_bytes().decode()
    start, end = before.split("\n\t},\n}\n")[0], "\n\t},\n}\n"
    assert after.startswith(start)
    assert after.endswith(end)
    assert after[len(start) :].startswith('\n\t\t"cipp": {\n\t\t\t"command"')
    backup = next(file.parent.glob("settings.json.backup-*"))
    assert backup.read_bytes().decode() == before
    assert str(backup) in told


@pytest.mark.usefixtures("key_store")
def test_an_older_entry_keeps_its_other_settings(setup: Run) -> None:
    file = configuration_file(HOSTS["windsurf"])
    file.parent.mkdir(parents=True)
    older = {"command": "old", "disabledTools": ["x"], "env": {"CIPP_ACCESS": "write", "CIPP_CLIENT_SECRET_FILE": "/x"}}
    file.write_text(json.dumps({"mcpServers": {"cipp": older}}))
    assert setup("--host", "windsurf", "--no-test")[0] == 0
    made = _entry(HOSTS["windsurf"])
    assert made["command"] == sys.executable
    assert made["disabledTools"] == ["x"]
    assert made["env"]["CIPP_ACCESS"] == "write"
    assert "CIPP_CLIENT_SECRET_FILE" not in made["env"]


@pytest.mark.usefixtures("key_store")
@pytest.mark.parametrize("content", ['{"mcpServers": {', "[]", '{"mcpServers": 1}', '{"mcpServers": {}} x', "\xff\xfe"])
def test_a_file_that_cannot_be_understood_is_left_alone(setup: Run, content: str) -> None:
    file = configuration_file(HOSTS["cursor"])
    file.parent.mkdir(parents=True)
    file.write_bytes(content.encode("latin-1"))
    code, told = setup("--host", "cursor", "--no-test")
    assert code == 2
    assert "left alone" in told
    assert "--print" in told
    assert file.read_bytes() == content.encode("latin-1")
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.usefixtures("key_store")
def test_printing_writes_nothing_and_shows_no_secret(demo: DemoCipp, setup: Run, home: Path) -> None:
    code, told = setup("--print", "--no-test", "--host", "claude-code", "--host", "vscode")
    assert code == 0
    assert '"type": "stdio"' in told
    assert "${input:cipp-client-secret}" in told
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("name", STEPS)
def test_products_without_local_servers_get_steps_towards_http(setup: Run, demo: DemoCipp, name: str) -> None:
    code, told = setup("--host", name)
    assert code == 0
    assert "cipp-mcp serve --transport http" in told
    assert "https://SERVER/mcp" in told
    assert "{url}" not in told
    if name in ("n8n", "rewst", "power-automate"):
        assert f"{demo.url}/api/<endpoint>" in told


def test_an_unknown_host_is_refused_with_the_known_ones(setup: Run) -> None:
    code, told = setup("--host", "vs-code")
    assert code == 2
    assert "vscode" in told
    assert "copilot-studio" in told


def test_missing_values_are_named_where_nobody_can_be_asked(
    setup: Run, monkeypatch: pytest.MonkeyPatch, demo: DemoCipp
) -> None:
    monkeypatch.delenv("CIPP_TENANT_ID")
    code, told = setup("--host", "cursor")
    assert code == 2
    assert "CIPP_TENANT_ID not set" in told


@pytest.mark.usefixtures("key_store")
def test_a_person_is_asked_for_what_is_missing_until_it_has_the_right_form(
    setup: Run, monkeypatch: pytest.MonkeyPatch, demo: DemoCipp
) -> None:
    for name in ("CIPP_URL", "CIPP_TENANT_ID", "CIPP_CLIENT_SECRET"):
        monkeypatch.delenv(name)
    typed = iter(["cipp", f"{demo.url}/api/", "", demo.tenant_id, "n", "y"])
    asked: list[str] = []

    def answer(question: str) -> str:
        asked.append(question)
        return next(typed)

    monkeypatch.setattr("builtins.input", answer)
    monkeypatch.setattr(getpass, "getpass", lambda _: demo.client_secret)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    for name in ("cursor", "windsurf"):
        configuration_file(HOSTS[name]).parent.mkdir(parents=True)
    code, told = setup()
    assert code == 0
    assert "Not accepted: not an address" in told
    assert [question.split(" (")[0] for question in asked[-2:]] == [
        "Add the server to Cursor",
        "Add the server to Windsurf",
    ]
    assert not configuration_file(HOSTS["cursor"]).exists()
    assert _entry(HOSTS["windsurf"])["env"]["CIPP_CLIENT_SECRET"] == "keyring"


@pytest.mark.usefixtures("no_key_store")
def test_doctor_examines_what_a_host_gives_the_server(
    setup: Run, demo: DemoCipp, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    setup("--host", "cursor", "--no-test", CIPP_TENANT_ID="11111111-2222-3333-4444-555555555555")
    for name in [name for name in os.environ if name.startswith("CIPP_")]:
        monkeypatch.delenv(name)
    with pytest.raises(SystemExit) as ended:
        main(["doctor", "--host", "cursor"])
    assert ended.value.code == 1
    assert "AADSTS90002" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        main(["doctor", "--host", "zed"])
    assert ended.value.code == 2
    assert "cipp-mcp setup --host zed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "platform", "environment", "expected"),
    [
        ("claude-desktop", "darwin", {}, "Library/Application Support/Claude/claude_desktop_config.json"),
        ("claude-desktop", "win32", {}, "AppData/Roaming/Claude/claude_desktop_config.json"),
        ("claude-code", "linux", {}, ".claude.json"),
        ("claude-code", "linux", {"CLAUDE_CONFIG_DIR": "{home}/other"}, "other/.claude.json"),
        ("vscode", "darwin", {}, "Library/Application Support/Code/User/mcp.json"),
        ("vscode", "linux", {"XDG_CONFIG_HOME": "{home}/cfg"}, "cfg/Code/User/mcp.json"),
        ("zed", "win32", {"APPDATA": "{home}/Roaming"}, "Roaming/Zed/settings.json"),
        ("windsurf", "win32", {}, ".codeium/windsurf/mcp_config.json"),
    ],
)
def test_configurations_are_where_each_platform_has_them(
    tmp_path: Path, name: str, platform: str, environment: dict[str, str], expected: str
) -> None:
    given = {key: value.replace("{home}", str(tmp_path)) for key, value in environment.items()}
    (tmp_path / "other").mkdir()
    assert configuration_file(HOSTS[name], platform, given, tmp_path) == tmp_path / expected


def test_claude_desktop_from_the_store_has_its_own_folder(tmp_path: Path) -> None:
    folder = tmp_path / "AppData/Local/Packages/Claude_pzs8sxrjxfjjc/LocalCache/Roaming/Claude"
    folder.mkdir(parents=True)
    assert configuration_file(HOSTS["claude-desktop"], "win32", {}, tmp_path).parent == folder


def test_the_call_printed_for_flows_is_one_that_the_http_server_answers(demo: DemoCipp, setup: Run) -> None:
    printed = setup("--host", "power-automate")[1]
    head, _, content = printed[printed.index("POST ") :].partition("\n\n")
    headers = dict(line.strip().split(": ", 1) for line in head.splitlines()[1:])
    request = content[: content.index("\n  3.")].replace("contoso.com", demo.state.tenants[0].domain)
    app = CippServer(settings_for(demo, CIPP_OPENAPI="off")).mcp.streamable_http_app(stateless_http=True)

    async def answer() -> dict[str, Any]:
        transport = httpx.ASGITransport(app)
        async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport) as http:
            answered = await http.post("http://127.0.0.1:8000/mcp", headers=headers, content=request)
            result: dict[str, Any] = answered.json()["result"]
            return result

    assert json.loads(anyio.run(answer)["content"][0]["text"].split("\n")[1])["outcome"] == "ok"
