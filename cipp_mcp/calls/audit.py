"""The audit: one JSON line before and after every change, one for every refusal; never a value, only digests."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cipp_mcp.errors import Refused, SettingsError
from cipp_mcp.telemetry import request_id


class Audit:
    """Writes lines to a file that only its owner can read, or to stderr."""

    def __init__(self, path: Path | None, key: bytes) -> None:
        self._path = path
        self._key = key
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        if path is not None:
            try:
                self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            except OSError as error:
                raise SettingsError(f"CIPP_AUDIT_LOG={path}: cannot be written ({error.strerror})") from None

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def digest(self, value: Any) -> str:
        """A keyed digest of `value`: equal calls can be recognised, nothing can be read back."""
        text = json.dumps(value, sort_keys=True, ensure_ascii=True, default=str)
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()[:32]

    def intended(self, entry: AuditEntry) -> None:
        """Notes that a change is about to be sent.

        Raises Refused when the line cannot be written: then nothing may be changed.
        """
        try:
            self._write({**entry.fields(), "event": "intended"})
        except OSError as error:
            raise Refused(
                f"The audit cannot be written ({error.strerror}), so nothing was changed.",
                hint="The operator has to make CIPP_AUDIT_LOG writable again.",
                reason="audit",
            ) from None

    def outcome(self, entry: AuditEntry, outcome: str, seconds: float) -> None:
        """Notes what became of an intended change."""
        self._write_if_possible(
            {**entry.fields(), "event": "outcome", "outcome": outcome, "seconds": round(seconds, 3)}
        )

    def refused(self, entry: AuditEntry, reason: str) -> None:
        """Notes a call that was not made."""
        self._write_if_possible({**entry.fields(), "event": "refused", "decision": reason})

    def _write_if_possible(self, line: dict[str, Any]) -> None:
        try:
            self._write(line)
        except OSError as error:
            print(f"cipp-mcp: the audit cannot be written: {error.strerror}", file=sys.stderr)

    def _write(self, line: dict[str, Any]) -> None:
        text = json.dumps({"time": _now(), **line}, ensure_ascii=True, separators=(",", ":")) + "\n"
        with self._lock:
            if self._path is None:
                sys.stderr.write(text)
                sys.stderr.flush()
                return
            if self._descriptor is None:
                raise OSError(0, "the audit is closed")
            data = text.encode("ascii")
            if os.write(self._descriptor, data) != len(data):
                raise OSError(0, "the disk is full")
            os.fsync(self._descriptor)


class AuditEntry:
    """What stays the same over the lines of one call."""

    def __init__(
        self, *, caller: str, endpoint: str, tenant: str, targets: Sequence[str], risk: str, decision: str, digest: str
    ) -> None:
        self.id = request_id() or secrets.token_hex(8)
        self.caller, self.endpoint, self.tenant = caller, endpoint, tenant
        self.targets, self.risk, self.decision, self.digest = list(targets), risk, decision, digest

    def fields(self) -> dict[str, Any]:
        return {
            "call": self.id,
            "caller": self.caller,
            "endpoint": self.endpoint,
            "tenant": self.tenant,
            "targets": self.targets[:50],
            "risk": self.risk,
            "decision": self.decision,
            "arguments": self.digest,
        }


def _now() -> str:
    seconds = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds % 1 * 1000):03d}Z"
