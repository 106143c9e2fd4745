"""Fetches the document in which a CIPP describes its API: from the deployment, a file, an address, or upstream.

Which of these is `Settings.openapi`: ``auto`` (the deployment's own), ``upstream``, an https address or a file.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import anyio
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread

from cipp_mcp.connection.wire import Answer, Request
from cipp_mcp.errors import CallFailed, CippError
from cipp_mcp.registry.document import MAX_BYTES
from cipp_mcp.registry.document_cache import Kept
from cipp_mcp.settings import Settings

SITE_PATH = "/openapi.json"
SPEC_ENDPOINT = "ListOpenApiSpec"
# The repository in which CIPP's API is developed. Not every release has a tag, so the default branch counts too, while
# its version_latest.txt names the same release.
_UPSTREAM = "https://raw.githubusercontent.com/KelvinTegelaar/CIPP-API/{ref}/{path}"
_DOCUMENT, _LATEST = "Config/openapi.json", "version_latest.txt"
_SECONDS = 60.0
Found = tuple[int, bytes, str | None]
"""Status, content, ETag."""
_VERSION = re.compile(r"^\d{1,4}\.\d{1,4}\.\d{1,4}$")


class Client(Protocol):
    """What is needed of the client for CIPP's API."""

    async def send(self, request: Request) -> Answer: ...


class NoDocument(CallFailed):
    """No document could be had; the message says where it was sought and what was found there."""


class DocumentSource:
    """Fetches documents as the settings say."""

    def __init__(self, settings: Settings, client: Client) -> None:
        self._settings = settings
        self._client = client

    async def version(self) -> str | None:
        """The version of the deployment; None when it does not tell (GetVersion asks GitHub, which may fail)."""
        try:
            answer = await self._client.send(Request("GetVersion", "GET"))
        except CippError:
            return None
        found = re.search(rb'"LocalCIPPAPIVersion"\s*:\s*"([^"]{1,20})"', answer.content[:100_000], re.IGNORECASE)
        text = found[1].decode("ascii", "replace") if found and answer.status == 200 else ""
        return text if _VERSION.match(text) else None

    async def fetch(self, known: Kept | None) -> Kept:
        """The document, or `known` itself when it is still the current one.

        Raises NoDocument when there is none.
        """
        chosen = self._settings.openapi
        if chosen == "auto":
            return await self._own(known)
        if chosen == "upstream":
            return await self._upstream(known)
        if chosen.startswith(("https://", "http://")):
            return await self._first([chosen], known)
        return _unless_same(await anyio.to_thread.run_sync(read_file, Path(chosen)), known)

    async def _own(self, known: Kept | None) -> Kept:
        site = f"{self._settings.url}{SITE_PATH}"
        try:
            return await self._first([site], known)
        except NoDocument as failure:
            found = failure.message
        try:
            answer = await self._client.send(Request(SPEC_ENDPOINT, "GET"))
        except CippError as error:
            raise NoDocument(f"{found} {SPEC_ENDPOINT}: {error.message}") from None
        why = _unusable(answer.status, answer.content)
        if why:
            raise NoDocument(f"{found} {SPEC_ENDPOINT}: {why}.")
        return _unless_same(Kept(answer.content, SPEC_ENDPOINT, None, None), known)

    async def _upstream(self, known: Kept | None) -> Kept:
        version = await self.version()
        if version is None:
            raise NoDocument("The deployment did not tell its version, so upstream's document for it is not known.")
        refs = [f"v{version}", version]
        status, content, _ = await self._get(_UPSTREAM.format(ref="master", path=_LATEST), None)
        if status == 200 and content.strip() == version.encode():
            refs.insert(0, "master")
        kept = await self._first([_UPSTREAM.format(ref=ref, path=_DOCUMENT) for ref in refs], known)
        return kept if kept is known and kept.version == version else replace(kept, version=version)

    async def _first(self, addresses: list[str], known: Kept | None) -> Kept:
        """The document at the first of `addresses` that has one."""
        said = []
        for address in addresses:
            etag = known.etag if known is not None and known.source == address else None
            status, content, new_etag = await self._get(address, etag)
            if status == 304 and known is not None:
                return known
            why = _unusable(status, content)
            if not why:
                return _unless_same(Kept(content, address, new_etag, None), known)
            said.append(f"{address}: {why}.")
        raise NoDocument(" ".join(said))

    async def _get(self, address: str, etag: str | None) -> Found:
        """(status, content, ETag) of a GET, without a token first: the file is public where CIPP has it.

        Only the deployment itself is ever shown a token. Raises NoDocument when there is no answer in time.
        """
        headers = {"Accept": "application/json", "User-Agent": "cipp-mcp"} | ({"If-None-Match": etag} if etag else {})
        found = await _in_daemon(partial(_read, address, headers))
        if found[0] in (401, 403) and _origin(address) == _origin(self._settings.url or ""):
            try:
                headers["Authorization"] = f"Bearer {await self._token()}"
            except CippError as error:
                raise NoDocument(f"{address}: {error.message}") from None
            found = await _in_daemon(partial(_read, address, headers))
        return found

    async def _token(self) -> str:
        from cipp_mcp.connection.auth import TokenSource
        from cipp_mcp.connection.tls import ssl_context

        tokens = TokenSource(self._settings, ssl_context)
        try:
            return (await tokens.token()).value
        finally:
            tokens.close()


