"""The MCP hosts whose configuration files `setup` writes: where the files are and what an entry looks like in each.

Places: modelcontextprotocol.io (Claude Desktop), code.claude.com/docs (Claude Code), code.visualstudio.com/docs (VS Code),
cursor.com/docs, docs.windsurf.com, zed.dev/docs/ai/mcp.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cipp_mcp.cli.jsonc import append_item, parse, set_member
from cipp_mcp.connection.keystore import IN_KEY_STORE
from cipp_mcp.errors import Refused

SERVER = "cipp"
_PROMPT = "cipp-client-secret"
_CONNECTION = re.compile(r"CIPP_(URL|SCOPE|AUTHORITY|TENANT_ID|CLIENT_\w+|IDENTITY|MANAGED_IDENTITY_ID)$")


@dataclass(frozen=True)
class Host:
    """A program on this machine that starts MCP servers.

    `places` are its configuration file on each platform (`sys.platform`), the likeliest first; ``{NAME}`` stands for an
    environment variable. `key` is the member that holds the servers.
    """

    name: str
    title: str
    key: str
    places: Mapping[str, tuple[str, ...]]
    then: str
    typed: bool = False
    """Whether an entry says ``"type": "stdio"``."""
    prompts: bool = False
    """Whether the host itself can ask for the secret and keep it."""


def _everywhere(*places: str) -> dict[str, tuple[str, ...]]:
    return dict.fromkeys(("linux", "darwin", "win32"), places)


HOSTS: dict[str, Host] = {
    host.name: host
    for host in (
        Host(
            "claude-desktop",
            "Claude Desktop",
            "mcpServers",
            {
                "linux": ("{XDG_CONFIG_HOME}/Claude/claude_desktop_config.json",),
                "darwin": ("{HOME}/Library/Application Support/Claude/claude_desktop_config.json",),
                # An installation from the Store sees a folder of its own in place of APPDATA.
                "win32": (
                    "{LOCALAPPDATA}/Packages/Claude_pzs8sxrjxfjjc/LocalCache/Roaming/Claude/claude_desktop_config.json",
                    "{APPDATA}/Claude/claude_desktop_config.json",
                ),
            },
            "Quit Claude Desktop fully (also from the tray) and start it again.",
        ),
        Host(
            "claude-code",
            "Claude Code",
            "mcpServers",
            _everywhere("{CLAUDE_CONFIG_DIR}/.claude.json", "{HOME}/.claude.json"),
            "Start a new session; /mcp shows the server.",
            typed=True,
        ),
        Host(
            "vscode",
            "VS Code",
            "servers",
            {
                "linux": ("{XDG_CONFIG_HOME}/Code/User/mcp.json",),
                "darwin": ("{HOME}/Library/Application Support/Code/User/mcp.json",),
                "win32": ("{APPDATA}/Code/User/mcp.json",),
            },
            "Run 'MCP: List Servers' and start cipp.",
            typed=True,
            prompts=True,
        ),
        Host(
            "cursor",
            "Cursor",
            "mcpServers",
            _everywhere("{HOME}/.cursor/mcp.json"),
            "Open Cursor's settings, MCP, and switch cipp on.",
        ),
        Host(
            "windsurf",
            "Windsurf",
            "mcpServers",
            _everywhere("{HOME}/.codeium/windsurf/mcp_config.json"),
            "Refresh the MCP servers in Cascade.",
        ),
        Host(
            "zed",
            "Zed",
            "context_servers",
            {
                "linux": ("{XDG_CONFIG_HOME}/zed/settings.json",),
                "darwin": ("{HOME}/.config/zed/settings.json",),
                "win32": ("{APPDATA}/Zed/settings.json",),
            },
            "The Agent Panel's settings show the server; a green dot means it runs.",
        ),
    )
}


@dataclass(frozen=True)
class Written:
    """What was done to a configuration: the file, and its copy from before, if there was one."""

    file: Path
    backup: Path | None


def configuration_file(
    host: Host, platform: str = sys.platform, environment: Mapping[str, str] = os.environ, home: Path | None = None
) -> Path:
    """The configuration of `host`: the file that exists, else the one in a folder that exists, else the usual one."""
    home = home or Path.home()
    known = {"HOME": str(home), "XDG_CONFIG_HOME": str(home / ".config"), "APPDATA": str(home / "AppData/Roaming")}
    known |= {"LOCALAPPDATA": str(home / "AppData/Local")}
    known |= {name: value for name, value in environment.items() if value and name != "HOME"}
    places = []
    for template in host.places.get(platform, host.places["linux"]):
        name = template[1 : template.index("}")]
        if name in known:
            places.append(Path(template.replace(f"{{{name}}}", known[name], 1)))
    for test in (Path.is_file, lambda place: place.parent.is_dir()):
        found = next((place for place in places if test(place)), None)
        if found is not None:
            return found
    return places[-1]


def installed_hosts() -> list[Host]:
    """The hosts that have been used on this machine, by the traces they leave."""
    return [host for host in HOSTS.values() if _traces(host)]


def _traces(host: Host) -> bool:
    file = configuration_file(host)
    return file.is_file() if file.parent == Path.home() else file.parent.is_dir()


def host_named(name: str) -> Host:
    """The host of that name; Refused, with the valid names, if there is none."""
    if name not in HOSTS:
        raise Refused(f"There is no host {name!r} with a configuration file here. Known: {', '.join(HOSTS)}.")
    return HOSTS[name]


def entry(host: Host, command: str, arguments: list[str], environment: Mapping[str, str]) -> dict[str, Any]:
    """The server's entry for `host`."""
    start = {"type": "stdio"} if host.typed else {}
    return {**start, "command": command, "args": arguments, "env": dict(environment)}


