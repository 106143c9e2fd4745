"""``cipp-mcp setup``: from four values to a host that works."""

from __future__ import annotations

import getpass
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import anyio

from cipp_mcp.cli.doctor import exit_code, print_finding, summary
from cipp_mcp.cli.hosts import HOSTS, SERVER, Host, configuration_file, entry, installed_hosts, put_server, with_prompt
from cipp_mcp.cli.remote_hosts import STEPS, steps
from cipp_mcp.connection.keystore import IN_KEY_STORE, KeyStoreError, key_store_name, store_secret
from cipp_mcp.doctor import examine
from cipp_mcp.doctor.configuration import is_secret
from cipp_mcp.errors import Refused
from cipp_mcp.settings import SETTINGS, Settings

Keep = Literal["auto", "keyring", "config"]
_BESIDE = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "AZURE_FEDERATED_TOKEN_FILE")
"""What a host has to pass on too, since it starts the server with an environment of its own."""
_QUESTIONS = (
    ("CIPP_URL", "Address of CIPP (API URL)"),
    ("CIPP_TENANT_ID", "Tenant ID"),
    ("CIPP_CLIENT_ID", "Client (application) ID of the API client"),
    ("CIPP_CLIENT_SECRET", "Its secret (not shown while you type)"),
)


def run_setup(names: Sequence[str], *, only_print: bool, test: bool, keep: Keep) -> int:
    """Asks, tests, keeps the secret and writes or prints the configuration. 0 done, 1 the test failed."""
    unknown = [name for name in names if name not in HOSTS and name not in STEPS]
    if unknown:
        raise Refused(f"There is no host {unknown[0]!r}. Known: {', '.join((*HOSTS, *STEPS))}.")
    remote = [name for name in names if name in STEPS]
    if names and len(remote) == len(names):
        for name in remote:
            print(steps(name, _parsed("CIPP_URL", os.environ.get("CIPP_URL", ""))) + "\n")
        return 0
    environment = gather(os.environ, sys.stdin.isatty())
    settings = Settings.from_environment(environment)
    if test:
        print("\nTesting this set-up:")
        findings = anyio.run(examine, {**os.environ, **environment}, print_finding)
        print(f"\n{summary(findings)}")
        if exit_code(findings):
            print("Nothing was written. Mend it and run this again; --no-test writes regardless.")
            return 1
    hosts = _chosen([name for name in names if name in HOSTS], only_print)
    stored, kept = ("", environment) if only_print else _keep_secret(environment, settings, keep)
    if stored:
        print(f"The secret is kept in the system's key store ({stored}).")
    if hosts and not only_print:
        _write(hosts, kept)
    else:
        _print(hosts or [HOSTS["claude-desktop"]], kept)
    for name in remote:
        print("\n" + steps(name, settings.url))
    return 0


def gather(environment: Mapping[str, str], interactive: bool) -> dict[str, str]:
    """The settings to configure: those in `environment`, with what is missing asked of the person.

    Raises Refused, naming what is missing, where nobody can be asked.
    """
    missing = Settings.from_environment(environment).missing
    names = (*(setting.name for setting in SETTINGS), *_BESIDE)
    given = {name: environment[name].strip() for name in names if environment.get(name, "").strip()}
    if missing and not interactive:
        raise Refused(
            f"Nobody can be asked here, and {', '.join(missing)} not set.",
            hint="Set them as environment variables, or run this in a terminal.",
        )
    if missing:
        print("CIPP shows these values under Integrations > CIPP-API.")
    for name, question in _QUESTIONS:
        if name in missing:
            given[name] = _asked(name, question)
    return {name: given[name] for name in names if name in given}


def server_command() -> tuple[str, list[str]]:
    """How a host starts this server: by full path, since a host's PATH is rarely the terminal's."""
    prefix = Path(sys.prefix).as_posix()
    if "/uv/archive-v" in prefix or "/uv/builds-v" in prefix or "/uv/environments-v" in prefix:
        # The environment of uvx is a cache that uv may empty.
        return "uvx", ["--from", "cipp-mcp[keyring]", "cipp-mcp"]
    return sys.executable, ["-m", "cipp_mcp"]


def _asked(name: str, question: str) -> str:
    read: Callable[[str], str] = getpass.getpass if name == "CIPP_CLIENT_SECRET" else input
    while True:
        try:
            text = read(f"{question}: ").strip()
        except EOFError:
            raise Refused(f"{name} was not given.", hint="Nothing was written.") from None
        if not text:
            continue
        try:
            _setting(name)(text)
        except ValueError as error:
            print(f"  Not accepted: {error}.")
            continue
        return text


def _setting(name: str) -> Callable[[str], object]:
    return next(setting.parse for setting in SETTINGS if setting.name == name)


def _parsed(name: str, text: str) -> str | None:
    try:
        return str(_setting(name)(text)) if text else None
    except ValueError:
        return None


def _chosen(names: Sequence[str], only_print: bool) -> list[Host]:
    """The hosts to configure: the named ones, else those found here that the person says yes to."""
    if names or only_print:
        return [HOSTS[name] for name in names]
    found = installed_hosts()
    if not sys.stdin.isatty():
        return []
    print()
    return [host for host in found if _yes(f"Add the server to {host.title} ({configuration_file(host)})? [Y/n] ")]


def _yes(question: str) -> bool:
    try:
        return input(question).strip().lower() in ("", "y", "yes")
    except EOFError:
        return False


def _keep_secret(environment: dict[str, str], settings: Settings, keep: Keep) -> tuple[str, dict[str, str]]:
    """(name of the key store or nothing, the environment to write).

    Raises KeyStoreError where the key store was asked for and cannot be used.
    """
    secret = environment.get("CIPP_CLIENT_SECRET")
    if secret in (None, IN_KEY_STORE) or keep == "config":
        return "", environment
    try:
        key_store_name()
        stored = store_secret(settings.client_id or "", secret)
    except KeyStoreError as error:
        if keep == "keyring":
            raise
        print(f"{error.message} So the secret goes into the host's configuration.")
        return "", environment
    return stored, {**environment, "CIPP_CLIENT_SECRET": IN_KEY_STORE}


def _asking(host: Host, environment: dict[str, str]) -> tuple[dict[str, str], dict[str, object] | None]:
    """`environment`, and for a host that can ask for the secret itself the question that replaces it."""
    if host.prompts and environment.get("CIPP_CLIENT_SECRET") not in (None, IN_KEY_STORE):
        return with_prompt(environment)
    return environment, None


def _write(hosts: Sequence[Host], environment: dict[str, str]) -> None:
    refused: list[Refused] = []
    for host in hosts:
        written, question = _asking(host, environment)
        try:
            done = put_server(host, entry(host, *server_command(), written), question)
        except Refused as error:
            refused.append(error)
            continue
        before = f"; before: {done.backup}" if done.backup else ""
        print(f"{host.title}: {done.file}{before}\n  {host.then}")
    if refused:
        raise Refused(" ".join(error.message for error in refused), hint=refused[0].hint)


def _print(hosts: Sequence[Host], environment: dict[str, str]) -> None:
    """Prints the configuration of each host; a secret in it is replaced, since a screen is no place for it."""
    shown = {
        name: "<not shown>" if is_secret(name) and value != IN_KEY_STORE else value
        for name, value in environment.items()
    }
    for host in hosts:
        written, question = _asking(host, shown)
        made: dict[str, object] = {host.key: {SERVER: entry(host, *server_command(), written)}}
        if question:
            made["inputs"] = [question]
        print(f"\n{host.title} ({configuration_file(host)}):\n{json.dumps(made, indent=2)}\n  {host.then}")