def read_file(path: Path) -> Kept:
    """The document in the file at `path`.

    Raises NoDocument when it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return Kept(file.read(MAX_BYTES + 1), str(path), None, None)
    except OSError as error:
        raise NoDocument(f"{path} could not be read ({type(error).__name__}).") from None


def _read(address: str, headers: dict[str, str]) -> Found:
    import httpx

    from cipp_mcp.connection.body import ACCEPTED, Body, BodyError
    from cipp_mcp.connection.tls import ssl_context

    end = time.monotonic() + _SECONDS
    try:
        with (
            httpx.Client(verify=ssl_context(), follow_redirects=False, timeout=30.0) as http,
            http.stream("GET", address, headers={**headers, "Accept-Encoding": ACCEPTED}) as response,
        ):
            if response.status_code != 200:
                return response.status_code, b"", None
            body = Body(response.headers.get("content-encoding", ""), MAX_BYTES)
            for piece in response.iter_raw():
                body.feed(piece)
                if time.monotonic() > end:
                    raise NoDocument(f"{address}: not complete after {_SECONDS:g} s.")
            return 200, body.content(), response.headers.get("etag")
    except BodyError as error:
        raise NoDocument(f"{address}: {error}.") from None
    except (httpx.HTTPError, httpx.StreamError, OSError) as error:
        raise NoDocument(f"{address}: no answer ({type(error).__name__}).") from None


async def _in_daemon(work: Callable[[], Found]) -> Found:
    """What `work` returns, from a thread that may be left alone: neither a cancelled wait nor the exit waits for it."""
    loop, done = anyio.lowlevel.current_token(), anyio.Event()
    box: list[Found | Exception] = []

    def run() -> None:
        try:
            box.append(work())
        except Exception as error:
            box.append(error)
        with suppress(RuntimeError):  # the event loop has ended meanwhile
            anyio.from_thread.run_sync(done.set, token=loop)

    threading.Thread(target=run, name="cipp-document", daemon=True).start()
    await done.wait()
    if isinstance(box[0], Exception):
        raise box[0]
    return box[0]


def _unusable(status: int, content: bytes) -> str:
    if status != 200:
        return f"HTTP {status}"
    if not content[:1000].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        return "no JSON document"
    return ""


def _unless_same(found: Kept, known: Kept | None) -> Kept:
    same = known is not None and (found.content, found.source) == (known.content, known.source)
    return known if known is not None and same else found


def _origin(address: str) -> tuple[str, str]:
    parts = urlsplit(address)
    return parts.scheme, parts.netloc.lower()
