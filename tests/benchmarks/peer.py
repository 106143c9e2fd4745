"""A host that speaks MCP with as little work of its own as possible, and looks at the process it talks to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Any

_HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}


class StdioPeer:
    """A server process on the other end of two pipes. `started` is the seconds from its start to its first answer."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        base = {name: value for name, value in os.environ.items() if not name.upper().startswith("CIPP_")}
        began = time.perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, *command],
            env=base | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in = self._process.stdin
        self._out = os.fdopen(os.dup(self._process.stdout.fileno()), "rb", buffering=1 << 20)
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

    @property
    def cpu_seconds(self) -> float:
        """Processor time of the process so far, where the system says so (Linux); else 0."""
        try:
            with open(f"/proc/{self._process.pid}/stat", encoding="ascii") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def peak_megabytes(self) -> float:
        """The most memory that the process has held, where the system says so (Linux); else 0."""
        return self._status("VmHWM")

    @property
    def resident_megabytes(self) -> float:
        """The memory that the process holds now, where the system says so (Linux); else 0."""
        return self._status("VmRSS")

    def _status(self, name: str) -> float:
        try:
            with open(f"/proc/{self._process.pid}/status", encoding="ascii") as file:
                line = next(line for line in file if line.startswith(name))
        except OSError:
            return 0.0
        return int(line.split()[1]) / 1000

    def close(self) -> None:
        self._in.close()
        self._out.close()
        self._process.wait(timeout=10)
        assert self._process.stdout is not None
        self._process.stdout.close()
