"""A host that speaks MCP with as little work of its own as possible."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Any

from tests.benchmarks.process import Process

_HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}


class StdioPeer(Process):
    """A server process on the other end of two pipes. `started` is the seconds from its start to its first answer."""

    def __init__(self, module: str, environment: dict[str, str]) -> None:
        base = {name: value for name, value in os.environ.items() if not name.upper().startswith("CIPP_")}
        began = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "-m", module],
            env=base | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._in = self.process.stdin
        self._out = os.fdopen(os.dup(self.process.stdout.fileno()), "rb", buffering=1 << 20)
        self._number = 0
        self.request("initialize", _HELLO)
        self.started = time.perf_counter() - began
        self._write({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def request(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """One request's result."""
        return self.requests([(method, params)])[0]

    def requests(self, several: list[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
        """The results of requests that are sent all at once, in the order in which they came."""
        messages = []
        for method, params in several:
            self._number += 1
            messages.append({"jsonrpc": "2.0", "id": self._number, "method": method, "params": params})
        self._write(*messages)
        results: list[dict[str, Any]] = []
        while len(results) < len(several):
            answer = json.loads(self._out.readline())
            if "id" in answer:
                results.append(answer["result"])
        return results

    def _write(self, *messages: dict[str, Any]) -> None:
        data = b"".join(json.dumps(message).encode() + b"\n" for message in messages)
        while data:
            data = data[self._in.write(data) or 0 :]

    def close(self) -> None:
        self._in.close()
        self._out.close()
        self.process.wait(timeout=10)
        assert self.process.stdout is not None
        self.process.stdout.close()