def with_prompt(environment: Mapping[str, str]) -> tuple[dict[str, str], dict[str, Any]]:
    """`environment` with the secret replaced by a question of the host's, and the question."""
    question = {
        "type": "promptString",
        "id": _PROMPT,
        "description": "Secret of the CIPP API client",
        "password": True,
    }
    return {**environment, "CIPP_CLIENT_SECRET": f"${{input:{_PROMPT}}}"}, question


def put_server(host: Host, made: dict[str, Any], question: dict[str, Any] | None = None) -> Written:
    """Puts the entry into the host's configuration, after a backup of the file.

    All else in the file stays as it is, and so do an older entry's other settings (such as CIPP_ACCESS).
    Raises Refused, and writes nothing, where the file cannot be read as JSON or cannot be written.
    """
    file = configuration_file(host).resolve()
    try:
        text = _text(file)
        value = parse(text)
        older = (value.get(host.key) or {}).get(SERVER) if isinstance(value, dict) else None
        text = set_member(text, [host.key, SERVER], _merged(older, made))
        if question is not None and all(known.get("id") != question["id"] for known in _questions(value)):
            text = append_item(text, "inputs", question)
        backup = _backup(file)
        _write(file, text, private=_holds_secret(made))
    except (ValueError, AttributeError) as error:
        raise Refused(
            f"{file} was left alone, since it cannot be understood as {host.title}'s configuration: {error}.",
            hint="Mend the file, or add what --print shows by hand.",
        ) from None
    except OSError as error:
        raise Refused(
            f"{file} could not be written ({error.strerror}).", hint="Add what --print shows by hand."
        ) from None
    return Written(file, backup)


def configured_environment(host: Host) -> dict[str, str]:
    """The environment that the host's configuration gives the server, on top of this one without its CIPP_* part.

    What the host fills in itself (``${input:...}``) is taken from this environment, where it has it.
    Raises Refused where there is no such configuration.
    """
    file = configuration_file(host)
    try:
        made = parse(_text(file))[host.key][SERVER]
        given = {str(name): str(value) for name, value in (made.get("env") or {}).items()}
        given |= {name: os.environ[name] for name, value in given.items() if "${" in value and name in os.environ}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        raise Refused(
            f"{file} has no server {SERVER!r} under {host.key}.", hint=f"cipp-mcp setup --host {host.name} adds it."
        ) from None
    return {name: value for name, value in os.environ.items() if not name.upper().startswith("CIPP_")} | given


def _merged(older: Any, made: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(older, dict):
        return made
    kept = dict(older.get("env") or {}) if isinstance(older.get("env"), dict) else {}
    kept = {name: value for name, value in kept.items() if not _CONNECTION.match(str(name))}
    return {**older, **made, "env": {**kept, **made["env"]}}


def _questions(value: Any) -> list[dict[str, Any]]:
    listed = value.get("inputs") or []
    return [known for known in listed if isinstance(known, dict)]


def _text(file: Path) -> str:
    return file.read_bytes().decode("utf-8") if file.is_file() else ""


def _backup(file: Path) -> Path | None:
    if not file.is_file():
        return None
    copy = file.with_name(f"{file.name}.backup-{datetime.now():%Y%m%d-%H%M%S-%f}")
    shutil.copy2(file, copy)
    return copy


def _holds_secret(made: dict[str, Any]) -> bool:
    secret = made["env"].get("CIPP_CLIENT_SECRET", "")
    return secret not in ("", IN_KEY_STORE) and not secret.startswith("${")


def _write(file: Path, text: str, *, private: bool) -> None:
    """Replaces `file` in one step; a new one, or one that is `private`, can be read by its owner alone."""
    file.parent.mkdir(parents=True, exist_ok=True)
    mode = stat.S_IMODE(file.stat().st_mode) if file.exists() else 0o600
    if private:
        mode &= ~(stat.S_IRWXG | stat.S_IRWXO)
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(text.encode("utf-8"))
        os.chmod(temporary, mode)
        os.replace(temporary, file)
    except BaseException:
        os.unlink(temporary)
        raise
