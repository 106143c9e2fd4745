"""The faults: what the proxy does to one connection, by name."""

from __future__ import annotations

import asyncio
import email.utils
import gzip
import random
import struct
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

JSON = "application/json"
HTML = b"<!DOCTYPE html><html><head><title>502</title></head><body>The service is unavailable.</body></html>"
STALL = 30.0
"""Longer than any time-out of a run."""


@dataclass
class Exchange:
    """One request at the proxy: what came, what CIPP says to it, and the way back to the caller."""

    writer: asyncio.StreamWriter
    chance: random.Random
    forward: Callable[[], Awaitable[tuple[int, bytes]]]
    """Passes the request on to CIPP, once; gives status and body."""

    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(
        self,
        body: bytes,
        status: int = 200,
        kind: str | None = JSON,
        length: int | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body) if length is None else length}"]
        lines += [f"Content-Type: {kind}"] if kind else []
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        self.writer.write("\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1") + body)
        await self.writer.drain()

    async def raw(self, data: bytes) -> None:
        if self.writer.is_closing() or self.ended.is_set():
            raise ConnectionResetError("the caller is gone")
        self.writer.write(data)
        await self.writer.drain()
        await asyncio.sleep(0)  # drain alone does not yield, and `ended` would never be seen

    def reset(self) -> None:
        """Ends the connection with RST."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(1, 13, struct.pack("ii", 1, 0))  # SOL_SOCKET, SO_LINGER
        self.writer.transport.abort()

    async def stall(self) -> None:
        await asyncio.wait_for(self.ended.wait(), STALL)


Fault = Callable[[Exchange], Awaitable[None]]
FAULTS: dict[str, Fault] = {}
CONNECTION_FAULTS = (
    "reset at connect",
    "handshake reset",
    "handshake garbage",
    "handshake stalls",
    "foreign certificate",
)
"""Done by the proxy before there is an exchange."""


def fault(name: str) -> Callable[[Fault], Fault]:
    def register(function: Fault) -> Fault:
        FAULTS[name] = function
        return function

    return register


def refusal(
    name: str, status: int, body: bytes = b"", kind: str | None = None, headers: dict[str, str] | None = None
) -> None:
    """Registers an answer that a gateway gives without asking CIPP."""

    async def answer(exchange: Exchange) -> None:
        await exchange.send(body, status, kind, headers=headers)

    FAULTS[name] = answer


def altered(
    name: str, change: Callable[[bytes], bytes], kind: str | None = JSON, headers: dict[str, str] | None = None
) -> None:
    """Registers an answer of CIPP's that is changed on its way."""

    async def answer(exchange: Exchange) -> None:
        status, body = await exchange.forward()
        await exchange.send(change(body), status, kind, headers=headers)

    FAULTS[name] = answer


@fault("none")
async def _none(exchange: Exchange) -> None:
    status, body = await exchange.forward()
    await exchange.send(body, status)


@fault("reset before CIPP")
async def _reset_before(exchange: Exchange) -> None:
    exchange.reset()


@fault("reset after CIPP")
async def _reset_after(exchange: Exchange) -> None:
    await exchange.forward()
    exchange.reset()


@fault("closed without an answer")
async def _closed(exchange: Exchange) -> None:
    if exchange.chance.random() < 0.5:
        await exchange.forward()


@fault("stall before the answer")
async def _stall(exchange: Exchange) -> None:
    if exchange.chance.random() < 0.5:
        await exchange.forward()
    await exchange.stall()


