"""``python -m tests.benchmarks.crowd [callers] [calls]``: many callers at once over HTTP, beside the bare server.

Every caller has a token of its own and reads users of its own; an answer that holds another user, or an error, counts
as such. The client runs in a process of its own. On a small machine client, server and the embedded CIPP share the
processors, so the two lines say more beside each other than alone.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from cipp_mcp.demo import DemoCipp
from tests.benchmarks.http_peer import META, HttpPeer, result_of, standard_headers
from tests.benchmarks.world import access_token
from tests.over_http import token_file


def main() -> int:
    callers = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    calls = int(sys.argv[2]) if len(sys.argv) > 2 else 50
    failed = 0
    with DemoCipp() as demo, tempfile.TemporaryDirectory() as folder:
        tokens = {f"agent-{number}": f"{number:040d}" for number in range(callers)}
        file = token_file(Path(folder) / "tokens", tokens)
        environment = demo.environment() | {
            "CIPP_OPENAPI": "off",
            "CIPP_HTTP_AUTH": "tokens",
            "CIPP_HTTP_TOKENS": str(file),
            "CIPP_MAX_WAITING": "10000",
            "CIPP_WAIT_SECONDS": "600",
        }
        bare = {
            "BARE_URL": demo.environment()["CIPP_URL"],
            "BARE_TOKEN": access_token(demo),
            "SSL_CERT_FILE": demo.environment()["SSL_CERT_FILE"],
        }
        users = [(tenant.domain, user) for tenant in demo.state.tenants for user in tenant.users][: callers * 2]
        print(f"{callers} callers × {calls} calls")
        print(f"{'':10}{'calls/s':>10}{'p50 ms':>10}{'p99 ms':>10}{'CPU ms':>10}{'errors':>10}{'crossed':>10}")
        for name, module, settings in (("bare", "tests.benchmarks.bare", bare), ("cipp-mcp", "cipp_mcp", environment)):
            peer = HttpPeer(module, settings, token=next(iter(tokens.values())))
            before = peer.cpu_seconds
            task = {"port": peer.port, "bare": name == "bare", "calls": calls, "tokens": tokens, "users": users}
            run = subprocess.run(
                [sys.executable, "-m", "tests.benchmarks.crowd", "--client"],
                input=json.dumps(task).encode(),
                stdout=subprocess.PIPE,
                check=True,
            )
            result = json.loads(run.stdout)
            cpu = (peer.cpu_seconds - before) * 1000 / (callers * calls)
            print(
                f"{name:10}{callers * calls / result['seconds']:10.0f}{result['p50'] * 1000:10.0f}"
                f"{result['p99'] * 1000:10.0f}{cpu:10.2f}{result['errors']:10}{result['crossed']:10}",
                flush=True,
            )
            failed += result["errors"] + result["crossed"]
            peer.close()
    return 1 if failed else 0


async def client(task: dict[str, Any]) -> dict[str, Any]:
    """Makes the calls and returns what came of them."""
    times: list[float] = []
    errors = crossed = 0
    limits = httpx.Limits(max_connections=len(task["tokens"]), max_keepalive_connections=len(task["tokens"]))
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{task['port']}", limits=limits, timeout=600) as http:

        async def caller(number: int, token: str) -> None:
            nonlocal errors, crossed
            for turn in range(task["calls"]):
                tenant, user = task["users"][(number + turn) % len(task["users"])]
                if task["bare"]:
                    params = {
                        "name": "get",
                        "arguments": {"path": f"/api/ListUsers?tenantFilter={tenant}&UserID={user}"},
                    }
                else:
                    arguments = {"tenantFilter": tenant, "UserID": user}
                    wanted = {"name": "ListUsers", "arguments": arguments, "fresh": True, "fields": ["id"]}
                    params = {"name": "cipp_read", "arguments": wanted}
                message = {"jsonrpc": "2.0", "id": turn, "method": "tools/call", "params": {**params, "_meta": META}}
                headers = standard_headers("tools/call", params) | {"Authorization": f"Bearer {token}"}
                began = time.perf_counter()
                try:
                    answer = await http.post("/mcp", content=json.dumps(message), headers=headers)
                except httpx.HTTPError:
                    errors += 1
                    continue
                times.append(time.perf_counter() - began)
                if answer.status_code != 200 or result_of(answer.content).get("isError"):
                    errors += 1
                elif user not in answer.text:
                    crossed += 1

        began = time.perf_counter()
        await asyncio.gather(*(caller(number, token) for number, token in enumerate(task["tokens"].values())))
        seconds = time.perf_counter() - began
    p99 = statistics.quantiles(times, n=100)[98]
    return {"seconds": seconds, "p50": statistics.median(times), "p99": p99, "errors": errors, "crossed": crossed}


if __name__ == "__main__":
    if sys.argv[1:] == ["--client"]:
        print(json.dumps(asyncio.run(client(json.load(sys.stdin)))))
    else:
        raise SystemExit(main())
