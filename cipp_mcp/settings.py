"""Every `CIPP_*` setting, declared once: parsing, help text and the README table come from `SETTINGS`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from cipp_mcp import http_settings
from cipp_mcp import setting_values as parse
from cipp_mcp.errors import SettingsError

_HIDDEN = ("client_secret", "client_certificate_password", "state_key", "state_url")
_SECRET_NAME = re.compile("SECRET|KEY|PASSWORD|STATE_URL")
# Kubernetes and Docker links inject these for a service called "cipp".
_INJECTED = re.compile(r"^CIPP_(PORT|SERVICE)(_|$)")


@dataclass(frozen=True)
class Setting:
    """One variable: how it is read and what the reader of ``--help`` is told."""

    name: str
    parse: Callable[[str], Any]
    default: Any
    help: str
    shown_default: str = ""
    empty_is_error: bool = False

    @property
    def field(self) -> str:
        return self.name.removeprefix("CIPP_").lower()


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Validated settings. Connection values may be None: see `missing`."""

    url: str | None = None
    tenant_id: str | None = None
    client_id: str | None = None
    client_secret: str | None = None
    client_secret_file: Path | None = None
    client_certificate: Path | None = None
    client_certificate_password: str | None = None
    identity: Literal["workload", "managed"] | None = None
    managed_identity_id: str | None = None
    federated_token_file: Path | None = None
    """Not a setting: AZURE_FEDERATED_TOKEN_FILE, where `identity` is ``workload``."""
    scope: str | None = None
    authority: str = "https://login.microsoftonline.com"
    tools: tuple[str, ...] = ("gateway",)
    result_tokens: int = 6000
    wait_seconds: float = 45.0
    max_concurrency: int = 8
    max_per_tenant: int = 6
    max_waiting: int = 500
    timeout: float = 600.0
    access: Literal["read", "write", "full", "admin"] = "read"
    allow_secrets: bool = False
    tenants: tuple[str, ...] = ()
    allow_all_tenant_writes: bool = False
    confirm: Literal["critical", "writes", "never"] = "critical"
    confirm_fallback: Literal["refuse", "two-step"] = "refuse"
    state_key: str | None = None
    state_url: str | None = None
    audit_log: Path | None = None
    log_format: Literal["text", "json"] = "text"
    policy: Path | None = None
    http_listen: http_settings.Listen = http_settings.DEFAULT_LISTEN
    http_public_url: str | None = None
    http_auth: Literal["none", "tokens", "entra"] = "none"
    http_tokens: Path | None = None
    http_audience: tuple[str, ...] = ()
    http_scope: str = "access_as_user"
    http_role: str | None = None
    http_call_as: Literal["service", "caller"] = "service"
    http_allowed_hosts: tuple[str, ...] = ()
    http_allowed_origins: tuple[str, ...] = ()
    http_trusted_proxies: tuple[str, ...] = ()
    http_drain_seconds: float = 25.0
    openapi: str = "auto"
    cache: Path | None = None

    def __repr__(self) -> str:
        shown = ((f.name, getattr(self, f.name)) for f in fields(self) if f.name not in _HIDDEN)
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in shown)})"

    @property
    def missing(self) -> list[str]:
        """The connection settings that are needed before CIPP can be called."""
        absent = [
            name
            for name, value in (
                ("CIPP_URL", self.url),
                ("CIPP_TENANT_ID", self.tenant_id),
                ("CIPP_CLIENT_ID", self.client_id),
            )
            if not value
        ]
        if not any((self.client_secret, self.client_secret_file, self.client_certificate, self.identity)):
            absent.append("CIPP_CLIENT_SECRET")
        return absent

    @property
    def token_scope(self) -> str:
        return self.scope or f"api://{self.client_id}/.default"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Reads and checks every `CIPP_*` variable.

        Raises SettingsError, naming each offending variable, its value (secrets excepted) and what is allowed.
        """
        problems = _unknown(environment)
        values: dict[str, Any] = {}
        for setting in SETTINGS:
            text = environment.get(setting.name, "").strip()
            if not text:
                if setting.empty_is_error and setting.name in environment:
                    problems.append(f"{setting.name} is set but empty; give it a value or unset it")
                continue
            try:
                values[setting.field] = setting.parse(text)
            except ValueError as error:
                shown = "(not shown)" if _SECRET_NAME.search(setting.name) else repr(text)
                problems.append(f"{setting.name}={shown}: {error}")
        problems += _credential_problems(values, environment)
        defaults = {field.name: field.default for field in fields(cls)}
        if "state_url" in values and "state_key" not in values:
            problems.append("CIPP_STATE_URL needs CIPP_STATE_KEY, the same one for all instances that share the state")
        problems += http_settings.problems(defaults | values, values)
        if problems:
            raise SettingsError("Configuration not accepted:\n  " + "\n  ".join(problems))
        return cls(**values)


def _credential_problems(values: dict[str, Any], environment: Mapping[str, str]) -> list[str]:
    """What is wrong with the choice of a credential; fills in what the choice takes from elsewhere."""
    ways = ("client_secret", "client_secret_file", "client_certificate", "identity")
    given = [f"CIPP_{name.upper()}" for name in ways if name in values]
    problems = []
    if len(given) > 1:
        problems.append(f"{' and '.join(given)} are {'both' if len(given) == 2 else 'all'} set; keep one")
    if "client_certificate_password" in values and "client_certificate" not in values:
        problems.append("CIPP_CLIENT_CERTIFICATE_PASSWORD is set without CIPP_CLIENT_CERTIFICATE")
    if "managed_identity_id" in values and values.get("identity") != "managed":
        problems.append("CIPP_MANAGED_IDENTITY_ID is set without CIPP_IDENTITY=managed")
    if values.get("identity") == "workload":
        name = environment.get("AZURE_FEDERATED_TOKEN_FILE", "")
        try:
            values["federated_token_file"] = parse.existing_file(name)
        except ValueError as error:
            problems.append(
                f"CIPP_IDENTITY=workload needs AZURE_FEDERATED_TOKEN_FILE={name!r}: "
                + (str(error) if name else "the platform sets it where workload identity is switched on")
            )
    return problems


def _unknown(environment: Mapping[str, str]) -> list[str]:
    known = [setting.name for setting in SETTINGS]
    problems = []
    for name in sorted(environment):
        # Windows upper-cases the names of environment variables; elsewhere cipp_access would be a silent typo.
        if name.upper().startswith("CIPP_") and name not in known and not _INJECTED.match(name.upper()):
            near = difflib.get_close_matches(name.upper(), known, 1)
            problems.append(f"{name} is not a setting" + (f"; did you mean {near[0]}?" if near else ""))
    return problems


SETTINGS: tuple[Setting, ...] = (
    Setting("CIPP_URL", parse.cipp_url, None, "Address of your CIPP, with or without /api"),
    Setting("CIPP_TENANT_ID", parse.guid_or_domain, None, "Entra tenant of the API client (your partner tenant)"),
    Setting("CIPP_CLIENT_ID", parse.guid, None, "Application (client) id of the CIPP API client"),
    Setting("CIPP_CLIENT_SECRET", parse.any_text, None, "Its secret; keyring takes it from the system's key store"),
    Setting(
        "CIPP_CLIENT_SECRET_FILE",
        parse.existing_file,
        None,
        "File that holds the secret, instead of CIPP_CLIENT_SECRET",
    ),
    Setting(
        "CIPP_CLIENT_CERTIFICATE",
        parse.existing_file,
        None,
        "File with a certificate and its private key, instead of a secret",
    ),
    Setting("CIPP_CLIENT_CERTIFICATE_PASSWORD", parse.any_text, None, "Password of that file, if it has one"),
    Setting(
        "CIPP_IDENTITY",
        parse.one_of("workload", "managed"),
        None,
        "workload (Kubernetes, CI) or managed (an Azure host) identity, instead of a secret",
    ),
    Setting("CIPP_MANAGED_IDENTITY_ID", parse.guid, None, "Client id of a user-assigned managed identity"),
    Setting("CIPP_SCOPE", parse.any_text, None, "Scope of the token", "api://<client id>/.default"),
    Setting("CIPP_AUTHORITY", parse.authority, Settings.authority, "Token authority, for sovereign clouds"),
    Setting(
        "CIPP_TOOLS",
        parse.tools,
        Settings.tools,
        "gateway, all, or a comma list of areas and endpoint names to list as tools of their own",
        "gateway",
    ),
    Setting(
        "CIPP_ACCESS",
        parse.one_of("read", "write", "full", "admin"),
        Settings.access,
        "read; write (ordinary changes too); full (security and destructive too); admin (CIPP itself and many tenants too)",
    ),
    Setting(
        "CIPP_ALLOW_SECRETS",
        parse.boolean,
        Settings.allow_secrets,
        "true shows passwords, recovery keys and tokens; otherwise they are refused or masked",
    ),
    Setting(
        "CIPP_TENANTS",
        parse.tenant_list,
        None,
        "Domains or ids of the only tenants this server may touch, separated by commas",
        "all",
        empty_is_error=True,
    ),
    Setting(
        "CIPP_ALLOW_ALL_TENANT_WRITES",
        parse.boolean,
        Settings.allow_all_tenant_writes,
        "true allows one change to hit several tenants at once",
    ),
    Setting(
        "CIPP_CONFIRM",
        parse.one_of("critical", "writes", "never"),
        Settings.confirm,
        "What a person has to approve: critical calls, all writes, or never",
    ),
    Setting(
        "CIPP_CONFIRM_FALLBACK",
        parse.one_of("refuse", "two-step"),
        Settings.confirm_fallback,
        "Where the host cannot ask a person: refuse, or two-step (the model repeats the call with a handle)",
    ),
    Setting(
        "CIPP_STATE_KEY",
        parse.state_key,
        None,
        "Key that seals confirmations and shared state, so that a restart or another instance can open them",
        "random",
    ),
    Setting(
        "CIPP_STATE_URL",
        parse.state_url,
        None,
        "Redis in which several instances share confirmations, limits and small results: redis://… or rediss://…",
        "each on its own",
    ),
    Setting(
        "CIPP_AUDIT_LOG",
        parse.writable_file,
        None,
        "File for the audit, one JSON line per change and refusal",
        "stderr",
    ),
    Setting(
        "CIPP_LOG_FORMAT",
        parse.one_of("text", "json"),
        Settings.log_format,
        "Log on stderr: text (warnings), or json (one object per line, with a line for every call)",
    ),
    Setting(
        "CIPP_POLICY",
        parse.existing_file,
        None,
        "JSON file that narrows what callers may do",
        empty_is_error=True,
    ),
    Setting(
        "CIPP_OPENAPI",
        parse.openapi,
        Settings.openapi,
        "Document of the API that the catalogue follows: auto (the deployment's own), upstream, an address, a file, or off",
    ),
    Setting("CIPP_CACHE", parse.folder, None, "Folder that keeps such documents", "the user's cache folder"),
    Setting(
        "CIPP_RESULT_TOKENS",
        parse.number(500, 100_000, whole=True),
        Settings.result_tokens,
        "Most tokens of one answer (3.5 bytes each)",
    ),
    Setting(
        "CIPP_MAX_CONCURRENCY",
        parse.number(1, 64, whole=True),
        Settings.max_concurrency,
        "Calls to CIPP at once; CIPP has no limit of its own and slows down for everyone",
    ),
    Setting(
        "CIPP_MAX_PER_TENANT",
        parse.number(1, 64, whole=True),
        Settings.max_per_tenant,
        "Of these, calls for one tenant at once, so that one tenant cannot hold up the others",
    ),
    Setting(
        "CIPP_MAX_WAITING",
        parse.number(1, 10_000, whole=True),
        Settings.max_waiting,
        "Calls that may wait for their turn; more are answered as busy",
    ),
    Setting(
        "CIPP_WAIT_SECONDS",
        parse.number(1, 600, whole=False),
        Settings.wait_seconds,
        "How long an answer is waited for before it becomes pending with a resume handle",
    ),
    Setting("CIPP_TIMEOUT", parse.number(1, 3600, whole=False), Settings.timeout, "Seconds one call may take in all"),
    Setting(
        "CIPP_HTTP_LISTEN",
        http_settings.listen,
        Settings.http_listen,
        "HTTP: address and port to listen on; only loopback without authentication",
    ),
    Setting(
        "CIPP_HTTP_PUBLIC_URL",
        http_settings.public_url,
        None,
        "HTTP: address under which clients know this server, such as https://mcp.example.com/mcp",
    ),
    Setting(
        "CIPP_HTTP_AUTH",
        parse.one_of("none", "tokens", "entra"),
        Settings.http_auth,
        "HTTP: who may come in: none (everybody, on loopback), tokens (bearers in a file) or entra (access tokens)",
    ),
    Setting(
        "CIPP_HTTP_TOKENS",
        parse.existing_file,
        None,
        "HTTP: JSON file with the hash of each caller's token (cipp-mcp token makes them)",
        empty_is_error=True,
    ),
    Setting(
        "CIPP_HTTP_AUDIENCE",
        http_settings.audience,
        None,
        "HTTP: application id or URI that Entra's tokens for this server are made out to",
    ),
    Setting(
        "CIPP_HTTP_SCOPE",
        http_settings.name,
        Settings.http_scope,
        "HTTP: scope that a person's token must hold",
    ),
    Setting(
        "CIPP_HTTP_ROLE",
        http_settings.name,
        None,
        "HTTP: app role that the token of an application must hold",
        "applications stay out",
    ),
    Setting(
        "CIPP_HTTP_CALL_AS",
        parse.one_of("service", "caller"),
        Settings.http_call_as,
        "HTTP: as whom CIPP is called: service (this API client) or caller (on behalf of the person who is signed in)",
    ),
    Setting(
        "CIPP_HTTP_ALLOWED_HOSTS",
        http_settings.hosts,
        None,
        "HTTP: Host headers to accept, separated by commas",
        "those of CIPP_HTTP_LISTEN and CIPP_HTTP_PUBLIC_URL",
    ),
    Setting(
        "CIPP_HTTP_ALLOWED_ORIGINS",
        http_settings.origins,
        None,
        "HTTP: web origins whose pages may call this server, separated by commas",
        "none",
    ),
    Setting(
        "CIPP_HTTP_TRUSTED_PROXIES",
        http_settings.proxies,
        None,
        "HTTP: addresses or networks of reverse proxies whose X-Forwarded headers are believed",
        "none",
    ),
    Setting(
        "CIPP_HTTP_DRAIN_SECONDS",
        parse.number(0, 600, whole=False),
        Settings.http_drain_seconds,
        "HTTP: how long requests in flight may take to finish after a signal to end",
    ),
)


def settings_table() -> list[tuple[str, str, str]]:
    """(name, default, meaning) of every setting, for --help and the README."""

    def shown(setting: Setting) -> str:
        if setting.shown_default or setting.default is None:
            return setting.shown_default
        if isinstance(setting.default, bool):
            return str(setting.default).lower()
        return f"{setting.default:g}" if isinstance(setting.default, float) else str(setting.default)

    return [(setting.name, shown(setting), setting.help) for setting in SETTINGS]
