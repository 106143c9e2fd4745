"""How the `CIPP_HTTP_*` settings are read, and which of them do not go together.

Parsers raise ValueError with what is allowed.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from cipp_mcp.setting_values import address, is_loopback

ENDPOINT = "/mcp"
"""Where MCP is served; a reverse proxy may show it under another path (`CIPP_HTTP_PUBLIC_URL`)."""

_HOST = re.compile(r"^(\[[0-9a-f:.]+\]|[a-z0-9]([a-z0-9._-]*[a-z0-9])?)(:\d{1,5})?$")
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,119}$")
_GUID = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
_ENTRA_ONLY = ("http_audience", "http_scope", "http_role")


@dataclass(frozen=True)
class Listen:
    """An address to listen on."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback

    @property
    def is_unspecified(self) -> bool:
        return self.host != "localhost" and ipaddress.ip_address(self.host).is_unspecified


DEFAULT_LISTEN = Listen("127.0.0.1", 8000)


def listen(text: str) -> Listen:
    """``address:port``, with IPv6 in brackets."""
    wanted = "must be an address and a port, like 127.0.0.1:8000, 0.0.0.0:8000 or [::1]:8000"
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]").lower()
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(wanted)
    if host != "localhost":
        try:
            host = str(ipaddress.ip_address(host))
        except ValueError:
            raise ValueError(wanted) from None
    return Listen(host, int(port))


def public_url(text: str) -> str:
    """The address under which clients know this server, without a trailing slash."""
    parts = address(text, f"{text!r} is not an address")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname)):
        raise ValueError("must be an https address such as https://mcp.example.com/mcp")
    if not parts.path.rstrip("/"):
        raise ValueError(f"must name the path too, such as {text.rstrip('/')}{ENDPOINT}")
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/')}"


def hosts(text: str) -> tuple[str, ...]:
    """Values of the Host header: names, with or without a port."""
    found = _words(text.lower())
    for name in found:
        if not _HOST.match(name):
            raise ValueError(
                f"{name!r} is no host; name hosts like mcp.example.com or mcp.example.com:8443, no addresses"
            )
    return found


def origins(text: str) -> tuple[str, ...]:
    """Values of the Origin header (RFC 6454): scheme and host, with a port that is not the scheme's own."""
    found = _words(text.lower())
    for origin in found:
        parts = address(origin, f"{origin!r} is not an address")
        if parts.scheme not in ("http", "https") or parts.path or origin.endswith("/"):
            raise ValueError(f"{origin!r} is no origin; name origins like https://chat.example.com, without a path")
    return found


def proxies(text: str) -> tuple[str, ...]:
    """Addresses or networks (CIDR) of reverse proxies."""
    found = _words(text)
    for network in found:
        try:
            parsed = ipaddress.ip_network(network)
        except ValueError:
            raise ValueError(f"{network!r} is neither an address nor a network like 10.0.0.0/24") from None
        if parsed.prefixlen == 0:
            raise ValueError("would trust the headers of everybody; name the proxies")
    return found


def audience(text: str) -> tuple[str, ...]:
    """Audiences of tokens for this server; an application id stands for its ``api://`` form too."""
    found: list[str] = []
    for word in _words(text):
        if _GUID.match(word.lower()):
            found += [word.lower(), f"api://{word.lower()}"]
        elif urlsplit(word).scheme in ("api", "https") and urlsplit(word).netloc:
            found.append(word)
        else:
            raise ValueError(f"{word!r} is neither an application id nor its URI, like api://… or https://…")
    return tuple(dict.fromkeys(found))


def name(text: str) -> str:
    """The name of a scope or an app role."""
    if not _NAME.match(text):
        raise ValueError("must be one name, like access_as_user, without the application's URI before it")
    return text


def problems(values: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """What does not go together in `values` (fields of Settings), of which `given` were set and the rest are defaults."""
    auth = values["http_auth"]
    found = []
    where: Listen = values["http_listen"]
    if auth == "none" and not where.is_loopback:
        found.append(
            f"CIPP_HTTP_LISTEN={where} can be reached from other machines, so CIPP_HTTP_AUTH must be tokens or entra"
        )
    if where.is_unspecified and not {"http_public_url", "http_allowed_hosts"} & given.keys():
        found.append(
            f"CIPP_HTTP_LISTEN={where} needs CIPP_HTTP_PUBLIC_URL or CIPP_HTTP_ALLOWED_HOSTS, the names it goes by"
        )
    if auth == "none" and "http_public_url" in given:
        found.append("CIPP_HTTP_PUBLIC_URL is set, so CIPP_HTTP_AUTH must be tokens or entra")
    if auth == "tokens" and "http_tokens" not in given:
        found.append("CIPP_HTTP_AUTH=tokens needs CIPP_HTTP_TOKENS, the file with the hashes of the tokens")
    if auth != "tokens" and "http_tokens" in given:
        found.append(f"CIPP_HTTP_TOKENS is set, but CIPP_HTTP_AUTH is {auth}; it must be tokens")
    if auth == "entra":
        found += _entra_problems(values, given)
    else:
        found += [
            f"CIPP_{field.upper()} is set, but CIPP_HTTP_AUTH is {auth}; it must be entra"
            for field in _ENTRA_ONLY
            if field in given
        ]
    if values["http_call_as"] == "caller":
        found += _on_behalf_problems(values, given)
    return found


def _entra_problems(values: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    found = []
    if not _GUID.match(str(given.get("tenant_id", "")).lower()):
        found.append("CIPP_HTTP_AUTH=entra needs CIPP_TENANT_ID as an id (GUID), with which tokens are compared")
    if "http_audience" not in given:
        found.append("CIPP_HTTP_AUTH=entra needs CIPP_HTTP_AUDIENCE, the application id or URI of this server")
    where: Listen = values["http_listen"]
    if "http_public_url" not in given and not where.is_loopback:
        found.append("CIPP_HTTP_AUTH=entra needs CIPP_HTTP_PUBLIC_URL, which tells clients where to sign in")
    return found


def _on_behalf_problems(values: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    found = []
    if values["http_auth"] != "entra":
        found.append("CIPP_HTTP_CALL_AS=caller needs CIPP_HTTP_AUTH=entra: only Entra's tokens can be exchanged")
    if "http_role" in given:
        found.append("CIPP_HTTP_CALL_AS=caller and CIPP_HTTP_ROLE exclude each other: an application is no person")
    client = given.get("client_id")
    scope = str(given.get("scope", ""))
    if not scope or (client and scope.lower().startswith(f"api://{client}/")):
        found.append(
            "CIPP_HTTP_CALL_AS=caller needs CIPP_SCOPE, the scope of CIPP's own API client, not of this server"
        )
    if client and "http_audience" in given and client not in " ".join(given["http_audience"]):
        # Entra exchanges a token only for the application that it was issued to.
        audiences = [word for word in given["http_audience"] if word.startswith("https://")]
        if not audiences:
            found.append("CIPP_HTTP_CALL_AS=caller needs the same application in CIPP_CLIENT_ID and CIPP_HTTP_AUDIENCE")
    return found


def _words(text: str) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    if not found:
        raise ValueError("name at least one, or unset it")
    return found
