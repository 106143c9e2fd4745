"""The same as `peer`, over Streamable HTTP of the 2026-07-28 era: one kept connection for each request at once."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.benchmarks.process import Process

META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
}
_PATIENCE = 30.0


class HttpPeer(Process):
    """A server process behind a loopback port. `started` is the seconds from its start to its first answer."""

    def __init__(self, module: str, environment: dict[str, str], token: str = "") -> None:
        base = {name: value for name, value in os.environ.items() if not name.upper().startswith("CIPP_")}
        self.port = free_port()
        where = {"CIPP_HTTP_LISTEN": f"127.0.0.1:{self.port}", "BARE_PORT": str(self.port)}
        arguments = ["serve", "--transport", "http"] if module == "cipp_mcp" else []
        began = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env=base | environment | where,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._number = 0
        self._token = token
        self._idle: list[http.client.HTTPConnection] = []
        self._threads = ThreadPoolExecutor(64)
        self._first_answer()
        self.started = time.perf_counter() - began

    def _first_answer(self) -> None:
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                self.request("server/discover", {})
                return
            except ConnectionRefusedError:
                assert self.process.poll() is None, "the server ended"
                assert time.monotonic() < end, "the server did not start"
                time.sleep(0.005)

    def request(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """One request's result."""
        return self._send(method, params)

    def requests(self, several: list[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
        """The results of requests that are sent all at once."""
        if len(several) == 1:
            return [self._send(*several[0])]
        return list(self._threads.map(lambda one: self._send(*one), several))

    def _send(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        message = {"jsonrpc": "2.0", "id": self._number, "method": method, "params": {**params, "_meta": META}}
        headers = standard_headers(method, params) | ({"Authorization": f"Bearer {self._token}"} if self._token else {})
        connection = self._idle.pop() if self._idle else http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        connection.request("POST", "/mcp", json.dumps(message).encode(), headers)
        response = connection.getresponse()
        body = response.read()
        assert response.status == 200, body[:500]
        self._idle.append(connection)
        return result_of(body)

    def close(self) -> None:
        self._threads.shutdown()
        for connection in self._idle:
            connection.close()
        self.process.terminate()
        self.process.wait(timeout=40)


def standard_headers(method: str, params: dict[str, Any]) -> dict[str, str]:
    """The headers that a request of the 2026-07-28 era carries."""
    headers = {
        "Accept": "application/json, text/event-stream",
        "Content-Type": "application/json",
        "MCP-Protocol-Version": "2026-07-28",
        "Mcp-Method": method,
    }
    return headers | ({"Mcp-Name": params["name"]} if "name" in params else {})


def result_of(body: bytes) -> dict[str, Any]:
    """The result in an answer, which comes as JSON or as an event stream."""
    if not body.startswith(b"{"):
        body = next(line[5:] for line in body.splitlines() if line.startswith(b"data:") and b'"result"' in line)
    result: dict[str, Any] = json.loads(body)["result"]
    return result


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