@fault("stall in the body")
async def _stall_inside(exchange: Exchange) -> None:
    status, body = await exchange.forward()
    await exchange.send(body[: len(body) // 2], status, length=len(body) + 10)
    await exchange.stall()


@fault("slow drip")
async def _drip(exchange: Exchange) -> None:
    status, body = await exchange.forward()
    await exchange.send(b"", status, length=len(body))
    for at in range(len(body)):
        await exchange.raw(body[at : at + 1])
        try:
            await asyncio.wait_for(exchange.ended.wait(), 0.05)
            return
        except TimeoutError:
            continue


@fault("cut body")
async def _cut(exchange: Exchange) -> None:
    status, body = await exchange.forward()
    await exchange.send(body[: exchange.chance.randrange(len(body) + 1)], status, length=len(body) + 1)


@fault("cut chunks")
async def _cut_chunks(exchange: Exchange) -> None:
    _, body = await exchange.forward()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    await exchange.raw(head + f"{len(body) + 5:x}\r\n".encode() + body)


@fault("broken chunk size")
async def _broken_chunk(exchange: Exchange) -> None:
    await exchange.forward()
    await exchange.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n")


@fault("cut gzip")
async def _cut_gzip(exchange: Exchange) -> None:
    status, body = await exchange.forward()
    await exchange.send(gzip.compress(body)[:-9], status, headers={"Content-Encoding": "gzip"})


@fault("no HTTP at all")
async def _no_http(exchange: Exchange) -> None:
    await exchange.forward()
    await exchange.raw(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")


@fault("endless headers")
async def _headers(exchange: Exchange) -> None:
    await exchange.forward()
    await exchange.raw(b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"y" * 900) for n in range(400)))


@fault("100 MB")
async def _large(exchange: Exchange) -> None:
    _, body = await exchange.forward()
    count = 100 * 1024 * 1024
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {count}\r\n\r\n"
    await exchange.raw(head.encode() + body[:1])
    piece = b" " * 65536
    for _ in range(count // len(piece)):
        await exchange.raw(piece)


@fault("endless chunks")
async def _endless(exchange: Exchange) -> None:
    await exchange.forward()
    await exchange.raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    piece = b"10000\r\n" + b" " * 65536 + b"\r\n"
    while True:
        await exchange.raw(piece)


@fault("early hints first")
async def _hints(exchange: Exchange) -> None:
    await exchange.raw(b"HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n")
    await _none(exchange)


@fault("502 or 504 while CIPP goes on")
async def _gateway(exchange: Exchange) -> None:
    if exchange.chance.random() < 0.6:
        await exchange.forward()
    await exchange.send(HTML, exchange.chance.choice((502, 503, 504)), "text/html")


@fault("500 of the host while CIPP goes on")
async def _host_error(exchange: Exchange) -> None:
    if exchange.chance.random() < 0.6:
        await exchange.forward()
    await exchange.send(exchange.chance.choice((b"", HTML)), 500, "text/html")


@fault("429 until a date")
async def _until(exchange: Exchange) -> None:
    # The sender's clock is ten minutes off, as its own Date header shows.
    now = time.time() + exchange.chance.choice((-600, 600))
    stamps = {"Date": email.utils.formatdate(now, usegmt=True), "Retry-After": email.utils.formatdate(now, usegmt=True)}
    await exchange.send(b"", 429, None, headers=stamps)


def _in_json(extra: bytes) -> Callable[[bytes], bytes]:
    """Puts members before the first object's own, so that what CIPP said still stands."""
    return lambda body: body.replace(b"{", b"{" + extra + b",", 1) if b"{" in body else body


refusal("302 to a login page", 302, headers={"Location": "/.auth/login/aad"})
refusal("301 to nowhere", 301, headers={"Location": "https://[broken/"})
refusal("401 once", 401, headers={"WWW-Authenticate": "Bearer"})
refusal("429", 429)
refusal("429 for no time", 429, headers={"Retry-After": "0"})
refusal("429 for a second", 429, headers={"Retry-After": "1"})
refusal("429 for an hour", 429, headers={"Retry-After": "3600"})
refusal("429 with nonsense", 429, headers={"Retry-After": "soon, -1"})
refusal("503 of a feature", 503, b'"This feature has been disabled: X"', JSON)
refusal("cold start", 503, b"<html>Function host is not running.</html>", "text/html")
refusal("403 of a front door", 403, HTML, "text/html")
altered("claims gzip", lambda body: body, headers={"Content-Encoding": "gzip"})
altered("claims brotli", lambda body: body, headers={"Content-Encoding": "br"})
altered(
    "gzip bomb", lambda body: gzip.compress(b" " * (64 * 1024 * 1024) + body, 1), headers={"Content-Encoding": "gzip"}
)
altered("true gzip", gzip.compress, headers={"Content-Encoding": "gzip"})
altered("UTF-16", lambda body: body.decode("utf-8", "replace").encode("utf-16"))
altered("Latin-1 bytes", _in_json(b'"x":"\xe9\xff"'))
altered("as text/html", lambda body: body, "text/html")
altered("as an image", lambda body: body, "text/plain")
altered("without a type", lambda body: body, None)
altered("an HTML page instead", lambda _: HTML, "text/html")
altered("nothing instead", lambda _: b"")
altered("duplicate keys", _in_json(b'"x":1,"x":2,"X":3'))
altered("NaN", _in_json(b'"x":NaN,"y":-Infinity,"z":1e999'))
altered("lone surrogates", _in_json(rb'"x":"\ud800","\udfff":"\ud83d"'))
altered("deep nesting", _in_json(b'"x":' + b"[" * 20000 + b"]" * 20000))
altered("a huge number", _in_json(b'"x":' + b"9" * 6000))
altered("a byte order mark", lambda body: b"\xef\xbb\xbf" + body)
altered("padding after it", lambda body: body + b" \r\n\x00")
