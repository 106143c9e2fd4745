"""``python -m tests.faults [runs] [seed]``: more runs than the test suite makes."""

from __future__ import annotations

import os
import sys
import time

import anyio

from cipp_mcp.demo import DemoCipp
from tests.faults.run import Report, run_all


async def _main(count: int, seed: int) -> Report:
    with DemoCipp(users=60, tenants=3) as demo:
        os.environ["SSL_CERT_FILE"] = str(demo.ca_file)
        return await run_all(demo, count, seed)


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    began = time.monotonic()
    report = anyio.run(_main, count, seed)
    print(f"{count} runs with seed {seed} in {time.monotonic() - began:.0f} s; slowest {report.slowest:.1f} s")
    for outcome, number in sorted(report.outcomes.items()):
        print(f"  {outcome:24}{number:6}")
    print(f"left over: {report.tasks_left} tasks, {report.sockets_left} sockets; {report.megabytes_grown:+.1f} MB")
    print(f"kinds of faults that came first: {len(report.faults)}")
    for problem in report.problems[:40]:
        print(f"PROBLEM {problem}")
    print(f"{len(report.problems)} problems")
    return 1 if report.problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
