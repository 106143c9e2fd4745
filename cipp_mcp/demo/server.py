"""The ASGI application: routes a request to the token endpoint, the API or the front end's page."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl, unquote

from cipp_mcp.demo.access import me, refusal
from cipp_mcp.demo.calls import HANDLERS, Answer, Call, Refused
from cipp_mcp.demo.catalogue import catalogue
from cipp_mcp.demo.clients import ApiClient
from cipp_mcp.demo.generic import generic
from cipp_mcp.demo.identity import Identity
from cipp_mcp.demo.powershell import DuplicateName, Folded, member, parse, plain, rows, text
from cipp_mcp.demo.recorded import Document, Override, Overrides, Recorded, Recording
from cipp_mcp.demo.world.state import State

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_PAGE = (
    b"<!DOCTYPE html><html lang='en'><head><meta charset='utf-8'><title>CIPP</title></head>"
    b"<body><div id='__next'>CIPP needs JavaScript.</div></body></html>"
)
_BATCH_LIMIT = 20
_JSON, _TEXT, _HTML = "application/json", "text/plain; charset=utf-8", "text/html; charset=utf-8"


class Server:
    """One deployment: the API under ``/api``, the token endpoint beside it, HTML everywhere else."""

    def __init__(
        self,
        state: Callable[[], State],
        identity: Identity,
        base: str,
        requests: Recording,
        token_requests: Recording,
        overrides: Overrides,
        document: Document,
    ) -> None:
        import cipp_mcp.demo.answers
        import cipp_mcp.demo.writes  # noqa: F401

        catalogue()
        self._state, self._identity, self._base = state, identity, base
        self._requests, self._token_requests, self._overrides = requests, token_requests, overrides
        self._document = document

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path, method = unquote(scope["path"]), scope["method"]
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        content = await _content(receive)
        if path == "/api" or path.startswith("/api/"):
            pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
            await self._api(method, path, pairs, headers, content, send)
        elif path.endswith("/oauth2/v2.0/token") and method == "POST":
            form = dict(parse_qsl(content.decode("utf-8", "replace"), keep_blank_values=True))
            answer = await self._token(path.split("/")[1], form)
            self._token_requests.append(Recorded(method, path, "token", {}, form, answer.status))
            await _send(send, answer)
        elif path.endswith("/.well-known/openid-configuration"):
            status, document = Identity.discovery(self._base, path.split("/")[1])
            await _send(send, Answer(document, status))
        elif path.endswith("/discovery/v2.0/keys"):
            await _send(send, Answer(self._identity.keys()))
        elif path == "/openapi.json" and (described := self._document.answer(headers.get("if-none-match"))):
            self._document.requests.append(Recorded(method, path, "openapi.json", {}, None, described[0]))
            await _send(send, Answer(described[1], described[0], described[2]))
        else:
            await _send(send, Answer(_PAGE, content_type=_HTML))

    async def _token(self, tenant: str, form: dict[str, str]) -> Answer:
        override = await _overridden(self._overrides.take("token"))
        if override is not None:
            return override
        status, document = self._identity.token(tenant, form)
        return Answer(document, status, {"cache-control": "no-store"})

    async def _api(
        self,
        method: str,
        path: str,
        pairs: list[tuple[str, str]],
        headers: dict[str, str],
        content: bytes,
        send: Send,
    ) -> None:
        endpoint = path.removeprefix("/api").strip("/")
        # Who asks for the document asks on nobody's behalf; such requests are recorded beside the others.
        log = self._document.requests if endpoint == "ListOpenApiSpec" else self._requests
        since = log.cleared
        body: Any = None
        broken: Answer | None = None
        try:
            body = parse(content) if content.strip() else None
        except DuplicateName as error:
            told = f"Cannot convert the JSON string: keys with different casing, {error}."
            broken = Answer(told, 500)
        except ValueError:
            # The Functions host hands text that is no JSON to the handler as a string.
            body = content.decode("utf-8", "replace")
        client = self._identity.client_of(headers.get("authorization", ""))
        override = self._overrides.take(endpoint) if client else None
        if client is None:
            answer = Answer(b"", 401, {"www-authenticate": "Bearer"})
        else:
            answer = await _overridden(override) or broken or self._answer(endpoint, pairs, body, client)
        recorded = json.loads(content) if broken else plain(body)
        caller = client.name if client else ""
        log.append(Recorded(method, path, endpoint, dict(pairs), recorded, answer.status, caller), since)
        await _send(send, answer)

    def _answer(self, endpoint: str, pairs: list[tuple[str, str]], body: Any, client: ApiClient) -> Answer:
        merged: dict[str, tuple[str, str]] = {}
        for name, value in pairs:
            known = merged.get(name.lower())
            # The Functions host joins repeated query names by commas.
            merged[name.lower()] = (name, value) if known is None else (known[0], f"{known[1]},{value}")
        call = Call(endpoint, Folded(list(merged.values())), body, self._state(), client)
        if endpoint == "me":
            return me(call)
        if endpoint == "$batch":
            return self._batch(body, client)
        known_endpoint = catalogue().get(endpoint)
        if known_endpoint is None:
            return Answer(json.dumps("Endpoint not found").encode(), 404, content_type=_JSON)
        call.writes = known_endpoint.endpoint.role.endswith("ReadWrite")
        refused = refusal(call, known_endpoint)
        if refused is not None:
            return refused
        try:
            answer = HANDLERS.get(endpoint, generic)(call)
        except Refused as ended:
            return ended.answer
        except Exception as error:
            # New-CippCoreRequest.ps1 turns whatever a handler throws into a 500 with the message as body.
            return Answer(f"{type(error).__name__}: {error}", 500)
        return answer if isinstance(answer, Answer) else Answer(answer)

    def _batch(self, body: Any, client: ApiClient) -> Answer:
        """Several calls in one (CippEntrypoints.psm1), in no way limited to reads."""
        entries = rows(member(body, "requests"))
        if not entries:
            return _batch_error("No requests found in batch body")
        if len(entries) > _BATCH_LIMIT:
            return _batch_error("Batch request limit exceeded. Maximum 20 requests allowed per batch.")
        told = []
        for entry in entries:
            query = member(entry, "query")
            pairs = [(name, text(value)) for name, value in query.items()] if isinstance(query, Folded) else []
            answer = self._answer(text(member(entry, "url")), pairs, member(entry, "body"), client)
            sent = answer.body.decode("utf-8", "replace") if isinstance(answer.body, bytes) else answer.body
            told.append({"id": member(entry, "id"), "status": answer.status, "body": sent})
        return Answer({"responses": told})


def _batch_error(message: str) -> Answer:
    return Answer({"error": {"message": message}}, 400)


async def _content(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


async def _overridden(override: Override | None) -> Answer | None:
    if override is None:
        return None
    if override.delay:
        await asyncio.sleep(override.delay)
    if override.genuine:
        return None
    return Answer(override.body, override.status, override.headers, override.content_type)


async def _send(send: Send, answer: Answer) -> None:
    body, kind = answer.body, answer.content_type
    if isinstance(body, bytes):
        content = body
    elif isinstance(body, str):
        content, kind = body.encode(), kind or _TEXT
    else:
        content, kind = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(), kind or _JSON
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers.items()]
    if kind and content:
        headers.append((b"content-type", kind.encode("latin-1")))
    headers.append((b"content-length", str(len(content)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
