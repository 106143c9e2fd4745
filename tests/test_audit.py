"""Every change and refusal leaves a line before and after, without values; no line, no change."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from cipp_mcp.demo import DemoCipp
from cipp_mcp.errors import SettingsError
from cipp_mcp.server.app import CippServer
from tests.conftest import call, in_memory, read, settings_for

pytestmark = pytest.mark.anyio


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]


def reset_password(demo: DemoCipp) -> dict[str, Any]:
    tenant = demo.state.tenants[0]
    user = next(iter(tenant.users.values()))
    arguments = {
        "tenantFilter": tenant.domain,
        "ID": user["userPrincipalName"],
        "displayName": user["displayName"],
        "MustChange": True,
    }
    return {"name": "ExecResetPass", "arguments": arguments}


async def test_a_change_is_noted_before_and_after(demo: DemoCipp, tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    settings = settings_for(demo, CIPP_ACCESS="full", CIPP_CONFIRM="never", CIPP_AUDIT_LOG=str(path))
    async with in_memory(settings) as client:
        await call(client, "cipp_critical", **reset_password(demo))
        await read(client, "ListTenants")
    before, after = lines(path)
    assert (before["event"], after["event"], after["outcome"]) == ("intended", "outcome", "ok")
    assert before["call"] == after["call"]
    assert before["caller"] == "local"
    assert before["endpoint"] == "ExecResetPass"
    assert before["tenant"] == demo.state.tenants[0].domain
    assert before["targets"]
    assert before["risk"] in ("security", "destructive")
    assert len(before["arguments"]) == 32
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_refusal_is_noted_with_its_reason(demo: DemoCipp, tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    async with in_memory(settings_for(demo, CIPP_ACCESS="write", CIPP_AUDIT_LOG=str(path))) as client:
        await call(client, "cipp_change", **reset_password(demo))
        await call(client, "cipp_read", **reset_password(demo))
    assert [(line["event"], line["decision"]) for line in lines(path)] == [("refused", "access"), ("refused", "access")]


async def test_where_the_audit_cannot_be_written_nothing_is_changed(
    demo: DemoCipp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_for(demo, CIPP_ACCESS="full", CIPP_CONFIRM="never", CIPP_AUDIT_LOG=str(tmp_path / "a"))
    async with in_memory(settings) as client:

        def full(*_: Any) -> int:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("cipp_mcp.calls.audit.os.fsync", full)
        reply = await call(client, "cipp_critical", **reset_password(demo))
    assert reply["outcome"] == "refused"
    assert "No space left" in reply["messages"][0]
    assert "ExecResetPass" not in [request.endpoint for request in demo.requests]


async def test_an_audit_that_cannot_be_opened_stops_the_start(demo: DemoCipp, tmp_path: Path) -> None:
    target = tmp_path / "folder" / "audit"
    with pytest.raises(SettingsError, match="folder that exists"):
        settings_for(demo, CIPP_AUDIT_LOG=str(target))
    assert CippServer is not None


async def test_a_crash_between_intent_and_outcome_shows_in_the_audit(demo: DemoCipp, tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    demo.answer("ExecResetPass", body={"Results": "ok"}, delay=30)
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("CIPP_")
    } | demo.environment()
    environment |= {"CIPP_ACCESS": "full", "CIPP_CONFIRM": "never", "CIPP_AUDIT_LOG": str(path)}
    process = subprocess.Popen(
        [sys.executable, "-m", "cipp_mcp"], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    messages: list[dict[str, Any]] = [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {
            "jsonrpc": "2.0",
            "id": 2,
            "method": "tools/call",
            "params": {"name": "cipp_critical", "arguments": reset_password(demo)},
        },
    ]
    process.stdin.write(b"".join(json.dumps(message).encode() + b"\n" for message in messages))
    process.stdin.flush()
    with anyio.fail_after(20):
        while not path.exists() or not path.read_bytes().endswith(b"\n"):
            await anyio.sleep(0.02)  # the file is the only sign that another process gives
    process.send_signal(signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
    process.wait(timeout=10)
    process.stdin.close()
    process.stdout.close()
    assert [line["event"] for line in lines(path)] == ["intended"]


async def test_no_value_and_no_secret_is_ever_in_the_audit(demo: DemoCipp, tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    settings = settings_for(
        demo, CIPP_ACCESS="full", CIPP_CONFIRM="never", CIPP_ALLOW_SECRETS="true", CIPP_AUDIT_LOG=str(path)
    )
    async with in_memory(settings) as client:
        reply = await call(client, "cipp_critical", **reset_password(demo))
    text = path.read_text()
    shown = json.dumps(reply)
    assert "copyField" in shown
    secret = (
        reply["data"]["Results"]["copyField"]
        if isinstance(reply["data"]["Results"], dict)
        else reply["data"]["Results"][0]["copyField"]
    )
    assert secret not in text
    assert "MustChange" not in text
    assert demo.client_secret not in text
