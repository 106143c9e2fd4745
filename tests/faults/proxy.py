"""A loopback proxy with TLS before the embedded CIPP, which does to each connection what a script says."""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
import struct
import tempfile
import threading
from collections import Counter, deque
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from cipp_mcp.demo import DemoCipp, certificate
from tests.faults.kinds import CONNECTION_FAULTS, FAULTS, Exchange


class Lane:
    """One port of the proxy: `script` holds the faults of its next connections; when it is empty, all is well."""

    def __init__(self, seed: int) -> None:
        self.script: deque[str] = deque()
        self.chance = random.Random(seed)
        self.listener: socket.socket | None = None
        self.port = 0
        self.exchanges = 0
        """Requests that the proxy is busy with."""

        self.at_cipp: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        """How many of them were at the embedded CIPP at once, for each tenant and (under ``all``) for all."""

    def count(self, tenant: str, step: int) -> None:
        for key in (tenant, "all"):
            self.at_cipp[key] += step
            self.most[key] = max(self.most[key], self.at_cipp[key])


class FaultProxy:
    """Runs in a thread of its own, for as long as the ``with`` block lasts."""

    def __init__(self, demo: DemoCipp, lanes: int, seed: int) -> None:
        self.lanes = [Lane(seed + number) for number in range(lanes)]
        self._demo = demo
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="fault-proxy", daemon=True)
        self._started = threading.Event()
        self._folder = tempfile.TemporaryDirectory(prefix="faults-")
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> FaultProxy:
        folder = self._demo.ca_file.parent
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(folder / "server.pem", folder / "server.key")
        foreign = certificate.make(Path(self._folder.name))
        self._foreign = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._foreign.load_cert_chain(foreign.certificate, foreign.key)
        trust = ssl.create_default_context(cafile=str(self._demo.ca_file))
        self._upstream = httpx.AsyncClient(base_url=self._demo.url, verify=trust, trust_env=False, timeout=30)
        self._thread.start()
        self._started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._folder.cleanup()

    def url(self, lane: Lane, host: str = "127.0.0.1") -> str:
        return f"https://{host}:{lane.port}"

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.set_exception_handler(lambda *_: None)
        self._loop.run_until_complete(self._listen())
        self._started.set()
        self._loop.run_forever()
        self._loop.run_until_complete(self._end())
        self._loop.close()

    async def _listen(self) -> None:
        for lane in self.lanes:
            lane.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
            lane.listener.setblocking(False)
            lane.port = lane.listener.getsockname()[1]
            self._start(self._accept_all(lane))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _end(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for lane in self.lanes:
            if lane.listener is not None:
                lane.listener.close()
        await self._upstream.aclose()

    async def _accept_all(self, lane: Lane) -> None:
        assert lane.listener is not None
        while True:
            connection, _ = await self._loop.sock_accept(lane.listener)
            connection.setblocking(False)
            self._start(self._accept(lane, connection))

    async def _accept(self, lane: Lane, connection: socket.socket) -> None:
        name = lane.script.popleft() if lane.script else "none"
        with suppress(OSError, ssl.SSLError, asyncio.IncompleteReadError, TimeoutError, ValueError):
            if name in CONNECTION_FAULTS and name != "foreign certificate":
                with connection:
                    await self._break(name, connection)
                return
            # Not start_tls on an open stream: what came before it was called would be lost.
            reader = asyncio.StreamReader()
            protocol = asyncio.StreamReaderProtocol(reader)
            context = self._foreign if name == "foreign certificate" else self._context
            transport, _ = await self._loop.connect_accepted_socket(lambda: protocol, connection, ssl=context)
            writer = asyncio.StreamWriter(transport, protocol, reader, self._loop)
            try:
                await self._serve(name, lane, reader, writer)
            finally:
                writer.close()
                with suppress(OSError, ssl.SSLError, TimeoutError):
                    await asyncio.wait_for(writer.wait_closed(), 2)

    async def _break(self, name: str, connection: socket.socket) -> None:
        """What happens to a connection before it has TLS."""
        if name != "reset at connect":
            await self._loop.sock_recv(connection, 4096)
        if name in ("reset at connect", "handshake reset"):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif name == "handshake garbage":
            await self._loop.sock_sendall(connection, b"HTTP/1.1 400 Bad Request\r\n\r\nThis is not TLS.")
        else:
            await asyncio.wait_for(self._loop.sock_recv(connection, 4096), 30)

    async def _serve(self, name: str, lane: Lane, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await _request(reader)

        async def forward() -> tuple[int, bytes]:
            method, target, headers, body = request
            kept = {n: v for n, v in headers.items() if n in ("authorization", "content-type", "accept")}
            tenant = parse_qs(urlsplit(target).query).get("tenantFilter", [""])[0]
            lane.count(tenant, 1)
            try:
                answer = await self._upstream.request(method, target, headers=kept, content=body)
            finally:
                lane.count(tenant, -1)
            return answer.status_code, answer.content

        exchange = Exchange(writer, lane.chance, forward)

        async def watch() -> None:
            with suppress(OSError, ssl.SSLError):
                await reader.read(1)
            exchange.ended.set()

        watching = asyncio.ensure_future(watch())
        lane.exchanges += 1
        try:
            await FAULTS.get(name, FAULTS["none"])(exchange)
        finally:
            lane.exchanges -= 1
            watching.cancel()


async def _request(reader: asyncio.StreamReader) -> tuple[str, str, dict[str, str], bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head[:-4].decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers: dict[str, Any] = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return method, target, headers, body
