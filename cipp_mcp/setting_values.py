"""How the text of a `CIPP_*` setting becomes its value. Parsers raise ValueError with what is allowed."""

from __future__ import annotations

import importlib.util
import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

GUID = re.compile(r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")
DOMAIN = re.compile(r"^(?=.{1,253}$)([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}$")


def one_of(*allowed: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in allowed:
            raise ValueError(f"allowed are {', '.join(allowed)}")
        return text.lower()

    return parse


def boolean(text: str) -> bool:
    return one_of("true", "false")(text) == "true"


def number(low: float, high: float, *, whole: bool) -> Callable[[str], Any]:
    def parse(text: str) -> float | int:
        try:
            value: float | int = int(text) if whole else float(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise ValueError(f"must be a {'whole ' if whole else ''}number from {low:g} to {high:g}")
        return value

    return parse


def is_loopback(host: str | None) -> bool:
    """Whether `host`, a name or an address, is this machine and no other."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def cipp_url(text: str) -> str:
    parts = _https(text, "like https://cipp.example.com", loopback_http=True)
    path = parts.path.rstrip("/")
    if path.lower() not in ("", "/api"):
        raise ValueError(f"the path {parts.path!r} is not part of a CIPP address; give the site itself or its /api")
    return f"{parts.scheme}://{parts.netloc}"


def authority(text: str) -> str:
    parts = _https(text, "like https://login.microsoftonline.com", loopback_http=False)
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def address(text: str, otherwise: str) -> SplitResult:
    """The parts of a plain address, without query, fragment and user; raises ValueError that says `otherwise`."""
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise ValueError(otherwise) from None
    if not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError(otherwise)
    return parts


def _https(text: str, like: str, *, loopback_http: bool) -> Any:
    parts = address(text, f"not an address; expected one {like}")
    if parts.scheme == "http" and not (loopback_http and is_loopback(parts.hostname)):
        raise ValueError("must be https, since tokens and tenant data travel over it")
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"not an address; expected one {like}")
    return parts


def guid(text: str) -> str:
    if not GUID.match(text):
        raise ValueError("must be a GUID like 00000000-0000-0000-0000-000000000000")
    return text.lower()


def guid_or_domain(text: str) -> str:
    if not GUID.match(text) and not DOMAIN.match(text):
        raise ValueError("must be a tenant id (GUID) or a domain such as contoso.onmicrosoft.com")
    return text


def existing_file(text: str) -> Path:
    path = Path(text).expanduser()
    if not path.is_file():
        raise ValueError("there is no such file")
    return path


def tenant_list(text: str) -> tuple[str, ...]:
    if text.lower() == "alltenants":
        return ()
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    for name in names:
        guid_or_domain(name)
    if not names:
        raise ValueError("name domains or ids, separated by commas, or AllTenants")
    return names


def state_key(text: str) -> str:
    if len(text) < 32:
        raise ValueError("must have at least 32 characters, for example from: openssl rand -hex 32")
    return text


def state_url(text: str) -> str:
    """The address of a Redis; it may hold a password, so no message repeats it."""
    parts = urlsplit(text)
    try:
        valid = parts.scheme in ("redis", "rediss") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        valid = False
    if not valid or not re.fullmatch(r"/?\d*", parts.path) or parts.query or parts.fragment:
        raise ValueError("must be like redis://redis.example.com:6379/0 or rediss://user:password@redis.example.com")
    if importlib.util.find_spec("redis") is None:
        raise ValueError("needs a Redis client: pip install 'cipp-mcp[redis]'")
    return text


def writable_file(text: str) -> Path:
    path = Path(text).expanduser()
    if path.is_dir() or not path.parent.is_dir():
        raise ValueError("must be a file in a folder that exists")
    return path


def any_text(text: str) -> str:
    return text


def openapi(text: str) -> str:
    if text.lower() in ("auto", "off", "upstream"):
        return text.lower()
    if "://" in text:
        _https(text, "like https://example.com/openapi.json", loopback_http=True)
        return text
    if not Path(text).expanduser().is_file():
        raise ValueError("allowed are auto, off, upstream, an https address, or a file that exists")
    return str(Path(text).expanduser().absolute())


def folder(text: str) -> Path:
    path = Path(text).expanduser().absolute()
    if path.exists() and not path.is_dir():
        raise ValueError("must be a folder")
    return path


def tools(text: str) -> tuple[str, ...]:
    from cipp_mcp.registry import Registry
    from cipp_mcp.registry.models import AREAS

    chosen: list[str] = []
    for word in filter(None, (part.strip() for part in text.split(","))):
        if word.lower() in ("gateway", "all", *AREAS):
            chosen.append(word.lower())
            continue
        name = Registry.load().resolve(word)
        if name is None:
            near = Registry.load().near(word)
            raise ValueError(
                f"{word!r} is neither gateway, all, an area ({', '.join(AREAS)}) nor an endpoint"
                + (f"; did you mean {', '.join(near)}?" if near else "")
            )
        chosen.append(name)
    if not chosen:
        raise ValueError("name gateway, all, areas or endpoints")
    return tuple(dict.fromkeys(chosen))
