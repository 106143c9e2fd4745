"""Checks of the configuration alone: nothing is sent anywhere."""

from __future__ import annotations

import os
import platform
import re
import stat
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

import anyio.to_thread

from cipp_mcp import __version__
from cipp_mcp.calls.policy import CRITICAL, PolicyFile, policy_for
from cipp_mcp.connection.keystore import IN_KEY_STORE, key_store_name
from cipp_mcp.doctor.case import Case, Verdict, failed, passed, warned
from cipp_mcp.errors import CallFailed, SettingsError
from cipp_mcp.registry import Registry
from cipp_mcp.setting_values import GUID
from cipp_mcp.settings import SETTINGS, Settings

_CONNECTION = ("CIPP_URL", "CIPP_TENANT_ID", "CIPP_CLIENT_ID", "CIPP_CLIENT_SECRET", "CIPP_SCOPE")
_PLACEHOLDER = re.compile(r"^<.*>$|^(your|the)[ _-].*|^%.*%$|^changeme$", re.IGNORECASE)
_SECRET_ID_HINT = "The secret's *value* is needed, not its id (Entra shows both): reset the secret in CIPP under Integrations > CIPP-API."
_ADDRESS = "CIPP_URL must be the API URL that CIPP shows under Integrations > CIPP-API"


def is_secret(name: str) -> bool:
    """Whether the value of the setting `name` is a secret itself, and not the place of one."""
    return name.startswith("CIPP_") and name.endswith(("_SECRET", "_KEY", "_PASSWORD"))


async def program(_: Case) -> Verdict:
    """Which program this is; for whoever reads the report."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("mcp", "httpx", "msal"))
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    return passed(f"cipp-mcp {__version__}, Python {platform.python_version()}, {packages}, {system}")


async def settings(case: Case) -> Verdict:
    """All settings are known, well-formed and there; the policy file is valid."""
    environment = case.environment
    case.secrets += [
        value for name, value in environment.items() if is_secret(name) and value.strip() not in ("", IN_KEY_STORE)
    ]
    try:
        case.settings = Settings.from_environment(environment)
        file = PolicyFile.read(case.settings.policy) if case.settings.policy else None
    except SettingsError as error:
        return failed(
            " ".join(error.message.split()), "Mend these variables; cipp-mcp --help lists all with their values."
        )
    case.policy = policy_for(case.settings, file, "local")
    if case.settings.missing:
        return failed(
            f"{', '.join(case.settings.missing)} not set",
            "cipp-mcp setup asks for them; cipp-mcp doctor --host NAME examines what a host's configuration gives the "
            "server, which a terminal does not see.",
        )
    return passed(
        f"set: {', '.join(setting.name for setting in SETTINGS if environment.get(setting.name, '').strip())}"
    )


async def values(case: Case) -> Verdict:
    """The connection values look like the real ones and not like placeholders or their neighbours."""
    given = {name: case.environment.get(name, "").strip() for name in _CONNECTION}
    host = urlsplit(case.settings.url or "").hostname or ""
    for name, value in given.items():
        if value.startswith("${"):
            return failed(
                f"{name} is {value}, which the host fills in when it starts the server",
                f"Set {name} in this terminal too, so that it can be examined from here.",
            )
        if _PLACEHOLDER.match(value) or (name == "CIPP_URL" and re.search(r"(^|\.)example\.(com|net|org)$", host)):
            return failed(f"{name} still holds a placeholder", f"Put the real value of {name} in its place.")
        if value[:1] in ("'", '"') or value[-1:] in ("'", '"'):
            return failed(f"{name} begins or ends with a quotation mark", "Take the quotation marks out of the value.")
    if host.startswith("login.") and "microsoft" in host:
        return failed(
            f"CIPP_URL is the address of the sign-in host {host}", f"{_ADDRESS}, not the token URL beside it."
        )
    if ".scm." in host:
        return failed(f"{host} is the function app's management site", f"{_ADDRESS}, without .scm.")
    if host in ("docs.cipp.app", "cipp.app", "www.cipp.app", "portal.azure.com"):
        return failed(f"{host} is not a CIPP deployment", f"{_ADDRESS}.")
    if given["CIPP_CLIENT_ID"].lower() == given["CIPP_TENANT_ID"].lower():
        return failed(
            "CIPP_CLIENT_ID and CIPP_TENANT_ID are the same", "Copy both anew from CIPP under Integrations > CIPP-API."
        )
    scope = case.settings.token_scope
    if not scope.endswith("/.default") or " " in scope:
        return failed(
            f"CIPP_SCOPE is {scope}",
            "An application's scope ends with /.default; leave CIPP_SCOPE unset to use api://<client id>/.default.",
        )
    if host.endswith(".azurestaticapps.net"):
        return warned(f"{host} is a front end's host", f"If a later check fails: {_ADDRESS}.")
    return passed(f"{case.settings.url}/api, client {case.settings.client_id}, scope {scope}")


async def credential(case: Case) -> Verdict:
    """What proves that this server is the API client can be read from where the settings say it is."""
    from cipp_mcp.connection.auth import TokenEndpoint
    from cipp_mcp.connection.credentials import load_credential

    settings = case.settings
    try:
        found = await anyio.to_thread.run_sync(load_credential, settings, TokenEndpoint, abandon_on_cancel=True)
    except CallFailed as error:
        return failed(error.message.removesuffix(" CIPP was not called."), error.hint or "")
    if settings.identity:
        return passed(f"the {settings.identity} identity of this platform")
    if settings.client_certificate:
        return _kept_in(settings.client_certificate, "a certificate")
    case.secrets.append(found)
    if GUID.match(found):
        return failed("the secret has the form of an id", _SECRET_ID_HINT)
    if settings.client_secret_file:
        return _kept_in(settings.client_secret_file, "a secret")
    if settings.client_secret == IN_KEY_STORE:
        return passed(f"a secret in the system's key store ({key_store_name()})")
    return passed("a secret in CIPP_CLIENT_SECRET")


def _kept_in(file: Path, what: str) -> Verdict:
    if os.name == "posix" and file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return warned(f"{what} in {file}, which other accounts may use", f"chmod 600 {file}")
    return passed(f"{what} in {file}")


async def access(case: Case) -> Verdict:
    """What the settings let a model do."""
    policy, settings = case.policy, case.settings
    if policy.nothing:
        return failed(
            f"the policy file {settings.policy} gives the local caller nothing",
            'Add a grant under callers: {"local": {}}, or a default.',
        )
    risks = policy.risks()
    registry = Registry.load()
    reached = [entry.risk for entry in registry if policy.reaches(entry) and entry.risk in risks]
    counts = ", ".join(f"{reached.count(risk)} {risk}" for risk in dict.fromkeys(sorted(reached)))
    tenants = f"{len(settings.tenants)} tenants" if settings.tenants else "all tenants"
    seen = (
        f"access {policy.access}: {len(reached)} of {len(registry)} endpoints ({counts}); {tenants}; "
        f"secrets {'are shown' if policy.secrets else 'are refused or masked'}; a person is asked: {policy.confirm}"
    )
    if policy.confirm == "never" and risks - {"read"}:
        return warned(
            seen, "Nobody is asked before a change. CIPP_CONFIRM=critical asks before those that can do harm."
        )
    if settings.confirm_fallback == "two-step" and risks & CRITICAL:
        return warned(
            seen,
            "Where a host cannot ask a person, the model confirms its own calls; CIPP_CONFIRM_FALLBACK=refuse prevents it.",
        )
    return passed(seen)
