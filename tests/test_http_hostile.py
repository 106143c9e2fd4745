"""Hostile requests over HTTP are refused with the right status, and without a word that helps."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cipp_mcp.demo import DemoCipp
from cipp_mcp.demo.clients import CLIENT_ID, CLIENTS, PARTNER_TENANT_ID, PEOPLE
from tests.over_http import HttpServer, person_token, request, routed, serving, token_file, with_entra

MESSAGE = request("cipp_read", {"name": "ListTenants", "fresh": True})
CONTENT = json.dumps(MESSAGE).encode()
OTHER_TENANT = "0ddba11d-0000-4000-8000-000000000001"
SECRET = "s" * 40
HELPFUL = re.compile(
    rf"signature|audience|issuer|expired|kid|jwks|trace|\.py|uvicorn|starlette|{PARTNER_TENANT_ID}|{SECRET}",
    re.IGNORECASE,
)


@pytest.fixture(scope="module")
def entra(shared_demo: DemoCipp) -> Iterator[HttpServer]:
    with serving(with_entra(shared_demo)) as running:
        yield running


@pytest.fixture(scope="module")
def tokens(shared_demo: DemoCipp, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    file = token_file(tmp_path_factory.mktemp("tokens") / "tokens", {"agent": SECRET})
    environment = shared_demo.environment() | {"CIPP_HTTP_AUTH": "tokens", "CIPP_HTTP_TOKENS": str(file)}
    with serving(environment) as running:
        yield running


def unsigned(demo: DemoCipp, algorithm: str = "none") -> str:
    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    claims = demo.identity.person_claims(next(iter(PEOPLE.values())))
    return f"{part({'alg': algorithm, 'typ': 'JWT', 'kid': 'demo-key-1'})}.{part(claims)}."


def self_made(demo: DemoCipp, kind: str) -> str:
    """A token that is right in everything but its signature."""
    import jwt
    from cryptography.hazmat.primitives.asymmetric import rsa

    claims = demo.identity.person_claims(next(iter(PEOPLE.values())))
    if kind == "other key":
        own = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        return jwt.encode(claims, own, algorithm="RS256", headers={"kid": "demo-key-1"})
    if kind == "key in the header":
        own = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(own.public_key()))
        return jwt.encode(claims, own, algorithm="RS256", headers={"kid": "mine", "jwk": public})
    if kind == "key by address":
        own = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        headers = {"kid": "mine", "jku": "https://evil.example/keys", "x5u": "https://evil.example/cert"}
        return jwt.encode(claims, own, algorithm="RS256", headers=headers)
    published = demo.identity.keys()["keys"][0]["n"]  # the public key used as a shared secret
    return jwt.encode(claims, published, algorithm="HS256", headers={"kid": "demo-key-1"})


def changed(token: str) -> str:
    head, claims, signature = token.split(".")
    decoded = json.loads(base64.urlsafe_b64decode(claims + "=="))
    decoded["oid"] = list(PEOPLE)[1]
    return ".".join((head, base64.urlsafe_b64encode(json.dumps(decoded).encode()).decode().rstrip("="), signature))


BAD_TOKENS: dict[str, tuple[int, Callable[[DemoCipp], str]]] = {
    "wrong audience": (401, lambda demo: person_token(demo, aud=f"api://{CLIENT_ID}")),
    "several audiences, none ours": (
        401,
        lambda demo: person_token(demo, aud=["https://graph.microsoft.com", CLIENT_ID]),
    ),
    "no audience": (401, lambda demo: person_token(demo, aud=None)),
    "wrong issuer": (401, lambda demo: person_token(demo, iss=f"https://evil.example/{PARTNER_TENANT_ID}/v2.0")),
    "issuer with a suffix": (
        401,
        lambda demo: person_token(demo, iss=f"{demo.authority}/{PARTNER_TENANT_ID}/v2.0/"),
    ),
    "no issuer": (401, lambda demo: person_token(demo, iss=None)),
    "other tenant's issuer": (
        401,
        lambda demo: person_token(demo, tid=OTHER_TENANT, iss=f"{demo.authority}/{OTHER_TENANT}/v2.0"),
    ),
    "other tenant": (401, lambda demo: person_token(demo, tid=OTHER_TENANT)),
    "no tenant": (401, lambda demo: person_token(demo, tid=None)),
    "nobody": (401, lambda demo: person_token(demo, oid=None)),
    "expired": (401, lambda demo: person_token(demo, exp=int(time.time()) - 3600)),
    "expired a while ago": (401, lambda demo: person_token(demo, exp=int(time.time()) - 90)),
    "never expires": (401, lambda demo: person_token(demo, exp=None)),
    "expiry is text": (401, lambda demo: person_token(demo, exp="tomorrow")),
    "from the future": (401, lambda demo: person_token(demo, nbf=int(time.time()) + 3600)),
    "issued in the future": (401, lambda demo: person_token(demo, iat=int(time.time()) + 3600)),
    "alg none": (401, unsigned),
    "alg nOnE": (401, lambda demo: unsigned(demo, "nOnE")),
    "RS256 without a signature": (401, lambda demo: unsigned(demo, "RS256")),
    "public key as a secret": (401, lambda demo: self_made(demo, "HS256")),
    "signed with another key": (401, lambda demo: self_made(demo, "other key")),
    "brings its key": (401, lambda demo: self_made(demo, "key in the header")),
    "says where its key is": (401, lambda demo: self_made(demo, "key by address")),
    "changed claims": (401, lambda demo: changed(person_token(demo))),
    "not a token": (401, lambda _: "hello"),
    "dots only": (401, lambda _: ".."),
    "huge": (401, lambda _: "a." + "b" * 40_000 + ".c"),
    "token of the API client itself": (401, lambda demo: demo.identity.issue(CLIENTS[CLIENT_ID])),
    "lacks the scope": (403, lambda demo: person_token(demo, scp="other")),
    "scope that only begins alike": (403, lambda demo: person_token(demo, scp="access_as_user_too")),
    "an application": (403, lambda demo: person_token(demo, scp=None, roles=["access_as_user"])),
}


def check(answer: Any, status: int) -> None:
    assert answer.status_code == status, answer.text
    assert len(answer.text) < 200
    assert not HELPFUL.search(answer.text)
    assert "server" not in answer.headers
    if status == 401:
        assert not HELPFUL.search(answer.headers["www-authenticate"].replace("resource_metadata", ""))


@pytest.mark.parametrize("kind", BAD_TOKENS)
def test_a_token_that_is_not_for_us_stays_out(entra: HttpServer, demo: DemoCipp, kind: str) -> None:
    status, make = BAD_TOKENS[kind]
    answer = entra.post(MESSAGE, routed(MESSAGE, Authorization=f"Bearer {make(demo)}"))
    check(answer, status)
    assert not demo.requests
    assert answer.headers["www-authenticate"].startswith('Bearer error="')


def test_the_same_request_with_a_good_token_comes_in(entra: HttpServer, tokens: HttpServer, demo: DemoCipp) -> None:
    good = person_token(demo)
    assert entra.post(MESSAGE, routed(MESSAGE, Authorization=f"Bearer {good}")).status_code == 200
    assert tokens.post(MESSAGE, routed(MESSAGE, Authorization=f"Bearer {SECRET}")).status_code == 200
    assert tokens.raw(_request([GOOD])).startswith(b"HTTP/1.1 200 ")
    assert len(demo.requests) == 3


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", "Basic YTpi", SECRET, f"Bearer{SECRET}", f"Token {SECRET}", f"Bearer {SECRET[:-1]}",
     f"Bearer {SECRET}x", f"Bearer {SECRET.upper()}", f"Bearer {SECRET},{SECRET}", "Bearer \xff\xfe",
     f"Bearer cippmcp_{'A' * 43}"],
    ids=repr,
)  # fmt: skip
def test_without_the_right_token_nobody_comes_in(tokens: HttpServer, authorization: str) -> None:
    head = authorization.encode("latin-1")
    answer = tokens.raw(_request([b"Authorization: " + head] if head else []))
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert not HELPFUL.search(answer.decode("latin-1"))


@pytest.mark.parametrize("place", ["query", "body", "cookie"])
def test_a_token_counts_in_its_header_only(tokens: HttpServer, place: str) -> None:
    message = MESSAGE | ({"access_token": SECRET} if place == "body" else {})
    path = f"/mcp?access_token={SECRET}" if place == "query" else "/mcp"
    headers = routed(MESSAGE) | ({"Cookie": f"access_token={SECRET}"} if place == "cookie" else {})
    check(tokens.post(message, headers, path), 401)


def _request(lines: list[bytes], content: bytes = CONTENT, *, path: bytes = b"/mcp", method: bytes = b"POST") -> bytes:
    """A request as bytes; `lines` stand in for the standard headers of the same name."""
    given = {line.partition(b":")[0].strip().lower() for line in lines}
    standard = {
        b"Host": b"127.0.0.1",
        b"Accept": b"application/json, text/event-stream",
        b"Content-Type": b"application/json",
        b"MCP-Protocol-Version": b"2026-07-28",
        b"Mcp-Method": b"tools/call",
        b"Mcp-Name": b"cipp_read",
        b"Content-Length": str(len(content)).encode(),
        b"Connection": b"close",
    }
    kept = [name + b": " + value for name, value in standard.items() if name.lower() not in given]
    return b"\r\n".join([method + b" " + path + b" HTTP/1.1", *kept, *lines, b"", b""]) + content


GOOD = b"Authorization: Bearer " + SECRET.encode()
CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(CONTENT), CONTENT)
LENGTH = b"Content-Length: %d" % len(CONTENT)
SMUGGLED: dict[str, tuple[set[int], bytes]] = {
    "length and chunks": ({400}, _request([GOOD, LENGTH, b"Transfer-Encoding: chunked"], CHUNKED)),
    "two lengths": ({400}, _request([GOOD, LENGTH, b"Content-Length: 5"])),
    "two lengths in one": ({400}, _request([GOOD, LENGTH + b", 5"])),
    "negative length": ({400}, _request([GOOD, b"Content-Length: -5"])),
    "length with a sign": ({400}, _request([GOOD, b"Content-Length: +5"])),
    "chunks in disguise": ({400, 501}, _request([GOOD, b"Transfer-Encoding: xchunked"], CHUNKED)),
    "chunks twice": ({400, 501}, _request([GOOD, b"Transfer-Encoding: chunked, chunked"], CHUNKED)),
    "space before the colon": ({400}, _request([b"Authorization : Bearer " + SECRET.encode()])),
    "two tokens": ({400}, _request([b"Authorization: Bearer nonsense", GOOD])),
    "two hosts": ({400}, _request([GOOD, b"Host: 127.0.0.1", b"Host: evil.example"])),
    "no host": ({400}, _request([GOOD]).replace(b"Host: 127.0.0.1\r\n", b"")),
    "null in a header": ({400}, _request([GOOD, b"X-A: a\x00b"])),
    "bare line feed": ({400}, _request([GOOD]).replace(b"\r\nAccept", b"\nX: y\rAccept")),
    "two versions": ({400}, _request([GOOD, b"MCP-Protocol-Version: 2026-07-28", b"MCP-Protocol-Version: 2025-06-18"])),
    "two sessions": ({400}, _request([GOOD, b"Mcp-Session-Id: a", b"Mcp-Session-Id: b"])),
    "another method in the header": ({400}, _request([GOOD, b"Mcp-Method: tools/list"])),
    "another name in the header": ({400}, _request([GOOD, b"Mcp-Name: cipp_critical"])),
    "endless header": ({400, 431}, _request([GOOD, b"X-A: " + b"a" * 66_000])),
    "no HTTP": ({400}, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 40 + b"\r\n\r\n"),
    "HTTP/2 by itself": ({400, 404, 421}, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "upgrade": ({401}, _request([b"Connection: upgrade", b"Upgrade: websocket"], method=b"GET")),
    "foreign host": ({421}, _request([GOOD, b"Host: evil.example"])),
    "foreign host with our port": ({421}, _request([GOOD, b"Host: evil.example:8000"])),
    "host that begins with ours": ({421}, _request([GOOD, b"Host: 127.0.0.1.evil.example"])),
    "host with a name in it": ({421}, _request([GOOD, b"Host: a@127.0.0.1"])),
    "forwarded host": ({421}, _request([GOOD, b"Host: evil.example", b"X-Forwarded-Host: 127.0.0.1"])),
    "foreign origin": ({403}, _request([GOOD, b"Origin: https://evil.example"])),
    "null origin": ({403}, _request([GOOD, b"Origin: null"])),
    "empty origin": ({403}, _request([GOOD, b"Origin: "])),
    "local origin": ({403}, _request([GOOD, b"Origin: http://localhost:3000"])),
    "full address as the path": ({404}, _request([GOOD], path=b"http://127.0.0.1/mcp")),
    "other content": ({400}, _request([GOOD, b"Content-Type: text/plain"])),
    "a form": ({400}, _request([GOOD, b"Content-Type: application/x-www-form-urlencoded"])),
    "not JSON": ({400}, _request([GOOD], b"{")),
    "a batch": ({400}, _request([GOOD], b"[" + CONTENT + b"," + CONTENT + b"]")),
    "deep nesting": ({400}, _request([GOOD], b"[" * 200_000)),
    "too large": ({413}, _request([GOOD, b"Content-Length: 5000000"], b"")),
    "other verb": ({405}, _request([GOOD], method=b"PUT")),
    "trace": ({405}, _request([GOOD], method=b"TRACE")),
}  # fmt: skip


@pytest.mark.parametrize("kind", SMUGGLED)
def test_a_crooked_request_is_refused_even_with_a_good_token(tokens: HttpServer, demo: DemoCipp, kind: str) -> None:
    wanted, sent = SMUGGLED[kind]
    answer = tokens.raw(sent).decode("latin-1")
    assert int(answer.split(" ", 2)[1]) in wanted, answer
    assert not demo.requests
    assert SECRET not in answer
    assert "Traceback" not in tokens.log


@pytest.mark.parametrize(
    "path",
    ["/", "/mcp/", "//mcp", "/mcp/.", "/healthz/../mcp", "/%6dcp", "/mcp%2f", "/mcp%00", "/MCP", "/mcp;x", "/mcp/../mcp",
     "/.well-known/oauth-protected-resource", "/.well-known/../mcp", "/healthz/", "/metrics", "/docs", "/messages/", "/sse",
     "\\mcp", "/mcp\\..\\healthz", "*"],
)  # fmt: skip
def test_there_are_no_other_paths(tokens: HttpServer, path: str) -> None:
    answer = tokens.raw(_request([GOOD], path=path.encode()))
    assert re.match(rb"HTTP/1.1 40[04] ", answer), answer


def test_a_body_that_grows_without_end_is_cut_off(tokens: HttpServer) -> None:
    piece = b"%x\r\n%s\r\n" % (100_000, b" " * 100_000)
    answer = tokens.raw(
        _request([GOOD, b"Transfer-Encoding: chunked"], b"").replace(b"Content-Length: 0\r\n", b"") + piece * 45
    )
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_what_follows_a_refused_request_is_not_taken_for_another(tokens: HttpServer) -> None:
    first = _request([b"Host: evil.example", b"Connection: keep-alive"])
    answer = tokens.raw(first + _request([GOOD]))
    assert answer.startswith(b"HTTP/1.1 421 ")
    assert answer.count(b"HTTP/1.1 ") == 1


def test_a_log_of_refusals_cannot_be_flooded(tokens: HttpServer) -> None:
    before = tokens.log.count("bearer")
    for _ in range(20):
        tokens.raw(_request([]))
    assert tokens.log.count("bearer") - before <= 2
    assert SECRET not in tokens.log


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "not accepted"),
        ('{"callers": {"a": {"sha256": "' + SECRET + '"}}}', "callers.a"),
        (
            '{"callers": {"a": {"sha256": "' + "0" * 64 + '"}, "b": {"sha256": "' + "0" * 64 + '"}}}',
            "have the same token",
        ),
        ('{"callers": {"a b": {"sha256": "' + "0" * 64 + '"}}}', "callers.a b"),
        ('{"tokens": {}}', "tokens"),
    ],
)
def test_a_wrong_token_file_stops_the_start_without_showing_its_content(
    tmp_path: Path, content: str, said: str
) -> None:
    from cipp_mcp.errors import SettingsError
    from cipp_mcp.server.bearer import StaticTokens

    (tmp_path / "tokens").write_text(content)
    with pytest.raises(SettingsError) as caught:
        StaticTokens(tmp_path / "tokens")
    assert said in caught.value.message
    assert SECRET not in caught.value.message
