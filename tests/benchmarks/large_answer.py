"""A 20,000-user answer of 45 MB into a result table, beside json.loads and inserting the rows.

``python -m tests.benchmarks.large_answer [pairs]`` prints medians of interleaved pairs, CPU time, and the peak memory of
each in a process of its own (Linux).
"""

from __future__ import annotations

import json
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cipp_mcp.results.budget import compact, tokens
from cipp_mcp.results.rows import RowReader
from cipp_mcp.results.shape import row_page
from cipp_mcp.results.store import ResultStore

_COLUMNS = ("displayName", "userPrincipalName", "accountEnabled", "userType", "department", "id")


def answer() -> bytes:
    """20,000 users with 60 fields more than Graph's own."""
    users = [
        {
            "id": f"{number:08d}-0000-4000-8000-000000000000",
            "displayName": f"Usér {number}",
            "userPrincipalName": f"user{number}@contoso.example",
            "accountEnabled": number % 7 != 0,
            "userType": "Member",
            "department": f"Department {number % 12}",
            "manager": {"id": "1", "displayName": "Manager"},
            "assignedLicenses": [{"skuId": "4b9405b0-7788-4568-add1-99614e613b69", "disabledPlans": []}],
            **{f"extensionAttribute{extra}": f"value {number} {extra} ab" for extra in range(50)},
        }
        for number in range(20_000)
    ]
    return json.dumps(users, ensure_ascii=False).encode()


def baseline(content: bytes) -> None:
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE t (row TEXT)")
    database.executemany("INSERT INTO t VALUES (?)", ((json.dumps(row),) for row in json.loads(content)))
    database.close()


def ours(content: bytes) -> str:
    """The default reply for `content`."""
    store = ResultStore()
    result = store.add("ListUsers", RowReader(content))
    rows = store.rows(result.handle, 0, 200)
    page = row_page(rows, result, start=0, limit=None, columns=_COLUMNS, fields=None, budget=5900)
    store.close()
    return compact(page)


def _peak(which: str, path: Path) -> float:
    """Megabytes above idle of one run in a fresh process that reads the body from `path`."""
    command = [sys.executable, "-m", "tests.benchmarks.large_answer", which, str(path)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _measure(which: str, path: Path) -> None:
    idle = _high_water()
    (ours if which == "ours" else baseline)(path.read_bytes())
    print(_high_water() - idle)


def _high_water() -> float:
    """The most megabytes this process has held so far (Linux; getrusage counts the parent's before exec too)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def main() -> None:
    if len(sys.argv) > 2:
        _measure(sys.argv[1], Path(sys.argv[2]))
        return
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    content = answer()
    seconds: dict[str, list[float]] = {"baseline": [], "ours": []}
    cpu: dict[str, list[float]] = {"baseline": [], "ours": []}
    for _ in range(pairs):
        for name, run in (("baseline", baseline), ("ours", ours)):
            wall, used = time.perf_counter(), time.process_time()
            run(content)
            seconds[name].append(time.perf_counter() - wall)
            cpu[name].append(time.process_time() - used)
    print(f"body {len(content) / 1e6:.1f} MB; default reply {tokens(ours(content))} tokens; {pairs} interleaved pairs")
    print(f"{'':12}{'median s':>10}{'CPU s':>8}{'peak MB':>9}{'× body':>8}")
    path = Path(tempfile.mkdtemp()) / "body.json"
    path.write_bytes(content)
    for name in seconds:
        above, size = _peak(name, path), len(content) / 1e6
        wall, used = statistics.median(seconds[name]), statistics.median(cpu[name])
        print(f"{name:12}{wall:10.2f}{used:8.2f}{above:9.0f}{above / size:8.1f}")
    path.unlink()
    path.parent.rmdir()
    ratio = statistics.median(o / b for o, b in zip(seconds["ours"], seconds["baseline"], strict=True))
    print(f"time ratio {ratio:.2f}×")


if __name__ == "__main__":
    main()
