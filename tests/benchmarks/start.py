"""Start to the answer of initialize, beside a bare lowlevel server: ``python -m tests.benchmarks.start [pairs]``."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time

_INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}},
}


def start(command: list[str]) -> tuple[float, float]:
    """(seconds until the answer of initialize, resident megabytes then) of a fresh process."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(_INITIALIZE).encode() + b"\n")
    process.stdin.flush()
    answer = json.loads(process.stdout.readline())
    seconds = time.perf_counter() - began
    assert answer["result"]["serverInfo"]
    memory = _resident(process.pid)
    process.stdin.close()
    process.wait(timeout=10)
    return seconds, memory


def _resident(pid: int) -> float:
    """Megabytes that the process holds, where the system says so (Linux); else 0."""
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except OSError:
        return 0.0


def main() -> None:
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    bare = [sys.executable, "-m", "tests.benchmarks.bare"]
    ours = [sys.executable, "-m", "cipp_mcp"]
    start(bare), start(ours)  # bytecode is compiled before anything is timed
    seconds: dict[str, list[float]] = {"bare": [], "cipp-mcp": []}
    memory: dict[str, list[float]] = {"bare": [], "cipp-mcp": []}
    for _ in range(pairs):
        for name, command in (("bare", bare), ("cipp-mcp", ours)):
            took, resident = start(command)
            seconds[name].append(took)
            memory[name].append(resident)
    print(f"{'':10}{'median ms':>10}{'MB':>8}   ({pairs} interleaved pairs)")
    for name in seconds:
        print(f"{name:10}{statistics.median(seconds[name]) * 1000:10.0f}{statistics.median(memory[name]):8.1f}")
    ratio = statistics.median(o / b for o, b in zip(seconds["cipp-mcp"], seconds["bare"], strict=True))
    size = statistics.median(memory["cipp-mcp"]) / (statistics.median(memory["bare"]) or 1)
    print(f"{'ratio':10}{ratio:9.2f}×{size:7.2f}×")


if __name__ == "__main__":
    main()
