"""The process ends within two seconds however its host goes, and the audit names what was still in flight."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cipp_mcp.demo import DemoCipp

_HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
POSIX = pytest.mark.skipif(os.name != "posix", reason="the signal is POSIX's")


def message(number: int, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}


def start(demo: DemoCipp, audit: Path, *calls: dict[str, Any]) -> subprocess.Popen[bytes]:
    """A server with a host's handshake done and `calls` under way."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CIPP_")}
    environment |= demo.environment()
    environment |= {"CIPP_ACCESS": "full", "CIPP_CONFIRM": "never", "CIPP_AUDIT_LOG": str(audit)}
    process = subprocess.Popen(
        [sys.executable, "-m", "cipp_mcp"],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdin is not None
    messages = [
        {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": _HELLO},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        *calls,
    ]
    process.stdin.write(b"".join(json.dumps(one).encode() + b"\n" for one in messages))
    process.stdin.flush()
    return process


def until(condition: Any, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.01)  # another process gives no event to wait for


def outcomes(audit: Path) -> list[str]:
    lines = [json.loads(line) for line in audit.read_text(encoding="ascii").splitlines()]
    return [line.get("outcome", line["event"]) for line in lines]


@pytest.fixture
def change(demo: DemoCipp) -> dict[str, Any]:
    """A change that CIPP takes long over."""
    tenant = demo.state.tenants[0]
    demo.answer("ExecResetPass", body={"Results": "ok"}, delay=4)
    user = next(iter(tenant.users.values()))
    arguments = {"tenantFilter": tenant.domain, "ID": user["userPrincipalName"], "displayName": "x", "MustChange": True}
    return message(1, "cipp_critical", {"name": "ExecResetPass", "arguments": arguments})


def end(how: str, process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    if how == "stdin closes":
        process.stdin.close()
    elif how == "the host is dead":
        process.stdin.close()
        process.stdout.close()
    else:
        process.send_signal(getattr(signal, how))


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("stdin closes", 0),
        ("the host is dead", None),
        pytest.param("SIGTERM", 143, marks=POSIX),
        pytest.param("SIGINT", 130, marks=POSIX),
    ],
)
def test_the_process_ends_within_two_seconds_and_the_audit_names_the_change_in_flight(
    demo: DemoCipp, change: dict[str, Any], tmp_path: Path, how: str, code: int | None
) -> None:
    audit = tmp_path / "audit.jsonl"
    read = message(2, "cipp_read", {"name": "ListUsers", "arguments": {"tenantFilter": demo.state.tenants[0].domain}})
    demo.answer("ListUsers", body=[], delay=4)
    process = start(demo, audit, change, read)
    until(lambda: audit.exists() and audit.read_bytes().endswith(b"\n"))
    began = time.monotonic()
    end(how, process)
    process.wait(timeout=10)
    assert time.monotonic() - began < 2
    assert outcomes(audit) == ["intended", "unknown"]
    assert code is None or process.returncode == code
    assert process.stderr is not None
    told = process.stderr.read().decode()
    assert "Traceback" not in told
    for pipe in (process.stdin, process.stdout, process.stderr):
        assert pipe is not None
        pipe.close()


@POSIX
def test_a_host_that_no_longer_reads_cannot_hold_the_process(demo: DemoCipp, tmp_path: Path) -> None:
    lists = [{"jsonrpc": "2.0", "id": number, "method": "tools/list"} for number in range(1, 60)]
    process = start(demo, tmp_path / "audit.jsonl", *lists)
    assert process.stdout is not None
    process.stdout.read(1)  # it is answering, and its pipe fills up from here on
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=10)
    assert time.monotonic() - began < 2
    assert process.stderr is not None
    assert process.returncode == 143, process.stderr.read().decode()
    for pipe in (process.stdin, process.stdout, process.stderr):
        assert pipe is not None
        pipe.close()


@POSIX
def test_a_read_at_the_terminal_ends_at_once(demo: DemoCipp) -> None:
    demo.answer("ListTenants", body=[], delay=4)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CIPP_")}
    command = [sys.executable, "-m", "cipp_mcp", "call", "ListTenants"]
    before = len(demo.token_requests)
    process = subprocess.Popen(command, env=environment | demo.environment(), stderr=subprocess.DEVNULL)
    until(lambda: len(demo.token_requests) > before)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.wait(timeout=10)
    assert time.monotonic() - began < 2
    assert process.returncode == 130
